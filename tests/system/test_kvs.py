"""`trunkline kvs`: a stream of Amazon Connect of one's own, as a user types it."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.watched import wait_until
from connectors import files
from tests.connectors.kvs_emulator import seen
from tests.connectors.kvs_emulator.callers import Caller
from tests.system.commands import DEMO, Place, ended

pytestmark = pytest.mark.system

TRACKS = ("--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav")
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true"}
NAMES = ["agent.wav", "customer.wav", "events.jsonl"]
READY = re.compile(r"endpoint (http://127\.0\.0\.1:\d+) stream (\S+) contact (\S+) start-ms (\d+)")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_emulated_call_can_be_read_until_a_signal_comes(number: signal.Signals, code: int, shell: Place) -> None:
    started = shell.type(
        "kvs", "emulate", *TRACKS, "--stream-name", "calls", "--contact-id", "c-1", "--speed", "0", "--idle-s", "0.2",
        "--swap-tracks",
    )  # fmt: skip
    found = READY.fullmatch(started.wait_for("endpoint"))
    assert found is not None
    url, stream, contact, start_ms = found.groups()
    assert ("calls", "c-1") == (stream, contact)
    start = {"StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": int(start_ms) / 1_000 - 2}
    documents = seen.documents(asyncio.run(Caller(url).media(start, stream)))
    call = files.read_call(DEMO / "customer.wav", DEMO / "agent.wav")
    expected = {"customer": call.customer.tobytes(), "agent": call.agent.tobytes()}
    assert expected == seen.pcm(documents, int(start_ms))
    assert {contact} == {one.tags["ContactId"] for one in documents}
    assert "AUDIO_TO_CUSTOMER" == documents[0].tracks[0]["Name"]
    started.process.send_signal(number)
    ran = ended(started)
    assert (code, "") == (ran.code, ran.err)
    assert {} == shell.left_over()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--faults", "none.yaml"), "none.yaml"),
        (("--stream-name", "a stream"), "name"),
        (("--contact-id", "a|b"), "id"),
        (("--idle-s", "0"), "idle-s"),
    ],
)
def test_what_cannot_be_emulated_is_said_in_one_line(options: tuple[str, str], reason: str, shell: Place) -> None:
    ran = shell.run("kvs", "emulate", *TRACKS, *options)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.said))
    assert reason in ran.err


def test_fault_plan_of_a_file_strikes(shell: Place) -> None:
    (shell.folder / "faults.yaml").write_text("faults: [{fault: close, how: end, after_fragments: 2}]\n")
    started = shell.type(
        "kvs", "emulate", *TRACKS, "--speed", "0", "--idle-s", "0.2", "--faults", "faults.yaml", "--by-fragment"
    )
    found = READY.fullmatch(started.wait_for("endpoint"))
    assert found is not None
    data = asyncio.run(Caller(found[1]).media({"StartSelectorType": "EARLIEST"}, found[2]))
    assert 2 == len(seen.documents(data))
    started.process.send_signal(signal.SIGINT)
    assert 130 == ended(started).code


@contextmanager
def emulated(shell: Place, *options: str | Path, tracks: tuple[str | Path, ...] = TRACKS) -> Iterator[tuple[str, ...]]:
    """Serve a call; yield what names it to `trunkline kvs read`."""
    started = shell.type("kvs", "emulate", *tracks, "--contact-id", "c-1", *options)
    found = READY.fullmatch(started.wait_for("endpoint"))
    assert found is not None
    url, stream, contact, start_ms = found.groups()
    try:
        yield "--endpoint-url", url, "--stream-name", stream, "--contact-id", contact, "--start-ms", start_ms
    finally:
        started.process.send_signal(signal.SIGINT)
        assert 130 == ended(started).code


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def same(folder: Path, tracks: tuple[str | Path, ...] = TRACKS) -> bool:
    """Tell whether both files hold the samples that were pushed."""
    pushed = files.read_call(Path(tracks[1]), Path(tracks[3]))
    captured = files.read_call(folder / "customer.wav", folder / "agent.wav")
    return (pushed.customer.tobytes(), pushed.agent.tobytes()) == (
        captured.customer.tobytes(),
        captured.agent.tobytes(),
    )


def test_call_is_captured_sample_by_sample_whatever_goes_wrong(shell: Place) -> None:
    (shell.folder / "faults.yaml").write_text(
        """
seed: 3
faults:
  - {fault: refuse, error: ServiceUnavailableException, api: getDataEndpoint, calls: [1]}
  - {fault: close, after_fragments: 20, calls: [1]}
  - {fault: close, how: end, after_bytes: 300000, calls: [2]}
  - {fault: move, calls: [3]}
  - {fault: report, error_id: 4000, after_blocks: 400, calls: [4]}
