"""The byte budget: what is read and not yet written is bounded, and whoever holds a part of it can finish."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.flow.byte_budget import ByteBudget
from tests.cdk_task import on_virtual_time, run_on_virtual_time

pytestmark = on_virtual_time
SIZE = 100


@dataclass(frozen=True)
class PageOf:
    """A page that is expected to hold `expected` bytes and is read in `steps`, each of so many bytes. A step
    takes a second, and writing the page takes `writing` seconds."""

    expected: int
    steps: list[int]
    writing: int
    is_last: bool = False
    fails: bool = False
    """Whether reading it fails after its steps."""


class Watched(ByteBudget):
    """A budget that admits nobody beyond its size, unless one is alone."""

    def _admit(self) -> None:
        before = len(self._held)
        super()._admit()
        assert len(self._held) == before or self.reserved <= SIZE or len(self._held) == 1


@dataclass
class Reader:
    """Reads pages of one budget."""

    budget: ByteBudget = field(default_factory=lambda: Watched(SIZE))
    started: list[int] = field(default_factory=list)
    finished: set[int] = field(default_factory=set)

    async def read(self, number: int, page: PageOf) -> None:
        async with self.budget.reserve(str(number), page.expected) as reservation:
            self.started.append(number)
            for size in page.steps:
                await asyncio.sleep(1)
                reservation.count(size)
                await reservation.pause()
            if page.fails:
                raise RuntimeError("page")
            reservation.settle()
            if page.is_last:
                reservation.keep()
            else:
                await asyncio.sleep(page.writing)
        if page.is_last:
            await asyncio.sleep(page.writing)
            assert reservation in self.budget._held
        self.finished.add(number)

    @property
    def reading(self) -> int:
        return len(self.budget._held)

    async def read_all(self, pages: list[PageOf]) -> None:
        tasks = [asyncio.create_task(self.read(number, page)) for number, page in enumerate(pages)]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        for number, (task, page) in enumerate(zip(tasks, pages, strict=True)):
            assert page.fails == (number not in self.finished), task.exception()


@given(
    st.lists(
        st.builds(
            PageOf,
            st.integers(0, 150),
            st.lists(st.integers(0, 120), max_size=4),
            st.integers(0, 5),
            is_last=st.booleans(),
            fails=st.booleans(),
        ),
        max_size=12,
    )
)
def test_every_page_is_read_in_its_order_within_the_budget_and_nothing_stays_reserved(
    pages: list[PageOf],
) -> None:
    reader = Reader()
    run_on_virtual_time(reader.read_all(pages))
    assert reader.started == list(range(len(pages)))
    assert (reader.budget.reserved, reader.reading) == (0, 0)


async def during(budget: ByteBudget, *sizes: int) -> list[asyncio.Task[None]]:
    """Reservations that are held until they are cancelled; those that wait, too."""

    async def hold(size: int) -> None:
        async with budget.reserve("held", size):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold(each)) for each in sizes]
    await asyncio.sleep(0)
    return tasks


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_larger_than_the_budget_is_read_alone() -> None:
    budget = ByteBudget(SIZE)
    small, large, other = await during(budget, 1, 10 * SIZE, 1)
    assert budget.reserved == 1
    await ended(small)
    assert budget.reserved == 10 * SIZE
    await ended(large)
    assert budget.reserved == 1
    await ended(other)
    assert budget.reserved == 0


async def test_who_gives_up_waiting_holds_up_nobody() -> None:
    budget = ByteBudget(SIZE)
    first, large, small = await during(budget, 60, 60, 40)
    assert budget.reserved == 60
    await ended(large)
    assert budget.reserved == SIZE
    for each in (first, small):
        await ended(each)
    assert budget.reserved == 0


async def test_what_was_expected_beyond_what_was_read_is_free_before_it_is_written() -> None:
    budget = ByteBudget(SIZE)
    async with budget.reserve("small", SIZE) as reservation:
        reservation.count(10)
        (waiting,) = await during(budget, 90)
        assert budget.reserved == SIZE
        reservation.settle()
        assert budget.reserved == 10 + 90
        await ended(waiting)


async def test_a_page_is_expected_to_hold_what_the_page_before_it_held() -> None:
    budget = ByteBudget(SIZE)

    async def expected(kind: str) -> int:
        async with budget.reserve(kind, 10):
            return budget.reserved

    async with budget.reserve("Invoices", 10) as reservation:
        reservation.count(80)
    assert await expected("Charges") == 10
    assert await expected("Invoices") == 80
    # Nothing was read: smaller pages lower it by half.
    assert [await expected("Invoices") for _ in range(3)] == [40, 20, 10]


async def test_only_the_oldest_page_grows_while_the_budget_is_overdrawn() -> None:
    budget = ByteBudget(SIZE)
    grown: list[str] = []

    async def grow(name: str) -> None:
        async with budget.reserve(name, 40) as reservation:
            for _ in range(3):
                await asyncio.sleep(1)
                reservation.count(40)
                await reservation.pause()
                grown.append(name)

    await asyncio.gather(grow("older"), grow("younger"))
    assert grown == ["older", "younger", "older", "older", "younger", "younger"]
    assert budget.reserved == 0


@pytest.mark.parametrize("again", [False, True])
async def test_what_has_no_cursor_after_it_stays_reserved_until_its_task_ends_or_reads_again(
    again: bool,
) -> None:
    budget, written = ByteBudget(SIZE), asyncio.Event()

    async def read(wait: Callable[[], Awaitable[object]]) -> None:
        async with budget.reserve("page", 30) as reservation:
            reservation.keep()
        await wait()
        if again:
            async with budget.reserve("page", 30):
                assert budget.reserved == 30

    task = asyncio.create_task(read(written.wait))
    await asyncio.sleep(1)
    assert budget.reserved == 30
    written.set()
    await task
    await asyncio.sleep(0)
    assert budget.reserved == 0
