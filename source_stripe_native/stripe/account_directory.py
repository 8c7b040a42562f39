"""The account directory: the key's own account, and the accounts connected to it where the config asks for
them.

The connected accounts of a large platform are listed by ranges of their creation time, several at once.
Wherever there is room for another request, the unread part of a range is divided:

    |...............unread...............|--- read ---|        newest first
    |.... older half ....|... newer half |

The newer half goes on after the last account read, the older half starts at its own top: no account is read
twice, and the second at which the halves meet belongs to one of them.

An account that the config leaves out is listed, and no request is made for it.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from logging import Logger
from typing import Final

from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import (
    ACCOUNT_CLOSED,
    PERMISSION_MISSING,
    AccountsLeftError,
    ConnectorError,
    StripeError,
)
from source_stripe_native.state.shards import ALL_ACCOUNTS, WHOLE, Selection, Shard
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
    that. Of the connected accounts it has those of the `selection`."""

    platform_id: str
    connected_ids: list[str] | None = None
    selection: Selection = ALL_ACCOUNTS

    @cached_property
    def all_ids(self) -> list[str]:
        """Every account to read, the platform's own first where the shard has it. One list for all bindings:
        it is not to be changed."""
        return [*self.selection.shard.own([self.platform_id]), *(self.connected_ids or [])]


@dataclass
class _Range:
    """A range of creation times, and the accounts found in it so far, newest first."""

    window: Window
    token: PageToken | None = None
    found: "Found" = field(default_factory=dict)


Found = dict[str, bool]
"""The ids of accounts, each with whether it is captured."""


def selection_of(config: EndpointConfig, shard: Shard = WHOLE) -> Selection:
    """The accounts of the `shard` that a config selects."""
    rules = config.advanced.connected_accounts
    return Selection(shard, include=frozenset(rules.include), exclude=frozenset(rules.exclude))


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
    http: StripeSession,
    log: Logger,
    selection: Selection = ALL_ACCOUNTS,
    *,
    connected: bool,
) -> CapturedAccounts:
    """The accounts that a capture reads, as far as they are known without a list: discover and validate need
    no connected ones. Raises ConnectorError where the key's own is to be left out."""
    platform_id = await own_account_id(http, log)
    if platform_id in selection.exclude:
        raise ConnectorError(
            f"advanced.connected_accounts.exclude names {platform_id}, the key's own account, which is "
            "always captured: correct the list."
        )
    selection = replace(selection, own_id=platform_id)
    # A backfill ends where the clock is now: one wrong `Date` must not move that.
    await http.refresh_clock(log)
    return CapturedAccounts(platform_id, [] if connected else None, selection)


async def connected_account_ids(
    http: StripeSession, log: Logger, platform_id: str, selection: Selection = ALL_ACCOUNTS
) -> list[str]:
    """The ids of all connected accounts that are selected, newest first."""
    found = await _list_all(Source(http, log, Accounts, platform_id, None, selection=selection))
    ids = [id_ for id_, is_selected in found.items() if is_selected and id_ != platform_id]
    log.info("listed the connected accounts", {"accounts": len(ids)})
    return ids


async def _list_all(source: Source) -> Found:
    bare = await read_page(source, ACCOUNTS_PATH, (), None)
    found = _found(source, bare)
    if bare.next is not None:
        # An account that connects from now on is found by the next look for new ones.
        found = await _read_ranges(source, Window(0, floor(source.http.now()) + 1))
        if not _found(source, bare).keys() <= found.keys():
            # Some accounts have no creation time to be found by. The bare list has them all, in one long row.
            source.log.info(
                "some accounts do not tell when they were created: listing them one page after another"
            )
            found = {}
            async for page in read_pages(source, ACCOUNTS_PATH, ()):
                found |= _found(source, page)
    return found


async def new_account_ids(
    http: StripeSession,
    log: Logger,
    platform_id: str,
    known: set[str],
    since: int,
    selection: Selection = ALL_ACCOUNTS,
) -> list[str]:
    """The ids of connected accounts that are selected and not `known`, of those created after `since` (Unix
    seconds, the time of the last look) or on the first page of the bare list; where metadata selects, or
    without a last look (0), of all. Raises AccountsLeftError where a known one is not selected any more."""
    source = Source(http, log, Accounts, platform_id, None, selection=selection)
    if selection.depends_on_metadata or not since:
        found = await _list_all(source)
    else:
        bare = await read_page(source, ACCOUNTS_PATH, (), None)
        found = _found(source, bare)
        if bare.next is not None:
            found |= await _read_ranges(source, Window(since - MARGIN, floor(http.now()) + 1))
    if left := [id_ for id_ in known if not found.get(id_, True)]:
        raise AccountsLeftError(left)
    return [
        id_ for id_, is_selected in found.items() if is_selected and id_ not in known and id_ != platform_id
    ]


async def _read_ranges(source: Source, window: Window) -> Found:
    """The accounts created in `window`, newest first. Reads `Settings.account_ranges`
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
                part.found |= _found(source, page)
                part.token = page.next
                if part.token is None:
                    continue
                if len(running) + 1 < source.settings.account_ranges and (older := _split(part, part.token)):
                    ranges.append(older)
                    running[_read(source, older)] = older
                running[_read(source, part)] = part
            if time.monotonic() - logged_time > source.settings.directory_log_interval.total_seconds():
                logged_time = time.monotonic()
                total = sum(len(part.found) for part in ranges)
                source.log.info("listing the connected accounts", {"accounts": total})
    finally:
        for task in running:
            task.cancel()
    ranges.sort(key=lambda part: part.window.start, reverse=True)
    return {id_: is_selected for part in ranges for id_, is_selected in part.found.items()}


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


def _found(source: Source, page: Page) -> Found:
    return {str(account["id"]): source.selection.has(account) for account in page.objects}
