"""What a form may write into an object: typed parameters, ids that there are, fields that the object has.

What Stripe would refuse is refused as Stripe does. Nothing else may fail later, or leave an object that lists
cannot filter. A parameter that is no field of the object is for the rule of its path to use.
"""

import functools
from collections.abc import Sequence
from typing import Any, Final

from sandbox.stripe import errors, facts, forms
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import ABSENT, Kind
from sandbox.stripe.kinds import KINDS, NAMED
from sandbox.stripe.rules import UNDOCUMENTED, cards
from sandbox.stripe.rules.act import Act
from sandbox.stripe.world import World

_MISFIT: Final = object()
_UNDOCUMENTED: Final = {
    (name.partition(" ")[0], facts.shape_of(name.partition(" ")[2])): form
    for name, form in UNDOCUMENTED.items()
}
_NO_IDS: Final = frozenset(
    ("account", "destination", "on_behalf_of", "source", "token", "transaction", "fee")
)
"""Fields whose value need not be an object of the same account."""


def parameters(act: Act, row: Kind, method: str, shape: facts.Shape, form: Sequence[tuple[str, str]]) -> Json:
    """The typed parameters of a form that is sent to a path about objects of `row`. Raises StripeError."""
    kind = facts.forms().get((method, shape), {})
    if (method, shape) not in facts.methods():
        kind = _UNDOCUMENTED.get((method, shape)) or _by_example(row.name)
    given = forms.parsed(form, {**kind, "expand": ["string"]})
    found: Json = _checked(act, given)
    return found


@functools.cache
def _by_example(kind: str) -> Json:
    """The type of a form whose path Stripe's document lacks."""
    world = World(now=0)
    example = world.whole(kind, str(world.create(kind)["id"]))
    return {name: forms.type_of(value) for name, value in example.items()}


def _checked(act: Act, given: Any, name: str = "", path: str = "") -> Any:
    """Parameters with a payment method of its own for each name of a test card's. Raises StripeError for an
    id of an object that there is not."""
    if isinstance(given, dict):
        if name == "metadata":
            return given
        return {
            key: _checked(act, value, key, f"{path}[{key}]" if path else key) for key, value in given.items()
        }
    if isinstance(given, list):
        return [_checked(act, value, name, f"{path}[{place}]") for place, value in enumerate(given)]
    if isinstance(given, str) and name not in _NO_IDS:
        kinds = [kind for each in facts.named_after().get(name, ()) for kind in NAMED.get(each, ())]
        if "payment_method" in kinds:
            given = cards.as_method(act, given)
        if kinds and not any(act.world.table(kind, act.home).find(given) for kind in kinds):
            raise errors.missing(KINDS[kinds[-1]].object_name, given, path, status=400)
    return given


def written(world: World, row: Kind, given: Json, old: Json | None, home: str) -> Json:
    """The fields that parameters give an object of `row`, which is `old` so far."""
    known = facts.schema(row.object_name).get("properties") or {name: {} for name in row.fields}
    inside = {nested.field for nested in row.nested}
    fields: Json = {}
    for name, value in given.items():
        if name == "metadata":
            fields[name] = _metadata(value, old and old.get(name))
        elif name in known and name not in inside:
            fitted = _fitted(world, home, known[name], value)
            if fitted is not _MISFIT:
                fields[name] = fitted
    return fields


def _metadata(given: Json | None, old: Json | None) -> Json:
    """Nothing empties it all, a key without a value goes."""
    new = dict.fromkeys(old or ()) if given is None else given
    if old is None:
        return {key: value for key, value in new.items() if value is not None}
    return {key: ABSENT if value is None else value for key, value in new.items()}


def _fitted(world: World, home: str, schema: Json, value: Any) -> Any:
    """A parameter's value as the field of the same name has it, if it can."""
    if not schema:
        return value
    choices = facts.resolved(schema)
    if value is None:
        return (
            []
            if choices[0].get("type") == "array"
            else {}
            if choices[0].get("additionalProperties")
            else None
        )
    for each in choices:
        fitted = _as(world, home, each, value)
        if fitted is not _MISFIT:
            return fitted
    return _MISFIT


def _as(world: World, home: str, schema: Json, value: Any) -> Any:
    kind = schema.get("type")
    if isinstance(value, str):
        if kind == "string" and value in schema.get("enum", (value,)):
            return value
        resource = schema.get("x-resourceId")
        return _whole(world, home, resource, value) if resource else _MISFIT
    if isinstance(value, bool | int | float):
        kinds = ("boolean",) if isinstance(value, bool) else ("integer", "number")
        return value if kind in kinds else _MISFIT
    if isinstance(value, list) and kind == "array":
        items = [_fitted(world, home, schema["items"], each) for each in value]
        return _MISFIT if any(each is _MISFIT for each in items) else items
    if isinstance(value, dict) and kind == "object":
        inner = schema.get("properties", {})
        if not inner:
            return value
        pairs = {key: _fitted(world, home, inner[key], each) for key, each in value.items() if key in inner}
        kept = {key: each for key, each in pairs.items() if each is not _MISFIT}
        return kept if kept or not value else _MISFIT
    return _MISFIT


def _whole(world: World, home: str, object_name: str, id: str) -> Any:
    """The object that a field has whole and a parameter names by its id."""
    for kind in NAMED.get(object_name, ()):
        if entry := world.table(kind, home).find(id):
            return entry.data()
    return _MISFIT
