"""The command line: parses, delegates, and turns errors into exit codes. The contract is `docs/cli.md`.

Exit codes: 0 done, 1 failure during the work, 2 knowable before work starts, 3 a check found a difference,
130 after Ctrl-C, 143 after SIGTERM.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Coroutine
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeVar

import typer

from pipeline import logs
from pipeline.errors import DifferenceFound, InputError, PeerUnavailable, TrunklineError

if TYPE_CHECKING:  # a command loads what it needs
    from pipeline.redaction.report import Comparison, Detect

T = TypeVar("T")

EXIT_FAILURE, EXIT_INPUT, EXIT_DIFFERENCE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 3, 130, 143

app = typer.Typer(
    name="trunkline", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
kafka_app = typer.Typer(no_args_is_help=True, help="The embedded development broker (real Apache Kafka).")
topics_app = typer.Typer(no_args_is_help=True, help="Declared topics against a broker.")
kvs_app = typer.Typer(no_args_is_help=True, help="Kinesis Video Streams, the source of live audio.")
app.add_typer(kafka_app, name="kafka")
app.add_typer(topics_app, name="topics")
app.add_typer(kvs_app, name="kvs")
audit_app = typer.Typer(no_args_is_help=True, help="The chained receipts of what was redacted.")
app.add_typer(audit_app, name="audit")

Customer = Annotated[Path, typer.Option(help="WAV of the customer's track: mono, 8 kHz, 16-bit PCM or G.711.")]
Agent = Annotated[Path, typer.Option(help="WAV of the agent's track.")]
Speed = Annotated[
    float, typer.Option(min=0, max=1_000_000, help="N times real time; 0 is as fast as the pipeline accepts.")
]


class _Terminated(BaseException):
    """SIGTERM came."""


def main() -> int:
    """Run the command line and return its exit code."""
    # Until `_run` there is nothing to clean up, and an exception would be lost where it strikes an import.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_TERMINATED))
    logs.configure(process="trunkline")
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Exit as done:
        return int(done.exit_code)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except _Terminated:
        return EXIT_TERMINATED
    except InputError as fault:
        return _say(str(fault), EXIT_INPUT)
    except DifferenceFound as fault:
        return _say(str(fault), EXIT_DIFFERENCE)
    except TrunklineError as fault:
        return _say(str(fault), EXIT_FAILURE)
    except Exception as fault:  # the parser raises classes of its own; anything else goes on
        if hasattr(fault, "format_message"):  # the parser's own: a wrong argument
            return _say(fault.format_message(), EXIT_INPUT)
        raise


def _checked_id(value: str | None) -> str | None:
    """Refuse what cannot stand in a key or an identity: both are joined with `|` and `/`."""
    if value is not None and (not value.strip() or "|" in value or "/" in value):
        raise typer.BadParameter("an id is not empty and holds no `|` or `/`")
    return value


def _checked_stream(value: str) -> str:
    """Refuse what the service would not take as a stream's name."""
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,256}", value):
        raise typer.BadParameter("a stream's name has 1 to 256 letters, digits, `_`, `.` and `-`")
    return value


def _checked_url(value: str | None) -> str | None:
    """Refuse what is no address of a server."""
    if value is not None and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise typer.BadParameter("an endpoint is http:// or https:// with a host")
    return value