"""
    )
    options = ("--speed", "0", "--idle-s", "0.5", "--swap-tracks", "--faults", "faults.yaml")
    with emulated(shell, *options) as named:
        ran = shell.run("kvs", "read", *named, "--out", "captured", variables=KEYS)
    assert (0, "") == (ran.code, ran.err)
    folder = shell.folder / "captured"
    assert NAMES == sorted(path.name for path in folder.iterdir())
    assert same(folder)
    told = events(folder)
    assert {"fragment", "reconnect", "error", "end"} == {one["type"] for one in told}
    assert all({"type", "at_ms", "track", "detail"} == one.keys() for one in told)
    assert "end" == told[-1]["type"]


def test_live_call_is_captured_over_forced_ends(shell: Place) -> None:
    with emulated(shell, "--speed", "16", "--max-session-s", "2", "--idle-s", "1") as named:
        ran = shell.run("kvs", "read", *named, "--out", "captured", variables=KEYS)
    assert (0, "") == (ran.code, ran.err)
    assert same(shell.folder / "captured")


def test_recorded_call_is_captured(shell: Place, recorded_call: tuple[Path, Path]) -> None:
    tracks = ("--customer", recorded_call[0], "--agent", recorded_call[1])
    with emulated(shell, "--speed", "0", "--idle-s", "0.5", tracks=tracks) as named:
        ran = shell.run("kvs", "read", *named, "--out", "captured", variables=KEYS)
    assert (0, "") == (ran.code, ran.err)
    assert same(shell.folder / "captured", tracks)


def test_contact_without_audio_is_exit_1(shell: Place) -> None:
    with emulated(shell, "--speed", "0", "--idle-s", "0.2") as named:
        other = ("--contact-id", "c-2", "--idle-s", "1", "--out", "captured")
        ran = shell.run("kvs", "read", *named[:4], *named[6:], *other, variables=KEYS)
    assert (1, "", 1) == (ran.code, ran.out, len(ran.said))
    assert "no audio of contact c-2" in ran.err


def test_stream_that_does_not_exist_is_exit_1(shell: Place) -> None:
    with emulated(shell, "--speed", "0") as named:
        other = ("--stream-name", "none", "--out", "captured")
        ran = shell.run("kvs", "read", *named[:2], *named[4:], *other, variables=KEYS)
    assert (1, "", 1) == (ran.code, ran.out, len(ran.said))
    assert "ResourceNotFound" in ran.err


def test_ctrl_c_leaves_no_file(shell: Place) -> None:
    with emulated(shell) as named:
        started = shell.type("kvs", "read", *named, "--out", "captured", variables=KEYS)
        partial = shell.folder / "captured" / ".customer.wav.partial"
        assert wait_until(lambda: partial.exists() and partial.stat().st_size > 0, 60)
        started.process.send_signal(signal.SIGINT)
        ran = ended(started)
    assert (130, "") == (ran.code, ran.err)
    assert [] == [*(shell.folder / "captured").iterdir()]


@pytest.mark.parametrize(
    ("options", "variables", "reason"),
    [
        ((), {"AWS_EC2_METADATA_DISABLED": "true"}, "credentials"),
        (("--endpoint-url", "localhost:8080"), KEYS, "endpoint"),
        (("--stream-name", "a stream"), KEYS, "name"),
        (("--start-ms", "soon"), KEYS, "start-ms"),
        (("--out", "a-file"), KEYS, "a-file"),
        ((), KEYS | {"TRUNKLINE_NOPE": "1"}, "TRUNKLINE_NOPE"),
    ],
)
def test_what_cannot_be_read_is_said_before(
    options: tuple[str, ...], variables: dict[str, str], reason: str, shell: Place
) -> None:
    (shell.folder / "a-file").write_text("")
    usual = {
        "--stream-name": "calls",
        "--contact-id": "c-1",
        "--start-ms": "0",
        "--out": "captured",
        "--endpoint-url": "http://127.0.0.1:9",
    }
    given = usual | dict(zip(options[::2], options[1::2], strict=True))
    ran = shell.run("kvs", "read", *(text for pair in given.items() for text in pair), variables=variables)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.said))
    assert reason in ran.err


def test_region_is_needed_without_an_endpoint(shell: Place) -> None:
    options = ("--stream-name", "calls", "--contact-id", "c-1", "--start-ms", "0", "--out", "captured")
    ran = shell.run("kvs", "read", *options, variables=KEYS)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.said))
    assert "region" in ran.err
