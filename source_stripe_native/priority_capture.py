"""The public face of scheduling/: fair capture of one binding over many connected accounts.

This module defines nothing. The names are those that users of the scheduler import.
"""

from source_stripe_native.backfill.page_loop import Outcome
from source_stripe_native.flow.waits import wait_any
from source_stripe_native.protocols import (
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.scheduling.account_queue import AccountQueue, WorkItemPriority
from source_stripe_native.scheduling.queue_config import MIN_INTERVAL, PriorityQueueConfig
from source_stripe_native.scheduling.scheduler import open_binding_with_priority_queue
from source_stripe_native.scheduling.subtasks import (
    SubtaskExecutor,
    _binding_backfill_task_with_variant,
    _binding_incremental_task_of_account,
)
from source_stripe_native.scheduling.work_items import (
    BackfillVariant,
    PriorityCalculator,
    WorkItem,
    WorkItemManager,
)

__all__ = [
    "MIN_INTERVAL",
    "AccountQueue",
    "BackfillVariant",
    "FetchChangesFnFactory",
    "FetchPageFnFactory",
    "FetchPageFnFactoryWithSuffix",
    "Outcome",
    "PriorityCalculator",
    "PriorityQueueConfig",
    "SubtaskExecutor",
    "WorkItem",
    "WorkItemManager",
    "WorkItemPriority",
    "_binding_backfill_task_with_variant",
    "_binding_incremental_task_of_account",
    "open_binding_with_priority_queue",
    "wait_any",
]
