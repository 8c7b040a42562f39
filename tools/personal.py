"""Compare the table of personal data with the facts about Stripe.

python tools/personal.py --check    names each text field that is neither personal nor not

Rules: a field is looked up by its name and its place, as source_stripe_native/streams/personal.py has them.
Reviewed is each text, each list of texts and each map of texts. An id that can be expanded is none.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from source_stripe_native.streams.personal import NOT_PERSONAL, PERSONAL, SPLIT
from tools.facts import references, stripe_facts

TABLE: Final = "source_stripe_native/streams/personal.py"
ID: Final = "id"
TEXT: Final = "text"
OTHER: Final = "other"


def matches(patterns: str, name: str) -> bool:
    """Whether a name is one of `patterns`, in which `*` stands for anything."""
    return bool(_compiled(patterns).fullmatch(name))


@cache
def _compiled(patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(each).replace(r"\*", ".*") for each in patterns.split()))


def verdict(name: str, place: str) -> bool | None:
    """Return whether a field is personal, None if the table does not say so."""
    for row in SPLIT:
        if name in row.names.split():
            return True if matches(row.personal, place) else False if matches(row.other, place) else None
    if any(matches(names, name) for names in PERSONAL.values()):
        return True
    return False if any(matches(names, name) for names in NOT_PERSONAL.values()) else None


class Fields:
    """Every field of the facts by its name and its place, with what it may be: text, an id or other."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self._seen = set[tuple[int, str]]()
        self.found: dict[tuple[str, str], set[str]] = {}
        for name in schemas:
            if kind := kind_of(schemas[name]):
                self._object(schemas[name], kind)

    def _object(self, schema: Any, place: str) -> None:
        if (id(schema), place) not in self._seen:
            self._seen.add((id(schema), place))
            for name, field in schema.get("properties", {}).items():
                self._field(field, name, place)

    def _field(self, field: Any, name: str, place: str) -> None:
        match field:
            case {"$ref": str(reference)}:
                schema = self._schemas[reference.rpartition("/")[2]]
                if "properties" not in schema:
                    self._members(schema, name, place)
                else:
                    self._object(schema, kind_of(schema) or f".{name}")
            case {"anyOf": _}:
                self._members(field, name, place)
            case {"type": "array", "items": inner}:
                self._field(inner, name, place)
            case {"properties": _}:
                self._object(field, f".{name}")
            case {"additionalProperties": dict(inner)}:
                # The object in a map stands at a key of the map, which may be anything.
                self._field(inner, "*" if references(inner) else name, place)
            case {"type": kind}:
                is_text = kind == "string" and "enum" not in field
                self.found.setdefault((name, place), set()).add(TEXT if is_text else OTHER)

    def _members(self, field: Any, name: str, place: str) -> None:
        members = field.get("anyOf", [])
        is_id = any("$ref" in each for each in members)
        for each in members:
            if is_id and each.get("type") == "string":
                self.found.setdefault((name, place), set()).add(ID)
            else:
                self._field(each, name, place)


def kind_of(schema: Any) -> str:
    """Return what an object calls itself; a part of an object has no such name."""
    values = schema.get("properties", {}).get("object", {}).get("enum", [""])
    return str(values[0])


@cache
def fields() -> dict[tuple[str, str], set[str]]:
    return Fields(stripe_facts()["schemas"]).found


def problems() -> Iterator[str]:
    """Say what the table lacks, what it takes for personal though it is an id, and what is stale in it."""
    for (name, place), kinds in sorted(fields().items()):
        if TEXT in kinds and verdict(name, place) is None:
            yield f"{place} has a text {name}, which is neither personal nor not: add it to {TABLE}"
        if kinds == {ID} and verdict(name, place):
            yield f"{place} has an id {name}, which is not personal: correct {TABLE}"
    personal = {name for name, place in fields() if verdict(name, place)}
    other = {name for (name, place), kinds in fields().items() if TEXT in kinds and not verdict(name, place)}
    used = [(personal, names) for names in PERSONAL.values()]
    used += [(other, names) for names in NOT_PERSONAL.values()]
    for row in SPLIT:
        for name in row.names.split():
            used.append(({name for name, _ in fields()}, name))
        places = {place for name, place in fields() if name in row.names.split()}
        used += [(places, row.personal), (places, row.other)]
    for known, patterns in used:
        for pattern in patterns.split():
            if not any(matches(pattern, each) for each in known):
                yield f"no field of Stripe is {pattern} there: remove it from {TABLE}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        raise SystemExit(__doc__)
    found = list(problems())
    print("\n".join(found), end="\n" if found else "")
    raise SystemExit(1 if found else 0)
