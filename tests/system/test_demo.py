"""`trunkline demo`: one command shows everything, and takes everything away again whenever it ends."""

import re
import signal

import pytest

from bench.watched import Child
from tests.system.commands import BIN, SCRIPTED, Place, Ran, ended
from tests.system.conftest import Kept

pytestmark = pytest.mark.system

TABLES = ["The call", "Latency, ms", "Where it is"]
VARIABLES = {"TRUNKLINE_ASR": SCRIPTED, "TRUNKLINE_GATEWAY_PORT": "0"}


def start(shell: Place, *options: str) -> Child:
    return shell.type("demo", "--speed", "8", *options, variables=VARIABLES)


def interrupt(child: Child) -> Ran:
    child.process.send_signal(signal.SIGINT)
    return ended(child)


def assert_nothing_left(shell: Place) -> None:
    assert {} == shell.left_over()
    assert ([], []) == (shell.run_files(), shell.demo_folders())


def assert_shows_the_call(out: str) -> None:
    """The page's address, the transcript, the guidance and the tables."""
    assert re.search(r"^page http://127\.0\.0\.1:\d+/$", out, re.MULTILINE)
    assert "my card is [CREDITCARD]" in out
    assert "next best action: Offer the loyalty discount" in out
    assert TABLES == re.findall(f"^({'|'.join(TABLES)})", out, re.MULTILINE)
    for store in ("PostgreSQL", "Valkey", "object store", "Kafka"):
        assert re.search(rf"{store} +│? *[^ ]", out)


def test_two_demos_at_once_do_not_harm_each_other(shell: Place) -> None:
    """One is interrupted in its call, the other one goes on to its end."""
    stays, goes = start(shell), start(shell)
    goes.wait_for("customer")
    assert (130, "") == (interrupt(goes).code, goes.err)
    ran = ended(stays)
    assert (0, []) == (ran.code, ran.said)
    assert_shows_the_call(ran.out)
    assert_nothing_left(shell)


def test_call_comes_as_amazon_connect_brings_it(shell: Place) -> None:
    """Its audio by Kinesis Video Streams, and what happens to it by Kinesis."""
    ran = ended(start(shell, "--connect"))
    assert 0 == ran.code, ran.err
    assert_shows_the_call(ran.out)
    assert "23 turns, 4 cards, 7 audio spans, 1 summary" in ran.out
    assert_nothing_left(shell)


def test_connect_without_time_is_refused(shell: Place) -> None:
    ran = shell.run("demo", "--connect", "--speed", "0", variables=VARIABLES)
    assert (2, "", 1) == (ran.code, ran.out, len(ran.said))


def test_an_interrupt_while_servers_start_leaves_nothing(shell: Place) -> None:
    child = start(shell)
    child.wait_for("starting Kafka")
    ran = interrupt(child)
    assert (130, []) == (ran.code, ran.said)
    assert "page" not in ran.out
    assert_nothing_left(shell)


def test_an_interrupt_while_workers_start_leaves_nothing(shell: Place) -> None:
    child = start(shell)
    workers = shell.folder / ".trunkline" / "run"
    while not list(workers.glob("language-*.pid")):
        assert child.process.poll() is None, child.err
    ran = interrupt(child)
    assert (130, []) == (ran.code, ran.said)
    assert_nothing_left(shell)


def test_a_kept_demo_stays_until_ctrl_c_and_leaves_nothing(kept_demo: Kept) -> None:
    assert_shows_the_call(kept_demo.ran.out)
    assert "stays open; Ctrl-C ends" in kept_demo.ran.out
    assert (130, "") == (kept_demo.ran.code, kept_demo.ran.err)
    assert [] == kept_demo.left


def test_without_java_the_call_runs_on_the_memory_engine(shell: Place) -> None:
    ran = shell.run("demo", "--speed", "0", variables=VARIABLES | {"PATH": str(BIN)})
    assert (0, []) == (ran.code, ran.said)
    first, *others = ran.out.splitlines()
    assert "Java" in first
    assert "memory engine" in ran.out
    assert "my card is [CREDITCARD]" in ran.out
    assert not any("http://" in line for line in others)
    assert_nothing_left(shell)
