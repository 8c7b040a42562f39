"""Lookups: answers that are remembered for a while, since many documents need the same one.

Rule: one request serves everybody who asks while it is under way or remembered. A failed request is not
remembered. Limits: `Settings.lookups_kept` answers, for `Settings.lookup_retention`; the oldest go first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable

from source_stripe_native.settings import Settings
from source_stripe_native.stripe.wire import Json


class Lookups:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, asyncio.Task[Json]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Json]]) -> Json:
        """The answer for `key`, from `make` where it is not remembered."""
        now = self._clock()
        if key in self._kept:
            read_time, task = self._kept[key]
            failed = task.done() and (task.cancelled() or task.exception() is not None)
            if not failed and now - read_time < self._settings.lookup_retention.total_seconds():
                return await asyncio.shield(task)
            del self._kept[key]
        task = asyncio.ensure_future(_awaited(make()))
        self._kept[key] = now, task
        while len(self._kept) > self._settings.lookups_kept:
            del self._kept[next(iter(self._kept))]
        return await asyncio.shield(task)


async def _awaited(answer: Awaitable[Json]) -> Json:
    return await answer
