"""The public face of scheduling/: fair capture of one binding over many connected accounts.

This module defines nothing. The names are those that users of the scheduler import.
"""

from source_stripe_native.protocols import FetchChangesFnFactory as FetchChangesFnFactory
from source_stripe_native.protocols import FetchPageFnFactory as FetchPageFnFactory
from source_stripe_native.protocols import FetchPageFnFactoryWithSuffix as FetchPageFnFactoryWithSuffix
from source_stripe_native.scheduling.scheduler import (
    open_binding_with_priority_queue as open_binding_with_priority_queue,
)
from source_stripe_native.scheduling.subtasks import SubtaskExecutor as SubtaskExecutor
from source_stripe_native.scheduling.subtasks import (
    _binding_backfill_task_with_variant as _binding_backfill_task_with_variant,
)
from source_stripe_native.scheduling.work_items import BackfillVariant as BackfillVariant
from source_stripe_native.scheduling.work_items import PriorityCalculator as PriorityCalculator
from source_stripe_native.scheduling.work_items import PriorityQueueConfig as PriorityQueueConfig
from source_stripe_native.scheduling.work_items import WorkItem as WorkItem
from source_stripe_native.scheduling.work_items import WorkItemManager as WorkItemManager
from source_stripe_native.scheduling.work_items import WorkItemPriority as WorkItemPriority
