"""Work items: what an account's turn consists of, made from the binding's state when the turn has come.

Rule: an account has a cursor and backfills of its own while its turn lasts, and shares them before and after
(state_parts.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from estuary_cdk.capture.common import FetchChangesFn, FetchPageFn, RecurringFetchPageFn, ResourceState

from source_stripe_native.protocols import (
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.scheduling.account_queue import WorkItemPriority
from source_stripe_native.state.parts import own, share


@dataclass
class BackfillVariant:
    """One part of an account's backfill, such as its active prices: how it is fetched and how far it is."""

    suffix: str
    fetch_fn: FetchPageFn[Any] | RecurringFetchPageFn[Any]
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
    caught_up_time: float | None = None
    """When the incremental subtask last had nothing more to read, in seconds of the loop's clock; None while
    it has."""
    cursor_dirty: bool = False
    """Whether the cursor moved without a document, which is still to be checkpointed."""
    has_found: bool = False
    """Whether the incremental subtask captured a document."""
    has_failed: bool = False
    """Whether one of its subtasks failed, so that the stream of the account is paused."""
    backfill_requested: bool = False
    """Whether the incremental subtask found that only a new backfill can tell what changed."""

    def has_backfill_work(self) -> bool:
        return len(self.backfill_variants) > 0

    @property
    def cost(self) -> int:
        """Its subtasks that still run."""
        return 1 + len(self.backfill_variants)


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

    def count_unfinished(self, account_ids: Sequence[str]) -> dict[str, int]:
        """How many unfinished variants each of the accounts has, without those that have none."""
        found: dict[str, int] = {}
        if (backfill := self.resource_state.backfill) and isinstance(backfill, dict):
            for suffix in self.backfill_subtask_suffixes:
                for account_id in account_ids:
                    if backfill.get(f"{account_id}{suffix}" if suffix else account_id) is not None:
                        found[account_id] = found.get(account_id, 0) + 1
        return found

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
        self.resource_state = resource_state
        self.fetch_changes_factory = fetch_changes_factory
        self.calculator = PriorityCalculator(resource_state, backfill_subtask_suffixes)
        if backfill_subtask_suffixes is None:
            plain = cast(FetchPageFnFactory, fetch_page_factory)
            self.fetch_page_factory: FetchPageFnFactoryWithSuffix = lambda account_id, suffix: (
                plain(account_id) if suffix == "" else None
            )
        else:
            self.fetch_page_factory = cast(FetchPageFnFactoryWithSuffix, fetch_page_factory)

    def create_work_item(self, account_id: str) -> WorkItem:
        incremental = self.resource_state.inc
        assert isinstance(incremental, dict), "connected accounts have a cursor each"
        return WorkItem(
            account_id=account_id,
            priority=self.calculator.get_account_priority(account_id),
            incremental_fetch_fn=self.fetch_changes_factory(account_id),
            incremental_state=own(incremental, account_id),
            backfill_variants=self._get_backfill_work(account_id),
        )

    def release(self, work_item: WorkItem) -> None:
        """Ends the account's turn: its cursor is a shared one again."""
        assert isinstance(self.resource_state.inc, dict), "connected accounts have a cursor each"
        share(self.resource_state.inc, work_item.account_id)

    def _get_backfill_work(self, account_id: str) -> list[BackfillVariant]:
        unfinished = self.calculator.unfinished(account_id)
        backfills = self.resource_state.backfill
        if not unfinished or not isinstance(backfills, dict):
            return []
        return [
            BackfillVariant(suffix, fetch_fn, own(backfills, f"{account_id}{suffix}"))
            for suffix in unfinished
            if (fetch_fn := self.fetch_page_factory(account_id, suffix)) is not None
        ]
