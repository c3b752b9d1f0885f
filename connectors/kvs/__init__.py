"""Amazon Kinesis Video Streams: the live audio of a call, as Amazon Connect writes it.

    matroska.py -> events.py        bytes of a response become events; fragments.py says what elements mean, ebml.py
                                    where they begin and end
    contact.py -> facts.py          events of many responses become one contact; sound.py and timeline.py place it
    reading.py                      asks, waits, goes on
    service.py, account.py          the calls, and who makes them

The first two lines are pure: they open no connection and have no clock.
"""
