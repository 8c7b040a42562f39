"""Stripe's bracket notation, in query strings and in form bodies, and the types of what a form gives.

`created[gte]=5` and `recurring[interval]=month` are fields of a hash, `types[]=a` and `types[0]=a` elements
of an array. `tools.extract_facts.form_type` documents the types."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from sandbox.stripe import errors
from sandbox.stripe.filters import Given, Json

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_SCALARS: Final[Mapping[str, tuple[re.Pattern[str], Callable[[str], Any]]]] = {
    "boolean": (re.compile("true|false"), lambda text: text == "true"),
    "decimal": (re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?"), str),
    "integer": (re.compile(r"-?[0-9]{1,18}"), int),
    "number": (
        re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?"),
        lambda text: float(text) if "." in text else int(text),
    ),
    "string": (re.compile(".*", re.DOTALL), str),
}


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, Given]:
    """What a query gives for each parameter, by the name before the first bracket."""
    given: dict[str, list[tuple[str | None, str]]] = {}
    for key, value in pairs:
        name, bracket, sub = key.partition("[")
        given.setdefault(name, []).append((sub.removesuffix("]") if bracket else None, value))
    return dict(given)


def parsed(pairs: Sequence[tuple[str, str]], kind: Any) -> Json:
    """The parameters of a form of a type. "" is null where it may empty a parameter, and in a map. Raises
    StripeError."""
    return _hash(nested(pairs), kind, "")


def nested(pairs: Sequence[tuple[str, str]]) -> Json:
    """A form as nested dicts of strings, with the places of arrays as names."""
    tree: Json = {}
    for key, value in pairs:
        match = _NAME.fullmatch(key)
        if match is None:
            raise errors.unknown_parameters([key])
        path = [match[1], *_PART.findall(match[2])]
        place: Json = tree
        for at, part in enumerate(path[:-1], 1):
            inner = place.setdefault(part or _next(place, path[at:]), {})
            place = inner if isinstance(inner, dict) else {}
        place[path[-1] or str(len(place))] = value
    return tree


def _next(place: Json, rest: Sequence[str]) -> str:
    """The element that `[]` with names after it stands for: the last one, until it has what is given."""
    last = inner = place.get(str(len(place) - 1))
    for part in rest:
        inner = inner.get(part) if isinstance(inner, dict) and part else None
    return str(len(place) - (last is not None and inner is None))


def _typed(value: Any, kind: Any, name: str) -> Any:
    if isinstance(kind, list):
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise errors.invalid("array", _text(value), name)
        return [_typed(each, kind[0], f"{name}[{place}]") for place, each in enumerate(value.values())]
    if isinstance(kind, str) and kind != "map":
        pattern, read = _SCALARS[kind]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise errors.invalid("integer" if kind in ("decimal", "number") else kind, _text(value), name)
        return read(value)
    if "?" in kind:
        return None if value == "" else _typed(value, kind["?"], name)
    if "=" in kind:
        if value not in kind["="]:
            raise errors.no_choice(name, kind["="])
        return value
    if "|" in kind:
        return _any_of(value, kind["|"], name)
    if not isinstance(value, dict):
        raise errors.invalid("object", _text(value), name)
    if kind == "map":
        return {key: _typed(each, "string", name) or None for key, each in value.items()}
    if "*" in kind:
        return {key: _typed(each, kind["*"], f"{name}[{key}]") for key, each in value.items()}
    return _hash(value, kind, name)


def _any_of(value: Any, kinds: Sequence[Any], name: str) -> Any:
    wrong: errors.StripeError | None = None
    for kind in kinds:
        try:
            return _typed(value, kind, name)
        except errors.StripeError as error:
            wrong = wrong or error
    raise wrong or errors.invalid("object", _text(value), name)


def _hash(value: Json, kind: Mapping[str, Any], name: str) -> Json:
    def full(field: str) -> str:
        return f"{name}[{field}]" if name else field

    types = {field.rstrip("!"): each for field, each in kind.items()}
    if unknown := [full(field) for field in value if field not in types]:
        raise errors.unknown_parameters(unknown)
    for field in kind:
        if field.endswith("!") and value.get(field[:-1], "") == "":
            raise errors.missing_parameter(full(field[:-1]))
    return {field: _typed(each, types[field], full(field)) for field, each in value.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def type_of(example: Any) -> Any:
    """The type of what writes a value such as this, where Stripe's document has none."""
    match example:
        case bool():
            return "boolean"
        case int() | float():
            return {"?": "integer"}
        case dict():
            inner = {name: type_of(each) for name, each in example.items()}
            return {"?": inner or "map"}
        case list():
            return {"?": ["string"]}
    return {"?": "string"}
