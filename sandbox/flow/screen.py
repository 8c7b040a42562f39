"""What a person at a terminal sees of a capture: a table that fits into the screen, and a summary. Pure.

A table that is higher than its terminal cannot be taken back, so it scrolls away line by line. Hence no line
is wrapped, and rows that have no room are cut: those that are at work stay longest, and a line counts the
others. Where the width does not suffice, names and texts are shortened. A number never is.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from sandbox.flow.standing import Phase

_MARGIN = 1  # the line of the cursor, below the table
_FRAME = 1  # the line of titles
_ECHO = 2  # "^C", which a terminal shows where the cursor is, at the end of the last line
_AT_WORK = {"backfilling": 0, "following": 1, "waiting": 2}


@dataclass(frozen=True)
class Row:
    stream: str
    phase: Phase
    documents: int
    rate: float
    """Documents a second."""
    paused: int = 0
    """How many accounts the connector leaves alone for now, since they are refused."""
    left: str = ""
    """How much of a backfill is done, and how long the rest takes (see `left_text`)."""
    age: timedelta | None = None
    """Of the oldest cursor."""


def live_table(rows: Sequence[Row], footer: Sequence[str], height: int, width: int) -> Table:
    """All of `rows` that `height` lines have room for, with `footer` below, which leaves room for what is
    typed: in the next line it would move the table."""
    room = max(1, height - _MARGIN - _FRAME - len(footer))
    shown = list(rows)
    if len(rows) > room:
        kept = set(sorted(range(len(rows)), key=lambda place: _urgency(rows[place]))[: room - 1])
        shown = [row for place, row in enumerate(rows) if place in kept]
        cut = [row for place, row in enumerate(rows) if place not in kept]
        footer = [f"and {_phases(cut)}", *footer]
    table = _table("stream", "state", "documents", "rate", "progress", "age")
    for row in shown:
        cells = (f"{row.documents:,}", _rate(row.rate), _short(row.left), _age(row.age))
        table.add_row(_short(row.stream), _short(_state(row)), *cells)
    cut_footer = [_cut(line, width - _ECHO) for line in footer[-max(1, height - _MARGIN) :]]
    return _with_footer(table, cut_footer)


def summary(rows: Sequence[Row], footer: Sequence[str]) -> Table:
    """What has come of each stream. Streams without documents are counted, but for those not done."""
    told = [row for row in rows if row.documents or row.phase != "following"]
    table = _table("stream", "state", "documents", "rate", "age")
    for row in told:
        cells = (f"{row.documents:,}", _rate(row.rate), _age(row.age))
        table.add_row(_short(row.stream), _short(_state(row)), *cells)
    if quiet := len(rows) - len(told):
        footer = [f"{counted(quiet, 'more stream' if told else 'stream')} without documents", *footer]
    return _with_footer(table, footer)


def left_text(status: Any) -> str:
    """How much of a backfill is done, and how long the rest takes, by the connector's
    `{"done": share, "left_seconds": seconds}`: as far as both are there."""
    if not isinstance(status, dict):
        return ""
    facts = []
    if isinstance(done := status.get("done"), int | float):
        facts.append(f"{math.floor(100 * done + 1e-6)}%")
    if isinstance(seconds := status.get("left_seconds"), int | float):
        facts.append(_length(seconds))
    return ", ".join(facts)


def counted(count: int, name: str) -> str:
    head, _, noun = name.rpartition(" ")
    return f"{count:,} {head}{' ' if head else ''}{noun}{'' if count == 1 else 's'}"


def _table(*titles: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for title in titles:
        is_number = title in ("documents", "rate", "age")
        # rich takes room from the columns that may wrap, before it takes some from all.
        may_wrap = title in ("stream", "state", "progress")
        table.add_column(justify="right" if is_number else "left", no_wrap=not may_wrap, overflow="ellipsis")
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


def _short(text: str) -> Text:
    """A text that is shortened instead of wrapped, in a column that may wrap."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: max(0, width - 1)]}…"


def _urgency(row: Row) -> tuple[int, float]:
    return _AT_WORK[row.phase], -row.rate or -min(row.documents, 1) / 2


def _phases(rows: Sequence[Row]) -> str:
    phases = Counter(row.phase for row in rows)
    told = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    return f"{counted(len(rows), 'more stream')}: {told}"


def _rate(rate: float) -> str:
    return f"{rate:,.1f}/s" if rate else ""


def _state(row: Row) -> str:
    return f"{row.phase}, {row.paused:,} paused" if row.paused else row.phase


def _age(age: timedelta | None) -> str:
    return "" if age is None else _length(age.total_seconds())


def _length(seconds: float) -> str:
    whole = max(0, round(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
