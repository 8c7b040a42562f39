"""The account poller: reads each connected account's events once per interval and notifies every binding.

A quiet account costs one request per interval, and a comparison of cursors for each binding. While the rate
limit does not suffice, accounts are ordered by last activity: the longest idle go last, by
`Settings.quiet_wait` at most, and an account is back at the full cadence with its first event. New accounts
are looked for every hour.

While Stripe's posts announce an account's events, and can be trusted (notices/trust.py), the account rests
without notices for `Settings.trusted_interval`. A notice, or the loss of trust, brings its next reading
forward."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from estuary_cdk.capture.task import Task

from source_stripe_native.errors import AccountsLeftError
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.scheduling.account_readers import AccountReaders
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import CHANGES, PausedAccounts, Pauses, Unit
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.windows import Window, floor, is_past_retention
from source_stripe_native.stripe.pages import Source

NEW_ACCOUNTS: Final = "New accounts"
"""What is paused where the connected accounts cannot be listed."""


class Subscriber(Protocol):
    """A binding, as the account poller sees it."""

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """All events of `window` have been read, and the new events among them are of these types."""

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        """There are new accounts, of which nothing is captured yet."""


class AccountPoller:
    """The account poller of one capture, made when it opens. `source_of` makes the source of an account's
    events; `find_new` returns the ids of accounts that have connected since its last call. It runs once all
    bindings have subscribed."""

    def __init__(
        self,
        feed: EventFeed,
        source_of: Callable[[str], Source],
        account_ids: Sequence[str],
        find_new: Callable[[], Awaitable[list[str]]],
        pauses: Pauses,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._feed = feed
        self._source_of = source_of
        self._account_ids = list(account_ids)
        self._find_new = find_new
        self._pauses = pauses
        self._settings = settings
        self._subscribers: list[Subscriber] = []
        self._interval = math.inf
        self._readers = AccountReaders(
            "reader", pauses, settings.account_readers, self._read, self._quiet_time
        )
        self._new = AccountReaders("new", pauses, 1, self._look_for_new, stream=NEW_ACCOUNTS)
        """It reads the list of accounts, which is the platform's."""
        self._last_active: dict[str, float] = {}
        self._published: dict[str, int] = {}
        """The end of the last window of each account that the subscribers were notified of."""
        self._is_trusted: Callable[[str], bool] = lambda _: False
        """Whether posts announce whatever happens in an account."""
        self._noticed: dict[str, float] = {}
        """When accounts had their last notice, by the loop's clock, until the next window ends after it."""

    def rely_on(self, reader: NoticeReader) -> None:
        """From now on, accounts that the reader trusts are read rarely, unless Stripe announces something."""
        self._is_trusted, reader.on_lost = reader.is_trusted, self.lose_trust
        reader.subscribe(lambda account_id, _: self.notice(account_id))

    def subscribe(self, subscriber: Subscriber, interval: timedelta) -> None:
        """Has `subscriber` notified of each account once per `interval`, as far as there is time; where
        others have a shorter one, once per that."""
        self._subscribers.append(subscriber)
        self._interval = min(self._interval, interval.total_seconds())

    def high_watermark(self, account_id: str) -> int | None:
        """The second before which the account's events have been read, in Unix seconds."""
        return self._feed.high_watermark(account_id)

    @property
    def paused(self) -> PausedAccounts:
        """The accounts whose events are not read for the time being."""
        return self._pauses.paused_for(CHANGES)

    @property
    def accounts(self) -> int:
        """How many accounts are read."""
        return len(self._account_ids)

    def behind(self) -> timedelta:
        """How long an account has waited for its turn; nothing while that is less than the interval."""
        wait = self._readers.longest_wait()
        return timedelta(seconds=wait) if wait > self._interval else timedelta()

    def longest_rest(self) -> timedelta:
        """How long an account without notices rests beyond the interval, while any is trusted."""
        rests = any(map(self._is_trusted, self._account_ids))
        return timedelta(seconds=self._trusted_wait() - self._interval) if rests else timedelta()

    async def run(self, task: Task) -> None:
        if not self._subscribers:
            return
        self._readers.add(self._account_ids)
        until_time = self._pauses.until_time(new_accounts_unit(self._pauses))
        look_time = until_time if until_time > -math.inf else self._next_look_time()
        self._new.notify(self._pauses.platform_id, look_time)
        for readers in (self._readers, self._new):
            await readers.run(task)

    def notice(self, account_id: str) -> None:
        """Stripe has announced something of the account: its next reading is an interval after its last."""
        self._noticed[account_id] = asyncio.get_running_loop().time()
        self._bring_forward(account_id)

    def lose_trust(self, account_id: str | None) -> None:
        """An account, all where None, is to be read once per interval again."""
        for each in self._account_ids if account_id is None else [account_id]:
            self._bring_forward(each)

    def _bring_forward(self, account_id: str) -> None:
        """Has an account that is to wait for longer than the interval read an interval after its last
        reading."""
        clock_time = asyncio.get_running_loop().time()
        if not clock_time + self._interval < self._readers.next_time(account_id) < math.inf:
            return
        now, last = self._source_of(account_id).http.now(), self._published.get(account_id, 0)
        age = now.timestamp() - last - self._settings.lag.total_seconds()
        self._readers.notify(account_id, clock_time + max(0.0, self._interval - age))

    def _next_time(self, account_id: str, start_time: float) -> float:
        """When an account is read next whose reading began at `start_time`."""
        next_time, noticed_time = start_time + self._interval, self._noticed.get(account_id)
        if noticed_time is None:
            return start_time + self._trusted_wait() if self._is_trusted(account_id) else next_time
        # The next window ends a lag, and a part of a second, before the time of its reading.
        if noticed_time <= next_time - self._settings.lag.total_seconds() - 1:
            del self._noticed[account_id]
        return next_time

    def _trusted_wait(self) -> float:
        """How often an account without notices is read, in seconds: all of them take `trusted_share` of the
        rate limit at most."""
        http = self._source_of(self._account_ids[0]).http
        least = len(self._account_ids) / (http.requests_per_second * self._settings.trusted_share)
        return max(self._interval, self._settings.trusted_interval.total_seconds(), least)

    async def _read(self, account_id: str, task: Task) -> float:
        """Reads the new events of an account and notifies the subscribers, window after window. Events that
        come up while the account is read wait for the account's next turn, however long this one takes."""
        start_time, source = asyncio.get_running_loop().time(), self._source_of(account_id)
        horizon = floor(source.http.now() - self._settings.lag)
        while (published := await self._read_window(account_id, source)) is not None:
            # A little that another's reading has left can wait as well.
            if task.stopping.event.is_set() or horizon - published <= self._interval / 2:
                break
        return self._next_time(account_id, start_time)

    async def _read_window(self, account_id: str, source: Source) -> int | None:
        """Returns the end of the window that was published, None where there was nothing to read."""
        now = source.http.now()
        start = self._published.get(account_id, self._feed.first_cursor(account_id))
        if start is None:
            # No binding follows events: subscribers are notified only that time has passed, from now on.
            cursor = now - self._settings.lag - timedelta(seconds=1)
            self._feed.skip(account_id, floor(cursor))
        else:
            cursor = datetime.fromtimestamp(start, tz=UTC)
        if is_past_retention(cursor, now, self._settings.retention_margin):
            return self._skip_lost(account_id, now)
        events = await self._feed.read(source, cursor)
        if events is None:
            return None
        if is_past_retention(cursor, source.http.now()):
            return self._skip_lost(account_id, source.http.now())
        if events.types:
            self._last_active[account_id] = asyncio.get_running_loop().time()
        self._publish(account_id, events.window, events.types)
        return events.window.end

    def _skip_lost(self, account_id: str, now: datetime) -> int:
        """Nobody can be notified of what is gone: each binding that is that far behind starts the account
        from nothing."""
        horizon = floor(now - self._settings.lag)
        self._feed.skip(account_id, horizon)
        self._publish(account_id, Window(horizon - 1, horizon), frozenset())
        return horizon

    def _publish(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        self._published[account_id] = window.end
        for subscriber in self._subscribers:
            subscriber.notify(account_id, window, types)

    def _quiet_time(self, account_id: str) -> float:
        """For how long an account has had no events, in seconds: it waits for others as long."""
        now, bound = asyncio.get_running_loop().time(), self._settings.quiet_wait.total_seconds()
        return min(now - self._last_active.get(account_id, now - bound), bound)

    async def _look_for_new(self, _: str, task: Task) -> float:
        try:
            new = await self._find_new()
        except AccountsLeftError as left:
            task.log.warning(left.answer)
            task.stopping.event.set()
            return math.inf
        if new:
            task.log.info("new accounts have connected", {"accounts": len(new)})
            self._account_ids += new
            # No state says from where on a new account is followed: from before its backfill starts.
            self._feed.subscribe(dict.fromkeys(new, floor(self._source_of(new[0]).http.now())))
            for subscriber in self._subscribers:
                subscriber.add_accounts(new)
            self._readers.add(new)
        return self._next_look_time()

    def _next_look_time(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.new_accounts_interval.total_seconds()


def new_accounts_unit(pauses: Pauses) -> Unit:
    return Unit(NEW_ACCOUNTS, pauses.platform_id)
