"""A binding's state as it is when the capture opens: brought up to date, in memory and in checkpoints.

Rule: each step is one checkpoint, all of it or none, and none where nothing differs. Until all bindings are
open nothing else is captured, so that the steps may use the task in which the capture opens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding

from source_stripe_native.config import ResourceConfig
from source_stripe_native.errors import shown
from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.state.parts import Json, apply, state_of
from source_stripe_native.state.remembered_lists import read_entries
from source_stripe_native.state.shapes import (
    ConnectorState,
    StatePatch,
    accounts_after,
    in_time,
    initial_state,
    reconcile,
)
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.postponed import Postponed, WriteEntries

Binding = CaptureBinding[ResourceConfig]

AHEAD = "times of the state lie in the future and are taken as now. If changes are missing, backfill again"


async def correct_times(
    binding: Binding, state: ResourceState, task: Task, http: StripeSession, owner: str
) -> None:
    """Takes times ahead of Stripe's clock as now, in one checkpoint. `owner` is the account of a state
    without account ids."""
    now = http.now().replace(microsecond=0)
    if not (patch := in_time(state, now)):
        return
    if ahead := accounts_after(state, owner, now + http.settings.clock_tolerance):
        task.log.warning(f"{binding.resourceConfig.name}: {AHEAD}. Accounts: {shown(ahead)}")
    await _write_and_apply(patch, binding, state, task)


async def reconcile_state(
    account_ids: str | Sequence[str],
    binding: Binding,
    state: ResourceState,
    initial: ResourceState,
    task: Task,
    suffixes: Sequence[str],
    owner: str = "",
) -> None:
    """Brings a binding's state into the shape and to the accounts of today, in one checkpoint. A state
    without account ids is that of `owner`, by default of the first account."""
    if patch := reconcile(state, initial, account_ids, suffixes, owner):
        await _write_and_apply(patch, binding, state, task)


async def _write_and_apply(patch: Json, binding: Binding, state: ResourceState, task: Task) -> None:
    await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: patch}))
    apply(state, patch)


async def repeat_backfill(
    binding: Binding, state: ResourceState, suffixes: Sequence[str], http: StripeSession, task: Task
) -> None:
    """Starts the binding's backfill again, for all of its accounts, whatever is left of the last one. The
    cursors stay where they are."""
    if state.backfill:
        # Whatever of it is unknown here is gone too. A stop in between leaves a binding with a due schedule.
        await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: {"backfill": None}}))
    account_ids = list(state.inc) if isinstance(state.inc, Mapping) else ""
    state.backfill = initial_state(account_ids, suffixes, http.now()).backfill
    state.last_initialized, state.is_connector_initiated = datetime.now(tz=UTC), True
    begun = state_of(
        backfill=state.backfill, last_initialized=state.last_initialized, is_connector_initiated=True
    )
    await task.checkpoint(ConnectorState(bindingStateV1={binding.stateKey: begun}))


async def restore_snapshot(
    binding: Binding,
    state: ResourceState,
    memories: ListMemories | None,
    account_ids: Sequence[str],
    postponed: Postponed,
    begin: Callable[[], Awaitable[Json]],
) -> None:
    """Hands over to `memories` what the state remembers of lists that are compared as a whole, and to
    `postponed` the objects that were. What it has of accounts other than these is removed: they are not
    captured any more, or by another shard. `begin` takes the entries of refreshes."""
    known = set(account_ids) if state.snapshot else set[str]()
    patch = postponed.restore(state, known) | await begin()
    if memories is not None:
        listed, of_others = read_entries(state, known)
        patch |= of_others
        memories.restore(binding.resourceConfig.name, listed, postponed.write)
        state.snapshot = None
    if patch:
        await postponed.write(patch)


def writer(binding: Binding, task: Task, writing: asyncio.Lock) -> WriteEntries:
    """Writes entries of a binding's snapshot in the task in which the capture opens, which all bindings
    share. Those that capture have buffers of their own. `writing` is held while the task has something to
    write."""

    async def write(entries: Json) -> None:
        async with writing:
            try:
                await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: {"snapshot": entries}}))
            finally:
                task.reset()

    return write
