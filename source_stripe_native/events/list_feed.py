"""Lists that are polled: for objects that no event tells of, or whose creation no event tells of.

    cursor          cursor + span              now - lag
      |---- this window -----|---- later windows ----|

A window of the list holds the objects that were created in it. While a capture catches up, a window is as
long as the density of the list's newest page suggests, so that a checkpoint is never far away. Once a day the
list of a longer past is read again, for objects that change without an event.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import to_document
from source_stripe_native.stripe.listings import listed_objects, read_listed
from source_stripe_native.stripe.pages import Page, Source
from source_stripe_native.window import Window, next_span

DAY: Final = 24 * 60 * 60


@dataclass
class AdaptiveWindow:
    """How many seconds of a polled list make a checkpoint; None while the density is unknown."""

    seconds: int | None = None


async def fitting_window(source: Source, due: Window, adaptive: AdaptiveWindow) -> tuple[Window, Page]:
    """As much of the window `due`, from its start, as makes a checkpoint by the density of the newest page of
    its list; and that page."""
    settings = source.settings
    while True:
        window = Window(due.start, min(due.end, due.start + (adaptive.seconds or due.end)))
        first = await read_listed(source, window, source.stream.list_params(), None)
        objects = len(first.objects)
        if first.next is not None and first.next.created is not None and source.stream.PARENT is None:
            objects = objects * window.seconds // max(1, window.end - first.next.created)
        adaptive.seconds = next_span(window.seconds, window.seconds, objects, settings)
        if objects <= 2 * settings.target or adaptive.seconds >= window.seconds:
            return window, first


async def read_polled(source: Source, window: Window, first: Page | None) -> AsyncIterator[Document]:
    """What the stream's list tells of `window`; `first` is the first page of that list where it has been
    read."""
    stream = source.stream
    if stream.POLLS:
        async for found in _read_all_listed(source, window, first):
            yield await to_document(source, found, "c")
    # Once a day, in the window in which a day (UTC) ends: which window that is follows from the cursor alone.
    if stream.RELIST and window.start // DAY != window.end // DAY:
        past = Window(window.end - int(stream.RELIST.total_seconds()), window.start)
        async for found in _read_all_listed(source, past):
            if _may_have_changed(stream, found, window):
                yield await to_document(source, found, "u")


def _may_have_changed(stream: type[BaseStripeObject], found: Json, window: Window) -> bool:
    """Whether the object's own field says that it changed about this day; True without such a field."""
    at = found.get(stream.RELIST_BY) if stream.RELIST_BY else None
    return not isinstance(at, int) or window.start - 2 * DAY <= at < window.end + DAY


async def _read_all_listed(source: Source, window: Window, first: Page | None = None) -> AsyncIterator[Json]:
    """Every object of the list that was created in `window`."""
    params = source.stream.list_params()
    listed = first or await read_listed(source, window, params, None)
    while True:
        async for found in listed_objects(source, window, params, listed):
            yield found
        if listed.next is None:
            return
        listed = await read_listed(source, window, params, listed.next)
