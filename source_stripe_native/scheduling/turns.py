"""When an account has its turn. Pure: times are arguments.

The queue of accounts is ordered by deadline. An account's grace is how long others may go before it. Whatever
becomes ready after an account's deadline goes after the account, so that no account starves:

    ready              deadline = ready + grace
      |---- others may go before ----|

The lists of an account are polled soon after something happened, then ever more rarely:

    find  poll   poll         poll                     poll
      |-----|------|------------|------------------------|----  ...  once an hour
"""

import heapq
import itertools
from collections.abc import Callable
from enum import IntEnum

from source_stripe_native.settings import DEFAULTS, Settings


class WorkItemPriority(IntEnum):
    """The lower value goes first."""

    BACKFILL = 0
    INCREMENTAL = 1


class AccountQueue:
    """The accounts that wait for their turn. Times are in seconds of one monotonic clock. `max_wait` is the
    grace of accounts that only have changes to follow."""

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, str, float]] = []
        self._ready: list[tuple[float, int, float, str]] = []
        self._replaced: dict[str, tuple[int, int]] = {}
        """Of accounts with entries that do not count any more: the entry that does, and how many do not."""

    def push(
        self, account_id: str, priority: WorkItemPriority, ready_time: float, *, grace: float | None = None
    ) -> None:
        """`grace` replaces the one that follows from the priority."""
        if grace is None:
            grace = self._max_wait if priority is WorkItemPriority.INCREMENTAL else 0.0
        order = next(self._order)
        if account_id in self._replaced:
            self._replaced[account_id] = order, self._replaced[account_id][1]
        heapq.heappush(self._waiting, (ready_time, order, account_id, grace))

    def replace(self, account_id: str, ready_time: float) -> None:
        """Has an account that is waiting ready at another time, with no grace."""
        _, others = self._replaced.get(account_id, (0, 0))
        self._replaced[account_id] = 0, others + 1
        self.push(account_id, WorkItemPriority.INCREMENTAL, ready_time, grace=0.0)

    def _counts(self, account_id: str, order: int) -> bool:
        """Whether an entry that is ready counts. Forgets one that does not."""
        entry, others = self._replaced.get(account_id, (order, 0))
        if entry == order:
            return True
        if others > 1:
            self._replaced[account_id] = entry, others - 1
        else:
            del self._replaced[account_id]
        return False

    def first(self, now: float) -> str | None:
        """The account whose turn it is, which stays queued; None while no account is ready."""
        while self._waiting and self._waiting[0][0] <= now:
            ready_time, order, account_id, grace = heapq.heappop(self._waiting)
            if account_id in self._replaced and not self._counts(account_id, order):
                continue
            heapq.heappush(self._ready, (ready_time + grace, order, ready_time, account_id))
        return self._ready[0][3] if self._ready else None

    def pop(self) -> str:
        """Takes out the account that `first` returned."""
        return heapq.heappop(self._ready)[3]

    def longest_wait(self, now: float) -> float:
        """The longest time, in seconds, for which an account has been ready; zero where none is."""
        self.first(now)
        return max((now - ready_time for _, _, ready_time, _ in self._ready), default=0.0)

    def next_ready_time(self) -> float | None:
        """When the next account becomes ready, None where none is waiting to be."""
        return self._waiting[0][0] if self._waiting else None


class PollTimes:
    """When the lists of one binding are polled, account by account. Times are Unix seconds by Stripe's clock.

    A list is read at the latest when it has waited as long as it had been quiet at its last reading: each
    wait is twice as long as the one before, up to `Settings.longest_poll_wait`. A find in the list starts
    again from the interval. So does any event of the account, but for events alone no list is read more
    often than once per `Settings.active_poll_wait`. The binding's cursor stays where it was meanwhile: after
    a restart it says how long the list has waited. In an account that `is_trusted`, whose events posts
    announce, the longest wait is `Settings.trusted_poll_wait`."""

    def __init__(
        self, settings: Settings = DEFAULTS, is_trusted: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._longest = settings.longest_poll_wait.total_seconds()
        self._longest_trusted = settings.trusted_poll_wait.total_seconds()
        self._is_trusted = is_trusted
        self._active = settings.active_poll_wait.total_seconds()
        self._finds: dict[str, int] = {}
        self._events: dict[str, int] = {}

    def record_find(self, account_id: str, at: int) -> None:
        """Records that the reading up to `at` found something in the list."""
        self._finds[account_id] = at

    def record_events(self, account_id: str, at: int) -> None:
        """Records that the account had events before `at`, in its last window."""
        self._events[account_id] = at

    def is_due(self, account_id: str, cursor: int, horizon: int) -> bool:
        """Whether a list that was read up to `cursor` is to be read up to `horizon`."""
        longest = self._longest_trusted if self._is_trusted(account_id) else self._longest
        after_find = self._quiet(self._finds, account_id, cursor, longest)
        after_events = max(self._active, self._quiet(self._events, account_id, cursor, longest))
        return horizon - cursor >= min(longest, after_find, after_events)

    def _quiet(self, last: dict[str, int], account_id: str, cursor: int, longest: float) -> float:
        """How long nothing had happened at `cursor`. What happened too long ago to matter is forgotten."""
        at = last.get(account_id)
        if at is None or cursor - at >= longest:
            last.pop(account_id, None)
            return longest
        return max(0, cursor - at)
