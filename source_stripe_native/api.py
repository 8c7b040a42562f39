"""The fetch functions that the CDK and the scheduler drive: one backfill and one follower for every stream.

A backfill lists what was created from `start_date` to its cutoff, one page a call, and the follower starts at
the same cutoff:

    start_date                         cutoff                                 now
        |---- backfill: the list ----|s|---- incremental: events, window by window ----|

The second `s` of the cutoff is read by both. Whatever changes while a backfill runs has an event after the
cutoff, so its last state arrives by the follower wherever the backfill's pages were at that time.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from logging import Logger

from estuary_cdk.capture.common import LogCursor, PageCursor, Triggers

from source_stripe_native.errors import ConnectorError
from source_stripe_native.events import read_changes
from source_stripe_native.http import StripeSession
from source_stripe_native.listing import PageToken, Source, created_params, read_page
from source_stripe_native.models import DEFAULT_WINDOW, BaseStripeObject, Document, Prices
from source_stripe_native.window import LAG, floor, is_past_retention, next_window


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
) -> AsyncGenerator[Document | str, None]:
    """One page of the stream's objects created between `start_date` and `cutoff`, newest first, then the
    cursor of the next page unless it was the last. `parameters` select a variant."""
    source = _source(cls, platform_account_id, connected_account_id, http, log)
    params = [
        *created_params(floor(start_date), until=floor(_datetime(cutoff))),
        *(parameters or {}).items(),
    ]
    found = await read_page(source, source.path, params, None if page is None else PageToken.parse(str(page)))
    for each in found.objects:
        yield source.document(each, "u")
    if found.next is not None:
        yield str(found.next)


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
) -> AsyncGenerator[Document | datetime | Triggers, None]:
    """What changed in the next window after `log_cursor`, then the window's end as the new cursor. Nothing
    where no window is due. Where the cursor is older than Stripe keeps events, asks for a new backfill
    instead."""
    cursor = _datetime(log_cursor)
    source = _source(cls, platform_account_id, connected_account_id, http, log)
    if is_past_retention(cursor, http.now()):
        log.warning(
            "the cursor is older than Stripe keeps events, so changes may be missing: backfilling again",
            {"stream": cls.NAME, "account": source.account_id, "cursor": cursor},
        )
        yield Triggers.BACKFILL
        return
    window = next_window(cursor, http.now(), lag=LAG, span=window_size)
    if window is None:
        return
    async for document in read_changes(source, window):
        yield document
    yield window.end_at


def _source(
    cls: type[BaseStripeObject],
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
) -> Source:
    # The platform reads its own objects as itself: acting as an account is for the others.
    acting = connected_account_id if connected_account_id != platform_account_id else None
    return Source(http, log, cls, connected_account_id or platform_account_id, acting)


def _datetime(cursor: LogCursor) -> datetime:
    if isinstance(cursor, datetime):
        return cursor
    raise ConnectorError(
        f"The state holds a cursor that is not a time: {cursor!r}. Backfill the binding again."
    )
