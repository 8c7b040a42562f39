"""The table of resources: every row by name, the lists that show them elsewhere, who is whose child, and who
has a place for others. What Stripe's document tells of a kind, its row leaves out."""

from dataclasses import replace

from sandbox.stripe import facts
from sandbox.stripe.filters import Filter, documented
from sandbox.stripe.kind import DOCUMENTED, Events, Holder, Kind, View
from sandbox.stripe.kinds import (
    arrangements,
    billing,
    catalog,
    climate,
    connect,
    core,
    customers,
    derived,
    discounts,
    entitlements,
    files,
    financial_connections,
    identity,
    installs,
    issuing,
    metering,
    money,
    offers,
    payments,
    records,
    reporting,
    tax,
    terminal,
    three_d_secure,
    treasury,
    trials,
    v2,
)

_ROOMS = (core, connect, catalog, customers, payments, billing, discounts, money, files, issuing)
_MORE = (
    arrangements,
    climate,
    entitlements,
    financial_connections,
    identity,
    installs,
    metering,
    offers,
    records,
    reporting,
    tax,
    terminal,
    three_d_secure,
    treasury,
    trials,
    v2,
)


def _completed(row: Kind) -> Kind:
    """A row with what the document gives beside it."""
    given = derived.templates(row.object_name)
    shown = {name: each for name, each in given.items() if name not in (*row.fields, *row.includes)}
    own = {name: derived.completed(given.get(name), each) for name, each in row.fields.items()}
    ops = facts.ops(row.path) if row.ops == DOCUMENTED else row.ops
    events = derived.events(row) if row.events == Events() else row.events
    return replace(row, ops=ops, fields={**shown, **own}, filters=_filters(row), events=events)


def _filters(row: Kind | View) -> tuple[Filter, ...]:
    """Its own, and those that a list at its path has beside them."""
    query = facts.forms().get(("GET", facts.shape_of(row.path)), {}) if row.path else {}
    own = {each.param for each in row.filters}
    return (*row.filters, *(each for each in documented(query) if each.param not in own))


KINDS: dict[str, Kind] = {row.name: _completed(row) for room in (*_ROOMS, *_MORE) for row in room.ROWS}
NAMED: dict[str, tuple[str, ...]] = {}
"""The kinds whose objects have a name."""
for _row in KINDS.values():
    NAMED[_row.object_name] = (*NAMED.get(_row.object_name, ()), _row.name)
VIEWS: tuple[View, ...] = tuple(
    replace(view, filters=_filters(view))
    for room in (connect, customers, payments, billing, money)
    for view in room.VIEWS
)
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
HELD: dict[str, dict[str, tuple[Kind, Holder]]] = {}
for _row in KINDS.values():
    for _holder in _row.holders:
        for _kind in _holder.kinds:
            HELD.setdefault(_kind, {})[_holder.place] = (_row, _holder)