@app.command()
def call(
    customer: Customer,
    agent: Agent,
    out: Annotated[Path, typer.Option(help="Folder for the call's files.")],
    engine: Annotated[str | None, typer.Option(help="kafka (the default), faust or memory.")] = None,
    asr: Annotated[
        str | None, typer.Option(help="moonshine, whisper, two-pass, deepgram, or scripted:REF.json.")
    ] = None,
    speed: Speed = 1.0,
    policies: Annotated[Path | None, typer.Option(help="Policy file (YAML).")] = None,
    contact_id: Annotated[
        str | None, typer.Option(help="Contact id; default: made from the audio.", callback=_checked_id)
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose policies apply.", callback=_checked_id)] = "local",
    keep: Annotated[bool, typer.Option(help="Keep the call's topics on the broker.")] = False,
    show_restricted: Annotated[bool, typer.Option(help="Print unredacted turns on the terminal.")] = False,
) -> None:
    """Run one recorded call through the whole pipeline.

    Example: trunkline call --customer customer.wav --agent agent.wav --out result --engine memory
    """
    from connectors import files
    from connectors import policies as policy_files
    from pipeline import app as wiring
    from pipeline import call as calls
    from pipeline import latency, recognisers, results, settings

    if engine not in (None, *settings.ENGINES, "memory"):
        raise InputError(f"no engine {engine}; this version has {', '.join(settings.ENGINES)} and memory")
    is_in_memory = engine == "memory"
    loaded = settings.load(asr=asr, engine=None if is_in_memory else engine)
    if not is_in_memory:
        wiring.check_engine(loaded)
    recognisers.check(loaded)
    recorded = files.read_call(customer, agent)
    if len(recorded.customer) != len(recorded.agent):
        _say("the tracks differ in length; the shorter is padded with silence", 0)
    versions = policy_files.load(policies or demo_file("policies.yaml"))
    results.check_folder(out)
    request = calls.Request(recorded, contact_id or recorded.contact_id, tenant, versions, speed, keep)
    outcome = _run(calls.run(request, loaded, out, is_in_memory=is_in_memory))
    lost = results.lost_words(outcome.entries, recognisers.script(loaded))
    if lost:
        _say(f"{lost} words of the reference are near no speech and were lost", 0)
    if show_restricted:
        for line in results.restricted_lines(outcome.entries):
            print(line)
    print(results.report(outcome.entries, out))
    if speed == 1:
        print(latency.report(latency.spent(outcome.entries, outcome.started_ms)))


@app.command()
def demo(
    customer: Annotated[Path | None, typer.Option(help="WAV of the customer's track; default: the demo call.")] = None,
    agent: Annotated[Path | None, typer.Option(help="WAV of the agent's track.")] = None,
    speed: Speed = 1.0,
    keep: Annotated[bool, typer.Option(help="Leave the page open until Ctrl-C.")] = False,
    connect: Annotated[bool, typer.Option(help="The call comes as Amazon Connect brings it, on loopback.")] = False,
) -> None:
    """Run everything embedded and play a call, live in the terminal and on the agent page.

    Example: trunkline demo --connect
    """
    from rich.console import Console

    from connectors import files
    from connectors import policies as policy_files
    from pipeline import call as calls
    from pipeline import recognisers, settings
    from pipeline.demo import run as demos

    if (customer is None) != (agent is None):
        raise InputError("a call has two tracks: give both --customer and --agent, or neither")
    loaded = settings.load()
    recognisers.check(loaded)
    recorded = files.read_call(customer or demo_file("customer.wav"), agent or demo_file("agent.wav"))
    versions = policy_files.load(demo_file("policies.yaml"))
    request = calls.Request(recorded, recorded.contact_id, "local", versions, speed, keep=False)
    if connect and not speed:
        raise InputError("--connect plays a call in time: give a --speed above 0")
    _run(demos.run(request, loaded, Console(), is_kept_open=keep, is_connect=connect))


@app.command()
def replay(
    customer: Customer,
    agent: Agent,
    calls: Annotated[int, typer.Option(min=1, max=10_000, help="Concurrent calls.")],
    speed: Speed = 1.0,
    policies: Annotated[Path | None, typer.Option(help="Policy file (YAML); default: the demo's.")] = None,
) -> None:
    """Replay a recording as concurrent calls to the running groups, and say how late their text came.

    Example: trunkline replay --customer customer.wav --agent agent.wav --calls 20
    """
    from connectors import files
    from connectors import policies as policy_files
    from pipeline import environment, settings
    from pipeline.replay import Replay

    recorded = files.read_call(customer, agent)
    versions = policy_files.load(policies or demo_file("policies.yaml"))
    replaying = Replay(recorded, calls, speed, environment.located(settings.load()))
    _run(replaying.run(versions))
    print(replaying.report())


@app.command()
def lag(
    watch: Annotated[bool, typer.Option(help="Refresh every two seconds until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a partition.")] = False,
) -> None:
    """Show how far each group is behind. Example: trunkline lag --watch."""
    from pipeline import environment, settings
    from pipeline import lag as lags

    located = environment.located(settings.load())
    lags.show(located, is_watched=watch, is_json=as_json)


@app.command()
def explain(
    form: Annotated[
        Literal["text", "mermaid", "json"], typer.Option("--format", help="text, mermaid or json.")
    ] = "text",
) -> None:
    """Print the topology, from the rows that run. Example: trunkline explain --format mermaid."""
    from pipeline import explain as explained

    print({"text": explained.text, "mermaid": explained.mermaid, "json": explained.as_json}[form]())


@app.command()
def run(
    group: Annotated[str, typer.Option(help="capture, speech, language, archive, postgres, redis, audit or gateway.")],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")] = 1,
    engine: Annotated[str | None, typer.Option(help="kafka (the default) or faust.")] = None,
) -> None:
    """Run supervised workers of one group until SIGTERM or Ctrl-C.

    Example: trunkline run --group language --workers 2
    """
    from pipeline import app as wiring
    from pipeline import settings
    from pipeline.running import run_group

    if engine not in (None, *settings.ENGINES):
        raise InputError(f"no engine {engine} runs groups; this version has {', '.join(settings.ENGINES)}")
    loaded = settings.load(engine=engine)
    wiring.check_group(loaded, group)
    _run(run_group(loaded, group, workers))


@app.command()
def redact(
    file: Annotated[Path | None, typer.Argument(help="Transcript as JSON lines; default: standard input.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Labels as JSON lines: tell on stderr what was missed; exit 3 if anything was.")
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="YAML file that says what is masked, and how.")] = None,
) -> None:
    """Redact a transcript offline: JSON lines in, JSON lines out, as soon as each is known.

    Example: trunkline redact transcript.jsonl --profile profile.yaml
    """
    from connectors import profiles
    from pipeline import settings
    from pipeline.redaction import lines

    key = settings.load().redaction_key.get_secret_value() if profile else ""
    chosen = profiles.load(profile, key) if profile else None
    comparison = _comparison(report) if report else None
    is_whole = True
    with _opened(file) as given:
        for line in comparison.run(given, chosen) if comparison else lines.run(given, chosen):
            if isinstance(line, lines.BadLine):
                is_whole = False
                _say(f"line {line.number}: {line.reason}", 0)
            else:
                print(line, flush=True)
    if comparison:
        _tell(comparison)
    raise typer.Exit(0 if is_whole else EXIT_FAILURE)


