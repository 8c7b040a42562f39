"""Turns: one container at a time for each key, and those who wait share an outage that the container meets.

Rule: a request that has failed for as long as Stripe is waited for is not made again by the next in line,
who would wait for as long once more. Any other failure is the container's own.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from source_stripe_native.errors import is_passing


@dataclass
class _Line:
    """The container and those who wait, `length` of them in all. `outages` counts what the containers met."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0
    outages: int = 0
    error: Exception | None = None


class Turns:
    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line] = {}

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[None]:
        """Waits for the turn. Raises the error of a container who met an outage in the meantime."""
        line = self._lines.setdefault(key, _Line())
        outages, line.length = line.outages, line.length + 1
        try:
            async with line.lock:
                if line.error is not None and line.outages > outages:
                    raise copy.copy(line.error)
                try:
                    yield
                except Exception as error:
                    if is_passing(error):
                        line.outages += 1
                        line.error = copy.copy(error)
                    raise
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]
