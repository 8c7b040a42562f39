"""What the captures of a test hold: reservations, readings, records of captured ids, pauses and tasks."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.flow.byte_budget import ByteBudget
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.stripe.readings import Readings

PACKAGES: Final = ("source_stripe_native", "estuary_cdk")


@dataclass
class Holders:
    """All that captures can hold anything by."""

    budgets: list[ByteBudget] = field(default_factory=list)
    readings: list[Readings[Any]] = field(default_factory=list)
    superseded: list[SupersededIds] = field(default_factory=list)
    pauses: list[Pauses] = field(default_factory=list)

    def held(self) -> dict[str, int]:
        """What nobody may hold while nothing is under way, in numbers."""
        return {
            "bytes": sum(budget.reserved for budget in self.budgets),
            "who wait for bytes": sum(budget._turn.locked() for budget in self.budgets),
            "readings": sum(readings.under_way for readings in self.readings),
            "records": sum(len(superseded._records) for superseded in self.superseded),
        }

    def paused(self) -> list[str]:
        """What is paused for now."""
        return [str(unit) for pauses in self.pauses for unit in list(pauses._pauses)]

    def clear(self) -> None:
        """Leaves out the captures that have ended."""
        for instances in (self.budgets, self.readings, self.superseded, self.pauses):
            instances.clear()


@contextmanager
def holders_watched() -> Iterator[Holders]:
    """Those of all captures that open in the block."""
    holders = Holders()
    with pytest.MonkeyPatch.context() as patch:

        def watch(cls: type, instances: list[Any]) -> None:
            made = cls.__init__  # type: ignore[misc]  # any class has one

            def make(self: Any, *args: Any, **options: Any) -> None:
                made(self, *args, **options)
                instances.append(self)

            patch.setattr(cls, "__init__", make)

        watch(ByteBudget, holders.budgets)
        watch(Readings, holders.readings)
        watch(SupersededIds, holders.superseded)
        watch(Pauses, holders.pauses)
        yield holders


def running() -> list[str]:
    """The tasks of a capture that are left, but for those that the CDK leaves to the end of the process."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    names = (
        coroutine.__qualname__
        for coroutine in coroutines
        if any(package in coroutine.cr_code.co_filename for package in PACKAGES)
    )
    return [
        name for name in names if not name.startswith(("BaseCaptureConnector.handle.", "ConnectorStatus."))
    ]


async def still_held(holders: Holders, seconds: float = 2) -> dict[str, int]:
    """What is still held after a moment."""
    for number in range(int(seconds / 0.02)):
        if not any(holders.held().values()):
            break
        if not number:
            # What a task of the CDK's leaves of a generator when it is cancelled.
            gc.collect()
        await asyncio.sleep(0.02)
    return {what: number for what, number in holders.held().items() if number}
