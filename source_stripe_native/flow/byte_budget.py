"""Back-pressure: how many bytes may be read that are not written yet.

    reserve ---- read ---- commit ---- checkpoint ---- release
    (expected)  (counted)  (as read)   (written)

Rule: a step reserves what it is expected to hold before it reads anything, and holds it until the checkpoint
that carries it is written. A slow reader of the output so slows down the requests. Reservations are granted
first come, first served. A task holds one reservation at most, and none once it has ended.

Nobody waits for a reservation while holding one. A step that holds more than expected overdraws the budget,
by as much as a step may hold. What is larger than the whole budget is read while nothing else is reserved.
"""

import asyncio
from dataclasses import dataclass
from typing import Self


@dataclass(eq=False)
class Reservation:
    """Bytes of a budget that the task `owner` holds: `size` of them reserved and `read` counted.

    The block of a reservation ends it when it fails. After a block that ends well it stays until it is
    released, until its owner reserves again, or until its owner ends: a checkpoint may come after the
    block."""

    budget: "ByteBudget"
    owner: "asyncio.Task[object]"
    kind: str
    at_least: int
    size: int = 0
    read: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.release()

    def count(self, size: int) -> None:
        """Counts bytes that were read."""
        self.read += size
        self.size = max(self.size, self.read)

    def commit(self) -> None:
        """Frees what was expected beyond what was read. Must be called once everything is read."""
        self.size = self.read
        self.budget.freed.set()

    def release(self) -> None:
        if self.budget.held.get(self.owner) is self:
            self.budget.release(self.owner)

    async def renew(self) -> None:
        """Releases the bytes, and whatever else the owner holds, and waits for room for the next step."""
        self.budget.release(self.owner)
        await self.budget.acquire(self)


class ByteBudget:
    """`size` bytes, shared by all who reserve some of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held: dict[asyncio.Task[object], Reservation] = {}
        self._expected: dict[str, int] = {}
        self._turn = asyncio.Lock()
        """Held by the first of those who wait."""
        self.freed = asyncio.Event()

    @property
    def reserved(self) -> int:
        return sum(held.size for held in self.held.values())

    async def reserve(self, kind: str, at_least: int) -> Reservation:
        """Waits for its turn and for room for what a step of this kind is expected to hold by the steps
        before it, and for `at_least` bytes. Releases what the task held before."""
        owner = asyncio.current_task()
        assert owner is not None
        reservation = Reservation(self, owner, kind, at_least)
        await reservation.renew()
        return reservation

    async def acquire(self, reservation: Reservation) -> None:
        async with self._turn:
            while True:
                size = max(reservation.at_least, self._expected.get(reservation.kind, 0))
                if not self.held or self.reserved + size <= self.size:
                    break
                self.freed.clear()
                await self.freed.wait()
            reservation.size, reservation.read = size, 0
            self.held[reservation.owner] = reservation
            reservation.owner.add_done_callback(self.release)

    def release(self, owner: "asyncio.Task[object]") -> None:
        if (held := self.held.pop(owner, None)) is not None:
            owner.remove_done_callback(self.release)
            # A larger step raises what is expected of the next one at once, smaller ones lower it by and by.
            before = self._expected.get(held.kind, 0)
            self._expected[held.kind] = max(held.read, (before + held.read) // 2)
            self.freed.set()
