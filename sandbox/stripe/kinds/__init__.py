"""The table of resources: every row by name, the lists that show them elsewhere, who is whose child, and who
has a place for others."""

from sandbox.stripe.kind import Holder, Kind, View
from sandbox.stripe.kinds import (
    billing,
    catalog,
    connect,
    core,
    customers,
    discounts,
    files,
    issuing,
    money,
    payments,
)

_ROOMS = (core, connect, catalog, customers, payments, billing, discounts, money, files, issuing)

KINDS: dict[str, Kind] = {row.name: row for room in _ROOMS for row in room.ROWS}
VIEWS: tuple[View, ...] = (*connect.VIEWS, *customers.VIEWS, *payments.VIEWS, *billing.VIEWS)
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
HELD: dict[str, dict[str, tuple[Kind, Holder]]] = {}
for _row in KINDS.values():
    for _holder in _row.holders:
        for _kind in _holder.kinds:
            HELD.setdefault(_kind, {})[_holder.place] = (_row, _holder)
