"""Logs: JSON lines on stderr. Text is static; values travel as fields, and no field holds speech.

`tests/architecture/test_static_text.py` has the fields, and the rule for errors.
"""

import logging
import sys

import structlog

AUDIT = "trunkline.audit"  # what a tenant may have to account for; written whatever the level of the other lines


def configure(process: str, level: str = "WARNING") -> None:
    """Send every logger of this process to stderr as JSON lines."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.ExtraAdder(),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _name_process(process),
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # librdkafka and Faust retry what they can; errors reach us as such. Faust's lines would quote exceptions.
    for name in ("trunkline.kafka", "aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _name_process(process: str) -> structlog.typing.Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
