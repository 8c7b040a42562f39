"""Lists that are polled: for objects, or their creation, that no event reports.

    read before  |- overlap -|----- window -----|----- later windows -----|  not yet
           low watermark  cursor                                      now - lag

A window of the list holds the objects that were created in it. Objects may become visible late, as events
may: once a minute, a window is read with the overlap before it (see event_log.py), and objects that were seen
before are skipped. After a restart nothing is known of the overlap: all of it is new once.

While a capture catches up, a window is as long as the density of the list's newest page suggests, so that a
checkpoint is never far away. Once a day the list of a longer past is read again, for objects that change
without an event.
"""

import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from source_stripe_native.events.due_days import due_times, is_due
from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.events.resolutions import read_again
from source_stripe_native.events.snapshots import is_due as is_snapshot_due
from source_stripe_native.events.subjects import Kind, Subject
from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import (
    DAY,
    Window,
    is_overlap_due,
    low_watermark,
    next_span,
    planned,
    second_of,
)
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.documents import list_request, to_document
from source_stripe_native.stripe.listings import Listing
from source_stripe_native.stripe.pages import (
    TOP_WITHOUT_PARENT,
    V2,
    Page,
    PageToken,
    Source,
    all_pages,
    is_in_window,
)
from source_stripe_native.stripe.shared_pages import SharedPages


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
    """The objects since the low watermark: when each was created, by id. Of children that are
    created with their parent: the parents."""


class PolledLists:
    """The memories of all polled lists of a capture, by stream and account, and the lists that streams share.
    A list in which the last window and its overlap found nothing has no memory. `memories` are of lists that
    are compared as a whole."""

    def __init__(self, shared: SharedPages | None = None) -> None:
        self.shared = shared or SharedPages(timedelta(), 0)
        self.memories = ListMemories()
        self._memories: dict[tuple[str, str | None], ListMemory] = {}

    def recall(self, source: Source, cursor: int) -> ListMemory:
        """The memory of the list at `cursor`, a new one where the list was not read up to there by this
        process."""
        memory = self._memories.get(source.key)
        if memory is not None and memory.high_watermark == cursor:
            return memory
        return ListMemory(cursor, cursor - source.settings.restored_overlap)

    def keep(self, source: Source, memory: ListMemory | None) -> None:
        if memory is None:
            self._memories.pop(source.key, None)
        else:
            self._memories[source.key] = memory


