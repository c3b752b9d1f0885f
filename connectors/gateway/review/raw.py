"""The one way from the restricted topic `transcript.raw` to a person: the words of one turn."""

from typing import Final

from connectors.gateway.review.cases import Case
from connectors.gateway.review.reading import Read
from topics.records import Turn

TOPIC: Final = "transcript.raw"


def raw_text(read: Read, case: Case, turn_id: str) -> str | None:
    """Return what was recognised of a final turn; None once the topic has let go of it.

    Raises:
        PeerUnavailable: Kafka does not answer.
    """
    heard = read((TOPIC,), case.key, 0, case.generation)
    turns = [one for one in heard if isinstance(one, Turn) and one.turn_id == turn_id and one.is_final]
    newest = max(turns, key=lambda turn: turn.rev, default=None)
    return None if newest is None else " ".join(word.text for word in newest.words)
