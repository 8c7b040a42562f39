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
import functools
import operator
from collections.abc import Collection
from dataclasses import dataclass, replace
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
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.state.shards import ALL_ACCOUNTS, WHOLE, Selection, Shard
from source_stripe_native.state.windows import DAY, Window, floor
from source_stripe_native.streams.connect import Accounts
from source_stripe_native.stripe.client import OWN_ACCOUNT, StripeSession
from source_stripe_native.stripe.pages import Page, PageToken, Source, range_params, read_page, read_pages
from source_stripe_native.stripe.permissions import missing_permission

ACCOUNTS_PATH: Final = "/v1/accounts"
LAUNCH: Final = 1_293_840_000
"""2011-01-01, before Stripe was open to anyone: no list goes back further."""
MARGIN: Final = DAY
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
        account = await http.get(log, OWN_ACCOUNT)
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
    http: StripeSession,
    log: Logger,
    platform_id: str,
    selection: Selection = ALL_ACCOUNTS,
    known: Collection[str] = (),
    since: int = 0,
) -> list[str]:
    """The ids of connected accounts that are selected and not `known`, newest first: of those created after
    `since` (Unix seconds, the time of the last look) or on the first page of the bare list; where metadata
    selects, or without a last look (0), of all. Raises AccountsLeftError where a known one is not selected
    any more."""
    source = Source(http, log, Accounts, platform_id, None, selection=selection)
    is_about_all = selection.depends_on_metadata or not since
    found = await _list(source, 0 if is_about_all else since - MARGIN)
    if left := [id_ for id_ in known if not found.get(id_, True)]:
        raise AccountsLeftError(left)
    not_new = {*known, platform_id}
    ids = [id_ for id_, is_selected in found.items() if is_selected and id_ not in not_new]
    if not since:
        log.info("listed the connected accounts", {"accounts": len(ids)})
    return ids


async def _list(source: Source, since: int = 0) -> Found:
    """The accounts that were created from `since` on, newest first, and all on the first page of the bare
    list."""
    bare = await read_page(source, ACCOUNTS_PATH, (), None)
    found = _found(source, bare)
    if bare.next is None:
        return found
    # An account that connects from now on is found by the next look for new ones.
    window, room = Window(since, floor(source.http.now()) + 1), source.settings.account_ranges - 1
    dated = await _read_range(source, window, asyncio.Semaphore(room))
    if not since and not found.keys() <= dated.keys():
        # Some accounts have no creation time to be found by. The bare list has them all, in one long row.
        source.log.info(
            "some accounts do not tell when they were created: listing them one page after another"
        )
        async for page in read_pages(source, ACCOUNTS_PATH, (), bare):
            found |= _found(source, page)
    return found | dated


async def _read_range(
    source: Source, window: Window, room: asyncio.Semaphore, token: PageToken | None = None
) -> Found:
    """The accounts created in `window`, newest first, from `token` on. Further ranges are read at once while
    there is `room`."""
    found = Found()
    while True:
        page = await read_page(source, ACCOUNTS_PATH, range_params(Accounts, window), token)
        found |= _found(source, page)
        if (token := page.next) is None:
            return found
        older = _older_half(window, token.created)
        if older is not None and not room.locked():
            newer = Window(older.end, window.end)
            halves = _read_range(source, newer, room, token), _read_in_room(source, older, room)
            return functools.reduce(operator.or_, await side_by_side(halves), found)


async def _read_in_room(source: Source, window: Window, room: asyncio.Semaphore) -> Found:
    async with room:
        return await _read_range(source, window, room)


def _older_half(window: Window, last: int | None) -> Window | None:
    """The older half of what is unread of a range after an account that was created at `last`, None where
    that is too short a time. The first division is at a time by which there were accounts at all."""
    if last is None or last - window.start < 2:
        return None
    since = max(window.start, LAUNCH) if last > LAUNCH + 1 else window.start
    return Window(window.start, Window(since, last).halves()[0].end)


def _found(source: Source, page: Page) -> Found:
    return {str(account["id"]): source.selection.has(account) for account in page.objects}
