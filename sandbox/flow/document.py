"""What the runtime does to a captured document: redact, order, reduce, stamp, print. All of it is pure.

Reductions are Flow's `lastWriteWins` (the default), `firstWriteWins` and `merge` of objects. `delete: true`
changes nothing here: a deletion takes effect where documents are reduced in full, in a materialization, and
until then its document must live on to tell of it. Other strategies are errors, as a wrong guess would look
like the connector's.
"""

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from sandbox.flow.errors import FlowError, InvalidDocument

Document: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[tuple[int, Any], ...]
"""For each location of a collection's key, the rank of the value's type, and the value: Flow's order."""
Strategies: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""The annotations of a document's locations, by JSON pointer."""

UUID_PLACEHOLDER = "DocUUIDPlaceholder-329Bb50aa48EAa9ef"
_SAFE = 1 << 53  # whole floats up to here are hashed as integers
_REMOVED = object()


class KeyLocation(NamedTuple):
    """One part of a collection's key."""

    pointer: str
    default: Any = None
    """What counts where a document has nothing there."""

    def value(self, document: Document) -> Any:
        return located(document, self.pointer, self.default)


def located(document: Any, pointer: str, absent: Any = None) -> Any:
    """What a JSON pointer points at; `absent` where there is nothing."""
    for step in steps_of(pointer):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return absent
    return document


def steps_of(pointer: str) -> list[str]:
    """The names and indices that a JSON pointer is made of."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def escape(name: str) -> str:
    """A name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def key_of(document: Document, locations: Iterable[KeyLocation]) -> Key:
    """The document's key."""
    return tuple(_ranked(location.value(document), location.pointer) for location in locations)


def reduced(earlier: Any, later: Any, strategies: Strategies, at: str = "") -> Any:
    """Two documents of one key as one; `strategies` are those of the later."""
    match _strategy_at(strategies, at) or "lastWriteWins":
        case "lastWriteWins":
            return later
        case "firstWriteWins":
            return earlier
        case "merge" if isinstance(earlier, dict) and isinstance(later, dict):
            return earlier | {
                name: reduced(earlier[name], value, strategies, f"{at}/{escape(name)}")
                if name in earlier
                else value
                for name, value in later.items()
            }
        case "merge":
            raise FlowError(f"the local runtime merges objects only, and at {at} is something else")
        case other:
            raise FlowError(f"the local runtime does not know the reduce strategy {other!r}")


def redacted(document: Document, strategies: Strategies, salt: bytes) -> Document:
    """The document without what is blocked, and with digests in place of what is hashed."""
    found = _redacted(document, strategies, salt, "")
    if not isinstance(found, dict):
        raise FlowError("a schema redacts the whole document: annotate its properties")
    return found


def _redacted(value: Any, strategies: Strategies, salt: bytes, at: str) -> Any:
    match _strategy_at(strategies, at):
        case "block":
            return _REMOVED
        case "sha256":
            return _digest(value, salt)
    if isinstance(value, dict):
        members = {k: _redacted(v, strategies, salt, f"{at}/{escape(k)}") for k, v in value.items()}
        return {k: v for k, v in members.items() if v is not _REMOVED}
    if isinstance(value, list):
        items = (_redacted(v, strategies, salt, f"{at}/{index}") for index, v in enumerate(value))
        return [v for v in items if v is not _REMOVED]
    return value


def _digest(value: Any, salt: bytes) -> str:
    """Flow's digest of a value, made of the bytes that Flow has in memory. A digest stays as it is."""
    match value:
        case None:
            content = b""
        case bool():
            content = bytes([value])
        case float() if not (value.is_integer() and abs(value) <= _SAFE):
            content = struct.pack("<d", value)
        case int() | float():
            content = int(value).to_bytes(8, "little", signed=value < 0)
        case str() if re.fullmatch("sha256:[0-9A-Fa-f]{64}", value):
            return value
        case str():
            content = value.encode()
        case _:
            content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(salt + content).hexdigest()}"


def _strategy_at(strategies: Strategies, at: str) -> str | None:
    """The strategy of a location, if it has one. Raises FlowError for two that differ."""
    first, *others = strategies.get(at) or [{"strategy": None}]
    for other in others:
        if other != first:
            raise FlowError(f"the schema has two strategies at {at or 'its root'}: {first} and {other}")
    strategy: str | None = first["strategy"]
    return strategy


def printed(collection: str, document: Document, *, pretty: bool = False) -> bytes:
    """The line that preview prints: collection and document, sorted, with a placeholder for the uuid. If
    `pretty`, it is indented over many lines."""
    stamped = document | {"_meta": document.get("_meta", {}) | {"uuid": UUID_PLACEHOLDER}}
    options = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if pretty else 0)
    return orjson.dumps([collection, stamped], option=options)


def _ranked(value: Any, pointer: str) -> tuple[int, Any]:
    # A bool is an int to Python and must be looked for first; null sorts alone, so any value will do for it.
    match value:
        case None:
            return 0, None
        case bool():
            return 1, value
        case int() | float():
            return 2, value
        case str():
            return 3, value
    raise InvalidDocument(
        f"the key at {pointer} must be a string, number, boolean or null, not {value!r:.80}"
    )
