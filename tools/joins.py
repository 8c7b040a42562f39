"""What joins the streams: the fields of documents that have the id of another stream's object.

Rules: the fields follow from the facts about Stripe, nested ones too. A field has an id where Stripe says
that it can be expanded to the object. A text has one where its name is that of one kind of object alone. An
object that is shown whole has its own id inside.

Limits: a path leads through DEPTH objects at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from source_stripe_native.streams import STREAMS
from source_stripe_native.streams.row import BaseStripeObject
from tools.facts import references, shape, stripe_facts
from tools.read_sdk import SECRET

Json = dict[str, Any]
Row = type[BaseStripeObject]

DEPTH: Final = 4
NOT_IDS: Final = frozenset(("session", "tax_id"))
"""Names of texts that are no id of the object of that name, such as the number of a tax id."""
BY_DESCRIPTION: Final[Mapping[str, str]] = {"performance_location": "tax.location"}
"""Names of texts whose description alone says whose id they are."""
MISNAMED: Final = frozenset(("SubscriptionItems",))
"""Streams that have what another stream has too, by another name."""


@dataclass(frozen=True)
class Join:
    """The field at `path` of the documents of `stream` has the id of a document of `target`. The path has its
    names with dots; `*` stands for each element of a list."""

    stream: str
    path: str
    target: str


@cache
def lists() -> dict[str, list[str]]:
    """The names of the objects that each of Stripe's lists has, by the shape of its path."""
    paths = stripe_facts()["paths"].items()
    return {shape(path): each["get"]["lists"] for path, each in paths if "lists" in each.get("get", {})}


def objects_of(row: Row) -> list[str]:
    """What a stream's objects call themselves; the stream's own name where no path returns them."""
    if row.EVENT_OBJECT:
        return [row.EVENT_OBJECT]
    path = shape(row.list_path("{}")).replace("%7B%7D", "{}")
    single = stripe_facts()["paths"].get(path, {}).get("get", {}).get("returns", [row.NAME])
    return [each for each in lists().get(path, single) if not each.startswith("deleted_")]


def joins(streams: Sequence[Row] = STREAMS) -> Iterator[Join]:
    """The joins of all streams, in their order."""
    for row in streams:
        if row.IS_EVENT or row.NAME in MISNAMED:
            continue
        found = [each for name in objects_of(row) for each in _ids(name)]
        if row.PARENT and row.PARENT_FIELD:
            found.append((row.PARENT_FIELD, objects_of(row.PARENT)[0]))
        for path, name in dict.fromkeys(found):
            yield from (Join(row.NAME, path, target) for target in homes()[name])


@cache
def homes() -> dict[str, list[str]]:
    """The streams that have the objects of a name: the one with a list of all of them, or those with a list
    for each parent."""
    found: dict[str, list[Row]] = {}
    for row in STREAMS:
        for name in objects_of(row) if row.NAME not in MISNAMED else ():
            found.setdefault(name, []).append(row)
    return {
        name: [each.NAME for each in rows if each.PARENT is None][:1] or [each.NAME for each in rows]
        for name, rows in found.items()
    }


@cache
def _named(is_v2: bool) -> dict[str, str]:
    """The object that is meant by a text of a name: that of which it is the last word, and no other's of the
    same API."""
    found: dict[str, list[str]] = {}
    for name in (each for each in homes() if each.startswith("v2.") == is_v2):
        found.setdefault(name.rpartition(".")[2], []).append(name)
    own = {word: names[0] for word, names in found.items() if len(names) == 1 and word not in NOT_IDS}
    return {**own, **BY_DESCRIPTION}


@cache
def _ids(name: str) -> list[tuple[str, str]]:
    """The paths in an object at which it has ids, and the objects that these are of."""
    schema = stripe_facts()["schemas"].get(name, {})
    inside = _inside(schema, (), DEPTH, _named(name.startswith("v2.")))
    return sorted(each for each in inside if each[0] not in ("id", "object"))


def _inside(
    schema: Json, path: tuple[str, ...], depth: int, words: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The ids in a schema. `words` are the names of texts that have one."""
    for name, field in schema.get("properties", {}).items():
        if SECRET not in field:
            yield from _at(field, (*path, name), depth, words)


def _at(
    field: Json, path: tuple[str, ...], depth: int, words: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """What a field has: an id, an object with an id, or parts with fields of their own."""
    if field.get("type") == "array":
        yield from _at(field["items"], (*path, "*"), depth, words)
        return
    schemas = stripe_facts()["schemas"]
    types = [field, *field.get("anyOf", ())]
    named = [each for one in types if "$ref" in one for each in references(one)]
    if any(each.get("type") == "string" and "enum" not in each for each in types):
        meant = named or [words.get(path[-1], "")]
        yield from ((".".join(path), each) for each in meant if each in homes())
        return
    for name in named:
        if name in homes():
            yield ".".join((*path, "id")), name
        elif depth and "x-resourceId" not in schemas[name]:
            yield from _inside(schemas[name], path, depth - 1, words)
    if depth and "has_more" not in field.get("properties", {}):
        yield from _inside(field, path, depth - 1, words)
