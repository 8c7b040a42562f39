"""The text of a request, with the state of very many accounts in it. Pure.

Such a state has a part for each account and binding, and nearly all parts are a time alone. Rows of them are
taken out of the text as it comes, so that it is never in memory as a whole:

    "inc":{"acct_1":{"cursor":"..."},"acct_2":{"cursor":"..."}},"last_initialized":"..."
    "inc":{"row 5f0c... 0":0},"last_initialized":"..."

Rule: what is read is what the whole text says. Whatever is no such part stays in the text.
"""

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pydantic_core

from source_stripe_native.state.cursors import AccountNumbers, Cursors, Seconds
from source_stripe_native.state.parts import Json, part_at

_PART: Final = (
    r'"acct_[!#-\[\]-~]+":\{"(?:cursor|cutoff)":"20\d\d-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ"\}'
)
_ROW: Final = re.compile(rf"(?<!\\){_PART}(?:,{_PART})*", re.ASCII)
"""Not possessive, which would save some memory: before Python 3.11.5 that matches what it should not."""
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class _Row(NamedTuple):
    """Parts of one kind, by the number of the key of each and its time as a second."""

    kind: str
    numbers: Sequence[int]
    seconds: "array[int]"


@lru_cache(maxsize=1 << 16)
def _second_at(time: str) -> int:
    """A time in Unix seconds. Raises ValueError for what is no time."""
    return int(datetime.fromisoformat(time).timestamp())


class RequestText:
    """One request, made of the pieces in which it comes."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces: list[bytes] = []
        self._rest = b""
        self._rows: dict[str, _Row] = {}
        self._name = f"row {uuid4().hex[:12]}"
        """What no text has."""
        self._keys = {"cursor": AccountNumbers(), "cutoff": AccountNumbers()}
        for piece in pieces:
            self.add(piece)

    def add(self, piece: bytes) -> None:
        piece = self._rest + piece
        # Neither within a part nor after a backslash, without which a quote would look like another.
        end = piece.rfind(b"},") + 2 if b"}," in piece else len(piece[:-1].rstrip(b"\\"))
        # Each byte as one character: a piece may end within one.
        text = _ROW.sub(self._take_row, piece[:end].decode("latin-1"))
        self._pieces.append(text.encode("latin-1"))
        self._rest = piece[end:]

    @property
    def left(self) -> bytes:
        """What is left of the text."""
        return b"".join([*self._pieces, self._rest])

    @property
    def size(self) -> int:
        """Bytes of what is left."""
        return sum(map(len, self._pieces)) + len(self._rest)

    def read(self) -> Any:
        """The JSON that the text stands for, once: with `Cursors` where an object has nothing else, and the
        parts of a state in place of their objects. Raises ValueError or RecursionError where it is none."""
        text = self.left.decode()
        if _SURROGATE.search(text):
            # Python's parser would let half a surrogate pair pass.
            pydantic_core.from_json(text)
        return json.loads(text, object_hook=self._read_object)

    def _take_row(self, row: re.Match[str]) -> str:
        """Takes a row out of the text, and returns what stands for it there. One whose parts are of several
        kinds stays, and so does one with something that is no time."""
        between_quotes = row[0].split('"')
        keys, kinds, times = between_quotes[1::6], between_quotes[3::6], between_quotes[5::6]
        try:
            (kind,) = set(kinds)
            seconds = array("I", map(_second_at, times))
        except ValueError:
            return row[0]
        numbers = self._keys[kind].numbers_of(keys)
        self._rows[name := f"{self._name} {len(self._rows)}"] = _Row(kind, numbers, seconds)
        return f'"{name}":0'

    def _read_object(self, part: Json) -> Any:
        if part.keys().isdisjoint(self._rows.keys()):
            return part
        if all(key in self._rows and self._rows[key].kind == "cursor" for key in part):
            return Cursors(self._cursors(part))
        parts: Json = {}
        for key, value in part.items():
            parts |= self._parts_of(self._rows[key]) if key in self._rows else {key: value}
        return parts

    def _cursors(self, names: Iterable[str]) -> Seconds:
        numbers = self._keys["cursor"]
        cursors = Seconds(numbers, array("I", repeat(0, len(numbers))))
        for row in map(self._rows.__getitem__, names):
            cursors.set_all(row.numbers, row.seconds)
        return cursors

    def _parts_of(self, row: _Row) -> Json:
        ids = self._keys[row.kind].ids
        return {ids[n]: part_at(row.kind, second) for n, second in zip(row.numbers, row.seconds, strict=True)}
