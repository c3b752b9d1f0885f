"""The only loops: `memory.py` is the shortest, read it first; `task.py` is what both share.

- `task.py`: one group on one partition. `effects.py`: what goes in and comes out. `contacts.py`: who is known, quiet
  or shut. `revisions.py`: (epoch, n). `catchup.py`: outputs held after a takeover.
- `memory.py`: all groups over Python lists.
- `kafka.py`: one worker process of one group. `assignment.py`: its consumer, partitions and epochs. `outbox.py`: its
  outputs until they are delivered. `commits.py`: its checkpoints. `tables.py`: changelogs and global tables.
- `payloads.py`: records and states to bytes and back, sealed where they are restricted, with the keys of
  `subject_keys.py`.
- `sink.py`: topics into one store; no stages.
"""
