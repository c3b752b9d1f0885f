"""A Deepgram of one's own on loopback: the streaming protocol of `/v1/listen` and `/v2/listen`, and its faults.

    script.py -> hearing.py -> results.py, turns.py -> connection.py -> server.py     what is known, heard, said, sent
    requests.py, faults.py                                                            questions, what goes wrong

It knows both tracks of a recording and the words on them, and says a word only to a connection that brought every
sample of it. Tests and benchmarks open it in their own process:

    async with serve(read_script(reference, call.customer, call.agent)) as server:
        ...  # server.url is the root that a client of Deepgram is pointed at

It shares no code with any client of Deepgram: one is the other's judge.
"""

from connectors.deepgram_double.faults import Plan
from connectors.deepgram_double.messages import Message, Witness
from connectors.deepgram_double.process import Serving, serve
from connectors.deepgram_double.script import Script
from connectors.deepgram_double.script import read as read_script
from connectors.deepgram_double.server import Limits, Server

__all__ = ["Limits", "Message", "Plan", "Script", "Server", "Serving", "Witness", "read_script", "serve"]
