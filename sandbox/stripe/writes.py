"""What a form may write into an object: known fields, values of the right types, ids that there are.

What Stripe would refuse is refused as Stripe does. Nothing else may fail later, or leave an object that lists
cannot filter.
"""

import functools
from collections.abc import Sequence

import orjson

from sandbox.stripe import errors, forms
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind, merge
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.world import World

_NO_IDS = frozenset(("account", "source"))
"""Fields that are named as a kind, and hold what need not be an object of that kind in the same account."""


def written_fields(
    world: World, row: Kind, form: Sequence[tuple[str, str]], example: Json, home: str, *more: str
) -> Json:
    """The fields that a form gives an object of `row` in the account `home`, with the types of `example`.
    `more` are further fields that it may give. Raises StripeError."""
    fields = forms.nested(form)
    fields.pop("expand", None)
    allowed = row.fields.keys() | set(row.needs) | set(more)
    if row.parent and row.parent.kind != "account":
        allowed.add(row.parent.field)
    allowed -= {nested.field for nested in row.nested}
    if unknown := [name for name in fields if name not in allowed]:
        raise errors.unknown_parameters(unknown)
    for name, value in fields.items():
        forms.check(value, example.get(name), name)
        is_id = name in KINDS and name not in _NO_IDS and isinstance(value, str) and value != ""
        if is_id and value not in world.table(name, home).by_id:
            raise errors.missing(KINDS[name].object_name, value, name, status=400)
    given = {name: forms.typed(value, example.get(name), name) for name, value in fields.items()}
    for name, value in given.items():
        if not _is_listable(row, merge(example, {name: value})):
            raise errors.invalid("string", orjson.dumps(value).decode(), name)
    return given


@functools.cache
def example_of(kind: str) -> Json:
    """An object of a kind, for the types of its fields. Not to be changed."""
    world = World(now=0)
    return world.whole(kind, str(world.create(kind)["id"]))


def _is_listable(row: Kind, data: Json) -> bool:
    """Whether lists can be filtered by what an object has: by values, not by hashes and arrays."""
    try:
        hash(tuple(read(data) for read in row.reads))
    except TypeError:
        return False
    return True
