"""The table of resources: every row by name, the lists that show them elsewhere, and who is whose child."""

from sandbox.stripe.kind import Kind, View
from sandbox.stripe.kinds import (
    billing,
    catalog,
    connect,
    core,
    customers,
    files,
    issuing,
    money,
    payments,
)

_ROOMS = (core, connect, catalog, customers, payments, billing, money, files, issuing)

KINDS: dict[str, Kind] = {row.name: row for room in _ROOMS for row in room.ROWS}
VIEWS: tuple[View, ...] = (*connect.VIEWS, *customers.VIEWS, *payments.VIEWS)
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
