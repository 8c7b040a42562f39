"""The fetch functions that the CDK and the scheduler drive: one backfill and one follower for every stream.

A backfill lists what was created from `start_date` to its cutoff, one page a call, and the follower starts at
the same cutoff:

    start_date                         cutoff                                 now
        |---- backfill: the list ----|s|---- incremental: window after window ----|

The second `s` of the cutoff is read by both. Whatever changes while a backfill runs has an event after the
cutoff, so its last state arrives by the follower wherever the backfill's pages were at that time.

The follower reads a window in up to three ways, as the stream's row says: the events of the window, the list
for what was created in it, and once a day the list of a longer past for what changes without a trace.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from logging import Logger
from typing import Final, Protocol

from estuary_cdk.capture.common import LogCursor, PageCursor, Triggers

from source_stripe_native.children import read_children_of, read_parents
from source_stripe_native.documents import cut_lists, make, stamp
from source_stripe_native.errors import EVENTS_AGED_OUT, ConnectorError, StripeError
from source_stripe_native.events import read_changes
from source_stripe_native.feed import EventFeed, Events
from source_stripe_native.http import Json, Params, StripeSession
from source_stripe_native.listing import Page, PageToken, Source, admits, range_params, read_page
from source_stripe_native.models import DEFAULT_WINDOW, BaseStripeObject, Document, Prices
from source_stripe_native.overtaken import Overtaken
from source_stripe_native.window import (
    LAG,
    TARGET,
    Window,
    floor,
    is_past_retention,
    next_span,
    next_window,
)

DAY: Final = 24 * 60 * 60
BACKFILL_AGAIN: Final = "changes may be missing, so it is backfilled again"


@dataclass
class Pace:
    """How many seconds of a list that no event tells of make a checkpoint; None while nothing is known of
    it."""

    seconds: int | None = None


class Course(Protocol):
    """What a backfill asks before each of its pages, and tells after it."""

    async def start(self, token: PageToken | None) -> PageToken | None:
        """Where to read instead of at `token`, which is where the last checkpoint left it."""

    def read(self, page: Page, window: Window, documents: int) -> None:
        """A page of the list of `window` was read, which made so many documents."""


async def fetch_backfill(
    cls: type[BaseStripeObject],
    start_date: datetime,
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
    page: PageCursor | None,
    cutoff: LogCursor,
    *,
    parameters: Mapping[str, str] | None = None,
    overtaken: Overtaken | None = None,
    course: Course | None = None,
) -> AsyncGenerator[Document | str, None]:
    """One page of the stream's objects created between `start_date` and `cutoff`, newest first, then the
    cursor of the next page unless it was the last. `parameters` select a variant. Without a
    `connected_account_id` the key's own account is the only one. `course` may send it elsewhere.

    The follower tells `overtaken` what it captures. A page is whole before any of it is yielded, and what was
    overtaken meanwhile is left out: nothing is awaited from then on until the caller's checkpoint."""
    source = replace(_source(cls, platform_account_id, connected_account_id, http, log), background=True)
    window = Window(floor(start_date), floor(time_of(cutoff)) + 1)
    token = None if page is None else PageToken.parse(str(page))
    if course is not None:
        token = await course.start(token)
    params = list((cls.VARIANTS.get("", {}) if parameters is None else parameters).items())
    with (overtaken or Overtaken()).page(cls.NAME, source.account_id) as newer:
        try:
            listed = await _read_listed(source, window, params, token, whole=cls.UNDATED)
        except StripeError as error:
            if not any(known.matches(error) for known in cls.LIST_ENDS):
                raise
            log.info("the rest of the list has aged out: the backfill is complete", {"stream": cls.NAME})
            listed = Page([], None)
        documents = await _documents(source, window, params, listed)
        if course is not None:
            course.read(listed, window, len(documents))
        for each in documents:
            if each["id"] not in newer:
                yield each
        if listed.next is not None:
            yield str(listed.next)


async def _documents(source: Source, window: Window, params: Params, listed: Page) -> list[Document]:
    cls = source.stream
    if cls.PARENT is not None or cls.UNDATED:
        found = _objects(source, window, params, listed, sift=cls.UNDATED)
        return [await make(source, each, "u") async for each in found]
    # The way of most documents: without an awaitable for each that has nothing to wait for.
    return [
        await make(source, each, "u") if cut_lists(source, each) else stamp(source, each, "u")
        for each in listed.objects
    ]


def fetch_backfill_prices(
    cls: type[Prices],
    start_date: datetime,
    platform_account_id: str | None,
    connected_account_id: str | None,
    active: bool,
    http: StripeSession,
    log: Logger,
    page: PageCursor | None,
    cutoff: LogCursor,
) -> AsyncGenerator[Document | str, None]:
    """`fetch_backfill` of one half of the prices: the active or the archived ones."""
    return fetch_backfill(
        cls,
        start_date,
        platform_account_id,
        connected_account_id,
        http,
        log,
        page,
        cutoff,
        parameters=cls.VARIANTS["_active" if active else "_inactive"],
    )


