"""`python -m bench.load_worker KIND BOOTSTRAP PREFIX ASR`: one worker of a group, which says what it holds.

It says that it stands by once everything is imported, as a supervisor's spare does; a line on its input lets it begin,
and it says when it is ready. At each further line it says what it holds. `bench/loaded.py` is the other end.
"""

import asyncio
import gc
import sys
from dataclasses import replace

import msgspec
import numpy as np
import uvloop
import webrtcvad
from numpy.typing import NDArray

from pipeline import app, metrics, settings
from pipeline.audio import pcm, silero
from pipeline.engines.kafka import KafkaWorker, WorkerConfig
from pipeline.stages.asr import Pcm
from pipeline.stages.vad import GATE_MODE, Vad
from pipeline.topology import Group, group_of

STANDS_BY, READY = "stands by", "ready"
_FRAME_SAMPLES = 240  # 30 ms: webrtcvad's longest frame, and all but 2 ms of a window
_POLL_S = 0.005


class Told(msgspec.Struct, frozen=True):
    """What a worker says of itself.

    Attributes:
        records: read so far, from all inputs.
        pcm_bytes: memory of the audio that is kept for asking again.
    """

    records: int
    pcm_bytes: int


class Gate:
    """Judges windows by webrtcvad alone, in the place of silero; see `silero.Model`."""

    def judge(self, windows: pcm.Samples, memory: silero.Memory) -> tuple[NDArray[np.float32], silero.Memory]:
        """Return 1 for a window in which a fresh webrtcvad hears speech, else 0."""
        heard = [webrtcvad.Vad(GATE_MODE).is_speech(one[:_FRAME_SAMPLES].tobytes(), 8_000) for one in windows]
        return np.array(heard, np.float32), memory


def rows(kind: str) -> Group:
    """Return the rows that run: a group of the topology, or `gated`, which is group `speech` with `Gate`."""
    if kind != "gated":
        return group_of(kind)
    vad, *others = group_of("speech").stages
    return group_of("speech", (replace(vad, machine=_gated), *others))


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
    buffers = (part for one in gc.get_objects() if isinstance(one, Pcm) for part in gc.get_referents(one))
    held = sum(sys.getsizeof(part) for part in buffers if isinstance(part, bytearray))
    print(msgspec.json.encode(Told(int(records), held)).decode(), flush=True)


def _gated() -> Vad:
    return Vad(model=Gate())


if __name__ == "__main__":
    main(*sys.argv[1:])
