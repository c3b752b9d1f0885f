"""What a user gets wrong: one clear line, the documented exit code, never a traceback, nothing half-written."""

import json
import re
import signal
import socket
import struct
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bench.watched import wait_until
from connectors import files
from pipeline.audio import pcm
from tests.system.commands import DEMO, MODULE, NONE, REFERENCE, SCRIPTED, TRUNKLINE, Place, Ran, Variables, ended
from tests.system.conftest import Called, call
from topics import admin

pytestmark = pytest.mark.system

BROKER_LIMIT_S = 15  # until a broker that is away is given up; the rest is the machine's
SLOW_MACHINE_S = 20


def wav(
    path: Path, *, rate_hz: int = 8_000, bits: int = 16, channels: int = 1, tag: int = 1, body: bytes = bytes(16_000)
) -> Path:
    """Write a WAV file with any header."""
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


def type_call(
    shell: Place,
    *options: str | Path,
    agent: Path = DEMO / "agent.wav",
    command: Sequence[str | Path] = TRUNKLINE,
    variables: Variables = NONE,
) -> Ran:
    return shell.run(
        "call", "--customer", DEMO / "customer.wav", "--agent", agent, "--out", "out", "--speed", "0",
        "--engine", "memory", "--asr", SCRIPTED, *options, command=command, variables=variables,
    )  # fmt: skip


def assert_refused(ran: Ran, shell: Place, *says: str, code: int = 2) -> None:
    """One line on stderr that says these things, the exit code, and no file of the call."""
    assert code == ran.code, ran.err
    assert 1 == len(ran.said), ran.err
    assert ran.err.startswith("trunkline: ")
    assert [] == [word for word in says if word not in ran.err], ran.err
    assert "" == ran.out
    out = shell.folder / "out"
    assert not out.is_dir() or [] == list(out.iterdir())


TRACKS_NOBODY_READS = {
    "wrong-rate": ({"rate_hz": 16_000}, "16000 Hz"),
    "eight-bit-pcm": ({"bits": 8}, "8 bits"),
    "twenty-four-bits": ({"bits": 24, "body": bytes(24_000)}, "24 bits"),
    "float": ({"bits": 32, "tag": 3}, "format 3"),
    "stereo": ({"channels": 2}, "2 channels"),
}


@pytest.mark.parametrize("case", TRACKS_NOBODY_READS)
def test_a_track_of_another_format_is_named(case: str, shell: Place) -> None:
    options, reason = TRACKS_NOBODY_READS[case]
    track = wav(shell.folder / "track.wav", **options)  # type: ignore[arg-type]  # a table of different options
    assert_refused(type_call(shell, agent=track), shell, "track.wav", reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, I am a text file", "is not a WAV file"),
        (b"", "is not a WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00", "is not a whole WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVE", "is not a whole WAV file"),
    ],
    ids=["text", "empty", "truncated", "no-chunks"],
)
def test_a_file_that_is_no_wav_is_named(content: bytes, reason: str, shell: Place) -> None:
    track = shell.folder / "track.wav"
    track.write_bytes(content)
    assert_refused(type_call(shell, agent=track), shell, "track.wav", reason)


def test_a_missing_file_is_named(shell: Place) -> None:
    assert_refused(type_call(shell, agent=shell.folder / "gone.wav"), shell, "gone.wav", "No such file")


def test_a_folder_is_no_track(shell: Place) -> None:
    assert_refused(type_call(shell, agent=shell.folder), shell, "Is a directory")


def test_a_call_without_audio_has_all_its_files(shell: Place) -> None:
    empty = wav(shell.folder / "empty.wav", body=b"")
    made = call(shell, "out", "--engine", "memory", "--asr", SCRIPTED, customer=empty, agent=empty)
    assert 9 == len(list(made.out.iterdir()))
    assert [] == made.lines("turns.jsonl")


POLICY = """\
policies:
  - id: one
    version: 1
    tenant: local
    behaviours:
      - id: greeting
        speaker: agent
        any: [{phrase: "hello"}]
        hint: {kind: reminder, body: "Say hello."}
"""


