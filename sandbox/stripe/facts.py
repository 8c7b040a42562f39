"""What Stripe's OpenAPI document says of objects and parameters, as tests/facts keeps it.

A rule that the document can give is read from here, so that a row of the table of kinds has only what is
special about it. `tools/extract_facts.py` writes the files. Nothing here changes after it is read.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from sandbox.stripe.filters import Json

Shape = tuple[str, ...]
"""A path by its segments, ids as `{}`."""

_FOLDER: Final = Path(__file__).parents[2] / "tests" / "facts"
_LEVELS: Final = 4
"""How many names a path of `expand` has at most."""


@functools.cache
def _read(name: str) -> Any:
    return orjson.loads((_FOLDER / f"{name}.json").read_bytes())


@functools.cache
def _stripe() -> Any:
    """What the document says, and what only the newest SDK has."""
    facts, more = _read("stripe"), _read("sdk")
    for name, fields in more["fields"].items():
        for path, field in fields.items():
            *way, last = path.split(".")
            schema = facts["schemas"][name]
            for part in way:
                schema = schema["items"] if part == "*" else schema["properties"][part]
            schema["properties"][last] = field
    for part in ("paths", "schemas"):
        facts[part] |= more[part]
    facts["event_types"] += more["event_types"]
    return facts


def shape_of(path: str) -> Shape:
    return tuple("{}" if part.startswith("{") else part for part in path.strip("/").split("/"))


@functools.cache
def forms() -> dict[tuple[str, Shape], Any]:
    """The types of a method's parameters by method and path, those of a GET's query, too.
    `tools.extract_facts.form_type` documents types. A query that only the newest SDK has is of texts and
    choices."""
    found = {
        (method.upper(), shape_of(path)): type
        for path, methods in _read("forms").items()
        for method, type in methods.items()
    }
    for path, methods in _read("sdk")["paths"].items():
        asked = methods.get("get", {}).get("query", {})
        typed = {
            f"{name}{'!' * ('required' in each)}": {"=": each["enum"]} if "enum" in each else "string"
            for name, each in asked.items()
        }
        found.setdefault(("GET", shape_of(path)), typed)
    return found


@functools.cache
def methods() -> frozenset[tuple[str, Shape]]:
    """Every method of every path."""
    paths = _stripe()["paths"].items()
    return frozenset((method.upper(), shape_of(path)) for path, each in paths for method in each)


@functools.cache
def _answers() -> Mapping[tuple[str, Shape], tuple[str, ...]]:
    return {
        (method.upper(), shape_of(path)): _objects(
            [name.removeprefix("deleted_") for name in (*each.get("returns", ()), *each.get("lists", ()))]
        )
        for path, methods in _stripe()["paths"].items()
        for method, each in methods.items()
    }


def answers(method: str, shape: Shape) -> tuple[str, ...]:
    """The names of the objects that a method of a path returns or lists."""
    return _answers()[method, shape]


@functools.cache
def event_types() -> frozenset[str]:
    """Those of both kinds of events."""
    thin = itertools.chain.from_iterable(_read("sdk")["thin_event_types"].values())
    return frozenset((*_stripe()["event_types"], *(each for each in thin if each.startswith("v2."))))


@functools.cache
def added(name: str, version: str) -> frozenset[str]:
    """The outermost fields of an object that a version lacks, since they are newer than the document."""
    since = _read("stripe")["version"]
    return frozenset(_read("sdk")["fields"].get(name, ()) if version <= since else ())


def lacks(path: str, version: str) -> bool:
    """Whether a path of /v1/ is newer than a version. Of /v2/ no facts tell."""
    return path.startswith("/v1/") and version <= _read("stripe")["version"] and path in _read("sdk")["paths"]


def versions() -> list[str]:
    """The versions that a webhook endpoint can be made for, oldest first."""
    return sorted(_read("forms")["/v1/webhook_endpoints"]["post"]["api_version"]["="])


_OPS: Final = (("L", "GET", ()), ("C", "POST", ()), ("R", "GET", ("{}",)), ("U", "POST", ("{}",)))


def ops(path: str) -> str:
    """The letters of List, Create, Read, Update and Delete as far as the API has them at a path."""
    place = shape_of(path)
    every = (*_OPS, ("D", "DELETE", ("{}",)))
    return "".join(op for op, method, item in every if (method, (*place, *item)) in methods())


@functools.cache
def _lists() -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, each in _stripe()["paths"].items():
        for name in each.get("get", {}).get("lists", []):
            found.setdefault(name, []).append(path)
    return found


def listed_at(name: str) -> list[str]:
    """The paths that list objects of a name."""
    return _lists().get(name, [])


# Objects


def schema(name: str) -> Json:
    """The schema of an object. It has no fields if the document lacks the object."""
    found: Json = _stripe()["schemas"].get(name, {})
    return found


def resolved(given: Json) -> list[Json]:
    """What a value can be: the schemas behind references and choices, none of which is one itself."""
    if "$ref" in given:
        return resolved(schema(_names(given)[0]))
    if "anyOf" in given:
        return [found for each in given["anyOf"] for found in resolved(each)]
    return [given]


def _names(given: Json) -> list[str]:
    found = [given["$ref"].rpartition("/")[2]] if "$ref" in given else []
    return found + [name for each in given.get("anyOf", []) for name in _names(each)]


def _is_union(name: str) -> bool:
    return "x-resourceId" not in schema(name) and "anyOf" in schema(name)


def _objects(names: Sequence[str]) -> tuple[str, ...]:
    """The names of objects, without deleted ones. A union of objects stands for its members."""
    flat = [one for each in names for one in (_objects(_names(schema(each))) if _is_union(each) else [each])]
    return tuple(sorted({each for each in flat if not each.startswith("deleted_")}))


def pointed(given: Json) -> str:
    """The object that a field has, by its id or whole, if it is of one name and can be listed; else ""."""
    found = _objects(_names(given))
    return found[0] if len(found) == 1 and any("{" not in each for each in listed_at(found[0])) else ""


def acting(name: str, verb: str, given: Json) -> Json:
    """What parameters of a verb say of an object: of its action, if it has one that is called so."""
    shown = resolved(schema(name).get("properties", {}).get("action", {}))[0].get("properties", {})
    return {"action": {"status": "in_progress", "type": verb, verb: given}} if verb in shown else given


class Places:
    """Where an object has ids of other objects, and whole ones: the names of these by path. A path goes
    through arrays without a word, and ends at the next object."""

    def __init__(self, name: str) -> None:
        self.ids: dict[Shape, tuple[str, ...]] = {}
        self.inline: dict[Shape, tuple[str, ...]] = {}
        self._visit({"properties": schema(name).get("properties", {})}, ())

    def _visit(self, given: Json, path: Shape) -> None:
        if len(path) > _LEVELS:
            return
        fields = given.get("properties", {})
        if given.get("type") == "array":
            self._visit(given["items"], path)
        elif fields.get("object", {}).get("enum") == ["list"]:
            self.inline[(*path, "data")] = _objects(_names(fields["data"]["items"]))
        elif found := _names(given):
            self._refer(found, any("type" in each for each in given.get("anyOf", [])), path)
        elif len(path) < _LEVELS:
            for field, inner in fields.items():
                self._visit(inner, (*path, field))

    def _refer(self, found: Sequence[str], by_id: bool, path: Shape) -> None:
        if by_id:
            self.ids[path] = _objects(found)
            return
        for each in found:
            if "x-resourceId" in schema(each) or "anyOf" in schema(each):
                self.inline[path] = tuple(sorted({*self.inline.get(path, ()), *_objects([each])}))
            else:
                self._visit(schema(each), path)


@functools.cache
def places(name: str) -> Places:
    return Places(name)


def _properties(given: Any) -> Iterator[tuple[str, Json]]:
    if isinstance(given, list):
        for each in given:
            yield from _properties(each)
    elif isinstance(given, dict):
        properties = given.get("properties", {})
        yield from properties.items() if isinstance(properties, dict) else ()
        for each in given.values():
            yield from _properties(each)


@functools.cache
def named_after() -> Mapping[str, tuple[str, ...]]:
    """The objects whose ids a field of a name holds, anywhere in the document: `customer` those of
    customers."""
    found: dict[str, set[str]] = {}
    for field, given in _properties(_stripe()["schemas"]):
        inner = given.get("items", given) if given.get("type") == "array" else given
        if any(each.get("type") == "string" for each in inner.get("anyOf", ())) and _names(inner):
            found.setdefault(field, set()).update(_objects(_names(inner)))
    return {field: tuple(sorted(names)) for field, names in found.items()}
