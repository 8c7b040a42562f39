"""Stripe's bracket notation, in query strings and in form bodies, both ways of writing arrays included.

`created[gte]=5` and `recurring[interval]=month` are fields of a hash, `types[]=a` and `types[0]=a` elements
of an array."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from sandbox.stripe import errors
from sandbox.stripe.filters import Given, Json

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?[0-9]{1,18}")

_INTEGERS = frozenset(
    (
        "amount",
        "arrival_date",
        "cancel_at",
        "created",
        "date",
        "due_date",
        "duration_in_months",
        "end_date",
        "exp_month",
        "exp_year",
        "expires_at",
        "interval_count",
        "max_redemptions",
        "percent_off",
        "quantity",
        "redeem_by",
        "start_date",
        "trial_end",
        "trial_period_days",
        "unit_amount",
    )
)
"""Fields that are numbers even where the object at hand holds null."""


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, Given]:
    """What a query gives for each parameter, by the name before the first bracket."""
    given: dict[str, list[tuple[str | None, str]]] = {}
    for key, value in pairs:
        name, bracket, sub = key.partition("[")
        given.setdefault(name, []).append((sub.removesuffix("]") if bracket else None, value))
    return dict(given)


def nested(pairs: Sequence[tuple[str, str]]) -> Json:
    """A form as nested dicts and lists of strings."""
    tree: Json = {}
    for key, value in pairs:
        match = _NAME.fullmatch(key)
        if match is None:
            continue
        path = [match[1], *_PART.findall(match[2])]
        place = tree
        for part in path[:-1]:
            inner = place.setdefault(part, {})
            place = inner if isinstance(inner, dict) else {}
        last = path[-1]
        place[last or str(len(place))] = value
    return {key: value if key == "metadata" else _lists(value) for key, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    return list(inner.values()) if inner and all(key.isdigit() for key in inner) else inner


def check(value: Any, example: Any, name: str) -> None:
    """Raises StripeError for a form's value that is not of the type that `example` has in its place. "" in
    place of an array or of `metadata` empties it."""
    if isinstance(example, bool):
        wrong = "" if value in ("true", "false") else "boolean"
    elif isinstance(example, int | float) or (example is None and name in _INTEGERS and value != ""):
        wrong = "" if isinstance(value, str) and _NUMBER.fullmatch(value) else "integer"
    elif isinstance(example, dict):
        wrong = "" if isinstance(value, dict) or (name == "metadata" and value == "") else "object"
    elif isinstance(example, list):
        wrong = "" if isinstance(value, list) or value == "" else "array"
    else:
        wrong = "" if isinstance(value, str) or example is None else "string"
    if wrong:
        raise errors.invalid(wrong, value if isinstance(value, str) else orjson.dumps(value).decode(), name)
    if isinstance(value, dict) and isinstance(example, dict) and name != "metadata":
        for key, inner in value.items():
            check(inner, example.get(key), key)


def typed(value: Any, example: Any, name: str = "") -> Any:
    """A form's strings with the types that `example`, the object as it is, has in their places. "" stands for
    null, as Stripe has it; in `metadata` every value stays a string, "" removes the key."""
    if value == "" and isinstance(example, list | dict):
        return type(example)()
    if isinstance(value, dict):
        inner = example if isinstance(example, dict) else {}
        return {
            key: typed(item, inner.get(key, "" if name == "metadata" else None), key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [typed(item, None, name) for item in value]
    if isinstance(example, bool):
        return value == "true"
    if (name in _INTEGERS or isinstance(example, int)) and _NUMBER.fullmatch(value):
        return int(value)
    return value if value != "" else None
