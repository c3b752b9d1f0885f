"""Objects in memory: what the archive has stored, byte by byte."""

from connectors.objects import Objects
from connectors.playback import Playback
from pipeline.stages.archive import CoverAudio, EraseAudio, PutAudio, PutManifest, Stored
from pipeline.verification.listening import CompareAudio, Compared, HearAudio, Overheard


class Memory:
    """A `Place`; whoever shares `kept` shares what lies there."""

    def __init__(self, kept: dict[str, bytes] | None = None) -> None:
        self.kept = {} if kept is None else kept

    def put(self, tenant: str, name: str, content: bytes) -> None:
        self.kept[name] = content

    def get(self, tenant: str, name: str) -> bytes:
        if name not in self.kept:
            raise FileNotFoundError(name)
        return self.kept[name]

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.kept if name.startswith(prefix))

    def move(self, tenant: str, source: str, target: str) -> None:
        self.kept[target] = self.get(tenant, source)
        self.delete(source)

    def delete(self, name: str) -> None:
        self.kept.pop(name, None)


class Shelf:
    """The service `objects`, answering at once."""

    def __init__(self) -> None:
        self.place = Memory()
        self._objects = Objects(self.place)

    @property
    def stored(self) -> dict[str, bytes]:
        """What lies there, by name."""
        return self.place.kept

    def __call__(self, request: object) -> object:
        assert isinstance(request, PutAudio | CoverAudio | PutManifest | EraseAudio)
        self._objects.store(request)
        return Stored()


class Player:
    """The service `playback`, answering at once; nobody speaks beside the tone."""

    def __init__(self, shelf: Shelf) -> None:
        self._playback = Playback(shelf.place, None)

    def __call__(self, request: object) -> Compared | Overheard:
        if isinstance(request, CompareAudio):
            return self._playback.compare(request)
        assert isinstance(request, HearAudio)
        try:
            return self._playback.stretches(request)[1]
        except FileNotFoundError:
            return Overheard()
