"""What Stripe's document gives of a kind, so that its row need not: the templates of its fields, and the
types of its events.

A field that is always there has a value of its type: null where it may be, else the first of the values that
the document names, an empty list, false, some text. A hash has its own fields so. A number is for the row to
say, unless it is a time."""

import functools
import itertools
import re
from typing import Any, Final

from sandbox.stripe import facts
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Events, Kind, Move
from sandbox.stripe.kinds import fields as f

_MISSING: Final = object()
_TIMES: Final = re.compile("(.*_)?(at|created|date|start|time|updated)")
_TEXTS: Final = {"country": "US", "currency": "usd", "url": "https://example.com"}


@functools.cache
def templates(name: str) -> dict[str, Any]:
    """The templates of an object's fields, as far as the document gives them."""
    return _fields(facts.schema(name))


def _fields(schema: Json) -> dict[str, Any]:
    found: dict[str, Any] = {}
    required = schema.get("required", ())
    for field, inner in schema.get("properties", {}).items():
        if field not in ("id", "object"):
            value = None if inner.get("nullable") else _template(field, inner, field in required)
            if value is not _MISSING:
                found[field] = value
    return found


def _template(field: str, schema: Json, required: bool) -> Any:
    if field == "livemode":
        return f.livemode
    if field == "created":
        return f.now
    if field == "metadata":
        return {}
    if not required:
        return _MISSING
    if "$ref" in schema:
        (target,) = facts.resolved(schema)[:1]
        inner = _fields(target)
        whole = "x-resourceId" not in target and set(target.get("required", ())) <= inner.keys() | {
            "id",
            "object",
        }
        return inner if whole else _MISSING
    match schema.get("type"):
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            return {} if not schema.get("properties") else _MISSING
        case "integer":
            return f.now if _TIMES.fullmatch(field) else _MISSING
        case "string":
            return schema["enum"][0] if "enum" in schema else _TEXTS.get(field) or f.text(f"{field} ????")
    return _MISSING


def events(row: Kind) -> Events:
    """The event types that have an object's name, or its family's before it, and its statuses' with them."""
    name, known = row.object_name, facts.event_types()
    family = name.replace(".", "_", 1)
    start = family if any(f"{family}.{verb}" in known for verb in ("created", "updated")) else name

    def of(word: str) -> str:
        return f"{start}.{word}" if f"{start}.{word}" in known else ""

    statuses = facts.schema(name).get("properties", {}).get("status", {}).get("enum", ())
    every = dict.fromkeys((*statuses, *itertools.chain(*row.flow.values())))
    moves = tuple(Move("status", each, of(each)) for each in every if of(each))
    return Events(of("created"), of("updated"), of("deleted"), moves)


def completed(template: Any, row: Any) -> Any:
    """A row's template with the derived one below it."""
    if not isinstance(template, dict) or not isinstance(row, dict):
        return row
    return {**template, **{key: completed(template.get(key), each) for key, each in row.items()}}