@app.command()
def ledger(
    contact: Annotated[str, typer.Argument(help="Id of any contact of the conversation.")],
    tenant: Annotated[str | None, typer.Option(help="Whose contact; default: every tenant's that has it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a conversation.")] = False,
) -> None:
    """Show what became of a conversation's audio: promised, received, transcribed, redacted, stored, and why not.

    Example: trunkline ledger 8b7f1f5e-0000-4000-8000-000000000001
    """
    from pipeline import ledger as ledgers
    from pipeline import settings

    found = ledgers.read(settings.load(), contact, tenant)
    if not found:
        raise typer.Exit(_say("no such contact is stored", EXIT_FAILURE))
    if not as_json:
        ledgers.show(found)
        return
    for line in ledgers.lines(found):
        print(line)


@app.command()
def check() -> None:
    """Show each setting with its origin and whether each outside system answers; exit 1 if one does not.

    Example: trunkline check
    """
    from pipeline import check as checks
    from pipeline import settings

    loaded = settings.load()
    for line in checks.setting_lines(loaded):
        print(line)
    reached = checks.reach(loaded)
    for one in reached:
        state = {True: "up", False: "DOWN", None: "-"}[one.is_up]
        print(f"{one.name:<10} {state:<5} {one.detail}")
    raise typer.Exit(EXIT_FAILURE if any(one.is_up is False for one in reached) else 0)


@kafka_app.command("start")
def kafka_start() -> None:
    """Start the embedded broker, or say where it runs. Example: trunkline kafka start."""
    from pipeline import broker, settings

    home = settings.load().home
    missing = broker.missing_tools(broker.libs_folder(home))
    if missing is not None:
        raise InputError(missing)
    running = broker.start(home)
    print(f"{running.bootstrap} pid {running.pid} {'started' if running.started else 'already running'}")


