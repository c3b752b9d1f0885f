"""The recogniser Deepgram: `/v1/listen` (Nova) and `/v2/listen` (Flux) through its SDK.

    sent.py -> heard.py      which samples a connection has had, and the words on them; pure
    causes.py, places.py     which failures are tried again, who may have a connection; pure
    line.py, dialects.py     one connection; the only modules that know the SDK
    session.py               one track of one contact: asks, reconnects, ends
    service.py               all of them

A connection is a cache: every question holds all audio of its segment, so what is lost with one is sent on the next.
"""

from connectors.deepgram.service import DeepgramAsr, Options

__all__ = ["DeepgramAsr", "Options"]
