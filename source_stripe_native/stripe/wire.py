"""What goes over the wire: query parameters, JSON objects as any consumer of documents needs them, and
objects kept as bytes.

Rule: what a lenient parser can read is read. An object that a strict parser refuses would be refused on every
attempt, and would end the capture for ever. What is no text (half a surrogate pair, invalid UTF-8) becomes
U+FFFD, what is no number (NaN, Infinity) null. A body that was cut off is still refused. Numbers are those of
orjson in both cases: integers of 64 bits (-2**63 to 2**64 - 1) are exact, all others are IEEE doubles.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, overload

import orjson

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]

_WHITESPACE: Final = b" \t\n\r"
"""What JSON allows after a value."""


def json_object(body: bytes) -> Json | None:
    """The JSON object that `body` is, None where it is none."""
    # Cut off, or a page of HTML: a parser would find that out at its end, and both would try.
    if not body.rstrip(_WHITESPACE).endswith(b"}"):
        return None
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _leniently(body)
    return parsed if isinstance(parsed, dict) else None


def _leniently(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig", errors="replace")
        parsed = json.loads(
            text, strict=False, parse_int=_number, parse_float=_number, parse_constant=lambda _: None
        )
        # What is left of surrogates is no text: the parser has joined the whole pairs.
        pairs = json.dumps(parsed, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return orjson.loads(pairs.decode("utf-16", errors="replace"))
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | float | None:
    try:
        number: int | float = orjson.loads(digits)
    except orjson.JSONDecodeError:
        return None  # beyond a double
    return number


class Packed(Sequence[Json]):
    """Objects as bytes, a fraction of what they take as Python objects. Each access makes new objects;
    a slice is bytes too."""

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

    def __len__(self) -> int:
        return len(self._bodies)

    @overload
    def __getitem__(self, index: int) -> Json: ...

    @overload
    def __getitem__(self, index: slice) -> "Packed": ...

    def __getitem__(self, index: int | slice) -> "Json | Packed":
        if isinstance(index, slice):
            part = Packed()
            part._bodies = self._bodies[index]
            part.size = sum(map(len, part._bodies))
            return part
        obj: Json = orjson.loads(self._bodies[index])
        return obj
