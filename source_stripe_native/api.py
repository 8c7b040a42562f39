"""The fetch functions that the CDK and the scheduler drive: one backfill and one incremental for every
stream.

A backfill lists what was created from `start_date` to its cutoff, one page a call. The incremental task
starts at the same cutoff:

    start_date                         cutoff                                 now
        |---- backfill: the list ----|s|---- incremental: window after window ----|

The second `s` of the cutoff is read by both. An object that changes while a backfill runs has an event after
the cutoff: its last state arrives by the incremental task, wherever the backfill's pages were at that time.

The incremental task reads a window in up to three ways, as the stream's row says: the events of the window,
the list for what was created in the window, and once a day the list of a longer past. Events and lists are
read with an overlap, since both may show late what happened.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from logging import Logger
from typing import Final

from estuary_cdk.capture.common import LogCursor, PageCursor, Triggers

from source_stripe_native.backfill.page_loop import PageHooks
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.config import DEFAULT_WINDOW
from source_stripe_native.errors import EVENTS_AGED_OUT, StripeError
from source_stripe_native.events.feed import EventFeed, WindowEvents
from source_stripe_native.events.list_feed import ListReader, PolledLists
from source_stripe_native.events.resolutions import read_changes
from source_stripe_native.state import cursor_time
from source_stripe_native.streams.products import Prices
from source_stripe_native.streams.row import BaseStripeObject, Document, Harvest
from source_stripe_native.stripe.client import Params, StripeSession
from source_stripe_native.stripe.documents import is_whole, stamp, to_document
from source_stripe_native.stripe.listings import listed_objects, read_listed
from source_stripe_native.stripe.pages import Page, PageSharing, PageToken, Source
from source_stripe_native.stripe.workload import Workload
from source_stripe_native.window import Window, floor, is_past_retention, next_window

BACKFILL_AGAIN: Final = "changes may be missing, so it is backfilled again"


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
    harvest: Harvest | None = None,
    superseded: SupersededIds | None = None,
    hooks: PageHooks | None = None,
    sharing: PageSharing | None = None,
) -> AsyncGenerator[Document | str, None]:
    """One page of the stream's objects created between `start_date` and `cutoff`, newest first, then the
    cursor of the next page unless it was the last. `parameters` select a variant, and `harvest` says
    where objects are found that no endpoint lists. Without a
    `connected_account_id` the key's own account is the only one. `hooks` are called before and after the page
    is read, and may send the backfill elsewhere.

    `superseded` has the ids that the incremental task captures. A page is read whole before any of it is
    yielded, and objects that were captured meanwhile are left out; `sharing` hands on pages of parents:
    nothing is awaited from then on until the caller's checkpoint."""
    source = _source(cls, platform_account_id, connected_account_id, http, log)
    source = replace(source, background=True, sharing=sharing)
    window = Window(floor(start_date), floor(cursor_time(cutoff)) + 1)
    token = None if page is None else PageToken.parse(str(page))
    if hooks is not None:
        token = await hooks.before_page(token)
    params = cls.list_params() if parameters is None else list(parameters.items())
    with (superseded or SupersededIds()).during_page(cls.NAME, source.account_id) as newer:
        try:
            listed = await read_listed(source, window, params, token, whole=cls.UNDATED, harvest=harvest)
        except StripeError as error:
            if not any(known.matches(error) for known in cls.LIST_ENDS):
                raise
            log.info("the rest of the list has aged out: the backfill is complete", {"stream": cls.NAME})
            listed = Page([], None)
        documents = await _documents(source, window, params, listed, harvest)
        if hooks is not None:
            hooks.after_page(listed, window, len(documents))
        for each in documents:
            identity = cls.identity(each)
            if identity not in newer and identity not in listed.superseded:
                yield each
        if listed.next is not None:
            yield str(listed.next)