async def fetch_incremental(
    cls: type[BaseStripeObject],
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
    log_cursor: LogCursor,
    *,
    window_size: timedelta = DEFAULT_WINDOW,
    feed: EventFeed | None = None,
    not_before: int = 0,
    overtaken: Overtaken | None = None,
    pace: Pace | None = None,
) -> AsyncGenerator[Document | datetime | Triggers, None]:
    """What changed in the next window after `log_cursor`, then the window's end as the new cursor. Nothing
    where no window is due. Where the cursor is older than Stripe keeps events, asks for a new backfill
    instead.

    `feed` is shared by the bindings of a capture; without it the events are read for this one alone. Events
    from before `not_before`, a backfill's cutoff in Unix seconds, are known by that backfill. `pace` is kept
    from window to window."""
    cursor = time_of(log_cursor)
    source = _source(cls, platform_account_id, connected_account_id, http, log)
    about = {"stream": cls.NAME, "account": source.account_id, "cursor": cursor}
    if cls.follows_events() and is_past_retention(cursor, http.now()):
        log.warning(f"the cursor is older than Stripe keeps events: {BACKFILL_AGAIN}", about)
        yield Triggers.BACKFILL
        return
    if feed is None:
        feed = EventFeed((*cls.EVENT_TYPES, *cls.PARENT_EVENT_TYPES), window_size=window_size)
    written: set[str] = set()
    try:
        events, window, first = None, None, None
        if cls.follows_events():
            events = await feed.read(source, cursor)
            window = events.window if events else None
        elif window := next_window(cursor, http.now(), lag=LAG, span=window_size):
            window, first = await _fitting(source, window, pace or Pace())
        if window is None:
            return
        async for document in _read_window(source, window, events, first, not_before):
            # Events come newest first and lists are as new as can be: what was written once is not older.
            if document["id"] not in written:
                written.add(document["id"])
                if overtaken is not None:
                    overtaken.captured(cls.NAME, source.account_id, document["id"])
                yield document
    except StripeError as error:
        if not EVENTS_AGED_OUT.matches(error):
            raise
        log.warning(f"events aged out while they were read: {BACKFILL_AGAIN}", about)
        yield Triggers.BACKFILL
        return
    yield window.end_at


async def _fitting(source: Source, due: Window, pace: Pace) -> tuple[Window, Page]:
    """As much of the window that is due, from its start, as makes a checkpoint by the density of the newest
    page of its list, and that page."""
    while True:
        window = Window(due.start, min(due.end, due.start + (pace.seconds or due.end)))
        first = await _read_listed(source, window, _params(source.stream), None)
        whole, objects = window.end - window.start, len(first.objects)
        if first.next is not None and first.next.created is not None and source.stream.PARENT is None:
            objects = objects * whole // max(1, window.end - first.next.created)
        pace.seconds = next_span(whole, whole, objects)
        if objects <= 2 * TARGET or pace.seconds >= whole:
            return window, first


async def _read_window(
    source: Source, window: Window, events: Events | None, first: Page | None, not_before: int
) -> AsyncIterator[Document]:
    """`first` is the first page of the window's list, where that has been read."""
    cls = source.stream
    if events is not None:
        async for document in read_changes(source, events, not_before):
            yield document
    if cls.POLLS:
        async for found in _read_all_listed(source, window, first):
            yield await make(source, found, "c")
    # Once a day, in the window in which a day (UTC) ends: which one that is follows from the cursor alone.
    if cls.RELIST and window.start // DAY != window.end // DAY:
        past = Window(window.end - int(cls.RELIST.total_seconds()), window.start)
        async for found in _read_all_listed(source, past):
            if _may_have_changed(cls, found, window):
                yield await make(source, found, "u")


def _may_have_changed(cls: type[BaseStripeObject], found: Json, window: Window) -> bool:
    """Whether the object says of itself that it changed about this day; without such a field it may have."""
    at = found.get(cls.RELIST_BY) if cls.RELIST_BY else None
    return not isinstance(at, int) or window.start - 2 * DAY <= at < window.end + DAY


async def _read_all_listed(source: Source, window: Window, first: Page | None = None) -> AsyncIterator[Json]:
    """Every object of the list that was created in `window`."""
    params = _params(source.stream)
    listed = first or await _read_listed(source, window, params, None)
    while True:
        async for found in _objects(source, window, params, listed):
            yield found
        if listed.next is None:
            return
        listed = await _read_listed(source, window, params, listed.next)


def _params(stream: type[BaseStripeObject]) -> Params:
    return list(stream.VARIANTS.get("", {}).items())


async def _read_listed(
    source: Source, window: Window, params: Params, token: PageToken | None, *, whole: bool = False
) -> Page:
    """A page of what the stream's list is made of: its objects, or the parents of its objects. `whole` reads
    the list without bounds."""
    cls = source.stream
    if cls.PARENT is not None:
        return await read_parents(source, window, token)
    bounds = [] if whole or not cls.LISTS_BY_CREATED else range_params(window)
    page = await read_page(source, source.path, [*params, *bounds], token)
    if whole and cls.UNLISTED and token is None:
        return Page([await source.get(f"/v1/{cls.UNLISTED}"), *page.objects], page.next)
    return page


async def _objects(
    source: Source, window: Window, params: Params, listed: Page, *, sift: bool = False
) -> AsyncIterator[Json]:
    if source.stream.PARENT is not None:
        async for child in read_children_of(source, listed.objects, window, params):
            yield child
        return
    for found in listed.objects:
        if not sift or admits(source.stream, found, window):
            yield found


def _source(
    cls: type[BaseStripeObject],
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
) -> Source:
    # The platform reads its own objects as itself: acting as an account is for the others.
    acting = connected_account_id if connected_account_id != platform_account_id else None
    return Source(
        http,
        log,
        cls,
        account_id=connected_account_id or platform_account_id,
        connected_account_id=acting,
        is_one_of_many=connected_account_id is not None,
    )


def time_of(cursor: LogCursor) -> datetime:
    """A cursor of a state that is about time, as all of Stripe's are. Raises ConnectorError for another."""
    if isinstance(cursor, datetime):
        return cursor
    raise ConnectorError(f"The state holds a cursor that is no time: {cursor!r}. Backfill the binding again.")
