"""Work items: what an account's turn consists of, made from the binding's state when the turn has come.

Rule: an account has a cursor and backfills of its own while its turn lasts (state/parts.py).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, cast

from estuary_cdk.capture.common import FetchChangesFn, ResourceState

from source_stripe_native.events.change_loop import FetchEarlyFn
from source_stripe_native.protocols import (
    AnyFetchPageFn,
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.scheduling.poll_times import PollTimes
from source_stripe_native.state.cursors import AccountNumbers, Cursors
from source_stripe_native.state.parts import own
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.postponed import Postponed


class WorkItemPriority(IntEnum):
    """The lower value goes first."""

    BACKFILL = 0
    INCREMENTAL = 1


@dataclass(frozen=True)
class PriorityQueueConfig:
    """Limits of one binding's scheduler, and what it shares with others."""

    max_subtasks: int = 64
    """Subtasks that run at once, incremental ones and variants together."""
    time_slice: timedelta = timedelta(minutes=1)
    """How long a work item runs before it yields to others that wait."""
    max_wait: timedelta = timedelta(minutes=10)
    """How long backfilling accounts go before an account that only has changes to follow."""
    flush: timedelta = timedelta(minutes=1)
    """How often the cursors of accounts that had nothing new are written, in one checkpoint."""
    flush_at_most: int = 900
    """Cursors that are written at once at most, unless the capture stops. The others wait for the next
    time."""
    reads_lists_in: Callable[[str, Window], bool] = lambda *_: False
    """Whether lists of an account are read again in this window, whatever its events report."""
    is_relevant: Callable[[frozenset[str]], bool] = bool
    """Whether new events of these types concern the binding."""
    polls: PollTimes | None = None
    """When the binding's lists without events are polled; None where it has none. Their cursors wait
    meanwhile."""
    poller: AccountPoller | None = None
    """Without a poller each account is read once per interval."""
    postponed: Postponed | None = None
    """The objects that are read later, for which an account has turns of its own."""
    pauses: Pauses | None = None
    """What is paused after a failure. Without it a failure ends the capture."""
    fetch_early: Callable[[str], FetchEarlyFn] | None = None
    """Makes the function that fetches the newest changes of an account after a notice; None where the binding
    follows no events."""
    now: Callable[[], datetime] = lambda: datetime.now(tz=UTC)
    """The clock of cursors and cutoffs."""


@dataclass
class BackfillVariant:
    """One part of an account's backfill, such as its active prices: how it is fetched and how far it is."""

    suffix: str
    fetch_fn: AnyFetchPageFn
    state: ResourceState.Backfill

    def state_key(self, account_id: str) -> str:
        return f"{account_id}{self.suffix}"


@dataclass
class WorkItem:
    """One account's turn. Setting `cancellation_event` asks its subtasks to yield at their next
    checkpoint."""

    account_id: str
    priority: WorkItemPriority
    incremental_fetch_fn: FetchChangesFn[Any]
    incremental_state: ResourceState.Incremental
    backfill_variants: list[BackfillVariant] = field(default_factory=list)
    cancellation_event: asyncio.Event = field(default_factory=asyncio.Event)
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while there is something to capture early."""
    is_early: bool = False
    """Whether the turn is for that alone: the cursor has its own."""
    caught_up_time: float | None = None
    """When the incremental subtask last had nothing more to read, in seconds of the loop's clock; None while
    it has."""
    has_failed: bool = False
    """Whether one of its subtasks failed, so that the stream of the account is paused."""
    backfill_requested: bool = False
    """Whether only a new backfill can find what changed."""

    def has_backfill_work(self) -> bool:
        return len(self.backfill_variants) > 0


class PriorityCalculator:
    """What an account's turn would be, by its state: its priority, and its cost in subtasks."""

    def __init__(
        self, resource_state: ResourceState, backfill_subtask_suffixes: Sequence[str] | None = None
    ) -> None:
        self.resource_state = resource_state
        self.backfill_subtask_suffixes = list(backfill_subtask_suffixes or [""])

    def unfinished(self, account_id: str) -> dict[str, ResourceState.Backfill]:
        """The account's unfinished variants, by suffix."""
        backfill = self.resource_state.backfill
        if not backfill or not isinstance(backfill, dict):
            return {}
        return {
            suffix: at
            for suffix in self.backfill_subtask_suffixes
            if isinstance(at := backfill.get(f"{account_id}{suffix}"), ResourceState.Backfill)
        }

    def backfilling(self, account_ids: Sequence[str]) -> dict[str, None]:
        """Those of the accounts that have unfinished variants, as a set that keeps its order."""
        some = account_ids if self.resource_state.backfill else ()
        return dict.fromkeys(account_id for account_id in some if self.unfinished(account_id))

    def get_account_priority(self, account_id: str) -> WorkItemPriority:
        return WorkItemPriority.BACKFILL if self.unfinished(account_id) else WorkItemPriority.INCREMENTAL

    def count_subtasks(self, account_id: str) -> int:
        return 1 + len(self.unfinished(account_id))


class WorkItemManager:
    """Makes an account's work item from the state, when its turn has come."""

    def __init__(
        self,
        resource_state: ResourceState,
        fetch_changes_factory: FetchChangesFnFactory,
        fetch_page_factory: FetchPageFnFactory | FetchPageFnFactoryWithSuffix,
        backfill_subtask_suffixes: Sequence[str] | None = None,
    ) -> None:
        assert isinstance(resource_state.inc, Mapping), "connected accounts have a cursor each"
        self.resource_state = resource_state
        self.cursors = Cursors.of(resource_state, AccountNumbers())
        self.fetch_changes_factory = fetch_changes_factory
        self.calculator = PriorityCalculator(resource_state, backfill_subtask_suffixes)
        self._takes_suffix = backfill_subtask_suffixes is not None
        self.fetch_page_factory = fetch_page_factory

    def create_work_item(self, account_id: str) -> WorkItem:
        return WorkItem(
            account_id=account_id,
            priority=self.calculator.get_account_priority(account_id),
            incremental_fetch_fn=self.fetch_changes_factory(account_id),
            incremental_state=self.cursors[account_id].model_copy(),
            backfill_variants=self._get_backfill_work(account_id),
        )

    def _get_backfill_work(self, account_id: str) -> list[BackfillVariant]:
        backfills = self.resource_state.backfill
        if not isinstance(backfills, dict):
            return []
        return [
            BackfillVariant(suffix, fetch_fn, own(backfills, f"{account_id}{suffix}"))
            for suffix in self.calculator.unfinished(account_id)
            if (fetch_fn := self._fetch_page(account_id, suffix)) is not None
        ]

    def _fetch_page(self, account_id: str, suffix: str) -> AnyFetchPageFn | None:
        if self._takes_suffix:
            return cast(FetchPageFnFactoryWithSuffix, self.fetch_page_factory)(account_id, suffix)
        return cast(FetchPageFnFactory, self.fetch_page_factory)(account_id)
