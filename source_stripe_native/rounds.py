"""Rounds over the connected accounts: each one's events are read once per interval and told to every binding.

A quiet account costs one request a round, and a comparison of cursors for each binding. When the request
budget does not reach, the accounts that have been quiet for the longest time let the others go first, by at
most QUIET_WAIT, and are back at full cadence with their first event.

New accounts are looked for every hour.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from estuary_cdk.capture.task import Task

from source_stripe_native.feed import EventFeed
from source_stripe_native.listing import Source
from source_stripe_native.priority_capture import MIN_INTERVAL, AccountQueue, WorkItemPriority, wait_any
from source_stripe_native.protocols import Follower
from source_stripe_native.window import LAG, Window, floor, is_past_retention

READERS: Final = 16
"""Accounts that are read at once."""
QUIET_WAIT: Final = timedelta(minutes=30)
"""How much later than its turn an account is read at most because others go first."""
NEW_ACCOUNTS: Final = timedelta(hours=1)
"""How often new accounts are looked for."""
STATUS: Final = timedelta(minutes=1)
"""How often it is said by how much the rounds lag, while they do."""


class AccountRounds:
    """The rounds of one capture. `source_of` makes the source of an account's events; `find_new` returns the
    ids of accounts that have connected since it was called last."""

    def __init__(
        self,
        feed: EventFeed,
        source_of: Callable[[str], Source],
        account_ids: Sequence[str],
        find_new: Callable[[], Awaitable[list[str]]],
        followers: int,
    ) -> None:
        self._feed = feed
        self._source_of = source_of
        self._account_ids = list(account_ids)
        self._find_new = find_new
        self._expected = followers
        self._followers: list[Follower] = []
        self._interval = math.inf
        self._queue = AccountQueue(QUIET_WAIT.total_seconds())
        self._last_active: dict[str, float] = {}
        self._told: dict[str, int] = {}
        self._wake = asyncio.Event()

    def follow(self, follower: Follower, interval: timedelta, task: Task) -> None:
        """The first follower's task is the one that the rounds are run in, and the shortest interval
        theirs."""
        self._followers.append(follower)
        self._interval = min(self._interval, max(interval, MIN_INTERVAL).total_seconds())
        if len(self._followers) == self._expected:
            task.spawn_child("accounts", self.run)

    def until(self, account_id: str) -> int | None:
        return self._feed.start(account_id)

    async def run(self, task: Task) -> None:
        now = asyncio.get_running_loop().time()
        for account_id in self._account_ids:
            self._push(account_id, now)
        for number in range(READERS):
            task.spawn_child(f"reader.{number}", self._read_on)
        task.spawn_child("new", self._look_for_new)
        while not task.stopping.event.is_set():
            await wait_any(task.stopping.event, at_most=STATUS.total_seconds())
            lag = self._queue.longest_wait(asyncio.get_running_loop().time())
            if lag > self._interval:
                task.connector_status.log.event.status(
                    f"Reading {len(self._account_ids)} accounts, up to {lag / 60:.0f} minutes behind"
                )

    async def _read_on(self, task: Task) -> None:
        """Takes one account after another, each when its turn has come."""
        clock, stopping = asyncio.get_running_loop().time, task.stopping.event
        while not stopping.is_set():
            if self._queue.first(clock()) is None:
                next_at = self._queue.next_ready_at()
                self._wake.clear()
                await wait_any(
                    stopping, self._wake, at_most=None if next_at is None else max(0.0, next_at - clock())
                )
                continue
            account_id = self._queue.pop()
            started = clock()
            await self._read(account_id, stopping)
            self._push(account_id, started + self._interval)

    async def _read(self, account_id: str, stopping: asyncio.Event) -> None:
        """Reads what is new of an account and tells the followers, window after window. What comes up while
        it is read is for the next round, however long that takes."""
        source = self._source_of(account_id)
        until = floor(source.http.now() - LAG)
        while (told := await self._read_window(account_id, source)) is not None:
            # A little that another's reading has left can wait as well.
            if stopping.is_set() or until - told <= self._interval / 2:
                return

    async def _read_window(self, account_id: str, source: Source) -> int | None:
        """Returns the end of the window that was told, None where there was nothing to read."""
        now = source.http.now()
        start = self._told.get(account_id, self._feed.begin(account_id))
        cursor = now if start is None else datetime.fromtimestamp(start, tz=UTC)
        if is_past_retention(cursor, now):
            # Nobody can be told what is gone: each binding that is that far behind begins the account anew.
            until = floor(now - LAG)
            self._feed.skip(account_id, until)
            self._tell(account_id, Window(until - 1, until), frozenset())
            return until
        events = await self._feed.read(source, cursor)
        if events is None:
            return None
        if events.types:
            self._last_active[account_id] = asyncio.get_running_loop().time()
        self._tell(account_id, events.window, events.types)
        return events.window.end

    def _tell(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        self._told[account_id] = window.end
        for follower in self._followers:
            follower.offer(account_id, window, types)

    def _push(self, account_id: str, ready_at: float) -> None:
        """An account waits for others as long as it has been quiet."""
        now = asyncio.get_running_loop().time()
        bound = QUIET_WAIT.total_seconds()
        quiet = now - self._last_active.get(account_id, now - bound)
        self._queue.push(
            account_id,
            WorkItemPriority.INCREMENTAL,
            ready_at,
            grace=min(quiet, bound),
        )
        self._wake.set()

    async def _look_for_new(self, task: Task) -> None:
        while not task.stopping.event.is_set():
            await wait_any(task.stopping.event, at_most=NEW_ACCOUNTS.total_seconds())
            if task.stopping.event.is_set():
                return
            if found := await self._find_new():
                task.log.info("new accounts have connected", {"accounts": len(found)})
                self._account_ids += found
                for account_id in found:
                    # No state tells from where on a new account is followed: from before it begins.
                    self._feed.join(account_id, self._source_of(account_id).http.now())
                for follower in self._followers:
                    follower.adopt(found)
                now = asyncio.get_running_loop().time()
                for account_id in found:
                    self._push(account_id, now)
