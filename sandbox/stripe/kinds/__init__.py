"""The table of resources: every row, by name."""

from sandbox.stripe.kind import Kind, View
from sandbox.stripe.kinds import catalog, connect, core

KINDS: dict[str, Kind] = {row.name: row for module in (core, connect, catalog) for row in module.ROWS}
VIEWS: tuple[View, ...] = ()
CHILDREN: dict[str, tuple[Kind, ...]] = {
    name: tuple(row for row in KINDS.values() if row.parent and row.parent.kind == name) for name in KINDS
}
