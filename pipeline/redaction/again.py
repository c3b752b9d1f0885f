"""Mask more of a turn that was published, when redaction itself has forgotten what was said in it.

Owns the same arithmetic as `cover` over published words, where a masked run is one token.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from pipeline.redaction.cover import Line
from pipeline.redaction.detect import Profile
from pipeline.redaction.languages import pick
from pipeline.redaction.replacement import token
from topics.records import SAMPLES_PER_MS, AudioRedaction, AudioSpan, RedactedTurn, RedactionCommand, TextSpan, Word


def obey(command: RedactionCommand, profile: Profile) -> tuple[RedactedTurn, AudioRedaction]:
    """Return the turn and what it covers, as a command wants them."""
    turn, masks, language = command.turn, command.masks, pick(profile.languages)
    kinds = [_kind(word, masks) for word in turn.words]
    words: list[Word] = []
    spans = list(turn.spans)
    for kind, group in groupby(zip(turn.words, kinds, strict=True), key=lambda row: row[1]):
        run = [word for word, _ in group]
        if not kind:
            words += run
            continue
        start_ms, end_ms = run[0].start_ms, run[-1].end_ms
        said = token(kind, [word.text for word in run], profile.replacement, language)
        words.append(Word(said, start_ms, end_ms, any(word.is_estimated for word in run)))
        spans.append(TextSpan(start_ms, end_ms, kind, (turn.track,)))
    spans.sort(key=lambda span: span.start_ms)
    again = replace(turn, words=tuple(words), spans=tuple(spans), redaction_rev=turn.redaction_rev + 1)
    line = Line([(word.start_ms, word.end_ms, _is_token(word)) for word in words])
    audio = dict.fromkeys((*command.audio, *(_covered(mask, line, profile, turn) for mask in masks)))
    return again, AudioRedaction(turn.tenant, turn.contact_id, turn.leg, turn.turn_id, tuple(audio))


def _kind(word: Word, masks: Sequence[TextSpan]) -> str:
    """Return as what a word is to be masked; empty where it stays as it is."""
    if _is_token(word):
        return ""
    return next((mask.type for mask in masks if word.start_ms < mask.end_ms and mask.start_ms < word.end_ms), "")


def _is_token(word: Word) -> bool:
    return word.text.startswith("[") and word.text.endswith("]")


def _covered(mask: TextSpan, line: Line, profile: Profile, turn: RedactedTurn) -> AudioSpan:
    start_ms, end_ms = mask.start_ms, mask.end_ms
    if mask.tracks[0] == turn.track:
        start_ms, end_ms = line.padded(start_ms, end_ms, profile)
    return AudioSpan(mask.tracks[0], start_ms * SAMPLES_PER_MS, end_ms * SAMPLES_PER_MS, mask.type)
