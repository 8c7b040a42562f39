"""Progress: how far a stream's backfill is, and how long the rest of it may take.

A backfill consists of subtasks: one for each account and variant, or all slices together. What is left of a
subtask is the share of its time range that is still to be listed. That range begins at the oldest object, not
at the start date:

    start_date        oldest                                   cutoff
        |---- nothing ----|------- rest -------|---- read ------|

Rule: nothing is reported that nothing supports. A subtask counts as whole until its oldest object is known.
No time is reported while a long subtask is under way of which that is not known, or while hardly anything is
done.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import Any

from source_stripe_native.errors import StripeError, duration, is_refusal
from source_stripe_native.flow.log_lines import going_on
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.client import Params
from source_stripe_native.stripe.pages import Page, PageToken, Source, range_params

FindOldest = Callable[[Window, int], Awaitable[int | None]]
"""Finds the second before which a list of this window has no object, None where that cannot be known. There
are objects from about the given second on."""


@dataclass(frozen=True)
class BackfillStatus:
    """How far a backfill is: `documents` are those of this process, `done` is a share from 0 to 1, and
    `seconds_left` is an estimate. Each of the two is None where it is not known."""

    documents: int
    done: float | None = None
    seconds_left: float | None = None

    def words(self) -> str:
        """The share and the time left, or the documents where neither is known."""
        facts = [] if self.done is None else [f"{math.floor(100 * self.done + 1e-6)}% done"]
        if self.seconds_left is not None:
            facts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(facts) or f"{self.documents:,} document{'' if self.documents == 1 else 's'}"

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
        """How many documents may be left, by what was read so far; 0 where nothing is known."""
        if self.oldest is None or not self.done:
            return 0.0
        seconds = sum(window.seconds for window in self.rest)
        by_density = self.expected * self._seconds(self.rest, self.oldest) / max(1, seconds)
        return max(by_density, self.documents * self.left / self.done)

    def _share(self, windows: Sequence[Window]) -> float:
        if self.oldest is None:
            return 1.0
        return min(1.0, self._seconds(windows, self.oldest) / max(1, self.whole.end - self.oldest))

    @staticmethod
    def _seconds(windows: Sequence[Window], oldest: int) -> int:
        return sum(max(0, window.end - max(window.start, oldest)) for window in windows)


@dataclass
class Progress:
    """Progress of one stream's backfill of `subtasks`, of which some are `untouched`: not started, or not
    resumed yet. Made by a binding; page hooks report to it, and the summary reads it. `clock` is in
    seconds."""

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

    @property
    def unfinished(self) -> int:
        """How many subtasks are unfinished."""
        return self.untouched + len(self._under_way)

    def status(self, paused: int = 0) -> BackfillStatus | None:
        """How far the backfill is; None where none is under way. So many of its unfinished subtasks are
        `paused`, and cannot go on."""
        if self.unfinished <= paused:
            return None
        under_way = self._under_way.values()
        left = self.untouched + sum(subtask.left for subtask in under_way)
        is_known = self.subtasks > 1 or any(subtask.oldest is not None for subtask in under_way)
        done = max(0.0, 1 - left / self.subtasks) if is_known else None
        return BackfillStatus(self._documents, done, self._seconds_left(left))

    def _seconds_left(self, left: float) -> float | None:
        """By the subtasks that are left, or by the documents that they may hold, whichever takes longer.
        Those of which nothing is known are taken for as large as those that have ended."""
        under_way, unknown = self._under_way.values(), self.untouched
        for subtask in under_way:
            if subtask.oldest is None and subtask.pages > self.settings.pages_to_find_oldest:
                return None
            unknown += subtask.oldest is None
        done = self._ended + sum(subtask.done for subtask in under_way)
        is_too_early = done < self.settings.least_share_timed * self.subtasks
        if self._first_page_time is None or is_too_early or (unknown and not self._ended):
            return None
        documents_left = sum(subtask.documents_left for subtask in under_way)
        documents_left += unknown * self._ended_documents / max(1, self._ended)
        share = max(left / done, documents_left / max(1, self._documents))
        return (self.clock() - self._first_page_time) * share

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
            if self._first_page_time is None:
                self._first_page_time = self.clock()
            self._documents += documents
            if (subtask := self._under_way.get(key)) is None:
                # Where none is untouched, it is of an account that has connected since.
                self.subtasks += not self.untouched
                self.untouched = max(0, self.untouched - 1)
                subtask = self._under_way[key] = Subtask(whole, before, before)
            subtask.pages += 1
            subtask.documents += documents
            subtask.rest, subtask.expected = rest, expected
            if not rest:
                del self._under_way[key]
                self._ended += 1
                self._ended_documents += subtask.documents

    async def look_for_oldest(self, key: str, find_oldest: FindOldest) -> None:
        """Finds the oldest object of a subtask that is long, once. A short one is over before that is worth
        its requests."""
        subtask = self._under_way.get(key)
        if subtask is None or subtask.is_oldest_asked or subtask.pages < self.settings.pages_to_find_oldest:
            return
        subtask.is_oldest_asked = True
        with going_on(self.log, "progress"):
            subtask.oldest = await find_oldest(subtask.whole, max(window.end for window in subtask.rest))


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


async def oldest_second(source: Source, params: Params, window: Window, known: int) -> int | None:
    """The second before which the list of `window` that a backfill pages has no object: its own, or that of
    its parents. None where the list takes no creation times, or where its objects have none. There are
    objects from about the second `known` on.

        start                                   known                top
          |........ are there any objects? ........|--- objects -------|
          |.... none ....|.. newest? ..|                                   half of it a request

    Each request asks for the newest object of the older half of what is not known: it halves that, or finds
    an older object. That goes on until little is unknown, as compared with the time that the list spans."""
    stream = source.stream.PARENT or source.stream
    if stream is not source.stream and not source.stream.VARIANTS_OF_PARENT:
        params = stream.list_params()
    path = stream.list_path()
    start, end = window.start, known
    while end - start > max(1.0, source.settings.oldest_tolerance * (window.end - end)):
        older, _ = Window(start, end).halves()
        try:
            answer = await source.get(path, [*params, *range_params(stream, older), ("limit", "1")])
        except StripeError as error:
            if is_refusal(error):
                return None
            raise
        if not source.refused.filters_by_time(stream):
            return None
        match answer.get("data"):
            case []:
                start = older.end
            case [{stream.CREATED: int(created)}, *_] if older.start <= created < older.end:
                end = created
            case _:
                return None
    return start
