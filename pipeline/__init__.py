"""trunkline: real-time conversation intelligence for contact centres on Apache Kafka.

Read in this order: `topology.py` (the pipeline as a list), one file of `stages/`, `machine.py` (their contract),
`engines/memory.py` (the shortest loop), `engines/kafka.py`, then one file of `connectors/`.
"""

__version__ = "0.1.0"
