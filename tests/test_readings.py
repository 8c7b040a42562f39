"""Readings: one serves all who ask, it belongs to none of them, and what is kept is bounded."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.errors import ConnectorError
from source_stripe_native.stripe.rate_limit import Priority, Urgency
from source_stripe_native.stripe.readings import Readings
from tests.cdk_task import on_virtual_time, run_on_virtual_time

pytestmark = on_virtual_time


@dataclass
class Reader:
    """Reads for three seconds. Every `fails`-th reading fails."""

    readings: Readings[int]
    fails: int = 0
    started: int = 0
    running: int = 0
    most: int = 0
    urgencies: list[Urgency] = field(default_factory=list)

    async def read(self, urgency: Urgency) -> int:
        self.started += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.urgencies.append(urgency)
        number = self.started
        try:
            await asyncio.sleep(3)
            if self.fails and number % self.fails == 0:
                raise ConnectorError(f"reading {number}")
            return number
        finally:
            self.running -= 1

    async def ask(self, after: float = 0, priority: Priority = Priority.CHANGES, until: float = 99) -> int:
        """Asks so many seconds from now, and gives up at the second `until`."""
        await asyncio.sleep(after)
        async with asyncio.timeout_at(until):
            return await self.readings.get("key", self.read, Urgency(priority))


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=8),
    st.integers(0, 3),
    st.sampled_from([0, 4]),
)
def test_one_reading_at_a_time_serves_whoever_asks_however_others_end(
    askers: list[tuple[int, int]], fails: int, retention: int
) -> None:
    async def main() -> None:
        reader = Reader(Readings(timedelta(seconds=retention), most=1, size=lambda _: 1), fails)
        ends = [after + patience for after, patience in askers]
        asking = (reader.ask(after, until=end + 0.5) for (after, _), end in zip(askers, ends, strict=True))
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert reader.most == 1
        for (_, patience), result in zip(askers, results, strict=True):
            assert isinstance(result, int | ConnectorError) or (
                isinstance(result, TimeoutError) and patience < 3
            )
        assert (reader.running, reader.readings.under_way) == (0, 0), "nobody is left behind it"
        await asyncio.sleep(retention)
        assert (len(reader.readings._kept), reader.readings._bytes) == (0, 0)
        assert len(asyncio.all_tasks()) == 1

    run_on_virtual_time(main())


async def test_asker_who_gives_up_ends_the_reading_only_if_he_was_the_last() -> None:
    reader = Reader(Readings[int]())
    first, second = asyncio.create_task(reader.ask()), asyncio.create_task(reader.ask(1))
    await asyncio.sleep(2)
    first.cancel()
    assert await second == 1
    last = asyncio.create_task(reader.ask())
    await asyncio.sleep(1)
    last.cancel()
    await asyncio.wait([last])
    assert reader.running == 0


async def test_failure_is_raised_to_all_who_wait_and_is_not_kept() -> None:
    reader = Reader(Readings(timedelta(hours=1), most=1, size=lambda _: 1), fails=1)
    errors = await asyncio.gather(*(reader.ask(after) for after in (0, 1, 2)), return_exceptions=True)
    assert [str(error) for error in errors] == ["reading 1"] * 3
    assert len({id(error) for error in errors}) == 3
    reader.fails = 0
    assert [await reader.ask(), await reader.ask()] == [2, 2]


async def test_asker_lends_its_priority() -> None:
    reader = Reader(Readings[int]())

    def priority() -> Priority:
        return reader.urgencies[0].priority

    slow = asyncio.create_task(reader.ask(priority=Priority.BACKFILL))
    await asyncio.sleep(1)
    assert priority() is Priority.BACKFILL
    mine = Urgency(Priority.CHANGES)
    waiting = asyncio.create_task(reader.readings.get("key", reader.read, mine))
    await asyncio.sleep(1)
    assert priority() is Priority.CHANGES
    mine.raise_to(Priority.EVENTS)
    assert priority() is Priority.EVENTS
    assert await slow == await waiting == 1


@pytest.mark.parametrize(("most", "kept"), [(30, ["b", "c"]), (10, ["c"]), (9, [])])
async def test_oldest_results_go_first(most: int, kept: list[str]) -> None:
    dropped: list[str] = []
    readings = Readings[str](timedelta(hours=1), most, lambda text: 15 if text == "b" else 10, dropped.append)

    async def read(text: str) -> str:
        return text

    for text in ("a", "b", "c"):
        await readings.get(text, lambda _, text=text: read(text), Urgency(Priority.CHANGES))  # type: ignore[misc]  # a default of a lambda has no type
    assert [*readings._kept] == kept
    assert sorted([*dropped, *kept]) == ["a", "b", "c"]
