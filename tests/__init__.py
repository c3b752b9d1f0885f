"""A package, so that `python -m tests.simulation.crashes` finds this one: ebmlite's wheel installs another `tests`."""
