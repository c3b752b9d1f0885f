"""The only loops: `memory.py` is the shortest, read it first; `task.py` is what both share.

memory.py   all groups over Python lists        kafka.py        one worker process of one group
task.py     one group on one partition          assignment.py   its consumer: partitions, epochs, batches
  effects.py    what goes in and comes out      outbox.py       its outputs until they are delivered
  contacts.py   who is known, quiet or shut     commits.py      its checkpoints, one transaction each
  revisions.py  (epoch, n)                      tables.py       changelogs and global tables, read whole
  catchup.py    outputs held after a takeover   sink.py         topics into one store; no stages
"""