@kafka_app.command("stop")
def kafka_stop() -> None:
    """Stop the embedded broker. Example: trunkline kafka stop."""
    from pipeline import broker, settings

    print("stopped" if broker.stop(settings.load().home) else "not running")


@kafka_app.command("status")
def kafka_status() -> None:
    """Say whether the embedded broker runs; exit 1 when it does not. Example: trunkline kafka status."""
    from pipeline import broker, settings

    running = broker.status(settings.load().home)
    print(f"{running.bootstrap} pid {running.pid}" if running else "not running")
    raise typer.Exit(0 if running else EXIT_FAILURE)


@kvs_app.command("read")
def kvs_read(
    stream_name: Annotated[str, typer.Option(help="Name of the stream.", callback=_checked_stream)],
    contact_id: Annotated[str, typer.Option(help="Amazon Connect's contact id.", callback=_checked_id)],
    start_ms: Annotated[int, typer.Option(min=0, help="The contact's start in epoch milliseconds.")],
    out: Annotated[Path, typer.Option(help="Folder for customer.wav, agent.wav and events.jsonl.")],
    region: Annotated[str | None, typer.Option(help="AWS region; default: as AWS's own tools find it.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="Where GetDataEndpoint is asked; default: the region's.", callback=_checked_url)
    ] = None,
    idle_s: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="The contact is over after so long without new audio.")
    ] = 20.0,
) -> None:
    """Capture one contact from Kinesis Video Streams: both tracks as WAV files, and what happened on the way.

    Credentials are found as AWS's own tools find them.

    Example, from a stream of one's own: trunkline kvs emulate --customer customer.wav --agent agent.wav prints URL,
    CONTACT and T; then, with AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any in the environment: trunkline kvs read
    --endpoint-url URL --stream-name trunkline --contact-id CONTACT --start-ms T --out captured
    """
    from connectors.kvs import account
    from pipeline import capture, results, settings

    settings.load()
    asked = account.find(region, endpoint_url)
    results.check_folder(out)
    captured = _run(capture.run(capture.Request(stream_name, contact_id, start_ms, out, idle_s), asked))
    for line in captured.gap_lines():
        _say(line, 0)
    if not captured.is_heard:
        because = f": {captured.failure}" if captured.failure else ""
        raise PeerUnavailable(f"no audio of contact {contact_id} came from stream {stream_name}{because}")
    print(captured.report(out))


@kvs_app.command("emulate")
def kvs_emulate(
    customer: Customer,
    agent: Agent,
    stream_name: Annotated[str, typer.Option(help="Name of the stream.", callback=_checked_stream)] = "trunkline",
    contact_id: Annotated[
        str | None, typer.Option(help="Contact id; default: made from the audio.", callback=_checked_id)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    speed: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="N times real time; 0 pushes everything at once.")
    ] = 1.0,
    faults: Annotated[Path | None, typer.Option(help="Fault plan (YAML or JSON).")] = None,
    max_session_s: Annotated[
        float, typer.Option(min=0.001, help="A media reply ends after so long, without a word.")
    ] = 2_700.0,
    idle_s: Annotated[float, typer.Option(min=0.001, help="A media reply ends after so long without media.")] = 10.0,
    swap_tracks: Annotated[bool, typer.Option(help="The agent's track is number 1.")] = False,
    by_fragment: Annotated[bool, typer.Option(help="Blocks come a fragment at a time, each about a second.")] = False,
) -> None:
    """Serve a recording as a live stream of Amazon Connect on loopback, until Ctrl-C.

    Example: trunkline kvs emulate --customer customer.wav --agent agent.wav
    """
    from connectors import files, kvs_emulator

    recorded = files.read_call(customer, agent)
    plan = kvs_emulator.read_plan(faults) if faults else kvs_emulator.Plan()
    limits = kvs_emulator.Limits(session_s=max_session_s, idle_s=idle_s)
    take = kvs_emulator.Take(
        recorded.customer.tobytes(),
        recorded.agent.tobytes(),
        contact_id or recorded.contact_id,
        # Pushed at once, the recording has just ended; otherwise it begins.
        start_ms=kvs_emulator.wall_ms() - (0 if speed else recorded.duration_ms),
        order=("agent", "customer") if swap_tracks else ("customer", "agent"),
    )
    playing = kvs_emulator.Playing(take, stream_name, speed, by_fragment)

    def ready(url: str) -> None:
        print(f"endpoint {url} stream {stream_name} contact {take.contact_id} start-ms {take.start_ms}", flush=True)

    _run(kvs_emulator.run(kvs_emulator.Serving(port, limits, plan), playing, ready))


