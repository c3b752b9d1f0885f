"""`trunkline kvs`: a stream of Amazon Connect of one's own, as a user types it."""

import asyncio
import re
import signal

import pytest

from connectors import files
from tests.connectors.kvs_emulator import seen
from tests.connectors.kvs_emulator.callers import Caller
from tests.system.commands import DEMO, Place, ended

pytestmark = pytest.mark.system

TRACKS = ("--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav")
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
