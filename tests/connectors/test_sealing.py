"""Sealed fields: only the tenant's key opens them, and only where they belong."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import sealing
from connectors.sealing import FileKey, Sealer
from pipeline.errors import InputError, RecordRefused
from pipeline.tenant_key import DataKey, TenantKey

pytestmark = pytest.mark.unit

SECRET = b'{"CustomerEndpoint":{"Address":"+4915112345678"}}'
PLACE = ("acme", "root-1", "contact_event")


class CountedKey:
    """A tenant's key that counts what it is asked; data keys are numbers, unwrapped."""

    name = "counted"

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(self, context: str) -> DataKey:
        self.made.append(context)
        plain = len(self.made).to_bytes(sealing.KEY_BYTES)
        return DataKey(plain, plain)

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        return wrapped


def file_key(folder: Path, byte: int = 1) -> FileKey:
    path = folder / f"{byte}.key"
    path.write_text(base64.b64encode(bytes([byte]) * sealing.KEY_BYTES).decode() + "\n")
    return FileKey(path)


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return Sealer({"acme": file_key(tmp_path), "other": file_key(tmp_path)})


@given(content=st.binary(max_size=200))
def test_what_was_sealed_opens(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    key = file_key(tmp_path_factory.getbasetemp())
    sealed = Sealer({"acme": key}).seal(*PLACE, content)
    assert content == Sealer({"acme": key}).open(*PLACE, sealed)


def test_sealed_field_hides_its_content_and_differs_each_time(sealer: Sealer) -> None:
    first, second = sealer.seal(*PLACE, SECRET), sealer.seal(*PLACE, SECRET)
    assert first != second
    assert b"4915" not in first


@pytest.mark.parametrize(
    "place",
    [
        ("other", "root-1", "contact_event"),
        ("acme", "root-2", "contact_event"),
        ("acme", "root-1", "contact_record"),
        ("nobody", "root-1", "contact_event"),
    ],
)
def test_field_that_was_moved_does_not_open(sealer: Sealer, place: tuple[str, str, str]) -> None:
    with pytest.raises(RecordRefused):
        sealer.open(*place, sealer.seal(*PLACE, SECRET))


def test_another_key_does_not_open(sealer: Sealer, tmp_path: Path) -> None:
    with pytest.raises(RecordRefused, match="another key"):
        Sealer({"acme": file_key(tmp_path, 2)}).open(*PLACE, sealer.seal(*PLACE, SECRET))


def test_key_of_another_name_is_said(sealer: Sealer) -> None:
    with pytest.raises(RecordRefused, match="no key"):
        Sealer({"acme": CountedKey()}).open(*PLACE, sealer.seal(*PLACE, SECRET))


def test_every_cut_and_every_flipped_byte_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal(*PLACE, SECRET)
    damaged = [sealed[:length] for length in range(len(sealed))]
    damaged += [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for one in damaged:
        with pytest.raises(RecordRefused):
            sealer.open(*PLACE, one)


def test_contact_has_one_data_key_until_it_leaves_the_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CONTACTS", 2)
    key = CountedKey()
    sealer = Sealer({"acme": key})
    for root in ("a", "b", "a", "c", "a", "b"):  # b leaves when c comes
        sealer.seal("acme", root, "contact_event", SECRET)
    assert ["acme|a", "acme|b", "acme|c", "acme|b"] == key.made


def test_two_tenants_share_no_data_key() -> None:
    keys: dict[str, TenantKey] = {"acme": (acme := CountedKey()), "other": (other := CountedKey())}
    sealer = Sealer(keys)
    for tenant in keys:
        sealer.seal(tenant, "same-root", "contact_event", SECRET)
    assert (["acme|same-root"], ["other|same-root"]) == (acme.made, other.made)


class SlowKey(CountedKey):
    """A key whose store does not answer until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = Event(), Event()

    def make(self, context: str) -> DataKey:
        self.is_asked.set()
        assert self.may_answer.wait(10)
        return super().make(context)


def test_tenant_whose_key_is_away_holds_no_other_back() -> None:
    slow = SlowKey()
    sealer = Sealer({"acme": slow, "other": CountedKey()})
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(sealer.seal, *PLACE, SECRET) for _ in range(2)]
        assert slow.is_asked.wait(10)
        sealed = sealer.seal("other", "root-1", "contact_event", SECRET)
        assert not any(one.done() for one in waiting)
        slow.may_answer.set()
        opened = [sealer.open(*PLACE, one.result(10)) for one in waiting]
    assert [SECRET] * 3 == [*opened, sealer.open("other", "root-1", "contact_event", sealed)]


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "cannot read"), ("not base64!", "does not hold base64"), ("c2hvcnQ=", "does not hold 32 bytes")],
)
def test_key_file_that_is_wrong_is_said_before_work_starts(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "acme.key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=why):
        FileKey(path)
