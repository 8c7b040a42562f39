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
from source_stripe_native.stripe.pages import (
    Page,
    PageToken,
    Source,
    range_params,
    read_page,
    read_pages,
)
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
    found: list[str] = field(default_factory=list)


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
    found = _ids(bare)
    if bare.next is not None:
        # An account that connects from now on is found by the next look for new ones.
        found = await _read_ranges(source, Window(0, floor(http.now()) + 1))
        if not set(_ids(bare)) <= set(found):
            # Some accounts have no creation time to be found by. The bare list has them all, in one long row.
            log.info("some accounts do not tell when they were created: listing them one page after another")
            found = [each async for page in read_pages(source, ACCOUNTS_PATH, ()) for each in _ids(page)]
    log.info("listed the connected accounts", {"accounts": len(found)})
    return [each for each in dict.fromkeys(found) if each != platform_id]


async def new_account_ids(
    http: StripeSession, log: Logger, platform_id: str, known: set[str], since: int
) -> list[str]:
    """The ids of connected accounts that are not `known`, of those created after `since` (Unix seconds, the
    time of the last look) or on the first page of the bare list."""
    source = Source(http, log, Accounts, platform_id, None)
    bare = await read_page(source, ACCOUNTS_PATH, (), None)
    found = _ids(bare)
    if bare.next is not None:
        found += await _read_ranges(source, Window(since - MARGIN, floor(http.now()) + 1))
    return [each for each in dict.fromkeys(found) if each not in known and each != platform_id]


async def _read_ranges(source: Source, window: Window) -> list[str]:
    """The ids of the accounts created in `window`, newest first. Reads `Settings.account_ranges`
    ranges at once at most."""
    ranges = [_Range(window)]
    running: dict[asyncio.Task[Page], _Range] = {_read(source, ranges[0]): ranges[0]}
    logged_time = time.monotonic()
    try:
        while running:
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # In the order in which they were asked for, so that the same answers lead to the same requests.
            for task in [each for each in running if each in ended]:
                part = running.pop(task)
                page = task.result()
                part.found += _ids(page)
                part.token = page.next
                if part.token is None:
                    continue
                if len(running) + 1 < source.settings.account_ranges and (older := _split(part)) is not None:
                    ranges.append(older)
                    running[_read(source, older)] = older
                running[_read(source, part)] = part
            if time.monotonic() - logged_time > source.settings.directory_log_interval.total_seconds():
                logged_time = time.monotonic()
                total = sum(len(each.found) for each in ranges)
                source.log.info("listing the connected accounts", {"accounts": total})
    finally:
        for task in running:
            task.cancel()
    ranges.sort(key=lambda each: each.window.start, reverse=True)
    return [each for part in ranges for each in part.found]


def _read(source: Source, part: _Range) -> asyncio.Task[Page]:
    return asyncio.create_task(
        read_page(source, ACCOUNTS_PATH, range_params(Accounts, part.window), part.token)
    )


def _split(part: _Range) -> _Range | None:
    """Takes the older half of the unread part out of a range, None where that part is too short a time. The
    first division is at a time by which there were accounts at all."""
    assert part.token is not None
    last = part.token.created
    if last is None or last - part.window.start < 2:
        return None
    start = max(part.window.start, FIRST_YEAR) if last > FIRST_YEAR + 1 else part.window.start
    older, _ = Window(start, last).halves()
    whole, part.window = part.window, Window(older.end, part.window.end)
    return _Range(Window(whole.start, older.end))


def _ids(page: Page) -> list[str]:
    return [str(each["id"]) for each in page.objects]
