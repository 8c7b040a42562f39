"""What a person at a terminal sees of a capture: a table that fits into the screen, and a summary. Pure.

A table that is higher than its terminal cannot be taken back, so it scrolls away line by line. Hence no line
is wrapped, and rows that have no room are cut: those that are at work stay longest, and a line counts the
others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.table import Table
from rich.text import Text

from sandbox.flow.standing import Phase

_MARGIN = 1  # the line of the cursor, below the table
_FRAME = 1  # the line of titles
_AT_WORK = {"backfilling": 0, "following": 1, "waiting": 2}


@dataclass(frozen=True)
class Row:
    stream: str
    phase: Phase
    documents: int
    rate: float
    """Documents a second."""
    left: str = ""
    """How much of a backfill is left, in the connector's words."""
    age: timedelta | None = None
    """Of the oldest cursor."""


def live_table(rows: Sequence[Row], footer: Sequence[str], height: int) -> Table:
    """All of `rows` that `height` lines have room for, with `footer` below."""
    room = max(1, height - _MARGIN - _FRAME - len(footer))
    shown = list(rows)
    if len(rows) > room:
        kept = set(sorted(range(len(rows)), key=lambda place: _urgency(rows[place]))[: room - 1])
        shown = [row for place, row in enumerate(rows) if place in kept]
        cut = [row for place, row in enumerate(rows) if place not in kept]
        footer = [f"and {_phases(cut)}", *footer]
    table = _table("stream", "state", "documents", "rate", "left", "cursor")
    for row in shown:
        table.add_row(
            row.stream, row.phase, f"{row.documents:,}", _rate(row.rate), row.left, _age(row.age, " ago")
        )
    return _with_footer(table, footer[-max(1, height - _MARGIN) :])


def summary(rows: Sequence[Row], footer: Sequence[str]) -> Table:
    """What has come of each stream. Streams without documents are counted, but for those not done."""
    told = [row for row in rows if row.documents or row.phase != "following"]
    table = _table("stream", "state", "documents", "rate", "cursor")
    for row in told:
        table.add_row(row.stream, row.phase, f"{row.documents:,}", _rate(row.rate), _age(row.age, " ago"))
    if quiet := len(rows) - len(told):
        footer = [f"{counted(quiet, 'more stream')} without documents", *footer]
    return _with_footer(table, footer)


def counted(count: int, name: str) -> str:
    head, _, noun = name.rpartition(" ")
    return f"{count:,} {head}{' ' if head else ''}{noun}{'' if count == 1 else 's'}"


def _table(*titles: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for title in titles:
        is_number = title in ("documents", "rate", "cursor")
        table.add_column(justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
    table.add_row(*(Text(title, style="bold") for title in titles))
    return table


def _with_footer(table: Table, footer: Sequence[str]) -> Table:
    whole = Table.grid()
    whole.add_column(no_wrap=True, overflow="ellipsis")
    if table.row_count > 1:
        whole.add_row(table)
    for line in footer:
        whole.add_row(Text(line, style="dim"))
    return whole


def _urgency(row: Row) -> tuple[int, float]:
    return _AT_WORK[row.phase], -row.rate or -min(row.documents, 1) / 2


def _phases(rows: Sequence[Row]) -> str:
    phases = Counter(row.phase for row in rows)
    told = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    return f"{counted(len(rows), 'more stream')}: {told}"


def _rate(rate: float) -> str:
    return f"{rate:,.1f}/s" if rate else ""


def _age(age: timedelta | None, suffix: str) -> str:
    if age is None:
        return ""
    seconds = max(0, round(age.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}{suffix}"
    return f"{seconds} s{suffix}"
