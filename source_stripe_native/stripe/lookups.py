"""Lookups: answers that are remembered for a while, since many documents need the same one.

Rule: one request serves everybody who asks while it is under way or remembered. A failed request is not
remembered. Limits: `Settings.lookups_kept` answers, for a fixed time; the oldest go first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

from source_stripe_native.settings import Settings

Answer = TypeVar("Answer")


class Lookups(Generic[Answer]):
    """`retention` is how long an answer is remembered, by default `Settings.lookup_retention`."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        retention: timedelta | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._retention = (settings.lookup_retention if retention is None else retention).total_seconds()
        self._kept: dict[Hashable, tuple[float, asyncio.Task[Answer]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer for `key`, from `make` where it is not remembered."""
        now = self._clock()
        if key in self._kept:
            read_time, task = self._kept[key]
            failed = task.done() and (task.cancelled() or task.exception() is not None)
            if not failed and now - read_time < self._retention:
                return await asyncio.shield(task)
            del self._kept[key]
        task = asyncio.ensure_future(_awaited(make()))
        self._kept[key] = now, task
        while len(self._kept) > self._settings.lookups_kept:
            del self._kept[next(iter(self._kept))]
        return await asyncio.shield(task)


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer
