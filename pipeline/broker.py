"""The embedded development broker: one real Apache Kafka node, run from Maven's jars.

Owns everything under `.kafka/` of a home directory: the jars, the broker's data, its settings, its logs and
the record of the running process. Topics, clients and the choice between this broker and `KAFKA_BOOTSTRAP`
belong to others. Every function blocks; none is for an event loop's thread.

    libs-4.3.1/        jars, fetched once; a class archive for a faster start lies beside them
    data/              the log; it outlives the process
    broker.json        process and ports of the latest start; the next start takes the same ports again
    server.log         Kafka's own log of this run; server.log.before: of the run before
    broker.log         what the JVM printed
    lock               held while a start or a stop is under way
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline import ports
from pipeline.errors import InputError, PeerUnavailable
from pipeline.ports import HOST

KAFKA_VERSION: Final = "4.3.1"

SERVER_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    # One node: every internal topic has one replica, and few partitions so that the first use is quick.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # A dead owner's open transaction holds up the next one; Kafka looks every 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    # Topics of the catalogue state their own retention; this one is for topics made by hand.
    "log.retention.hours": "168",
    # A year: a laptop that was closed for weeks must not come back to lost positions.
    "offsets.retention.minutes": "525600",
    # Members are taken over after 6 s (classic protocol) or 8 s (KIP-848).
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "8000",
    # The broker refuses an interval below the minimum, whose default is 5000.
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
    # A broker that was killed may register again only when its old session is over: 10.7-12.1 s from the
    # JVM's start to its first answer with the default of 9000, 4.9-5.2 s with 3000 (2 runs each).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # The cleaner takes this much heap at once; with the default of 128 MB the broker has 310 MB resident
    # instead of 225-232 (without class archive).
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
"""Settings of the broker without listeners and paths; `docker-compose.kafka.yml` carries the same."""

HEAP: Final = ("-Xmx512m", "-Xms128m")
_READY_LIMIT_S: Final = 60.0
_STOP_LIMIT_S: Final = 15.0
_FETCH_LIMIT_S: Final = 600.0
_FORMAT_LIMIT_S: Final = 60.0
_DOCKER: Final = "`docker compose -f docker-compose.kafka.yml up` does without"
_THROWN: Final = re.compile(r"(?:[a-z]\w*\.)+\w*(?:Exception|Error): .+")
_LOG: Final = logging.getLogger(__name__)

_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>trunkline</groupId><artifactId>embedded-kafka</artifactId><version>{KAFKA_VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
      <version>2.25.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.3</version></dependency>
  </dependencies>
  <build><pluginManagement><plugins>
    <plugin><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin>
  </plugins></pluginManagement></build>
</project>
"""

_LOG4J2: Final = """\
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=${sys:trunkline.folder}/server.log
appender.file.filePattern=${sys:trunkline.folder}/server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
logger.kafkaconfig.name=kafka.server.KafkaConfig
logger.kafkaconfig.level=WARN
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A broker process that lives.

    Attributes:
        bootstrap: `host:port` for clients.
        pid: of the JVM.
        started: whether the call that returned this started it.
    """

    bootstrap: str
    pid: int
    started: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Process:
    """What `broker.json` holds.

    Attributes:
        pid: of the JVM.
        start_ticks: field 22 of `/proc/<pid>/stat`; tells the process from a later one with the same pid.
        port: of the client listener.
        controller_port: of the controller listener.
        archive: path of the class archive that goes with the jars.
    """

    pid: int
    start_ticks: int
    port: int
    controller_port: int
    archive: str

    def running(self, *, started: bool) -> Running:
        return Running(f"{HOST}:{self.port}", self.pid, started)

    def is_alive(self) -> bool:
        return _start_ticks(self.pid) == self.start_ticks

    def archive_part(self) -> Path:
        """Where the JVM writes the class archive while it exits."""
        return Path(f"{self.archive}.{self.port}.part")


def start(home: Path, port: int | None = None, *, libs: Path | None = None) -> Running:
    """Start the broker of a home directory, or find the one that runs, and wait until it answers.

    Safe to call from several processes at once: one of them starts it, the others get the same broker.

    Args:
        home: directory whose `.kafka/` holds the broker.
        port: of the client listener; None takes that of the last start, or a free one. A broker that already
            runs keeps the port it has.
        libs: folder of the jars, shared between homes; fetched by Maven when it does not exist. None is
            `.kafka/libs-<version>` of the home.

    Raises:
        InputError: the home directory cannot be written.
        PeerUnavailable: Java or Maven is missing, the fetch failed, the port is taken, or the broker died or
            did not answer within 60 s. A process that this call started is ended.
    """
    folder = _folder(home)
    with _locked(folder / "lock"):
        process = _live(folder)
        if process is not None and _answers(process):
            return process.running(started=False)
        return _start_fresh(folder, port, libs or folder / f"libs-{KAFKA_VERSION}").running(started=True)


