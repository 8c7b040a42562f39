"""Back-pressure: how many bytes may be read that are not written yet.

    reserve ---- read ---- settle ---- checkpoint ---- release
    (expected)  (counted)  (as read)   (written)

Rule: whoever reads a page reserves what it is expected to hold, before its first request. The bytes stay
reserved until the checkpoint that carries them is written, so that a slow reader of the output slows down the
requests. Reservations are granted first come, first served.

No reservation waits for another: a page that holds more than expected overdraws the budget. It then pauses
where it can, but for the oldest reservation, which goes on to its end. What is larger than the whole budget
is read while nothing else is reserved.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Self


@dataclass(eq=False)
class Reservation:
    """Bytes of a budget, `size` of them reserved and `read` counted. `kept` says that the checkpoint which
    carries them is written only after the block of the reservation has ended."""

    budget: "ByteBudget"
    kind: str
    size: int
    read: int = 0
    kept: bool = False

    # A class, as the event loop closes every generator by itself when it ends.
    async def __aenter__(self) -> Self:
        await self.budget.acquire(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.budget.leave(self, is_kept=self.kept and kind is None)

    def count(self, size: int) -> None:
        """Counts bytes that were read."""
        self.read += size
        if self.read > self.size:
            self.budget.resize(self, self.read)

    def settle(self) -> None:
        """Says that everything is read: what was expected beyond that is free."""
        self.budget.resize(self, self.read)

    def keep(self) -> None:
        """Keeps the bytes until the task that reads them ends, or reserves again: what is read last has no
        cursor after it, and its checkpoint is written in between."""
        self.kept = True

    async def pause(self) -> None:
        """Waits while the budget is overdrawn, unless this is the oldest reservation."""
        await self.budget.pause(self)


class ByteBudget:
    """`size` bytes, shared by all who reserve some of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reserved = 0
        self._held: dict[Reservation, None] = {}
        """Oldest first."""
        self._kept: dict[asyncio.Task[object], Reservation] = {}
        self._expected: dict[str, int] = {}
        self._waiting: deque[tuple[Reservation, asyncio.Future[None]]] = deque()
        self._paused: dict[Reservation, asyncio.Future[None]] = {}

    def reserve(self, kind: str, at_least: int) -> Reservation:
        """What a page of this kind is expected to hold by the pages before it, and `at_least` bytes. To be
        used as an async context manager, which waits for its turn and until there is room."""
        return Reservation(self, kind, at_least)

    async def acquire(self, reservation: Reservation) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._release_kept(task)
        await self._acquire(reservation)

    def leave(self, reservation: Reservation, *, is_kept: bool) -> None:
        task = asyncio.current_task()
        if not is_kept or task is None:
            self._release(reservation)
            return
        self._kept[task] = reservation
        task.add_done_callback(self._release_kept)

    def resize(self, reservation: Reservation, size: int) -> None:
        self.reserved += size - reservation.size
        reservation.size = size
        self._admit()

    async def pause(self, reservation: Reservation) -> None:
        while self._is_to_pause(reservation):
            self._paused[reservation] = asyncio.get_running_loop().create_future()
            try:
                await self._paused[reservation]
            finally:
                del self._paused[reservation]

    def _is_to_pause(self, reservation: Reservation) -> bool:
        return self.reserved > self.size and next(iter(self._held)) is not reservation

    async def _acquire(self, reservation: Reservation) -> None:
        admitted = asyncio.get_running_loop().create_future()
        self._waiting.append((reservation, admitted))
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if reservation in self._held:
                self._release(reservation)
            else:
                # The next one may need less.
                self._admit()
            raise

    def _admit(self) -> None:
        """Admits those who wait, in their order, and wakes those who need not pause any more."""
        for reservation, resumed in self._paused.items():
            if not self._is_to_pause(reservation) and not resumed.done():
                resumed.set_result(None)
        while self._waiting:
            reservation, admitted = self._waiting[0]
            if admitted.cancelled():
                self._waiting.popleft()
                continue
            size = max(reservation.size, self._expected.get(reservation.kind, 0))
            if self._held and self.reserved + size > self.size:
                return
            self._waiting.popleft()
            reservation.size = size
            self.reserved += size
            self._held[reservation] = None
            admitted.set_result(None)

    def _release(self, reservation: Reservation) -> None:
        # A larger page raises what is expected of the next one at once, smaller ones lower it by and by.
        before = self._expected.get(reservation.kind, 0)
        self._expected[reservation.kind] = max(reservation.read, (before + reservation.read) // 2)
        del self._held[reservation]
        self.reserved -= reservation.size
        self._admit()

    def _release_kept(self, task: asyncio.Task[object]) -> None:
        if (reservation := self._kept.pop(task, None)) is not None:
            task.remove_done_callback(self._release_kept)
            self._release(reservation)
