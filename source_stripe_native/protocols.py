"""What the scheduler over connected accounts and its neighbours expect of each other.

A factory of fetch functions is called only for an account that has work, so that an idle account costs no
closure.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from estuary_cdk.capture.common import FetchChangesFn, FetchPageFn, RecurringFetchPageFn
from estuary_cdk.capture.task import Task

from source_stripe_native.window import Window

AnyFetchPageFn = FetchPageFn[Any] | RecurringFetchPageFn[Any]


class FetchChangesFnFactory(Protocol):
    """Makes the function that follows one account's changes."""

    def __call__(self, account_id: str) -> FetchChangesFn[Any]: ...


class FetchPageFnFactory(Protocol):
    """Makes the function that backfills one account; None where the account has nothing to backfill."""

    def __call__(self, account_id: str) -> AnyFetchPageFn | None: ...


class FetchPageFnFactoryWithSuffix(Protocol):
    """Makes the function that runs one variant of one account's backfill; None where there is none."""

    def __call__(self, account_id: str, suffix: str) -> AnyFetchPageFn | None: ...


class Follower(Protocol):
    """One binding's scheduler, as it hears of its accounts."""

    def offer(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """All events of `window` have been read, and the new ones among them are of these types."""

    def adopt(self, account_ids: Sequence[str]) -> None:
        """There are new accounts, of which nothing is captured yet."""


class Rounds(Protocol):
    """Who reads the accounts' events, round after round, and tells the followers."""

    def follow(self, follower: Follower, interval: timedelta, task: Task) -> None:
        """From now on `follower` is told of each account once per `interval`, as far as there is time."""

    def until(self, account_id: str) -> int | None:
        """Up to when the account's events have been read, in Unix seconds."""
