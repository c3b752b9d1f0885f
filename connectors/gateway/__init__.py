"""The way to the agent's screen: a page, and a WebSocket that loses and doubles nothing.

    feed.py -> hub.py -> board.py (pure) -> hub.py -> outbox.py -> server.py -> page/
    page/ -> server.py -> feedback.py -> Kafka -> feed.py

Read `board.py` first. The package owns delivery to screens; what is worth showing is decided by the stages.
"""

from connectors.gateway.process import run

__all__ = ["run"]
