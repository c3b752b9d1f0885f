"""Presidio over one record with all that it looks for: a baseline of `trunkline redact --report`."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.redaction import presidio

TYPES: Final = presidio.TYPES | {
    "CREDIT_CARD": "CREDITCARD",
    "US_SSN": "SSN",
    "US_BANK_NUMBER": "BANKACCOUNT",
    "ABA_ROUTING_NUMBER": "ROUTING",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "DATE_TIME": "DOB",
}


def detector() -> Callable[[Sequence[str]], Sequence[str]]:
    """Load Presidio with its default recognisers.

    Returns:
        A function from the words of a record to the type of each, "" for one that stays.

    Raises:
        ImportError: presidio-analyzer or the model is not installed.
    """
    from presidio_analyzer import AnalyzerEngine

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it warns of each entity that it does not use
    analyzer = AnalyzerEngine(nlp_engine=presidio.engine(), supported_languages=[presidio.LANGUAGE])

    def detect(words: Sequence[str]) -> Sequence[str]:
        masks = [""] * len(words)
        for row in analyzer.analyze(" ".join(words), presidio.LANGUAGE):
            if kind := TYPES.get(row.entity_type):
                first, last, _ = presidio.touched(words, row.start, row.end, kind)
                masks[first : last + 1] = [mask or kind for mask in masks[first : last + 1]]
        return masks

    return detect
