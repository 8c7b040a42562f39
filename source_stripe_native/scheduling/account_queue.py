"""The queue of accounts that wait for their turn, ordered by deadline. Pure: times are arguments, in seconds
of one monotonic clock.

    ready              deadline = ready + grace
      |---- others may go before ----|

An account's grace is how long others may go before it. Whatever becomes ready after an account's deadline
goes after the account, so that no account starves.
"""

import heapq
import itertools
from enum import IntEnum


class WorkItemPriority(IntEnum):
    """The lower value goes first."""

    BACKFILL = 0
    INCREMENTAL = 1


class AccountQueue:
    """`max_wait` is the grace, in seconds, of accounts that only have changes to follow."""

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, str, float]] = []
        self._ready: list[tuple[float, int, float, str]] = []

    def push(
        self, account_id: str, priority: WorkItemPriority, ready_time: float, *, grace: float | None = None
    ) -> None:
        """`grace` replaces the one that follows from the priority."""
        if grace is None:
            grace = self._max_wait if priority is WorkItemPriority.INCREMENTAL else 0.0
        heapq.heappush(self._waiting, (ready_time, next(self._order), account_id, grace))

    def first(self, now: float) -> str | None:
        """The account whose turn it is, which stays queued; None while no account is ready."""
        while self._waiting and self._waiting[0][0] <= now:
            ready_time, order, account_id, grace = heapq.heappop(self._waiting)
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
