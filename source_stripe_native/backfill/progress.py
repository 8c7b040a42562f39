"""Progress: how far a stream's backfill is, and how long the rest of it may take.

A backfill consists of subtasks: one for each account and variant. What is left of a subtask is the share of
its time range that is still to be listed. That range begins at the oldest object, not at the start date:

    start_date        oldest                                   cutoff
        |---- nothing ----|------- rest -------|---- read ------|

Rule: nothing is told that nothing supports. A subtask counts as whole until its oldest object is known. No
time is told while a long subtask is under way of which that is not known, or while hardly anything is done.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import Any

from source_stripe_native.flow.log_lines import going_on
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.pages import Page, PageToken

FindOldest = Callable[[Window, int], Awaitable[int | None]]
"""Finds the second before which a list of this window has no object, None where that cannot be known. There
are objects from about the given second on."""


@dataclass(frozen=True)
class BackfillStatus:
    """How far a backfill is: `documents` are those of this process, `done` is a share from 0 to 1, and
    `seconds_left` is an estimate. Each of the two is None where it is not known."""

    documents: int
    rate: float = 0.0
    """Documents a second."""
    done: float | None = None
    seconds_left: float | None = None

    def words(self) -> str:
        """The share and the time left, or the documents where neither is known."""
        facts = []
        if self.done is not None:
            facts.append(_percent(self.done))
        if self.seconds_left is not None:
            facts.append(_time_left(self.seconds_left))
        return ", ".join(facts) or _count(self.documents)

    def line(self) -> str:
        """All that is known."""
        facts = [_count(self.documents)]
        if self.rate:
            facts.append(f"{self.rate:,.0f} a second" if self.rate >= 10 else f"{self.rate:.1f} a second")
        if self.done is not None:
            facts.insert(0, _percent(self.done))
        if self.seconds_left is not None:
            facts.append(_time_left(self.seconds_left))
        return ", ".join(facts)

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "done": None if self.done is None else round(self.done, 3),
            "documents": self.documents,
            "left_seconds": None if self.seconds_left is None else round(self.seconds_left),
        }


@dataclass
class Subtask:
    """A subtask that is under way: the time range of its list, what was left of it `before` the first page of
    this process, and the `rest` that is left now."""

    whole: Window
    before: Sequence[Window]
    rest: Sequence[Window]
    pages: int = 0
    documents: int = 0
    expected: float = 0.0
    """How many documents may be left at least, by their density."""
    oldest: int | None = None
    """Nothing is older, in Unix seconds. None where that is not known."""
    is_oldest_asked: bool = False

    @property
    def left(self) -> float:
        """What is left, as a share. It is more than 0 as long as the subtask is under way."""
        return max(self._share(self.rest), 0.001)

    @property
    def done(self) -> float:
        """What this process has done, as a share."""
        return max(0.0, self._share(self.before) - self.left)

    @property
    def documents_left(self) -> float:
        """How many documents may be left, by what was found so far; 0 where nothing is known."""
        if self.oldest is None or not self.done:
            return 0.0
        of_time = sum(each.seconds for each in self.rest)
        of_objects = sum(_seconds_after(each, self.oldest) for each in self.rest)
        by_density = self.expected * of_objects / max(1, of_time)
        return max(by_density, self.documents * self.left / self.done)

    def _share(self, windows: Sequence[Window]) -> float:
        if self.oldest is None:
            return 1.0
        seconds = sum(_seconds_after(each, self.oldest) for each in windows)
        return min(1.0, seconds / max(1, self.whole.end - self.oldest))


def _seconds_after(window: Window, oldest: int) -> int:
    return max(0, window.end - max(window.start, oldest))


@dataclass
class Progress:
    """Progress of one stream's backfill of `subtasks`, of which some are `untouched`: not started, or not
    resumed yet. `clock` is in seconds."""

    stream: str
    log: Logger
    subtasks: int
    untouched: int
    settings: Settings = DEFAULTS
    clock: Callable[[], float] = time.monotonic
    _under_way: dict[str, Subtask] = field(default_factory=dict)
    _documents: int = 0
    _ended: int = 0
    """Subtasks that this process has ended."""
    _ended_documents: int = 0
    """Their documents."""
    _first_page_time: float | None = None
    _next_line_time: float = 0.0

    @property
    def unfinished(self) -> int:
        """How many subtasks are unfinished."""
        return self.untouched + len(self._under_way)

    def status(self, paused: int = 0) -> BackfillStatus | None:
        """How far the backfill is; None where none is under way. Of its unfinished subtasks so many are
        `paused`, and cannot go on."""
        if self.unfinished <= paused:
            return None
        return BackfillStatus(self._documents, self._rate(), self._done(), self._seconds_left())

    def add_page(
        self,
        key: str,
        documents: int,
        whole: Window,
        before: Sequence[Window],
        rest: Sequence[Window],
        expected: float = 0.0,
    ) -> None:
        """A page of the subtask `key` was read, which made so many `documents`. `rest` is empty once that was
        its last page."""
        with going_on(self.log, "progress"):
            self._add_page(key, documents, whole, before, rest, expected)

    def _add_page(
        self,
        key: str,
        documents: int,
        whole: Window,
        before: Sequence[Window],
        rest: Sequence[Window],
        expected: float,
    ) -> None:
        now = self.clock()
        if self._first_page_time is None:
            self._first_page_time = now
            self._next_line_time = now + self.settings.first_summary.total_seconds()
        self._documents += documents
        subtask = self._touch(key, whole, before)
        subtask.pages += 1
        subtask.documents += documents
        subtask.rest, subtask.expected = rest, expected
        if not rest:
            del self._under_way[key]
            self._ended += 1
            self._ended_documents += subtask.documents
        if self.unfinished and now < self._next_line_time:
            return
        self._next_line_time = now + self.settings.summary_interval.total_seconds()
        self._log_line()

    async def look_for_oldest(self, key: str, find_oldest: FindOldest) -> None:
        """Finds the oldest object of a subtask that is long, once. A short one is over before that is worth
        its requests."""
        subtask = self._under_way.get(key)
        if subtask is None or subtask.is_oldest_asked:
            return
        if subtask.pages >= self.settings.pages_to_find_oldest:
            subtask.is_oldest_asked = True
            with going_on(self.log, "progress"):
                subtask.oldest = await find_oldest(subtask.whole, max(each.end for each in subtask.rest))

    def _touch(self, key: str, whole: Window, before: Sequence[Window]) -> Subtask:
        if key not in self._under_way:
            if self.untouched:
                self.untouched -= 1
            else:
                self.subtasks += 1  # an account that has connected since
            self._under_way[key] = Subtask(whole, before, before)
        return self._under_way[key]

    def _rate(self) -> float:
        seconds = self._seconds()
        return self._documents / seconds if seconds >= 1 else 0.0

    def _seconds(self) -> float:
        return 0.0 if self._first_page_time is None else self.clock() - self._first_page_time

    @property
    def _left(self) -> float:
        """What is left, in subtasks."""
        return self.untouched + sum(each.left for each in self._under_way.values())

    def _done(self) -> float | None:
        if self.subtasks == 1 and all(each.oldest is None for each in self._under_way.values()):
            return None
        return max(0.0, 1 - self._left / self.subtasks)

    def _seconds_left(self) -> float | None:
        """By the subtasks that are left, or by the documents that they may hold, whichever takes longer.
        Those of which nothing is known are taken for as large as those that have ended."""
        under_way = self._under_way.values()
        at_most = self.settings.pages_to_find_oldest
        if any(each.oldest is None and each.pages > at_most for each in under_way):
            return None
        unknown = self.untouched + sum(each.oldest is None for each in under_way)
        if unknown and not self._ended:
            return None
        done = self._ended + sum(each.done for each in under_way)
        if done < self.settings.least_share_timed * self.subtasks:
            return None
        documents_left = sum(each.documents_left for each in under_way)
        documents_left += unknown * self._ended_documents / max(1, self._ended)
        by_documents = documents_left / max(1, self._documents)
        return self._seconds() * max(self._left / done, by_documents)

    def _log_line(self) -> None:
        """At debug, since the capture's summary tells of all streams at once."""
        if (status := self.status()) is None:
            ended = BackfillStatus(self._documents, self._rate())
            self.log.debug(f"Backfilled {self.stream}: {ended.line()}")
        else:
            told = {"backfilling": {self.stream: status.fields()}}
            self.log.debug(f"Backfilling {self.stream}: {status.line()}", extra=told)


