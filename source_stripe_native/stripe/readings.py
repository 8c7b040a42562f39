"""Readings: what several askers need is read once.

Rule: a reading belongs to none of its askers. It goes on while anybody waits for it, with the priority of
the most urgent one. Once nobody waits any more, it is cancelled. A failure is raised to all who wait, and is
not kept.

Limits: a result is kept for `retention`, counted from when it was asked for, and all results have `most`
bytes: the oldest go first. With neither, nothing is kept, and only those share a reading who ask while it is
under way.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from source_stripe_native.flow.waits import all_done
from source_stripe_native.stripe.rate_limit import Urgency

Result = TypeVar("Result")


@dataclass(eq=False)
class _Reading(Generic[Result]):
    """A reading that is under way. `askers` wait for it."""

    task: asyncio.Task[Result]
    urgency: Urgency
    askers: int = 0


@dataclass(frozen=True)
class _Kept(Generic[Result]):
    result: Result
    size: int
    timer: asyncio.TimerHandle


class Readings(Generic[Result]):
    """`size` has the bytes of a result. `dropped` is called with each result that is kept no longer."""

    def __init__(
        self,
        retention: timedelta = timedelta(),
        most: int = 0,
        size: Callable[[Result], int] = lambda _: 0,
        dropped: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self._retention = retention.total_seconds()
        self._most = most
        self._size = size
        self._dropped = dropped
        self._under_way: dict[Hashable, _Reading[Result]] = {}
        self._kept: dict[Hashable, _Kept[Result]] = {}
        self._bytes = 0

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    async def get(
        self, key: Hashable, read: Callable[[Urgency], Awaitable[Result]], urgency: Urgency
    ) -> Result:
        """The result for `key`: one that is kept, or that of `read`, which gets the urgency of its requests.
        The asker lends it its own `urgency`. Raises what `read` raises."""
        if (kept := self._kept.get(key)) is not None:
            return kept.result
        if (reading := self._under_way.get(key)) is None:
            shared = Urgency(urgency.priority)
            reading = _Reading(asyncio.create_task(self._read(key, read, shared)), shared)
            self._under_way[key] = reading
        reading.askers += 1
        try:
            with urgency.lent_to(reading.urgency.raise_to):
                return await asyncio.shield(reading.task)
        except Exception as error:  # noqa: BLE001 - it is raised: each asker may explain its own
            raise copy.copy(error).with_traceback(error.__traceback__) from None
        finally:
            reading.askers -= 1
            if not reading.askers and not reading.task.done():
                del self._under_way[key]
                reading.task.cancel()
                await all_done([reading.task])

    def drop(self, key: Hashable) -> None:
        """Keeps the result for `key` no longer, if there is one."""
        if (kept := self._kept.pop(key, None)) is not None:
            kept.timer.cancel()
            self._bytes -= kept.size
            self._dropped(kept.result)

    async def _read(
        self, key: Hashable, read: Callable[[Urgency], Awaitable[Result]], urgency: Urgency
    ) -> Result:
        asked_time = asyncio.get_running_loop().time()
        this = asyncio.current_task()
        try:
            result = await read(urgency)
        finally:
            if (reading := self._under_way.get(key)) is not None and reading.task is this:
                del self._under_way[key]
        self._keep(key, result, asked_time + self._retention)
        return result

    def _keep(self, key: Hashable, result: Result, until_time: float) -> None:
        loop, size = asyncio.get_running_loop(), self._size(result)
        if size > self._most or until_time <= loop.time():
            self._dropped(result)
            return
        self.drop(key)
        self._kept[key] = _Kept(result, size, loop.call_at(until_time, self.drop, key))
        self._bytes += size
        while self._bytes > self._most:
            self.drop(next(iter(self._kept)))