def stop(home: Path) -> bool:
    """Stop the broker of a home directory: SIGTERM, and SIGKILL after 15 s.

    Returns:
        Whether one was running.
    """
    folder = _folder(home)
    if not folder.is_dir():
        return False
    with _locked(folder / "lock"):
        process = _live(folder)
        if process is None:
            return False
        _end(process)
        return True


def status(home: Path) -> Running | None:
    """Return the broker process of a home directory if it lives; whether it answers yet, `start` can tell."""
    process = _live(_folder(home))
    return None if process is None else process.running(started=False)


def libs_folder(home: Path) -> Path:
    """Return where the jars of a home directory are, or will be."""
    return home.absolute() / ".kafka" / f"libs-{KAFKA_VERSION}"


def missing_tools(libs: Path | None = None) -> str | None:
    """Say in one line which tool the broker lacks, or None if it can start.

    Args:
        libs: folder of the jars; Maven is not needed where it exists.
    """
    return _missing(_java_version(), libs)


def _missing(java: str | None, libs: Path | None) -> str | None:
    if java is None:
        return f"Java 17 or later is not on the PATH; {_DOCKER}"
    if shutil.which("mvn") is None and not (libs is not None and libs.is_dir()):
        return f"Maven (mvn) is not on the PATH; {_DOCKER}"
    return None


def _start_fresh(folder: Path, port: int | None, libs: Path) -> _Process:
    java = _java_version()
    missing = _missing(java, libs)
    if missing is not None:
        raise PeerUnavailable(missing)
    libs = libs.resolve()
    _fetch_jars(libs)
    listening = _choose_ports(_latest(folder), port)
    _format_once(folder, libs, listening)
    process = _spawn(folder, libs, listening, libs / f"broker-java-{java}.jsa")
    try:
        _save(folder, process)
        if not _answers(process):
            raise PeerUnavailable(f"the embedded broker died: {_last_words(folder)} (logs in {folder})")
    except BaseException:  # also an interrupt: no broker stays that nobody waits for
        _end(process)
        raise
    return process


def _folder(home: Path) -> Path:
    return home.resolve() / ".kafka"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the kernel drops it when its holder dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.open("w")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _latest(folder: Path) -> _Process | None:
    try:
        return _Process(**json.loads((folder / "broker.json").read_text()))
    except FileNotFoundError:
        return None


def _live(folder: Path) -> _Process | None:
    process = _latest(folder)
    return process if process is not None and process.is_alive() else None


def _save(folder: Path, process: _Process) -> None:
    part = folder / "broker.json.part"
    part.write_text(json.dumps(dataclasses.asdict(process)))
    part.replace(folder / "broker.json")


