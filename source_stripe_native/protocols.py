"""The factories of fetch functions that a capture of connected accounts takes, what loops report to, and what
writes entries of the state.

A factory is called only for an account that has work: an idle account costs no closure.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol

from estuary_cdk.capture.common import FetchChangesFn, FetchPageFn, RecurringFetchPageFn

AnyFetchPageFn = FetchPageFn[Any] | RecurringFetchPageFn[Any]
WriteEntries = Callable[[dict[str, Any]], Awaitable[None]]
"""Writes a merge patch of a binding's entries in a checkpoint of its own. One is written at a time."""


class FetchChangesFnFactory(Protocol):
    """Makes the function that follows one account's changes."""

    def __call__(self, account_id: str) -> FetchChangesFn[Any]: ...


class FetchPageFnFactory(Protocol):
    """Makes the function that backfills one account; None where the account has nothing to backfill."""

    def __call__(self, account_id: str) -> AnyFetchPageFn | None: ...


class FetchPageFnFactoryWithSuffix(Protocol):
    """Makes the function that runs one variant of one account's backfill; None where there is none."""

    def __call__(self, account_id: str, suffix: str) -> AnyFetchPageFn | None: ...


class Failures(Protocol):
    """Where a loop of a single account reports its failures, and that it goes on."""

    async def pause(self, error: Exception) -> timedelta:
        """How long the loop has to pause. Raises what ends the capture."""

    def end(self) -> None:
        """The loop has read something: it is not paused any more."""
