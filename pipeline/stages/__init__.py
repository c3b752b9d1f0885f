"""The stages: one pure machine a file."""
