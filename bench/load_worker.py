"""`python -m bench.load_worker KIND BOOTSTRAP PREFIX ASR`: one worker of a group, which says what it holds.

It says that it stands by once everything is imported, as a supervisor's spare does; a line on its input lets it begin,
and it says when it is ready. At each further line it says what it holds. `bench/loaded.py` is the other end.
"""

import asyncio
import gc
import sys
from dataclasses import replace

import msgspec
import uvloop

from pipeline import app, metrics, settings
from pipeline.audio.webrtc import Webrtc
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.stages.asr import Pcm
from pipeline.stages.vad import Vad
from pipeline.topology import Group, group_names, group_of

STANDS_BY, READY = "stands by", "ready"
_POLL_S = 0.005


class Told(msgspec.Struct, frozen=True):
    """What a worker says of itself.

    Attributes:
        records: read so far, from all inputs.
        pcm_bytes: memory of the audio that is kept for asking again.
    """

    records: int
    pcm_bytes: int


def rows(kind: str) -> Group:
    """Return the rows that run.

    Args:
        kind: a group of the topology; `gated`, which is group `speech` with webrtcvad in the place of silero; `vad` or
            `gated-vad`, which leave the recogniser out.
    """
    if kind in group_names():
        return group_of(kind)
    vad, *others = group_of("speech").stages
    if kind.startswith("gated"):
        vad = replace(vad, machine=_gated)
    return group_of("speech", (vad,) if kind.endswith("vad") else (vad, *others))


def main(kind: str, bootstrap: str, prefix: str, asr: str) -> None:
    """Run until killed."""
    print(STANDS_BY, flush=True)
    sys.stdin.readline()
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_work(rows(kind), bootstrap, prefix, asr))


async def _work(group: Group, bootstrap: str, prefix: str, asr: str) -> None:
    services = app.services(settings.load(asr=asr), group.services)
    worker = KafkaWorker(WorkerConfig(bootstrap, prefix, f"{prefix}{group.name}-1"), group, services)
    gc.freeze()  # as `pipeline.worker` does
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _tell)
    await asyncio.gather(worker.run(asyncio.Event()), _say_when_ready(worker))


async def _say_when_ready(worker: KafkaWorker) -> None:
    while not worker.is_ready:
        await asyncio.sleep(_POLL_S)
    print(READY, flush=True)


def _tell() -> None:
    if not sys.stdin.readline():  # whoever asked has gone
        sys.exit()
    read = (sample for metric in metrics.RECORDS_IN.collect() for sample in metric.samples)
    records = sum(sample.value for sample in read if sample.name.endswith("_total"))
    held = sum(one.size_bytes for one in gc.get_objects() if isinstance(one, Pcm))
    print(msgspec.json.encode(Told(int(records), held)).decode(), flush=True)


def _gated() -> Vad:
    return Vad(model=Webrtc())


if __name__ == "__main__":
    main(*sys.argv[1:])
