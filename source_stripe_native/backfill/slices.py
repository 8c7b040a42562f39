"""Slices: a single account's backfill, divided by creation time and read in several places at once.

    start_date                                               cutoff
        |---------------- _from_start <------------------------|       newest first
        |---------------- _from_start <---------------|                after a page
        |--- _from_start <---|- _from_2024-05-01... <-|                divided in the middle

A backfill starts as one slice. Before a page, a slice with more than `Settings.pages_to_divide` pages left
gives away the newer half of them, while there are fewer slices than saturate the request limit at Stripe's
latency: the new slice goes on where the old one was, and the old slice goes on below the middle. Halves are
of time, but a half with more documents left is halved again: slices follow density, and a small account is
not divided at all.

Each slice is a variant of the backfill with a state of its own (see state/shapes.py). The new slice's state
is written before the old slice moves on, from what was captured of the old one. After a crash in between, the
two slices overlap; the old one is cut when the states are read again.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from estuary_cdk.capture.common import FetchPageFn, ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.backfill.page_loop import Binding, PageHooks, run_page_loop, state_under
from source_stripe_native.backfill.progress import Progress, oldest_second
from source_stripe_native.flow.output import closing
from source_stripe_native.settings import Settings
from source_stripe_native.state.parts import Backfill, cursor_time
from source_stripe_native.state.shapes import ConnectorState, slice_start, slice_suffix
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.stripe.pages import Page, PageToken, Source
from source_stripe_native.stripe.rate_limit import MOST_PER_ENDPOINT

_WHOLE: Final = ""
"""All slices together: they are one subtask in the progress."""

FetchSlice = Callable[[int, PageHooks, asyncio.Event], FetchPageFn[Any]]
"""Makes the function that reads the slice from a second on, and that calls its page hooks. The event is set
when the capture stops."""


@dataclass
class Slice:
    """What is left of a slice: the objects created from `since` to `until`, both included, in Unix
    seconds."""

    since: int
    until: int
    token: PageToken | None = None
    """Where the rest starts in the list; None at the list's top."""
    pages: float = 0.0
    """The estimated number of pages; 0 while unknown."""

    @property
    def window(self) -> Window:
        return Window(self.since, max(self.since, self.until) + 1)

    def cut(self, middle: int) -> None:
        """Leaves what is older than `middle`."""
        self.until = middle - 1
        self.token, self.pages = PageToken(None, self.until), 0.0

    def divide(self) -> "Slice":
        """Keeps the older half and returns the newer one."""
        _, half = self.window.halves()
        newer = Slice(half.start, self.until, self.token)
        self.cut(newer.since)
        return newer


def useful_slices(latency: float, settings: Settings) -> int:
    """Number of slices that saturate the request limit at this latency, in seconds."""
    return max(1, min(settings.max_slices, int(settings.slice_surplus * MOST_PER_ENDPOINT * latency)))


def without_overlap(slices: Iterable[Slice]) -> None:
    """Cuts each slice where the next newer one starts."""
    for older, newer in itertools.pairwise(sorted(slices, key=lambda part: part.since)):
        if older.until >= newer.since:
            older.cut(newer.since)


@dataclass
class Density:
    """Pages read, and the seconds of creation time that they cover."""

    pages: int = 0
    seconds: int = 0

    def pages_in(self, seconds: int, last: int) -> float:
        """The estimated number of pages in so many seconds, where the last page covered `last` seconds: by
        the lower of the whole density and that page's. Dividing for nothing costs a request, dividing a page
        later costs nothing."""
        return seconds * min(self.pages / max(1, self.seconds), 1 / max(1, last))


