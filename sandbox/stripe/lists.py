"""Which objects a list request answers with: a pure function of tables and a query, without a word of HTTP.

Lists run from the newest object to the oldest. A page costs what it shows, not what the table holds: the
bounds are found by bisection, and the objects come from the smallest sorted lists that the query's tests
allow."""

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sandbox.stripe.filters import Match
from sandbox.stripe.table import Entry, Key, Table, key_of

FIRST: Key = (-(1 << 62), 0)
LAST: Key = (1 << 62, 0)


@dataclass(frozen=True)
class Query:
    """`tests` are by place in the kind's facets. `low` and `high` are bounds of `created`, both inclusive.
    `after` and `before` are the keys of the cursors: `after` asks for older objects, `before` for newer
    ones."""

    tests: tuple[tuple[int, Match], ...] = ()
    parent: str | None = None
    low: int | None = None
    high: int | None = None
    after: Key | None = None
    before: Key | None = None
    limit: int = 10


@dataclass(frozen=True)
class Page:
    entries: list[Entry]
    has_more: bool


def page(tables: Sequence[Table], query: Query) -> Page:
    """The page of all `tables` together, newest first. `has_more` is about the direction of paging."""
    low: Key = FIRST if query.low is None else (query.low, -1)
    high: Key = LAST if query.high is None else (query.high + 1, -1)
    if query.after is not None:
        high = min(high, query.after)
    if query.before is not None:
        low = max(low, (query.before[0], query.before[1] + 1))
    forward = query.before is None
    runs = [_run(entries, low, high, forward) for table in tables for entries in candidates(table, query)]
    merged = runs[0] if len(runs) == 1 else heapq.merge(*runs, key=key_of, reverse=forward)
    passing = (
        entry for entry in merged if all(test.accepts(entry.facets[place]) for place, test in query.tests)
    )
    found = list(islice(passing, query.limit + 1))
    shown = found[: query.limit]
    return Page(shown if forward else shown[::-1], len(found) > query.limit)


def candidates(table: Table, query: Query) -> list[list[Entry]]:
    """Sorted lists which together hold every object that can pass the query's tests, no object twice."""
    if query.parent is not None:
        return [table.children.get(query.parent, [])]
    best, size = [table.order], len(table.order)
    for place, test in query.tests:
        group = table.groups.get(place)
        if group is None:
            continue
        values = test.values
        if values is None:
            if (
                len(group) > 300
            ):  # as many event types as there are; testing more values would cost more than it saves
                continue
            values = tuple(value for value in group if test.accepts(value))
        lists = [group[value] for value in values if value in group]
        total = sum(map(len, lists))
        if total < size:
            best, size = lists, total
    return best


def _run(entries: list[Entry], low: Key, high: Key, forward: bool) -> Iterator[Entry]:
    start = bisect_left(entries, low, key=key_of)
    stop = bisect_left(entries, high, start, key=key_of)
    places = range(stop - 1, start - 1, -1) if forward else range(start, stop)
    return (entries[place] for place in places)
