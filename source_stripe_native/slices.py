"""Slices: a single account's backfill, divided by creation time and listed in several places at once.

    start_date                                               cutoff
        |---------------- _from_start <------------------------|       newest first
        |---------------- _from_start <---------------|                after a page
        |--- _from_start <---|- _from_2024-05-01... <-|                divided in the middle

A backfill begins as one slice. Before a page, a slice that has more than DIVIDED pages left gives away the
newer half of them, while there are fewer slices than are useful at Stripe's latency: the new slice goes on
where the old one was, and the old one below the middle. Halves are of time, but what has more documents left
is halved again, so that slices follow density, and a small account is not divided at all.

Each slice is a variant of the backfill with a state of its own (see state.py). The new one's is written
before the old one moves on, from what was captured of that: a crash in between shows as two slices that
overlap, of which the old one is cut when it is read again.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from estuary_cdk.capture.common import (
    ConnectorState,
    FetchPageFn,
    ResourceConfigWithSchedule,
    ResourceState,
    _binding_backfill_task,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding

from source_stripe_native.api import Course, time_of
from source_stripe_native.http import MOST_PER_ENDPOINT
from source_stripe_native.listing import PAGE_SIZE, Page, PageToken
from source_stripe_native.progress import Progress
from source_stripe_native.state import slice_start, slice_suffix
from source_stripe_native.window import Window, floor

Binding = CaptureBinding[ResourceConfigWithSchedule]
Backfill = ResourceState.Backfill

AT_ONCE: Final = 16
"""Slices that are read side by side at most."""
SPARE: Final = 3
"""How many times as many are read as would do if each was always waiting for an answer."""
DIVIDED: Final = 16
"""Pages that a slice has left at least, by what is known of its density, to be divided."""

FetchSlice = Callable[[int, Course], FetchPageFn[Any]]
"""Makes the function that reads the slice from a second on, and that asks and tells its course."""


@dataclass
class Slice:
    """What is left of a slice: what was created from `since` to `until`, both included, in Unix seconds."""

    since: int
    until: int
    token: PageToken | None = None
    """Where that begins in the list; None at the list's top."""
    pages: float = 0.0
    """How many pages it may be; 0 while nothing is known of them."""

    @property
    def seconds(self) -> int:
        return max(1, self.until + 1 - self.since)

    def cut(self, middle: int) -> None:
        """Leaves what is older than `middle`."""
        self.until = middle - 1
        self.token, self.pages = PageToken(None, self.until), 0.0

    def divide(self) -> "Slice":
        """Keeps the older half and returns the newer one."""
        newer = Slice(self.since + self.seconds // 2, self.until, self.token)
        self.cut(newer.since)
        return newer


def useful(latency: float) -> int:
    """How many slices it takes to ask as often as Stripe allows, where an answer takes so many seconds."""
    return max(1, min(AT_ONCE, int(SPARE * MOST_PER_ENDPOINT * latency)))


def without_overlap(slices: Iterable[Slice]) -> None:
    """Cuts each slice where the next newer one begins."""
    for older, newer in itertools.pairwise(sorted(slices, key=lambda each: each.since)):
        if older.until >= newer.since:
            older.cut(newer.since)


@dataclass
class Density:
    """Pages to seconds of creation time, of what was read."""

    pages: int = 0
    seconds: int = 0

    def pages_in(self, seconds: int, last: int) -> float:
        """How many pages there may be in so many seconds, where the last page took up `last`: by the lower of
        the whole density and that page's. To divide for nothing costs a request, a page later costs
        nothing."""
        return seconds * min(self.pages / max(1, self.seconds), 1 / max(1, last))


class SlicedBackfill:
    """The slices of a binding's backfill, from the state of each. `start` is the start date, in Unix seconds;
    `at_once` says how many slices may be read side by side."""

    def __init__(
        self,
        binding: Binding,
        binding_index: int,
        resource_state: ResourceState,
        fetch_slice: FetchSlice,
        progress: Progress,
        start: int,
        at_once: Callable[[], int],
    ) -> None:
        self._binding = binding
        self._binding_index = binding_index
        self._resource_state = resource_state
        self._fetch_slice = fetch_slice
        self._progress = progress
        self._start = start
        self._at_once = at_once
        self._slices: dict[str, Slice] = {}
        self._density = Density()
        self._writing = asyncio.Lock()

    async def run(self, task: Task) -> None:
        states = self._resource_state.backfill
        assert isinstance(states, dict), "slices have a state each"
        unfinished = {suffix: at for suffix, at in states.items() if at is not None}
        self._slices = {suffix: self._slice(suffix, at) for suffix, at in unfinished.items()}
        without_overlap(self._slices.values())
        for suffix, at in unfinished.items():
            self._begin(suffix, at, task)

    def _slice(self, suffix: str, at: Backfill) -> Slice:
        token = PageToken.parse(str(at.next_page)) if at.next_page else None
        created = token.created if token else None
        until = floor(time_of(at.cutoff)) if created is None else created
        return Slice(max(self._start, slice_start(suffix) or 0), until, token)

    def _begin(self, suffix: str, at: Backfill, task: Task) -> None:
        self._progress.leave(suffix, self._share(suffix, at))
        course = _Course(self, suffix, at, task)
        fetch_page = self._fetch_slice(self._slices[suffix].since, course)
        task.spawn_child(suffix, functools.partial(self._read, suffix, at, fetch_page))

    async def _read(self, suffix: str, at: Backfill, fetch_page: FetchPageFn[Any], task: Task) -> None:
        task.connector_status.inc_backfilling(self._binding_index)
        await _binding_backfill_task(
            self._binding,
            self._binding_index,
            fetch_page,
            at,
            self._resource_state.last_initialized,
            self._resource_state.is_connector_initiated,
            task,
            suffix,
        )
        task.connector_status.dec_backfilling(self._binding_index)

    async def start(self, suffix: str, at: Backfill, task: Task) -> PageToken | None:
        """Where a slice is to be read next, once it is seen whether it should give away a part of itself."""
        this = self._slices[suffix]
        if (
            this.pages > DIVIDED
            and this.seconds > 1
            and len(self._slices) < self._at_once()
            and not task.stopping.event.is_set()
        ):
            newer = this.divide()
            name, begin = slice_suffix(newer.since), Backfill(cutoff=at.cutoff, next_page=str(newer.token))
            self._slices[name] = newer
            state = ResourceState(backfill={name: begin})
            async with self._writing:  # a task may write one checkpoint at a time
                await task.checkpoint(ConnectorState(bindingStateV1={self._binding.stateKey: state}))
            self._begin(name, begin, task)
        return this.token

    def read(self, suffix: str, at: Backfill, page: Page, documents: int) -> None:
        """A page of a slice was read."""
        this = self._slices[suffix]
        this.token = page.next
        if page.next is None:
            del self._slices[suffix]
        elif page.next.created is not None:
            # A gap before the page says nothing of what comes after it.
            newest = page.objects[0].get("created", this.until)
            last, this.until = max(0, newest - page.next.created), page.next.created
            self._density.pages += 1
            self._density.seconds += last
            this.pages = self._density.pages_in(this.seconds, last)
        self._progress.read(suffix, self._share(suffix, at), documents, this.pages * PAGE_SIZE)

    def _share(self, suffix: str, at: Backfill) -> float:
        """What is left of a slice, as a share of the whole time range."""
        left = self._slices[suffix].seconds if suffix in self._slices else 0
        return left / max(1, floor(time_of(at.cutoff)) + 1 - self._start)


@dataclass(frozen=True)
class _Course:
    """The course of one slice."""

    backfill: SlicedBackfill
    suffix: str
    at: Backfill
    task: Task

    async def start(self, _: PageToken | None) -> PageToken | None:
        return await self.backfill.start(self.suffix, self.at, self.task)

    def read(self, page: Page, _: Window, documents: int) -> None:
        self.backfill.read(self.suffix, self.at, page, documents)