def _count(documents: int) -> str:
    return f"{documents:,} document{'' if documents == 1 else 's'}"


def _percent(done: float) -> str:
    return f"{math.floor(100 * done + 1e-6)}% done"


def _time_left(seconds: float) -> str:
    return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """A length of time in its largest unit that is at least two: "90 seconds", "12 minutes"."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


@dataclass
class ProgressHooks:
    """The page hooks of a subtask that is listed from its newest object to its oldest: they report
    progress. Without `find_oldest` the list has no creation times."""

    key: str
    progress: Progress
    find_oldest: FindOldest | None = None
    _token: PageToken | None = None
    """Where the page starts that is being read."""

    async def before_page(self, token: PageToken | None) -> PageToken | None:
        self._token = token
        if self.find_oldest is not None:
            await self.progress.look_for_oldest(self.key, self.find_oldest)
        return token

    def after_page(self, page: Page, window: Window, documents: int) -> None:
        rest = [] if page.next is None else [_rest(window, page.next)]
        self.progress.add_page(self.key, documents, window, [_rest(window, self._token)], rest)


def _rest(window: Window, token: PageToken | None) -> Window:
    """What is left of a list of `window` that goes on at `token`."""
    if token is None or token.created is None:
        return window
    return Window(window.start, max(window.start, min(window.end, token.created + 1)))
