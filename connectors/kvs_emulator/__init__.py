"""A Kinesis Video Streams of one's own on loopback, with contacts as Amazon Connect streams them, and with faults.

    takes.py -> fragments.py -> connection.py -> server.py      what is pushed, held, sent, admitted
    matroska.py, requests.py, faults.py                         bytes, questions, what goes wrong

`trunkline kvs emulate` runs it as a command; tests and benchmarks open it in their own process:

    async with serve() as server:
        await play(server.stream("calls"), take)

It shares no code with the reader (`connectors.kvs`): one is the other's judge.
"""

from connectors.kvs_emulator.faults import Plan
from connectors.kvs_emulator.faults import read as read_plan
from connectors.kvs_emulator.process import Playing, Serving, run, serve, wall_ms
from connectors.kvs_emulator.server import Limits, Server
from connectors.kvs_emulator.takes import Hole, ShortBlock, Take, play

__all__ = [
    "Hole",
    "Limits",
    "Plan",
    "Playing",
    "Server",
    "Serving",
    "ShortBlock",
    "Take",
    "play",
    "read_plan",
    "run",
    "serve",
    "wall_ms",
]
