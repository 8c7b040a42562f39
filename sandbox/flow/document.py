"""What the runtime does to a captured document: validate, order, reduce, stamp, print. All of it is pure.

Reductions are Flow's `lastWriteWins` (the default), `firstWriteWins` and `merge` of objects. `delete: true`
changes nothing here: a deletion takes effect where documents are reduced in full, in a materialization, and
until then its document must live on to tell of it. Other strategies are errors, as a wrong guess would look
like the connector's.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jsonschema_rs
import orjson

from sandbox.flow.errors import CatalogError, FlowError, InvalidDocument

Document: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[tuple[int, Any], ...]
"""For each of a collection's key pointers, the rank of the value's type, and the value: Flow's order."""

UUID_PLACEHOLDER = "DocUUIDPlaceholder-329Bb50aa48EAa9ef"
_REASON_LENGTH = 300  # a reason quotes the value that is wrong, which may be a whole document


class Schema:
    """A collection's write schema. Raises CatalogError when it is no JSON Schema."""

    def __init__(self, collection: str, schema: dict[str, Any] | bool) -> None:
        self._collection = collection
        try:
            self._validator = jsonschema_rs.Draft202012Validator(schema, offline=True)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise CatalogError(f"the schema of {collection} is invalid: {reason}") from error

    def check(self, document: Document, key: Key) -> None:
        """Raises InvalidDocument for the first thing that the schema forbids."""
        if not self._validator.is_valid(document):
            error = next(iter(self._validator.iter_errors(document)))
            at, reason = "".join(f"/{_escape(str(step))}" for step in error.instance_path), error.message
        elif not isinstance(document.get("_meta", {}), dict):
            at, reason = "/_meta", "Flow puts the document's uuid here, so it must be an object"
        else:
            return
        shown = orjson.dumps([value for _, value in key]).decode()
        reason = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}..."
        raise InvalidDocument(
            f"{self._collection}: the document with key {shown} is invalid at {at or 'its root'}: {reason}"
        )

    def reductions(self, document: Document) -> dict[str, str]:
        """The `reduce` strategies that hold for this document, by JSON pointer."""
        strategies = {}
        for unit in self._validator.evaluate(document).annotations():
            match unit["annotations"]:
                case {"reduce": {"strategy": str(strategy)}}:
                    strategies[unit["instanceLocation"]] = strategy
        return strategies


def located(document: Any, pointer: str) -> Any:
    """What a JSON pointer points at; None where there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def key_of(document: Document, pointers: Iterable[str]) -> Key:
    """The document's key. A location that is absent counts as null."""
    return tuple(_ranked(located(document, pointer), pointer) for pointer in pointers)


def reduced(earlier: Any, later: Any, strategies: Mapping[str, str], at: str = "") -> Any:
    """Two documents of one key as one; `strategies` are those of the later."""
    match strategies.get(at, "lastWriteWins"):
        case "lastWriteWins":
            return later
        case "firstWriteWins":
            return earlier
        case "merge" if isinstance(earlier, dict) and isinstance(later, dict):
            return earlier | {
                name: reduced(earlier[name], value, strategies, f"{at}/{_escape(name)}")
                if name in earlier
                else value
                for name, value in later.items()
            }
        case "merge":
            raise FlowError(f"the local runtime merges objects only, and at {at} is something else")
        case other:
            raise FlowError(f"the local runtime does not know the reduce strategy {other!r}")


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


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