@dataclass
class SlicedBackfill:
    """The slices of a binding's backfill, from the state of each. Made by the binding, which runs it as a
    task; page hooks call it. The list of `source` is read from the second `start` on. One that `is_whole` is
    not divided."""

    binding: Binding
    binding_index: int
    resource_state: ResourceState
    fetch_slice: FetchSlice
    progress: Progress
    source: Source
    start: int
    is_whole: bool
    slices: dict[str, Slice] = field(default_factory=dict)
    before: list[Window] = field(default_factory=list)
    """What was left when this process began."""
    density: Density = field(default_factory=Density)
    checkpoint_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, task: Task) -> None:
        states = self.resource_state.backfill
        assert isinstance(states, dict), "slices have a state each"
        unfinished = {suffix: at for suffix, at in states.items() if at is not None}
        self.slices = {suffix: self._slice(suffix, at) for suffix, at in unfinished.items()}
        without_overlap(self.slices.values())
        self.before = [part.window for part in self.slices.values()]
        for suffix, at in unfinished.items():
            self.start_slice(suffix, at, task)

    def _slice(self, suffix: str, at: Backfill) -> Slice:
        token = PageToken.parse(str(at.next_page)) if at.next_page else None
        created = token.created if token else None
        until = floor(cursor_time(at.cutoff)) if created is None else created
        return Slice(max(self.start, slice_start(suffix) or 0), until, token)

    def start_slice(self, suffix: str, at: Backfill, task: Task) -> None:
        hooks = SliceHooks(self, suffix, at, task)
        fetch_page = self.fetch_slice(self.slices[suffix].since, hooks, task.stopping.event)
        is_repeat = self.resource_state.is_connector_initiated

        async def read(own_task: Task) -> None:
            state_of = functools.partial(state_under, self.binding, suffix)
            await run_page_loop(self.binding_index, fetch_page, at, state_of, is_repeat, own_task)

        task.spawn_child(suffix, closing(read))

    def at_once(self) -> int:
        """How many slices there may be. A list that Stripe does not filter by time has to be read from its
        top for each slice."""
        source, stream = self.source, self.source.stream
        if self.is_whole or not source.refused.filters_by_time(stream):
            return 1
        return useful_slices(source.http.latency(stream.list_path()), source.settings)


@dataclass(frozen=True)
class SliceHooks:
    """The page hooks of one slice."""

    backfill: SlicedBackfill
    suffix: str
    state: Backfill
    task: Task

    async def before_page(self, _: PageToken | None) -> PageToken | None:
        """Divides a slice that should give away a part of itself. Returns where the slice is read next."""
        backfill, source, task = self.backfill, self.backfill.source, self.task
        find_oldest = functools.partial(oldest_second, source, source.stream.list_params())
        await backfill.progress.look_for_oldest(_WHOLE, find_oldest)
        this = backfill.slices[self.suffix]
        if (
            this.pages > source.settings.pages_to_divide
            and this.window.seconds > 1
            and len(backfill.slices) < backfill.at_once()
            and not task.stopping.event.is_set()
        ):
            newer = this.divide()
            name = slice_suffix(newer.since)
            state = Backfill(cutoff=self.state.cutoff, next_page=str(newer.token))
            backfill.slices[name] = newer
            patch = {backfill.binding.stateKey: ResourceState(backfill={name: state})}
            async with backfill.checkpoint_lock:  # a task may write one checkpoint at a time
                await task.checkpoint(ConnectorState(bindingStateV1=patch))
            backfill.start_slice(name, state, task)
        return this.token

    def after_page(self, page: Page, _: Window, documents: int) -> None:
        backfill = self.backfill
        slices, density, this = backfill.slices, backfill.density, backfill.slices[self.suffix]
        this.token = page.next
        if page.next is None:
            del slices[self.suffix]
        elif page.next.created is not None and page.objects:
            # Neither a gap before the page nor a page of what is newer than the slice, where Stripe does not
            # filter the list, says anything about what comes after it.
            newest = page.objects[0].get("created", this.until)
            last, this.until = max(0, newest - page.next.created), page.next.created
            density.pages += 1
            density.seconds += last
            this.pages = density.pages_in(this.window.seconds, last)
        whole = Window(backfill.start, floor(cursor_time(self.state.cutoff)) + 1)
        rest = [part.window for part in slices.values()]
        expected = sum(part.pages for part in slices.values()) * backfill.source.settings.page_size
        backfill.progress.add_page(_WHOLE, documents, whole, backfill.before, rest, expected)
