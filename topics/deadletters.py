"""Dead letters: where a record goes that nobody can process, and the headers that say why.

The value and the key stay the original bytes; the headers have the names that Kafka Connect's reporter writes
(apache/kafka, `DeadLetterQueueReporter.java`), so that tools made for those read ours. Engines and sinks
write dead letters; this module owns their form.
"""

from pipeline.errors import TrunklineError

PREFIX = "__connect.errors."


def name(topic: str) -> str:
    """Name the topic that takes what could not be processed of `topic`."""
    return f"{topic}.dead"


def headers(topic: str, partition: int, offset: int, connector: str, error: Exception) -> list[tuple[str, bytes]]:
    """Return the headers of one dead letter.

    Args:
        topic: where the record stood, without prefix.
        partition: of that topic.
        offset: in that partition.
        connector: the group or sink that refused the record.
        error: why. Its text is written only if the error is ours: those promise static text, while a
            library's may quote the record.
    """
    values = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "connector.name": connector,
        "exception.class.name": f"{type(error).__module__}.{type(error).__qualname__}",
    }
    if isinstance(error, TrunklineError):
        values["exception.message"] = str(error)
    return [(PREFIX + field, value.encode()) for field, value in values.items()]
