"""Amazon Kinesis Video Streams: the live audio of a call, as Amazon Connect writes it.

`matroska.py` makes events (`events.py`) of the bytes of a GetMedia response, with `fragments.py` for what the elements
mean and `ebml.py` for where they begin and end. No module here opens a connection, waits, or knows which contact is
wanted.
"""
