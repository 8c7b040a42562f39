"""Lists that are polled: for objects that no event tells of, or whose creation no event tells of.

    read before  |- overlap -|----- window -----|----- later windows -----|  not yet
           low watermark  cursor                                      now - lag

A window of the list holds the objects that were created in it. Objects may become visible late, as events
may. A window is therefore read from before its start, down to the low watermark of the window before, and
objects that were seen before are skipped. What lies before the low watermark is not read again, so that
catching up reads every object once. After a restart nothing is known of the overlap: all of it is new once.

While a capture catches up, a window is as long as the density of the list's newest page suggests, so that a
checkpoint is never far away. Once a day the list of a longer past is read again, for objects that change
without an event.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from source_stripe_native.events.snapshots import Snapshots
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import to_document
from source_stripe_native.stripe.listings import listed_objects, read_listed
from source_stripe_native.stripe.pages import ORPHANS_TOP, Page, PageToken, Source, is_in_window
from source_stripe_native.window import Window, low_watermark, next_span, planned

DAY: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class ListMemory:
    """What a polled list's next window needs to know, in Unix seconds."""

    high_watermark: int
    """Before which all objects that were visible have been read."""
    low_watermark: int
    """Before which no new object can be found."""
    span: int | None = None
    """Seconds to read at once; None where the density is unknown."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """The objects since the low watermark: when each was created, by id. Of children that are born with
    their parent: the parents."""


class PolledLists:
    """The memories of all polled lists of a capture, by stream and account. A list in which the last window
    and its overlap found nothing has none. `snapshots` are of lists that are compared as a whole."""

    def __init__(self) -> None:
        self.snapshots = Snapshots()
        self._memories: dict[tuple[str, str | None], ListMemory] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def recall(self, source: Source, cursor: int, since: int) -> ListMemory:
        """The memory of the list at `cursor`. A cursor up to which the list was not read by this process has
        a new memory, whose overlap reaches back to `since` at most."""
        memory = self._memories.get((source.stream.NAME, source.account_id))
        if memory is not None and memory.high_watermark == cursor:
            return memory
        low = max(cursor - source.settings.overlap_seconds, since)
        return ListMemory(cursor, min(low, cursor))

    def keep(self, source: Source, memory: ListMemory | None) -> None:
        key = source.stream.NAME, source.account_id
        if memory is None:
            self._memories.pop(key, None)
        else:
            self._memories[key] = memory


class ListReader:
    """Reads one window of a polled list. Nothing is remembered of it until `memory_after` is kept: a reading
    that fails changes nothing."""

    def __init__(self, source: Source, memory: ListMemory) -> None:
        self._source = source
        self._memory = memory
        # Of a time before the list is read: what becomes visible meanwhile is still found later.
        self._low_watermark = low_watermark(source.http.now(), source.settings)
        self._span = memory.span
        self._first: Page | None = None
        """The first page of the window's list, where that has been read."""
        self._found: dict[str, int] = {}
        stream = source.stream
        sifted = (stream.PARENT if stream.BORN_WITH_PARENT else None) or stream
        self._created = sifted.CREATED
        """The field with the creation time of what is remembered."""

    async def fit(self, due: Window) -> Window:
        """As much of the window `due`, from its start, as makes a checkpoint by the density of the newest
        page of its list. Reads that page."""
        source, settings = self._source, self._source.settings
        if not source.stream.POLLS:
            return due
        while True:
            window = planned(due, self._span or due.seconds, self._low_watermark)
            self._first = await read_listed(
                source, self._whole(window), source.stream.list_params(), _top(source.stream)
            )
            objects = self._estimate(window, self._first)
            self._span = next_span(window.seconds, window.seconds, objects, settings)
            if objects <= 2 * settings.target or planned(due, self._span, self._low_watermark) == window:
                return window

    async def read(self, window: Window) -> AsyncIterator[Document]:
        """What the stream's list tells of `window` and of the overlap before it."""
        source, stream = self._source, self._source.stream
        if stream.POLLS:
            async for found in self._read_new(window):
                yield await to_document(source, found, "c")
        # Once a day, in the window in which a day (UTC) ends: which window that is follows from the cursor
        # alone.
        if stream.RELIST and window.start // DAY != window.end // DAY:
            # Days end with the window; what was created in the window itself has been read above.
            end = window.end if stream.RANGED else window.start
            past = Window(window.end - int(stream.RELIST.total_seconds()), end)
            async for page in _pages(source, past):
                async for found in listed_objects(source, past, stream.list_params(), page):
                    if _may_have_changed(stream, found, window):
                        yield await to_document(source, found, "u")

    def memory_after(self, window: Window) -> ListMemory | None:
        """What is to be remembered once `window` has been read; None where a new memory does as well."""
        is_overlap_read = self._whole(window).start <= window.end - self._source.settings.overlap_seconds
        if not self._found and is_overlap_read:
            return None
        low = max(self._memory.low_watermark, min(self._low_watermark, window.end))
        known = {**self._memory.seen, **self._found}
        seen = {key: created for key, created in known.items() if created >= low}
        return ListMemory(window.end, low, self._span, seen)

    def _whole(self, window: Window) -> Window:
        """The window with the overlap before it."""
        return Window(min(window.start, self._memory.low_watermark), window.end)

    def _estimate(self, window: Window, first: Page) -> int:
        """How many objects the window holds, by the density of the `first` page of its list."""
        stream = self._source.stream
        if stream.PARENT is not None and not first.orphans:
            return len(first.objects)
        objects = sum(is_in_window(stream, each, window) for each in first.objects)
        oldest = first.next.created if first.next is not None else None
        if oldest is None or oldest < window.start:
            return objects
        return objects * window.seconds // max(1, window.end - oldest)

    async def _read_new(self, window: Window) -> AsyncIterator[Json]:
        """The objects of the window and its overlap that were not seen before."""
        source, stream, whole = self._source, self._source.stream, self._whole(window)
        sifts_parents = stream.BORN_WITH_PARENT
        async for listed in _pages(source, whole, self._first):
            objects = listed.objects
            if sifts_parents:
                # The children of a parent that was seen before cost no request again.
                objects = [each for each in objects if self._is_new(each, window)]
            async for found in listed_objects(
                source, whole, stream.list_params(), replace(listed, objects=objects)
            ):
                if sifts_parents or self._is_new(found, window):
                    yield found

    def _is_new(self, found: Json, window: Window) -> bool:
        """Whether the object was not seen before; from now on it was."""
        object_id, created = self._source.stream.identity(found), found.get(self._created)
        is_new = object_id not in self._memory.seen and object_id not in self._found
        self._found[object_id] = created if isinstance(created, int) else window.end
        return is_new


def _may_have_changed(stream: type[BaseStripeObject], found: Json, window: Window) -> bool:
    """Whether the object's own field says that it changed about this day; True without such a field."""
    at = found.get(stream.RELIST_BY) if stream.RELIST_BY else None
    return not isinstance(at, int) or window.start - 2 * DAY <= at < window.end + DAY


def _top(stream: type[BaseStripeObject]) -> PageToken | None:
    """Where a polled list starts. Of a stream that has a list of objects without a parent, only these are
    told by no event."""
    return ORPHANS_TOP if stream.ORPHANS else None


async def _pages(source: Source, window: Window, first: Page | None = None) -> AsyncIterator[Page]:
    """Every page of the stream's listing of `window`."""
    params = source.stream.list_params()
    page = first or await read_listed(source, window, params, _top(source.stream))
    yield page
    while page.next is not None:
        page = await read_listed(source, window, params, page.next)
        yield page