def _start_ticks(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None if it has ended."""
    try:
        # proc(5): the name before the last bracket may hold anything; field 3 is the state, 20 the number of
        # threads, 22 the start time. A JVM's first thread may be a zombie while others still hold its files.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX" and int(fields[17]) <= 1:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return int(fields[19])


def _java_version() -> str | None:
    """Return the version of the `java` on the PATH, None if there is none or it is older than 17."""
    if shutil.which("java") is None:
        return None
    printed = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)([^"]*)"', printed)
    return found[1] + found[2] if found is not None and int(found[1]) >= 17 else None


def _fetch_jars(libs: Path) -> None:
    with _locked(libs.with_name(f"{libs.name}.lock")):
        if libs.is_dir():
            return
        _LOG.info("fetching the jars of Apache Kafka with Maven: 54 MB, once")
        part = libs.with_name(f"{libs.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        pom = libs.with_name("pom.xml")
        pom.write_text(_POM)
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={part}")
        _run(("mvn", "-q", "-B", "-f", str(pom), *goal), _FETCH_LIMIT_S, "Maven")
        part.rename(libs)


def _choose_ports(latest: _Process | None, port: int | None) -> tuple[int, int]:
    """Return the broker's and the controller's port: as asked, else as at the last start, else random."""
    before = () if latest is None else (latest.port, latest.controller_port)
    broker = ports.choose(*before[:1]) if port is None else ports.first_free((port,))
    while (controller := ports.choose(*before[1:])) == broker:
        before = ()
    return broker, controller


def _write_settings(folder: Path, data: Path, listening: tuple[int, int]) -> Path:
    broker, controller = (f"{HOST}:{port}" for port in listening)
    settings = SERVER_SETTINGS | {
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(data),
    }
    path = folder / "server.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    (folder / "log4j2.properties").write_text(_LOG4J2)
    return path


def _format_once(folder: Path, libs: Path, listening: tuple[int, int]) -> None:
    """Make the data directory under a temporary name, so that an interrupted format leaves nothing behind."""
    if (folder / "data").is_dir():
        return
    part = folder / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    settings = _write_settings(folder, part, listening)
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # The id is an argument of its own only in this form: it may begin with a dash.
    java = ("java", "-Xmx128m", "-XX:TieredStopAtLevel=1", *_log_options(folder), "-cp", f"{libs}/*")
    tool = ("kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id}")
    _run((*java, *tool, "-c", str(settings)), _FORMAT_LIMIT_S, "formatting the broker's storage")
    part.rename(folder / "data")


def _log_options(folder: Path) -> tuple[str, ...]:
    return f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", f"-Dtrunkline.folder={folder}"


def _spawn(folder: Path, libs: Path, listening: tuple[int, int], archive: Path) -> _Process:
    """Start the JVM in a session of its own, so that Ctrl-C in a terminal does not reach it."""
    settings = _write_settings(folder, folder / "data", listening)
    with contextlib.suppress(FileNotFoundError):
        (folder / "server.log").replace(folder / "server.log.before")
    starting = _Process(0, 0, *listening, str(archive))
    crash = f"-XX:ErrorFile={folder}/jvm-crash-%p.log"
    options = (*HEAP, *_archive_options(starting), crash, *_log_options(folder))
    printed = (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    pid = os.posix_spawnp(
        "java",
        ("java", *options, "-cp", f"{libs}/*", "kafka.Kafka", str(settings)),
        os.environ,  # handed on as it is, never read
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "broker.log"), *printed),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ),
        setsid=True,
        setsigmask=(),
    )
    return dataclasses.replace(starting, pid=pid, start_ticks=_start_ticks(pid) or 0)


def _archive_options(process: _Process) -> tuple[str, ...]:
    """Read the archive of parsed classes if there is one, else have the JVM write it when it exits.

    With the archive a JVM answers after 2.0-2.3 s instead of 3.5-4.0 and has 188-191 MB resident instead of
    225-232 (3 runs each, alternating, Java 17, 2 shared cores); the run that wrote it took 5.4 s to answer
    and 4.4 s to stop.
    """
    if Path(process.archive).is_file():
        return (f"-XX:SharedArchiveFile={process.archive}",)
    return (f"-XX:ArchiveClassesAtExit={process.archive_part()}",)


def _answers(process: _Process) -> bool:
    """Wait until the broker answers a metadata request; False if its process has ended first.

    Raises:
        PeerUnavailable: neither within 60 s.
    """
    address = f"{HOST}:{process.port}"
    # Quick retries, and nothing on stderr about connections refused meanwhile.
    quick = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "log_level": 0}
    client = AdminClient({"bootstrap.servers": address, **quick})
    deadline_s = time.monotonic() + _READY_LIMIT_S
    while process.is_alive():
        with contextlib.suppress(KafkaException):
            client.list_topics(timeout=0.5)
            return True
        if time.monotonic() > deadline_s:
            raise PeerUnavailable(f"the embedded broker does not answer on {address} after 60 s")
    return False


def _end(process: _Process) -> None:
    """End the process and keep the class archive that a clean exit leaves."""
    is_clean = _signal(process, signal.SIGTERM, _STOP_LIMIT_S)
    if not is_clean:
        _signal(process, signal.SIGKILL, _STOP_LIMIT_S)
    part = process.archive_part()
    if is_clean and part.is_file():
        part.replace(process.archive)
    part.unlink(missing_ok=True)


def _signal(process: _Process, number: signal.Signals, limit_s: float) -> bool:
    """Send a signal and return whether the process has ended within a time limit."""
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    deadline_s = time.monotonic() + limit_s
    while process.is_alive() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return not process.is_alive()


def _run(command: Sequence[str], limit_s: float, name: str) -> None:
    """Run a tool to its end; a failure carries the line in which the tool states the cause."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerUnavailable(f"{name} did not end within {limit_s:.0f} s") from None
    if done.returncode != 0:
        raise PeerUnavailable(f"{name} failed: {_cause(done.stdout + done.stderr)}")


def _last_words(folder: Path) -> str:
    logs = (folder / "broker.log", folder / "server.log")
    return _cause("\n".join(log.read_text(errors="replace") for log in logs if log.is_file()))


def _cause(printed: str) -> str:
    """Return Maven's first error, else the last Java exception, else the last line."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    maven = re.findall(r"\[ERROR\] (\S.*)", printed)
    thrown = _THROWN.findall(printed)
    return (maven[:1] or thrown[-1:] or lines[-1:] or ["no output"])[0][:300]
