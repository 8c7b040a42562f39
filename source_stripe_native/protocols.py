"""The factories of fetch functions that a capture of connected accounts takes.

A factory is called only for an account that has work: an idle account costs no closure.
"""

from typing import Any, Protocol

from estuary_cdk.capture.common import FetchChangesFn, FetchPageFn, RecurringFetchPageFn

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
