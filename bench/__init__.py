"""Benchmarks: `python -m bench` lists them; reports are committed under `bench/results/`."""