class ListReader:
    """Reads one window of a polled list. An overlap reaches back to the second `since` at most. Nothing is
    remembered of the window until `memory_after` is kept: a reading that fails changes nothing."""

    def __init__(self, source: Source, memory: ListMemory, since: int, shared: SharedPages) -> None:
        self._objects = source
        """What the documents are of. Thin events name them, where the row says so."""
        row = source.stream
        types = [(f"types[{place}]", each) for place, each in enumerate(row.THIN_EVENTS)]
        self._params: Params = types or row.list_params()
        self._source = source = replace(source, stream=row.THIN_EVENTS_IN or row)
        self._memory = memory
        self._since = since
        self._shared = shared
        # Of a time before the list is read, by this stream or by another one that shares it: what becomes
        # visible meanwhile is still found later.
        asked_at = source.http.now() - source.settings.shared_list_retention
        self._low_watermark = low_watermark(asked_at, source.settings)
        self._span = memory.span
        self._first: Page | None = None
        """The first page of the window's list, where that has been read."""
        self._found: dict[str, int] = {}
        filtered = source.stream.PARENT if source.stream.CREATED_WITH_PARENT else None
        self._created = (filtered or source.stream).CREATED
        """The field with the creation time of what is remembered."""

    async def fit(self, due: Window) -> Window:
        """As much of the window `due`, from its start, as makes a checkpoint by the density of the newest
        page of its list. Reads that page."""
        settings, stream = self._source.settings, self._source.stream
        if not stream.POLLS:
            return due
        while True:
            window = planned(due, self._span or due.seconds, self._low_watermark)
            self._first = await self._page(self._reach(window)[0])
            objects = self._estimate(window, self._first)
            self._span = next_span(window.seconds, window.seconds, objects, settings)
            if objects <= 2 * settings.target or planned(due, self._span, self._low_watermark) == window:
                return window

    async def read_new(self, window: Window) -> AsyncIterator[Document]:
        """What the stream's list shows that was created in `window`, or in the overlap before it, or the
        objects that thin events of that time name, each once. What was seen before is left out."""
        if not self._source.stream.POLLS:
            return
        if self._objects.stream.THIN_EVENTS:
            named = dict.fromkeys([subject async for event in self._new(window) for subject in _named(event)])
            async for document in read_again(self._objects, named):
                yield document
            return
        async for obj in self._new(window):
            yield await to_document(self._source, obj, "c")

    async def _new(self, window: Window) -> AsyncIterator[Json]:
        """What the polled list shows that was not seen before."""
        whole, filters_parents = self._reach(window)[0], self._source.stream.CREATED_WITH_PARENT
        async for listed in all_pages(functools.partial(self._page, whole), self._first):
            page = listed
            if filters_parents:
                # The children of a parent that was seen before cost no request again.
                page = replace(listed, objects=[obj for obj in listed.objects if self._is_new(obj, window)])
            async for obj in self._listing(whole).objects(page):
                if filters_parents or self._is_new(obj, window):
                    yield obj

    async def read_again(self, window: Window, due: Sequence[Window]) -> AsyncIterator[Document]:
        """What the list of a longer past shows, and the parts of it that are `due`, where it is to be read in
        `window`."""
        source, stream = self._source, self._source.stream
        # Once a day, in the window in which a day (UTC) ends: which window that is follows from the cursor
        # alone.
        if window.start // DAY == window.end // DAY:
            return
        since = window.end - int(stream.RELIST.total_seconds()) if stream.RELIST else window.end
        # Days end with the window; what was created in the window itself has been read above.
        until = window.end if stream.RANGED else window.start
        older = [Window(part.start, min(part.end, since)) for part in due if part.start < since]
        for past in ([Window(since, until)] if stream.RELIST else []) + older:
            is_by_clock = past.start < since or stream.ONLY_BY_CLOCK
            async for page in all_pages(functools.partial(self._page, past)):
                silent = [obj for obj in page.objects if stream.RELIST_IF.items() <= obj.items()]
                some = replace(page, objects=silent)
                async for obj in self._listing(past).objects(some):
                    if not is_by_clock or any(is_due(at, window) for at in due_times(stream, obj)):
                        yield await to_document(source, obj, "u")

    def memory_after(self, window: Window) -> ListMemory | None:
        """What is to be remembered once `window` has been read; None where a new memory does as well."""
        whole, low = self._reach(window)
        if not self._found and whole.start <= window.end - self._source.settings.restored_overlap:
            return None
        known = {**self._memory.seen, **self._found}
        seen = {key: created for key, created in known.items() if created >= low}
        return ListMemory(window.end, low, self._span, seen)

    def _reach(self, window: Window) -> tuple[Window, int]:
        """The window, with the overlap before it if that is due, and the low watermark once it has been
        read."""
        settings, last = self._source.settings, self._memory.low_watermark
        overlap = int(settings.overlap.total_seconds())
        low = window.end if window.end <= self._low_watermark else window.end - overlap
        if not is_overlap_due(last, low, settings):
            return window, last
        return Window(min(window.start, max(last, self._since)), window.end), low

    def _estimate(self, window: Window, first: Page) -> int:
        """How many objects the window holds, by the density of the `first` page of its list."""
        stream = self._source.stream
        if stream.PARENT is not None and not first.without_parent:
            return len(first.objects)
        objects = sum(is_in_window(stream, obj, window) for obj in first.objects)
        oldest = first.next.created if first.next is not None else None
        if oldest is None or oldest < window.start:
            return objects
        return objects * window.seconds // max(1, window.end - oldest)

    def _listing(self, window: Window) -> Listing:
        return Listing(self._source, window, self._params, sharing=self._shared)

    async def _page(self, window: Window, token: PageToken | None = None) -> Page:
        """A page of the stream's listing of `window`."""
        stream, listing = self._source.stream, self._listing(window)
        child = self._shared.child_of(stream)
        if stream.WITHOUT_PARENT:
            # Of such a stream, only objects without a parent are reported by no event.
            token = token or TOP_WITHOUT_PARENT
        if child is None:
            return await listing.page(token)
        # As the children read it, who may need older parents too.
        page = await replace(listing, source=replace(self._source, stream=child)).page(token)
        objects = [obj for obj in page.objects if is_in_window(stream, obj, window)]
        if child.EMBEDDED_EXPANDED:
            # As the list of the stream alone would show them.
            objects = [{k: v for k, v in obj.items() if k != child.EMBEDDED} for obj in objects]
        oldest = page.next.created if page.next is not None else None
        is_past = oldest is not None and oldest < window.start
        return Page(objects, None if is_past else page.next)

    def _is_new(self, obj: Json, window: Window) -> bool:
        """Whether the object was not seen before; from now on it was."""
        object_id, created = self._source.stream.identity(obj), second_of(obj.get(self._created))
        is_new = object_id not in self._memory.seen and object_id not in self._found
        self._found[object_id] = window.end if created is None else created
        return is_new


def reads_lists_in(
    stream: type[BaseStripeObject], settings: Settings, account_id: str, window: Window
) -> bool:
    """Whether a whole list, or that of a longer past, is read again in `window`. Polled lists have times of
    their own."""
    reads_past = bool(stream.RELIST or stream.CHANGES_AT) and not stream.POLLS
    is_past_due = reads_past and window.start // DAY != window.end // DAY
    return is_past_due or is_snapshot_due(stream, account_id, window, settings)


def _named(event: Json) -> list[Subject]:
    """The object that a thin event names."""
    related = event.get("related_object") or {}
    request = list_request(str(related.get("url")), str(related.get("id")), V2)
    return [Subject(Kind.ADDRESS, request[0], str(related.get("type")))] if request else []
