"""Compare facts about Stripe: what one version has beyond another.

`additions` gives what an SDK says beyond Stripe's OpenAPI document, which tests/facts/sdk.json keeps.
`changes` gives the lines for a person: what is new and what is gone between two versions of the SDK.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tools.facts import field_at, references, shape
from tools.read_sdk import SECRET

Json = dict[str, Any]


def additions(sdk: Json, document: Json, older: Json) -> Json:
    """Return the paths, parameters, event types, error codes, objects and fields that only the SDK has.

    `older` are the fields and parameters of older API versions, which an SDK goes on naming: what an SDK of
    the document's own version has beyond it. They are no additions.
    """
    fields: dict[str, Json] = {}
    for name in sorted(sdk["schemas"].keys() & document["schemas"].keys()):
        _Comparison(sdk["schemas"], document["schemas"], fields).compare(name, name)
    paths, query = _more_paths(sdk["paths"], document["paths"], older["query"])
    if sdk["version"] == document["version"]:
        older = {"fields": {name: sorted(each) for name, each in fields.items()}, "query": query}
    fields = {
        name: kept
        for name, each in fields.items()
        if (kept := {path: each[path] for path in each if path not in older["fields"].get(name, ())})
    }
    reads = [methods["get"] for methods in paths.values() if "get" in methods]
    named = {name for each in reads for name in (*each.get("lists", ()), *each.get("returns", ()))}
    schemas = _reached({*named, *references(fields)}, sdk["schemas"], document["schemas"])
    unseen = sdk["schemas"].keys() - schemas.keys() - document["schemas"].keys()
    return {
        "error_codes": sdk["error_codes"],
        "event_types": sorted(set(sdk["event_types"]) - set(document["event_types"])),
        "fields": fields,
        "older": older,
        "paths": paths,
        "schemas": schemas | _only_secrets({name: sdk["schemas"][name] for name in unseen}),
        "thin_event_types": _without_twin(sdk),
        "version": sdk["version"],
    }


def _reached(wanted: set[str], ours: Json, theirs: Json) -> Json:
    """Our schemas of these names, and those that they refer to, without those that the others have."""
    found: Json = {}
    while wanted := wanted - found.keys() - theirs.keys():
        for name in wanted:
            found[name] = ours[name]
        wanted = set(references([ours[name] for name in wanted]))
    return found


def _without_twin(sdk: Json) -> dict[str, list[str]]:
    """The thin event types, by their object, that report more than a type of /v1/events does."""
    twins = {f"v1.{each}" for each in sdk["event_types"]}
    found: dict[str, list[str]] = {}
    for name, types in sdk["thin_event_types"].items():
        if more := [each for each in types if each not in twins]:
            found[name] = more
    return found


def _only_secrets(schemas: Json) -> Json:
    """The objects that show a secret, with that field alone. No request returns them, but an event may."""
    found: Json = {}
    for name, schema in schemas.items():
        secrets = {field: each for field, each in schema["properties"].items() if SECRET in each}
        if secrets and "x-resourceId" in schema:
            found[name] = schema | {"properties": {"object": schema["properties"]["object"]} | secrets}
            found[name].pop("x-expandableFields", None)
    return found


def _more_paths(ours: Json, theirs: Json, older: Json) -> tuple[Json, Json]:
    """The paths that only we have and those whose list takes more parameters; and these parameters."""
    known = {shape(path): (path, methods) for path, methods in theirs.items()}
    found: Json = {}
    more: Json = {}
    for path, methods in ours.items():
        if shape(path) not in known:
            found[path] = methods
            continue
        their_path, their_methods = known[shape(path)]
        if "get" not in methods.keys() & their_methods.keys():
            continue
        query, their_query = methods["get"]["query"], their_methods["get"]["query"]
        if names := sorted(query.keys() - their_query.keys() - set(older.get(their_path, ()))):
            more[their_path] = names
            query = their_query | {name: query[name] for name in names}
            found[their_path] = their_methods | {"get": their_methods["get"] | {"query": query}}
    return found, more


class _Comparison:
    """Finds fields that the objects of one version lack, by their place: an object inside may have another
    name in each version, or none."""

    def __init__(self, ours: Json, theirs: Json, found: dict[str, Json]) -> None:
        self._ours, self._theirs, self._found = ours, theirs, found
        self._seen = set[tuple[str, str, str]]()

    def compare(self, name: str, their_name: str, path: str = "") -> None:
        """Compare our schema with the object at a path of theirs."""
        if (name, their_name, path) in self._seen:
            return
        self._seen.add((name, their_name, path))
        their_fields = field_at(self._theirs[their_name], path).get("properties", {})
        for field, schema in self._ours[name].get("properties", {}).items():
            inside = f"{path}.{field}" if path else field
            if field not in their_fields or _is_expandable(schema) > _is_expandable(their_fields[field]):
                self._found.setdefault(their_name, {})[inside] = schema
                continue
            parts = [each for each in references(schema) if "x-resourceId" not in self._ours[each]]
            for part in parts[:1]:
                self._compare_part(part, their_fields[field], their_name, inside)

    def _compare_part(self, part: str, theirs: Json, their_name: str, inside: str) -> None:
        named = [each for each in references(theirs) if "x-resourceId" not in self._theirs[each]]
        if "properties" in theirs:
            self.compare(part, their_name, inside)
        elif "properties" in theirs.get("items", {}):
            self.compare(part, their_name, f"{inside}.*")
        elif len(named) == 1:
            self.compare(part, named[0])


def _is_expandable(field: Json) -> bool:
    """Whether a field has the id of an object, and the object where a request asks for it."""
    return bool(references(field)) and any(each.get("type") == "string" for each in field.get("anyOf", ()))


def changes(new: Json, old: Json) -> Iterator[str]:
    """Say what is new and what is gone, a line for each thing. What a new list or a new object has is new
    with it, and has no line of its own."""
    known, kept = (
        one
        | {
            "paths": {path: one["paths"][path] for path in one["paths"].keys() & other["paths"].keys()},
            "schemas": {
                name: one["schemas"][name] for name in one["schemas"].keys() & other["schemas"].keys()
            },
        }
        for one, other in ((new, old), (old, new))
    )
    yield f"{old['version']} -> {new['version']}"
    yield from _both("list", _lists(new), _lists(old))
    yield from _both("parameter", _parameters(known), _parameters(kept))
    yield from _both("error code", *(dict.fromkeys(each["error_codes"], "") for each in (new, old)))
    yield from _both("event type", _events(new), _events(old))
    yield from _both("thin event type", _thin_events(new), _thin_events(old))
    yield from _both("field", _fields(known), _fields(kept))
    yield from _both("field that looks like a secret", _secrets(new), _secrets(old), gone=False)
    yield from _both("id of another object", _ids(new), _ids(old), gone=False)


def _both(what: str, new: Mapping[str, str], old: Mapping[str, str], *, gone: bool = True) -> Iterator[str]:
    for name in sorted(new.keys() - old.keys()):
        yield f"new {what}: {name}{new[name]}"
    for name in sorted(old.keys() - new.keys()) if gone else ():
        yield f"{what} is gone: {name}"


def _lists(facts: Json) -> dict[str, str]:
    return {
        path: f" ({', '.join(methods['get']['lists'])})"
        for path, methods in facts["paths"].items()
        if "lists" in methods.get("get", {})
    }


def _parameters(facts: Json) -> dict[str, str]:
    return {
        f"{path}?{name}=": " (required)" if each.get("required") else ""
        for path in _lists(facts)
        for name, each in facts["paths"][path]["get"]["query"].items()
    }


def _events(facts: Json) -> dict[str, str]:
    return dict.fromkeys(facts["event_types"], "")


def _thin_events(facts: Json) -> dict[str, str]:
    """Those without a twin among the other types: only they report something that those do not."""
    return {
        each: f" ({name})" if name else ""
        for name, types in facts["thin_event_types"].items()
        for each in types
        if each.removeprefix("v1.") not in facts["event_types"]
    }


def _fields(facts: Json) -> dict[str, str]:
    return {
        f"{name}.{field}": ""
        for name, schema in facts["schemas"].items()
        for field in schema.get("properties", {})
    }


def _secrets(facts: Json) -> dict[str, str]:
    return {
        f"{name}.{field}": ""
        for name, schema in facts["schemas"].items()
        for field, each in schema.get("properties", {}).items()
        if SECRET in each
    }


def _ids(facts: Json) -> dict[str, str]:
    """Fields with the id of another object: those that can be expanded, and those whose name ends in the
    object's."""
    names: dict[str, list[str]] = {}
    for name, schema in facts["schemas"].items():
        if "x-resourceId" in schema:
            names.setdefault(name.rpartition(".")[2], []).append(name)
    found = {}
    for name, schema in facts["schemas"].items():
        for field, each in schema.get("properties", {}).items():
            is_text = each.get("type") == "string" or {"type": "string"} in each.get("anyOf", ())
            targets = references(each) or _named_at_the_end(field, names)
            if is_text and targets and "enum" not in each:
                found[f"{name}.{field}"] = f" ({', '.join(targets)})"
    return found


def _named_at_the_end(field: str, names: Mapping[str, list[str]]) -> list[str]:
    """The objects whose name is the longest end of a field's name."""
    words = field.split("_")
    ends = ("_".join(words[first:]) for first in range(len(words)))
    return next((names[each] for each in ends if each in names), [])
