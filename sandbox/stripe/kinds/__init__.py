"""The table of resources: every row by name, the lists that show them elsewhere, who is whose child, and who
has a place for others. What Stripe's document tells of a kind, its row leaves out.

Every `Kind` and `View` at the top of a module here is in the table."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import TypeVar

from sandbox.stripe import facts
from sandbox.stripe.filters import Filter, documented
from sandbox.stripe.kind import DOCUMENTED, Holder, Kind, View
from sandbox.stripe.kinds import derived

_T = TypeVar("_T")
_ROOMS = (
    *("core", "connect", "catalog", "customers", "payments", "billing", "discounts", "money", "files"),
    *("issuing", "arrangements", "metering", "offers", "products", "records", "tax", "treasury", "v2"),
)


def _every(what: type[_T]) -> Iterator[_T]:
    for room in _ROOMS:
        module = vars(import_module(f"{__name__}.{room}"))
        yield from (each for each in module.values() if isinstance(each, what))


def completed(row: Kind) -> Kind:
    """A row with what the document gives beside it."""
    path = derived.path(row) if row.path == DOCUMENTED else row.path
    nested = tuple(replace(each, url=each.url or f"{path}/{{id}}/{each.field}") for each in row.nested)
    given = derived.templates(row.object_name) | derived.own(row.flow, nested)
    dropped = {*row.fields, *(each.field for each in nested if not each.shown)}
    shown = {name: each for name, each in given.items() if name not in dropped}
    own = {name: derived.completed(given.get(name), each) for name, each in row.fields.items()}
    ops = facts.ops(path) if row.ops == DOCUMENTED else row.ops
    return replace(
        row,
        path=path,
        nested=nested,
        ops=ops,
        fields={**shown, **own},
        filters=_filters(path, row.filters),
        events=derived.events(row),
        created=derived.created(row) if row.created == DOCUMENTED else row.created,
        product=derived.product(row) if row.product == DOCUMENTED else row.product,
    )


def _filters(path: str, own: tuple[Filter, ...]) -> tuple[Filter, ...]:
    """Its own, and those that a list at its path has beside them."""
    query = facts.forms().get(("GET", facts.shape_of(path)), {}) if path else {}
    names = {each.param for each in own}
    return (*own, *(each for each in documented(query) if each.param not in names))


KINDS: dict[str, Kind] = {row.name: completed(row) for row in _every(Kind)}
NAMED: dict[str, tuple[str, ...]] = {}
"""The kinds whose objects have a name."""
for _row in KINDS.values():
    NAMED[_row.object_name] = (*NAMED.get(_row.object_name, ()), _row.name)
VIEWS = tuple(
    replace(view, ops=facts.ops(view.path), filters=_filters(view.path, view.filters))
    for view in _every(View)
)
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
HELD: dict[str, dict[str, tuple[Kind, Holder]]] = {}
for _row in KINDS.values():
    for _holder in _row.holders:
        for _kind in _holder.kinds:
            HELD.setdefault(_kind, {})[_holder.place] = (_row, _holder)
