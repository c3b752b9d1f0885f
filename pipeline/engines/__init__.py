"""The only loops: `memory.py` is the shortest, read it first; `task.py` is what both share."""
