"""What goes over the wire: the types of JSON objects and of query parameters; and objects kept as bytes."""

from collections.abc import Iterable, Sequence
from typing import Any, overload

import orjson

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]


class Packed(Sequence[Json]):
    """Objects as bytes, a fraction of what they take as Python objects. Each access makes new objects."""

    def __init__(self, objects: Iterable[Json] = ()) -> None:
        self._bodies: list[bytes] = []
        self.size = 0
        for obj in objects:
            self.append(obj)

    def append(self, obj: Json) -> None:
        # A copy of what orjson gives, which is left with room for more.
        body = bytes(memoryview(orjson.dumps(obj)))
        self._bodies.append(body)
        self.size += len(body)

    def part(self, start: int, stop: int) -> "Packed":
        """Some of the objects, as bytes too."""
        part = Packed()
        part._bodies = self._bodies[start:stop]
        part.size = sum(map(len, part._bodies))
        return part

    def __len__(self) -> int:
        return len(self._bodies)

    @overload
    def __getitem__(self, index: int) -> Json: ...

    @overload
    def __getitem__(self, index: slice) -> list[Json]: ...

    def __getitem__(self, index: int | slice) -> Json | list[Json]:
        if isinstance(index, slice):
            return [orjson.loads(body) for body in self._bodies[index]]
        found: Json = orjson.loads(self._bodies[index])
        return found