@topics_app.command("plan")
def topics_plan(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a step.")] = False) -> None:
    """Show the steps from the broker to the declared topics. Example: trunkline topics plan."""
    _print_plan(as_json)


@topics_app.command("diff")
def topics_diff(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a step.")] = False) -> None:
    """Like plan, but exit 3 when there is a difference. Example: trunkline topics diff."""
    if _print_plan(as_json):
        raise DifferenceFound("the broker differs from the declared topics")


@topics_app.command("apply")
def topics_apply() -> None:
    """Create and alter topics as declared, open and remove generations. Example: trunkline topics apply."""
    from pipeline import environment, growth, settings

    loaded = environment.located(settings.load())
    steps = growth.plan(loaded)
    growth.apply(loaded, steps)
    for line in steps.lines():
        print(line)


@audit_app.command("verify")
def audit_verify(
    folder: Annotated[Path | None, typer.Argument(help="Folder of the chains; default: the setting audit_dir.")] = None,
) -> None:
    """Read every chain to its end; exit 3 names the first place that was changed, or the end that is missing.

    Example: trunkline audit verify
    """
    from connectors import audit
    from pipeline import receipt_key, settings

    loaded = settings.load()
    place = folder or loaded.audit_dir
    if not place.is_dir():
        raise InputError(f"{place} is no folder")
    try:
        found = audit.verify(place, receipt_key.of(loaded))
    except OSError as error:
        raise PeerUnavailable(f"cannot read {place}: {error.strerror}") from None
    for name, head in found.items():
        print(f"{name}: {head.lines} lines, last offset {head.offset}")


def demo_file(name: str) -> Path:
    """Return the path of a file that ships with the product."""
    return Path(str(resources.files("pipeline.demo") / name))


def _comparison(labels: Path) -> "Comparison":
    """Read labels; Presidio is a baseline where its extra is installed."""
    from connectors import presidio
    from pipeline.redaction import baselines
    from pipeline.redaction.report import Comparison, labels_of

    detectors: dict[str, Detect] = {"patterns in each record": baselines.by_pattern}
    try:
        detectors["Presidio on each record"] = presidio.detector()
    except ImportError:
        _say("Presidio is no baseline: extra `redaction-presidio` is not installed", 0)
    with _opened(labels) as given:
        return Comparison(labels_of(given), detectors)


def _tell(comparison: "Comparison") -> None:
    from pipeline.redaction.figures import text_of

    found = comparison.figures()
    for name, figures in found.items():
        print("\n".join(["", *text_of(name, figures)]), file=sys.stderr)
    if found["trunkline"].leaks:
        raise DifferenceFound("labelled words were shown")


def _opened(file: Path | None) -> TextIO:
    if file is None:
        return sys.stdin
    try:
        return file.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None


def _print_plan(as_json: bool) -> bool:
    from pipeline import environment, growth, settings

    steps = growth.plan(environment.located(settings.load()))
    for line in map(json.dumps, steps.rows()) if as_json else steps.lines():
        print(line)
    return not steps.is_empty


def _run(work: Coroutine[None, None, T]) -> T:
    """Run to the end; the first Ctrl-C or SIGTERM cancels it and its clean-up runs, later ones are ignored."""
    cause: list[type[BaseException]] = []

    async def guarded() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def stop(reason: type[BaseException]) -> None:
            if not cause:
                cause.append(reason)
                task.cancel()

        loop.add_signal_handler(signal.SIGINT, stop, KeyboardInterrupt)
        loop.add_signal_handler(signal.SIGTERM, stop, _Terminated)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise (cause or [KeyboardInterrupt])[0] from None


def _say(line: str, code: int) -> int:
    print(f"trunkline: {line}", file=sys.stderr)
    return code
