"""What Stripe's document gives of a kind, so that its row need not: the templates of its fields, and the
types of its events.

A field that is always there has a value of its type: null where it may be, else the first of the values that
the document names, an empty list, false, some text. A hash has its own fields so. A number is for the row to
say, unless it is a time."""

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sandbox.stripe import facts
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import DOCUMENTED, Events, Kind, Move, Nested
from sandbox.stripe.kinds import fields as f

_MISSING: Final = object()
_TIMES: Final = re.compile("(.*_)?(at|created|date|start|time|updated)")
_LISTED: Final = ("default_tax_rates", "discounts", "preferred_locales", "tax_rates", "taxes")
_USUAL: Final[Json] = {name: list[Any]() for name in _LISTED} | {
    "active": True,
    "amount": f.number(500, 9_900),
    "created": f.now,
    "exp_month": f.number(1, 12),
    "exp_year": f.number(2031, 2036),
    "last4": f.digits(4),
    "livemode": f.livemode,
    "metadata": {},
    "quantity": 1,
}
"""Fields that have a value though they may be null."""
_TEXTS: Final = {"country": "US", "currency": "usd", "url": "https://example.com"}


_PRODUCTS: Final = {"test_helpers": "test mode"} | {
    name: name
    for name in (
        *("climate", "financial_connections", "forwarding", "identity", "issuing", "tax", "terminal"),
        *("three_d_secure", "treasury"),
    )
}
"""The products that an account must be set up for, by the first part of their objects' names."""


def path(row: Kind) -> str:
    """Where an object is listed, without the id of another one if it can be; "" if nowhere."""
    last, every = row.name.rpartition(".")[2], [] if row.object else facts.listed_at(row.name)
    found = [each for each in every if "{" not in each] or every
    named = [each for each in found if each.rpartition("/")[2].startswith(last)]
    return next(iter(found if len(found) == 1 else named), "")


def created(row: Kind) -> str:
    return "created" if "created" in facts.schema(row.object_name).get("properties", {}) else ""


def product(row: Kind) -> str:
    return _PRODUCTS.get(row.name.partition(".")[0], "")


def own(flow: Mapping[str, Any], nested: Sequence[Nested]) -> dict[str, Any]:
    """The templates that follow from the rest of a row: the status that others follow, lists of children."""
    found: dict[str, Any] = {"status": next(iter(flow))} if flow else {}
    return found | {each.field: f.empty_list(each.url) for each in nested if each.shown}


@functools.cache
def templates(name: str) -> dict[str, Any]:
    """The templates of an object's fields, as far as the document gives them."""
    return _fields(facts.schema(name))


def _fields(schema: Json) -> dict[str, Any]:
    found: dict[str, Any] = {}
    required = schema.get("required", ())
    for field, inner in schema.get("properties", {}).items():
        if field not in ("id", "object"):
            null = inner.get("nullable") and not (field in _USUAL and "type" in inner)
            value = None if null else _template(field, inner, field in required)
            if value is not _MISSING:
                found[field] = value
    return found


def _template(field: str, schema: Json, required: bool) -> Any:
    if field in _USUAL and "type" in schema:
        return _USUAL[field]
    if not required:
        return _MISSING
    if kind := facts.pointed(schema):
        return f.whole(kind) if "$ref" in schema else f.ref(kind)
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
        case "object" if "data" in schema.get("properties", {}):
            url = schema["properties"]["url"].get("pattern", "^/v1").removeprefix("^")
            return {"object": "list", "data": [], "has_more": False, "url": url}
        case "object":
            return {} if not schema.get("properties") else _MISSING
        case "integer":
            return f.now if _TIMES.fullmatch(field) else 0
        case "string":
            return schema["enum"][0] if "enum" in schema else _TEXTS.get(field) or f.text(f"{field} ????")
    return _MISSING


def events(row: Kind) -> Events:
    """What a row says, and the event types that have an object's name, its family's before it, and its
    statuses' with them."""
    given, known, name = row.events, facts.event_types(), row.object_name
    starts = [each for each in (given.of, name.replace(".", "_", 1), name) if each]

    def of(words: str) -> str:
        """Types whole, without those that there are not."""
        whole = (
            next((f"{start}.{word}" for start in starts if f"{start}.{word}" in known), "")
            if "." not in word
            else word
            for word in words.split()
        )
        return " ".join(filter(None, whole))

    said = (*(Move("status", to, event) for to, event in given.statuses.items()), *given.moves)
    own = tuple(replace(move, event=of(move.event)) for move in said)
    told = {move.event for move in own} | {(move.field, move.to) for move in own}
    statuses = facts.schema(name).get("properties", {}).get("status", {}).get("enum", ())
    every = dict.fromkeys((*statuses, *itertools.chain(*row.flow.values())))
    moves = tuple(
        Move("status", each, of(each))
        for each in every
        if of(each) and told.isdisjoint((of(each), ("status", each)))
    )
    verbs: dict[str, Any] = {
        verb: each and of(verb if each == DOCUMENTED else each)
        for verb in ("created", "updated", "deleted")
        for each in (getattr(given, verb),)
    }
    return replace(given, moves=(*own, *moves), **verbs)


def completed(template: Any, row: Any) -> Any:
    """A row's template with the derived one below it."""
    if not isinstance(template, dict) or not isinstance(row, dict):
        return row
    return {**template, **{key: completed(template.get(key), each) for key, each in row.items()}}
