"""The account directory: the key's own account, and the accounts connected to it where the config asks for
them.

The connected accounts of a large platform are listed by ranges of their creation time, several at once.
Wherever there is room for another request, the unread part of a range is divided:

    |...............unread...............|--- read ---|        newest first
    |.... older half ....|... newer half |

The newer half goes on after the last account read, the older half starts at its own top: no account is read
twice, and the second at which the halves meet belongs to one of them.
"""

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from logging import Logger
from typing import Final

from source_stripe_native.errors import ACCOUNT_CLOSED, PERMISSION_MISSING, ConnectorError, StripeError
from source_stripe_native.state.shards import WHOLE, Shard
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.streams.connect import Accounts
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Page, PageToken, Source, range_params, read_page, read_pages
from source_stripe_native.stripe.permissions import missing_permission

ACCOUNTS_PATH: Final = "/v1/accounts"
FIRST_YEAR: Final = 1_293_840_000
"""2011-01-01, before Stripe was open to anyone."""
MARGIN: Final = 24 * 60 * 60
"""Seconds before the last listing from which new accounts are looked for."""


@dataclass(frozen=True)
class CapturedAccounts:
    """`platform_id` is the account of the key. `connected_ids` is None for a capture of that account alone,
    and a list, which may be empty, where connected accounts are captured too: the shape of state follows from
    that. Of the connected accounts it has those of the `shard`."""

    platform_id: str
    connected_ids: list[str] | None = None
    shard: Shard = WHOLE

    @cached_property
    def all_ids(self) -> list[str]:
        """Every account to read, the platform's own first where the shard has it. One list for all bindings:
        it is not to be changed."""
        return [*self.shard.own([self.platform_id]), *(self.connected_ids or [])]


@dataclass
class _Range:
    """A range of creation times, and the ids found in it so far, newest first."""

    window: Window
    token: PageToken | None = None
    ids: list[str] = field(default_factory=list)


async def own_account_id(http: StripeSession, log: Logger) -> str:
    """The id of the key's account ("GET /v1/account"). Pins the session to the account's API version unless
    it has one. Raises StripeError where the key is refused."""
    try:
        account = await http.get(log, "/v1/account")
    except StripeError as error:
        if http.context is not None and ACCOUNT_CLOSED.matches(error):
            raise ConnectorError(
                f"advanced.stripe_context {http.context} is no account that the key may read: set it to an "
                "account of the key's organization, or to the path from there to a connected account. "
                f"{error.answer}"
            ) from None
        if not PERMISSION_MISSING.matches(error):
            raise
        raise ConnectorError(
            f"The key's own account cannot be read: {missing_permission(Accounts.PERMISSION, error)}"
        ) from None
    if http.version is None:
        http.version = http.account_version
    if not isinstance(account.get("id"), str):
        raise StripeError(200, "an account without an id", request="GET /v1/account")
    return str(account["id"])


async def find_accounts(
    http: StripeSession, log: Logger, *, connected: bool, shard: Shard = WHOLE, listed: bool = True
) -> CapturedAccounts:
    """The accounts that a capture reads, or the `shard` of it. Connected ones that are not `listed` are left
    out: discover and validate need none."""
    platform_id = await own_account_id(http, log)
    # A backfill ends where the clock is now: one wrong `Date` must not move that.
    await http.refresh_clock(log)
    if not connected:
        return CapturedAccounts(platform_id, None, shard)
    connected_ids = await connected_account_ids(http, log, platform_id) if listed else []
    return CapturedAccounts(platform_id, shard.own(connected_ids), shard)


async def connected_account_ids(http: StripeSession, log: Logger, platform_id: str) -> list[str]:
    """The ids of all connected accounts, newest first."""
    source = Source(http, log, Accounts, platform_id, None)
    bare = await read_page(source, ACCOUNTS_PATH, (), None)
    ids = _ids(bare)
    if bare.next is not None:
        # An account that connects from now on is found by the next look for new ones.
        ids = await _read_ranges(source, Window(0, floor(http.now()) + 1))
        if not set(_ids(bare)) <= set(ids):
            # Some accounts have no creation time to be found by. The bare list has them all, in one long row.
            log.info("some accounts do not tell when they were created: listing them one page after another")
            ids = [id_ async for page in read_pages(source, ACCOUNTS_PATH, ()) for id_ in _ids(page)]
    log.info("listed the connected accounts", {"accounts": len(ids)})
    return [id_ for id_ in dict.fromkeys(ids) if id_ != platform_id]


async def new_account_ids(
    http: StripeSession, log: Logger, platform_id: str, known: set[str], since: int
) -> list[str]:
    """The ids of connected accounts that are not `known`, of those created after `since` (Unix seconds, the
    time of the last look) or on the first page of the bare list."""
    source = Source(http, log, Accounts, platform_id, None)
    bare = await read_page(source, ACCOUNTS_PATH, (), None)
    ids = _ids(bare)
    if bare.next is not None:
        ids += await _read_ranges(source, Window(since - MARGIN, floor(http.now()) + 1))
    return [id_ for id_ in dict.fromkeys(ids) if id_ not in known and id_ != platform_id]


async def _read_ranges(source: Source, window: Window) -> list[str]:
    """The ids of the accounts created in `window`, newest first. Reads `Settings.account_ranges`
    ranges at once at most."""
    ranges = [_Range(window)]
    running = {_read(source, ranges[0]): ranges[0]}
    logged_time = time.monotonic()
    try:
        while running:
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # In the order in which they were asked for, so that the same answers lead to the same requests.
            for task in [task for task in running if task in ended]:
                part, page = running.pop(task), task.result()
                part.ids += _ids(page)
                part.token = page.next
                if part.token is None:
                    continue
                if len(running) + 1 < source.settings.account_ranges and (older := _split(part, part.token)):
                    ranges.append(older)
                    running[_read(source, older)] = older
                running[_read(source, part)] = part
            if time.monotonic() - logged_time > source.settings.directory_log_interval.total_seconds():
                logged_time = time.monotonic()
                total = sum(len(part.ids) for part in ranges)
                source.log.info("listing the connected accounts", {"accounts": total})
    finally:
        for task in running:
            task.cancel()
    ranges.sort(key=lambda part: part.window.start, reverse=True)
    return [id_ for part in ranges for id_ in part.ids]


def _read(source: Source, part: _Range) -> asyncio.Task[Page]:
    params = range_params(Accounts, part.window)
    return asyncio.create_task(read_page(source, ACCOUNTS_PATH, params, part.token))


def _split(part: _Range, token: PageToken) -> _Range | None:
    """Takes the older half of the unread part out of a range, None where that part is too short a time. The
    first division is at a time by which there were accounts at all."""
    last, start = token.created, part.window.start
    if last is None or last - start < 2:
        return None
    since = max(start, FIRST_YEAR) if last > FIRST_YEAR + 1 else start
    middle = Window(since, last).halves()[0].end
    part.window = Window(middle, part.window.end)
    return _Range(Window(start, middle))


def _ids(page: Page) -> list[str]:
    return [str(account["id"]) for account in page.objects]