async def _documents(
    source: Source, window: Window, params: Params, listed: Page, harvest: Harvest | None
) -> list[Document]:
    cls, op = source.stream, source.stream.BACKFILL_OP
    sift = cls.UNDATED or not cls.LISTS_BY_CREATED
    if cls.PARENT is not None or sift or harvest is not None:
        found = listed_objects(source, window, params, listed, sift=sift, harvest=harvest)
        return [await to_document(source, each, op) async for each in found]
    # Most documents have nothing to wait for: no awaitable is made for them.
    return [
        stamp(source, each, op) if is_whole(source, each) else await to_document(source, each, op)
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
    """`fetch_backfill` of one half of the prices: the active or the archived ones.

    For callers from outside: the connector itself uses `fetch_backfill` with the row's variants."""
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
    superseded: SupersededIds | None = None,
    polled: PolledLists | None = None,
    since: int = 0,
    workload: Workload | None = None,
) -> AsyncGenerator[Document | datetime | Triggers, None]:
    """What changed in the next window after `log_cursor`, then the window's end as the new cursor. Nothing
    where no window is due. Where the cursor is older than Stripe keeps events, or nearly so, asks for a new
    backfill instead.

    `feed` is shared by the bindings of a capture; without it the events are read for this binding alone. A
    backfill has seen the events from before `not_before`, its cutoff in Unix seconds. `polled` remembers the
    lists from window to window. The first overlap of a list reaches back to `since` at most, the capture's
    start date in Unix seconds, and no snapshot captures what was created before. `workload` counts what is
    done."""
    cursor = cursor_time(log_cursor)
    source = _source(cls, platform_account_id, connected_account_id, http, log)
    source = replace(source, workload=workload or source.workload)
    about = {"stream": cls.NAME, "account": source.account_id, "cursor": cursor}
    margin = http.settings.retention_margin
    if cls.follows_events() and is_past_retention(cursor, http.now(), margin):
        log.warning(f"the cursor is older than Stripe keeps events, or nearly so: {BACKFILL_AGAIN}", about)
        yield Triggers.BACKFILL
        return
    if feed is None:
        feed = EventFeed(cls.all_event_types(), window_size=window_size, settings=http.settings)
    polled = PolledLists() if polled is None else polled
    reader = ListReader(source, polled.recall(source, floor(cursor), since))
    try:
        window, events = await _next_window(source, cursor, feed, reader)
        if window is None:
            return
        if events is not None and is_past_retention(cursor, http.now()):
            log.warning(f"events may have aged out before they were read: {BACKFILL_AGAIN}", about)
            yield Triggers.BACKFILL
            return
        snapshot = polled.snapshots.read(source, window, since)
        async for document in _read_window(source, window, events, reader, not_before, snapshot):
            if superseded is not None:
                superseded.add(cls.NAME, source.account_id, cls.identity(document))
            yield document
    except StripeError as error:
        if not EVENTS_AGED_OUT.matches(error):
            raise
        log.warning(f"events aged out while they were read: {BACKFILL_AGAIN}", about)
        yield Triggers.BACKFILL
        return
    if cls.POLLS:
        polled.keep(source, reader.memory_after(window))
    yield window.end_at


async def _next_window(
    source: Source, cursor: datetime, feed: EventFeed, reader: ListReader
) -> tuple[Window | None, WindowEvents | None]:
    """The window that is due after `cursor`, None where none is, and its events where the stream follows
    events."""
    if source.stream.follows_events():
        events = await feed.read(source, cursor)
        return (events.window, events) if events else (None, None)
    due = next_window(cursor, source.http.now(), lag=source.settings.lag, span=feed.window_size)
    if due is None:
        await source.http.refresh_clock(source.log)
        return None, None
    return await reader.fit(due), None


async def _read_window(
    source: Source,
    window: Window,
    events: WindowEvents | None,
    reader: ListReader,
    not_before: int,
    snapshot: AsyncIterator[Document],
) -> AsyncIterator[Document]:
    written: set[str] = set()
    # Events come newest first and lists are as new as can be: what was written once is not older.
    told = read_changes(source, events, not_before) if events is not None else None
    for documents in (told, reader.read(window)):
        if documents is not None:
            async for document in documents:
                if (identity := source.stream.identity(document)) not in written:
                    written.add(identity)
                    yield document
    # What a whole list shows is newer than the events that were read before.
    async for document in snapshot:
        yield document


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
