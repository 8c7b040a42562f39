"""The byte budget: what is reserved is the sum of what is held, nobody waits while he holds, and whatever
ends holds nothing."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.flow.byte_budget import ByteBudget, Reservation
from tests.cdk_task import on_virtual_time, run_on_virtual_time

pytestmark = on_virtual_time
SIZE = 100


@dataclass(frozen=True)
class StepOf:
    """A step that is expected to hold `expected` bytes and is read in `reads`, each of so many bytes. A
    reading takes a second, and writing the step takes `writing` seconds. It `ends` as a step can."""

    expected: int
    reads: list[int]
    writing: int
    ends: str


ENDS = ["released", "renewed", "left", "failed", "cancelled"]
STEPS = st.builds(
    StepOf,
    st.integers(0, 150),
    st.lists(st.integers(0, 120), max_size=4),
    st.integers(0, 5),
    st.sampled_from(ENDS),
)


@dataclass
class Reader:
    """Tasks that read steps of one budget, one after another."""

    budget: ByteBudget = field(default_factory=lambda: ByteBudget(SIZE))
    held: dict[int, Reservation] = field(default_factory=dict)
    admitted: list[int] = field(default_factory=list)

    async def read(self, number: int, steps: list[StepOf]) -> None:
        try:
            for step in steps:
                with await self.budget.reserve("step", step.expected) as held:
                    self.admitted.append(number)
                    await self.read_step(number, step, held)
        finally:
            self.held.pop(number, None)

    async def read_step(self, number: int, step: StepOf, held: Reservation) -> None:
        self.held[number] = held
        for size in step.reads:
            await asyncio.sleep(1)
            held.count(size)
        held.commit()
        assert held.size == sum(step.reads)
        if step.ends == "failed":
            raise RuntimeError("step")
        if step.ends == "cancelled":
            asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(step.writing)
        if step.ends == "renewed":
            del self.held[number]
            await held.renew()
            self.held[number] = held
        if step.ends != "left":
            held.release()
            del self.held[number]
            held.count(SIZE)  # Of a reading that nobody stopped.

    async def watch(self) -> None:
        """Compares what is reserved with what is held, at every moment."""
        await asyncio.sleep(0.125)  # never when a task that was admitted has yet to wake up
        while True:
            running = [held for held in self.held.values() if not held.owner.done()]
            known = {id(held) for held in running}
            assert self.budget.reserved == sum(held.size for held in self.budget.held.values())
            assert known >= {id(held) for held in self.budget.held.values() if not held.owner.done()}
            await asyncio.sleep(0.25)

    async def read_all(self, tasks: list[list[StepOf]]) -> None:
        watch = asyncio.create_task(self.watch())
        readers = [asyncio.create_task(self.read(number, steps)) for number, steps in enumerate(tasks)]
        # Nobody waits for ever: virtual time has nothing left to do otherwise.
        await asyncio.gather(*readers, return_exceptions=True)
        await asyncio.sleep(0)
        assert not watch.done() or watch.exception() is None
        watch.cancel()
        await asyncio.wait([watch])


@given(st.lists(st.lists(STEPS, max_size=3), max_size=8))
def test_every_step_gets_its_turn_and_nothing_stays_reserved(tasks: list[list[StepOf]]) -> None:
    reader = Reader()
    run_on_virtual_time(reader.read_all(tasks))
    assert set(reader.admitted) == {number for number, steps in enumerate(tasks) if steps}
    assert reader.budget.reserved == 0
    assert not reader.budget._turn.locked()


async def during(budget: ByteBudget, *sizes: int) -> list[asyncio.Task[None]]:
    """Reservations that are held until they are cancelled; those that wait, too."""

    async def hold(size: int) -> None:
        await budget.reserve("held", size)
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold(size)) for size in sizes]
    await asyncio.sleep(0)
    return tasks


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)


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
    for task in (first, small):
        await ended(task)
    assert budget.reserved == 0


async def test_what_was_expected_beyond_what_was_read_is_free_before_it_is_written() -> None:
    budget = ByteBudget(SIZE)
    with await budget.reserve("small", SIZE) as held:
        held.count(10)
        (waiting,) = await during(budget, 90)
        assert budget.reserved == SIZE
        held.commit()
        await asyncio.sleep(0)
        assert budget.reserved == 10 + 90
        await ended(waiting)


async def test_a_step_is_expected_to_hold_what_the_step_before_it_held() -> None:
    budget = ByteBudget(SIZE)

    async def expected(kind: str) -> int:
        return (await budget.reserve(kind, 10)).size

    held = await budget.reserve("Invoices", 10)
    held.count(80)
    held.release()
    assert await expected("Charges") == 10
    assert await expected("Invoices") == 80
    # Nothing was read: smaller steps lower it by half.
    assert [await expected("Invoices") for _ in range(3)] == [40, 20, 10]


@pytest.mark.parametrize("again", [False, True])
async def test_what_has_no_cursor_after_it_stays_reserved_until_its_task_ends_or_reads_again(
    again: bool,
) -> None:
    budget, written = ByteBudget(SIZE), asyncio.Event()

    async def read() -> None:
        with await budget.reserve("step", 30):
            pass
        await written.wait()
        if again:
            await budget.reserve("step", 40)
            assert budget.reserved == 40

    task = asyncio.create_task(read())
    await asyncio.sleep(1)
    assert budget.reserved == 30
    written.set()
    await task
    await asyncio.sleep(0)
    assert budget.reserved == 0


async def test_step_that_fails_holds_nothing_while_its_task_goes_on() -> None:
    budget = ByteBudget(SIZE)
    with pytest.raises(RuntimeError), await budget.reserve("step", 30):
        raise RuntimeError("step")
    assert budget.reserved == 0
