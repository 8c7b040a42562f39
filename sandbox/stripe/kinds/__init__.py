"""The table of resources: every row by name, the lists that show them elsewhere, who is whose child, and who
has a place for others."""

from sandbox.stripe.kind import Holder, Kind, View
from sandbox.stripe.kinds import (
    arrangements,
    billing,
    catalog,
    climate,
    connect,
    core,
    customers,
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
)

KINDS: dict[str, Kind] = {row.name: row for room in (*_ROOMS, *_MORE) for row in room.ROWS}
VIEWS: tuple[View, ...] = (*connect.VIEWS, *customers.VIEWS, *payments.VIEWS, *billing.VIEWS, *money.VIEWS)
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
HELD: dict[str, dict[str, tuple[Kind, Holder]]] = {}
for _row in KINDS.values():
    for _holder in _row.holders:
        for _kind in _holder.kinds:
            HELD.setdefault(_kind, {})[_holder.place] = (_row, _holder)
