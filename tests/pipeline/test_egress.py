"""The gate: what it lets pass, what it refuses, and in which words."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import receipt_key
from pipeline.egress import PROVEN, WORDLESS, Gate, guarded
from pipeline.errors import EgressRefused, InputError
from pipeline.receipts import Receipts
from pipeline.settings import load
from tests.connectors.gateway import screenplay as play
from tests.proven import GATE, RECEIPTS, proven
from topics.catalogue import ALL
from topics.records import Guidance, GuidanceDraft, RedactedTurn, Watermark

pytestmark = pytest.mark.unit

SAID = "four nine one seven"
TURN = play.turn(SAID, 0)
PROVEN_TURN = RECEIPTS.issue(TURN, "", 1, "all")[1]


def refused(record: object, gate: Gate = GATE) -> str:
    with pytest.raises(EgressRefused) as refusal:
        gate.check(record)  # type: ignore[arg-type]  # also what is no record
    return str(refusal.value)


@pytest.mark.parametrize("record", [TURN, play.guidance("cause", play.hint("p", 1)), play.guidance("cause")])
def test_words_pass_with_their_proof_alone(record: RedactedTurn | Guidance) -> None:
    GATE.check(proven(record))
    assert "the record has no valid receipt" == refused(record)
    assert "the record has no valid receipt" == refused(replace(PROVEN_TURN, words=play.turn("other", 0).words))
    assert "the record has no valid receipt" == refused(proven(record), Gate(Receipts(bytes(32))))


def test_a_receipt_passes_if_it_is_one() -> None:
    receipt, _ = RECEIPTS.issue(TURN, "", 1, "all")
    GATE.check(receipt)
    assert "the record has no valid receipt" == refused(replace(receipt, output=""))


def test_what_is_in_no_list_is_refused() -> None:
    assert "the record's type may not leave" == refused(play.raw_turn(SAID))
    assert "the record's type may not leave" == refused(GuidanceDraft("t", "c", 0, "cause", ()))
    assert "the record's type may not leave" == refused("words")


def test_what_a_proved_type_is_derived_from_it_is_no_way_round() -> None:
    class Sly(Watermark):
        pass

    assert "the record's type may not leave" == refused(Sly("t", "c", 0, 0, False))


def test_no_restricted_type_is_in_a_list() -> None:
    restricted = {kind for topic in ALL if topic.data == "restricted" for kind in topic.records} - {Watermark}
    assert set() == restricted & {*PROVEN, *WORDLESS}


async def test_a_guarded_service_is_asked_with_proved_records_alone() -> None:
    asked: list[object] = []

    async def model(request: object) -> str:
        asked.append(request)
        return "yes"

    service = guarded(GATE)(model)
    good = (proven(TURN), proven(play.guidance("cause")))
    assert "yes" == await service(good)
    assert "yes" == await service(proven(TURN))
    for request in ((proven(TURN), TURN), TURN, SAID, (SAID,), {"prompt": SAID}):
        with pytest.raises(EgressRefused):
            await service(request)
    assert [good, proven(TURN)] == asked


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_process_makes_the_key(folder: Path) -> None:
    key = receipt_key.of(load())
    assert (32, key) == (len(key), receipt_key.of(load()))
    assert 0o600 == (folder / ".trunkline/receipt.key").stat().st_mode & 0o777
    assert ["receipt.key"] == [path.name for path in (folder / ".trunkline").iterdir()]


def test_the_setting_is_the_key(folder: Path) -> None:
    assert bytes(range(32)) == receipt_key.of(load(receipt_key=bytes(range(32)).hex()))
    assert [] == [*folder.iterdir()]


@pytest.mark.parametrize("text", ["ab", "words", "0" * 66])
def test_what_is_no_key_is_said_without_it(text: str, folder: Path) -> None:
    with pytest.raises(InputError, match="64 hexadecimal digits") as refusal:
        receipt_key.of(load(receipt_key=text))
    assert text not in str(refusal.value).replace("hexadecimal", "")
    (folder / ".trunkline").mkdir()
    (folder / ".trunkline/receipt.key").write_text(text)
    with pytest.raises(InputError, match="key is no key"):
        receipt_key.of(load())