@pytest.mark.parametrize(
    ("find", "put", "line", "reason"),
    [
        ("version: 1", "version: zero", 3, "expected a whole number"),
        ("speaker: agent", "speaker: somebody", 7, "a speaker is"),
        ('{phrase: "hello"}', '{regex: "(hello"}', 8, "regex"),
        ("hint: {", "hint: [", 9, "no valid YAML"),
        ("    tenant: local\n", "", 2, "`tenant` is missing"),
        ("        hint:", "        advice:", 9, "unknown key `advice`"),
    ],
    ids=["type", "choice", "regex", "yaml", "missing", "unknown"],
)
def test_a_policy_mistake_has_its_line_and_reason(find: str, put: str, line: int, reason: str, shell: Place) -> None:
    file = shell.folder / "policies.yaml"
    file.write_text(POLICY.replace(find, put))
    assert_refused(type_call(shell, "--policies", file), shell, f"policies.yaml:{line}: ", reason)


def test_a_missing_policy_file_is_named(shell: Place) -> None:
    assert_refused(type_call(shell, "--policies", "gone.yaml"), shell, "gone.yaml", "No such file")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "spark"), "spark"),
        (("--asr", "parrot"), "parrot"),
        (("--asr", "scripted:gone.json"), "gone.json"),
        (("--speed", "-1"), "--speed"),
        (("--speed", "nan"), "--speed"),
        (("--speed", "inf"), "--speed"),
        (("--loudness", "3"), "--loudness"),
        (("--tenant", ""), "tenant"),
        (("--tenant", "a|b"), "tenant"),
        (("--contact-id", "a/b"), "contact"),
        (("--contact-id", ""), "contact"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_named(options: tuple[str, str], says: str, shell: Place) -> None:
    assert_refused(type_call(shell, *options), shell, says)


@pytest.mark.parametrize("name", ["whisper", "two-pass"])
def test_a_recogniser_without_its_extra_is_named(name: str, shell: Place) -> None:
    without = "import sys; sys.modules['faster_whisper'] = None; from pipeline.cli import main; sys.exit(main())"
    ran = type_call(shell, "--asr", name, command=(sys.executable, "-c", without))
    assert_refused(ran, shell, "trunkline[asr-whisper]")


def test_a_malformed_reference_is_named(shell: Place) -> None:
    (shell.folder / "reference.json").write_text('{"words": [{"track": "nobody"}]}')
    assert_refused(type_call(shell, "--asr", "scripted:reference.json"), shell, "reference.json")


@pytest.mark.parametrize(
    ("name", "value"), [("TRUNKLINE_COLOUR", "red"), ("TRUNKLINE_PARTITIONS", "many"), ("TRUNKLINE_PARTITIONS", "0")]
)
def test_a_wrong_variable_is_named(name: str, value: str, shell: Place) -> None:
    ran = type_call(shell, variables={name: value})
    assert_refused(ran, shell)
    assert name.removeprefix("TRUNKLINE_").lower() in ran.err.lower()


@pytest.mark.parametrize(
    ("content", "says"),
    [('colour = "red"\n', "colour"), ("partitions = [1]\n", "partitions"), ("partitions = \n", "trunkline.toml")],
)
def test_a_wrong_settings_file_is_named(content: str, says: str, shell: Place) -> None:
    (shell.folder / "trunkline.toml").write_text(content)
    assert_refused(type_call(shell), shell, says)


def test_secrets_are_not_repeated(shell: Place) -> None:
    (shell.folder / "trunkline.toml").write_text('postgres_dsn = ["postgresql://me:hunter2@nowhere/"]\n')
    ran = type_call(shell)
    assert_refused(ran, shell, "postgres_dsn")
    assert "hunter2" not in ran.err


@pytest.mark.parametrize("out", ["out", "out/below"])
def test_a_file_where_the_folder_should_be_is_named(out: str, shell: Place) -> None:
    (shell.folder / "out").write_text("mine")
    ran = type_call(shell, "--out", out)
    assert_refused(ran, shell, "out")
    assert "mine" == (shell.folder / "out").read_text()


@pytest.mark.parametrize(
    "typed",
    [("fly",), ("call",), ("topics", "fly"), ("run", "--group", "nobody"), ("demo", "--customer", "x.wav")],
    ids=" ".join,
)
def test_a_wrong_command_is_one_line(typed: tuple[str, ...], shell: Place) -> None:
    assert_refused(shell.run(*typed), shell)


@pytest.mark.parametrize(
    ("typed", "variables", "says"),
    [
        ("demo", {"TRUNKLINE_ASR": "parrot"}, "parrot"),
        ("demo", {"TRUNKLINE_ASR": "scripted:gone.json"}, "gone.json"),
        ("run --group speech", {"TRUNKLINE_ASR": "scripted:gone.json", "KAFKA_BOOTSTRAP": "127.0.0.1:9"}, "gone.json"),
        ("run --group postgres", {"KAFKA_BOOTSTRAP": "127.0.0.1:9"}, "postgres_dsn"),
    ],
)
def test_what_workers_would_refuse_is_refused_before_they_start(
    typed: str, variables: dict[str, str], says: str, shell: Place
) -> None:
    assert_refused(shell.run(*typed.split(), variables=variables), shell, says)
    assert [] == shell.run_files()


def test_the_module_is_the_same_command(shell: Place) -> None:
    typed = ("call", "--customer", "gone.wav", "--agent", "gone.wav", "--out", "out", "--asr", SCRIPTED)
    ran, same = shell.run(*typed), shell.run(*typed, command=MODULE)
    assert (2, ran.out, ran.err) == (same.code, same.out, same.err)
    assert 0 == shell.run("call", "--help", command=MODULE).code


@pytest.fixture(scope="session")
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_broker_that_is_away_is_one_line_and_exit_1(closed_port: int, shell: Place) -> None:
    away = {"KAFKA_BOOTSTRAP": f"127.0.0.1:{closed_port}"}
    tracks = ("--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav")
    started = [
        shell.type("call", *tracks, "--out", "out", "--asr", SCRIPTED, variables=away),
        shell.type("lag", variables=away),
        shell.type("topics", "plan", variables=away),
    ]
    for child in started:
        ran = ended(child)
        assert_refused(ran, shell, "broker", code=1)
        assert ran.took_s < BROKER_LIMIT_S + SLOW_MACHINE_S
    assert {} == shell.left_over()
    assert [] == shell.run_files()


def test_a_taken_gateway_port_is_one_line_and_exit_1(broker: str, shell: Place) -> None:
    prefix = f"system-{uuid4().hex[:8]}."
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        own = {"KAFKA_BOOTSTRAP": broker, "TRUNKLINE_TOPIC_PREFIX": prefix, "TRUNKLINE_GATEWAY_PORT": port}
        ran = ended(shell.type("run", "--group", "gateway", variables=own))
    assert_refused(ran, shell, port, "taken", code=1)
    assert [] == shell.run_files()


def test_a_difference_is_exit_3_and_a_plan_exit_0(broker: str, shell: Place) -> None:
    prefix = f"system-{uuid4().hex[:8]}."
    own = {"KAFKA_BOOTSTRAP": broker, "TRUNKLINE_TOPIC_PREFIX": prefix, "TRUNKLINE_PARTITIONS": "1"}
    plan, diff = shell.run("topics", "plan", variables=own), shell.run("topics", "diff", variables=own)
    assert (0, []) == (plan.code, plan.said)
    assert (3, 1) == (diff.code, len(diff.said))
    assert plan.out == diff.out
    try:
        assert 0 == shell.run("topics", "apply", variables=own).code
        again = shell.run("topics", "diff", variables=own)
        assert (0, "", "") == (again.code, again.out, again.err)
    finally:
        admin.remove(broker, prefix)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("engine", ["memory", "kafka"])
def test_a_signal_stops_cleanly(engine: str, number: signal.Signals, code: int, broker: str, shell: Place) -> None:
    prefix = f"system-{uuid4().hex[:8]}."
    started = shell.type(
        "call", "--customer", DEMO / "customer.wav", "--agent", DEMO / "agent.wav", "--out", "out",
        "--engine", engine, "--asr", SCRIPTED,
        variables={"KAFKA_BOOTSTRAP": broker, "TRUNKLINE_TOPIC_PREFIX": prefix},
    )  # fmt: skip
    is_under_way = (lambda: len(shell.processes()) > 1) if engine == "kafka" else (shell.folder / "out").is_dir
    try:
        assert wait_until(is_under_way, 60)
        started.process.send_signal(number)
        ran = ended(started)
        assert (code, "", "") == (ran.code, ran.out, ran.err)
        assert [] == list((shell.folder / "out").iterdir())
        assert {} == shell.left_over()
        assert [] == shell.run_files()
        assert () == admin.remove(broker, prefix)
    finally:
        admin.remove(broker, prefix)


def test_unequal_tracks_are_a_warning_and_keep_their_lengths(shell: Place) -> None:
    short = wav(shell.folder / "short.wav", body=bytes(2 * 12_345))
    script = json.loads(REFERENCE.read_text())
    spoken = [word for word in script["words"] if word["track"] == "customer"]
    (shell.folder / "spoken.json").write_text(json.dumps(script | {"words": spoken}))
    ran = type_call(shell, "--asr", "scripted:spoken.json", agent=short)
    assert 0 == ran.code
    assert ["trunkline: the tracks differ in length; the shorter is padded with silence"] == ran.said
    for made, given in (("agent", short), ("customer", DEMO / "customer.wav")):
        assert len(files.read_wav(given)) == len(files.read_wav(shell.folder / "out" / f"{made}.redacted.wav"))


def test_words_without_speech_are_counted_and_not_shown(shell: Place) -> None:
    silence = wav(shell.folder / "silence.wav", body=bytes(160_000))
    ran = type_call(shell, "--customer", silence, agent=silence)
    words = len(json.loads(REFERENCE.read_text())["words"])
    assert (0, 1) == (ran.code, len(ran.said))
    assert f"{words} words" in ran.err


def test_pcm_and_mu_law_of_the_same_samples_are_the_same_call(memory_call: Called, shell: Place) -> None:
    tracks = {}
    for name in ("customer", "agent"):
        samples = files.read_wav(DEMO / f"{name}.wav")
        tracks[name] = wav(shell.folder / f"{name}.wav", body=samples.astype("<i2").tobytes())
    again = call(shell, "out", "--engine", "memory", "--asr", SCRIPTED, **tracks)
    for path in sorted(memory_call.out.iterdir()):
        assert path.name == "latency.json" or path.read_bytes() == (again.out / path.name).read_bytes(), path.name


def test_a_law_is_read(memory_call: Called, shell: Place) -> None:
    tracks = {}
    levels = np.argsort(pcm.A_LAW)
    for name in ("customer", "agent"):
        samples = files.read_wav(DEMO / f"{name}.wav")
        codes = levels[np.searchsorted(pcm.A_LAW[levels], samples).clip(0, 255)].astype(np.uint8)
        tracks[name] = wav(shell.folder / f"{name}.wav", tag=6, bits=8, body=codes.tobytes())
    heard = call(shell, "out", "--engine", "memory", "--asr", SCRIPTED, **tracks)
    # Other samples may part a turn elsewhere; what is said stays.
    said = [
        sorted(" ".join(str(turn["text"]) for turn in one.lines("turns.jsonl")).split()) for one in (memory_call, heard)
    ]
    assert said[0] == said[1]
    with wave.open(str(heard.out / "customer.redacted.wav")) as made:
        silent_head = np.frombuffer(made.readframes(8_000), "<i2")
    assert (files.read_wav(tracks["customer"])[:8_000] == silent_head).all()


def test_no_line_names_a_python_type(shell: Place) -> None:
    """An error of a library would show its class; a user's mistake never does."""
    ran = type_call(shell, "--asr", "scripted:gone.json")
    assert re.search(r"\b\w+(Error|Exception)\b", ran.err) is None
