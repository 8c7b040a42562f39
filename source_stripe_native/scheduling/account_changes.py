"""Account changes: which accounts changed themselves, for the one binding whose documents are the accounts.

An account's own changes are events of that account, which the account poller reads for all bindings. The
binding of the accounts has one cursor for all of them:

    account 1    ---- read ------------------->|
    account 2    ---- read ---------->|                 not read yet
    cursor                            |<- at this second at most

Rule: the cursor never passes the second up to which the events of every account have been read, and what they
report is captured before the cursor moves on. After a crash each account's events are read from the cursor
on (`EventFeed.subscribe`). An account that is paused holds nobody up: it is read again once it is back, also
after a restart, since the state names it before the cursor passes it.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

from source_stripe_native.flow.waits import wait_any
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import PausedAccounts
from source_stripe_native.state.windows import Window


class AccountChanges:
    """A subscriber of the `poller`. Accounts change by events of `types`. Up to the `cursor` (Unix seconds)
    the changes of all `account_ids` have been captured. The binding reads once per `interval`, until the
    event `stopping`."""

    def __init__(
        self,
        types: frozenset[str],
        account_ids: Sequence[str],
        cursor: int,
        poller: AccountPoller,
        interval: timedelta,
        stopping: asyncio.Event,
    ) -> None:
        self._types = types
        self._poller = poller
        self._interval = interval.total_seconds()
        self._stopping = stopping
        self._read_until = dict.fromkeys(account_ids, cursor)
        """The second up to which each account's events have been read."""
        self._changed: dict[str, bool] = {}
        """The accounts that have changed, and whether each has been taken since."""
        self._target = cursor
        self._behind: set[str] = set()
        """The accounts whose events have not been read up to the target, while somebody waits for them."""
        self._reached = asyncio.Event()
        self.changed = asyncio.Event()
        """Set when an account has changed."""
        self.is_early = False
        """Whether the changed accounts are captured early, while the cursor waits for accounts that rest. No
        wait holds that up."""

    @property
    def paused(self) -> PausedAccounts:
        """The accounts whose events are not read for the time being."""
        return self._poller.paused

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        before = self._read_until.get(account_id, window.start)
        # An event that was not read since the cursor may have reported a change.
        if window.start > before or types & self._types:
            self._changed[account_id] = False
        if account_id in self._changed:
            # Or a change is left from a time when the account was away.
            self.changed.set()
        self._read_until[account_id] = max(before, window.end)
        if account_id in self._behind and window.end >= self._target:
            self._behind.remove(account_id)
            if not self._behind:
                self._reached.set()

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        """New accounts count as changed: one that was created long ago is not found by its creation time."""
        self.changed.set()
        for account_id in account_ids:
            self._changed[account_id] = False
            if (start := self._poller.high_watermark(account_id)) is not None:
                self._read_until.setdefault(account_id, start)

    async def wait(self, cursor: int) -> None:
        """Returns once the events of all accounts have been read up to an interval after `cursor`, or there
        is something to capture early; after an interval at the latest."""
        self._target = cursor + int(self._interval)
        paused, read_until = self.paused, self._read_until.items()
        self._behind = {key for key, at in read_until if at < self._target and key not in paused}
        if self._behind:
            self._reached.clear()
            early = [self.changed] if self.is_early else []
            await wait_any(self._reached, self._stopping, *early, at_most=self._interval)
            self._behind = set()

    def limit(self, due: Window) -> Window | None:
        """The part of `due` in which the events of all accounts have been read, None where there is none."""
        paused = self.paused
        if paused:
            self._changed |= {account_id: False for account_id in self._read_until if account_id in paused}
        end = min((at for key, at in self._read_until.items() if key not in paused), default=due.end)
        return Window(due.start, min(due.end, end)) if end > due.start else None

    def take(self) -> list[str]:
        """The accounts that have changed, but for those that are paused. Those of a window that failed are
        among them."""
        paused = self.paused
        self._changed = {account_id: account_id not in paused for account_id in self._changed}
        return [account_id for account_id, is_taken in self._changed.items() if is_taken]

    def left(self, captured: Collection[str]) -> list[str]:
        """The accounts that may have changed, but for those of which a document was `captured`: those that
        are paused, and those that were away only while they were read."""
        return [account_id for account_id in self._changed if account_id not in captured]

    def release(self, captured: Collection[str]) -> None:
        """Forgets the accounts that were taken, but for those of which no document was `captured`. To be
        called after the checkpoint of the documents."""
        left = (key for key, is_taken in self._changed.items() if not (is_taken and key in captured))
        self._changed = {account_id: self._changed[account_id] for account_id in left}
