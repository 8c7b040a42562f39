"""Windows that adapt to how much happens: catching up on any history reads every event about once, in
windows of bounded size, and a quiet account costs no more for it. Pages and windows are a hundredth of
their size here."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS, Settings
from tests.capture import UNLIMITED
from tests.conftest import NOW
from tests.test_feed import Binding, Bindings, bounds, session, types_of

DAY: Final = 86_400
PAGE: Final = 5
TARGET: Final = 100
AT_ONCE: Final = 2 * TARGET
OVERLAP: Final = int(DEFAULTS.overlap.total_seconds())
DUE: Final = int(DEFAULTS.lag.total_seconds())


SMALL: Final = replace(UNLIMITED, page_size=PAGE, target=TARGET)


@dataclass(frozen=True)
class History:
    """What happened in the `length` seconds until NOW, by seconds before NOW."""

    length: int
    ago: list[int]

    def make(self, world: World, kind: str = "product") -> set[str]:
        return {world.create(kind, at=NOW - each)["id"] for each in self.ago}

    def most_in_a_second(self) -> int:
        return max(Counter(self.ago).values(), default=0)

    def since(self, ago: int) -> int:
        return sum(each <= ago for each in self.ago)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to three days, quiet, dense and bursty in turn; the last one is the newest."""
    rng = Random(draw(st.integers(0, 2**32)))
    stretches = draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 2, 30, 600, 3600, DAY // 2]) | st.integers(1, DAY),
                st.sampled_from([0, 1, 7, 90, 250, 600]),
            ),
            min_size=1,
            max_size=5,
        )
    )
    ago, length = [], 0
    for seconds, events in stretches:
        ago += [DUE + length + 1 + rng.randrange(seconds) for _ in range(events)]
        length += seconds
    return History(DUE + length, sorted(ago))


@asynccontextmanager
async def behind(
    history: History,
    *names: str,
    seed: int = 0,
    window_size: timedelta = timedelta(days=1),
    settings: Settings = SMALL,
) -> AsyncIterator[tuple[Bindings, list[Binding], set[str]]]:
    """Bindings that are to catch up on a history of products, and the products' ids."""
    world = World(seed, now=NOW, unordered=True)
    async with StripeServer(world) as server, session(server, settings) as http:
        made = history.make(world)
        bindings = Bindings(server, http, window_size, settings)
        opened = bindings.open(dict.fromkeys(names or ("Products",), history.length))
        await bindings.pass_time(0)
        yield bindings, opened, made


async def sweeps(binding: Binding) -> AsyncIterator[int]:
    """Sweeps to the end, and how many documents each captured."""
    for _ in range(1000):
        before = binding.cursor
        found = len(await binding.sweep())
        if binding.cursor == before:
            return
        yield found
    raise AssertionError("there is no end of windows")


def requests(bindings: Bindings) -> int:
    return len(bindings.server.journal.visits("/v1/events"))


# Catching up


@settings(max_examples=8)
@given(history=histories(), seed=st.integers(0, 2**32))
async def test_any_history_is_read_about_once_in_readings_of_bounded_size(
    history: History, seed: int
) -> None:
    async with behind(history, seed=seed) as (bindings, (products,), made):
        captured = [found async for found in sweeps(products)]
        assert set(products.last()) == made
        assert sum(captured) == len(made), "nothing twice"
        # A window may hold some more where its first second or the one at a cut does, or its last page.
        assert max(captured, default=0) <= AT_ONCE + PAGE + 2 * history.most_in_a_second()
        least = ceil(len(made) / PAGE) + ceil(history.length / DAY)
        # What lies after the low watermark at the end of a window is read again with the next.
        again = ceil(history.since(DUE + OVERLAP) / PAGE) if history.length > DAY else 0
        assert requests(bindings) <= 1.3 * least + 8 + again


async def test_newest_part_of_a_window_that_there_is_no_room_for_is_read_again_when_its_turn_comes() -> None:
    history, asked = steady(DAY, 1000), []
    for room in (UNLIMITED.batch_bytes, 1):
        settings = replace(SMALL, batch_bytes=room)
        async with behind(history, settings=settings) as (bindings, (products,), made):
            captured = [found async for found in sweeps(products)]
            assert set(products.last()) == made
            assert sum(captured) == len(made), "nothing twice"
            assert max(captured) <= AT_ONCE + PAGE + 2 * history.most_in_a_second()
            asked.append(requests(bindings))
    assert asked[0] < asked[1] < 2 * asked[0]


@pytest.mark.parametrize("events", [0, 1, PAGE])
@pytest.mark.parametrize("length", [600, DAY])
async def test_a_quiet_account_up_to_a_day_behind_costs_one_request(length: int, events: int) -> None:
    history = History(length, [DUE + 1 + number * (length - DUE) // (events + 1) for number in range(events)])
    async with behind(history) as (bindings, (products,), made):
        assert await products.catch_up() == made
        assert requests(bindings) == 1


async def test_what_a_window_may_hold_is_read_in_one(world: World) -> None:
    """However it comes: 99 within seconds of each other, as a hundred renewals at midnight."""
    async with behind(History(DAY, [DUE + 1 + each % 3 for each in range(TARGET - 1)])) as (
        bindings,
        (products,),
        _,
    ):
        assert [found async for found in sweeps(products)] == [TARGET - 1]
        assert requests(bindings) == TARGET // PAGE


async def test_an_account_that_was_busy_costs_one_request_a_round_once_it_is_quiet() -> None:
    async with behind(steady(3600, 1000)) as (bindings, (products,), made):
        assert await products.catch_up() == made
        for pause in (300, 300, 300, 1800):
            await bindings.pass_time(pause)
            await products.catch_up()
            # The first goes back over what was dense.
            assert len(bindings.event_queries()) == 1
            assert requests(bindings) == 1 or pause == 300
        assert requests(bindings) == 1


def steady(length: int, events: int) -> History:
    """Events evenly over `length` seconds, and none in those that are not due yet."""
    return History(length, [DUE + 1 + number * (length - DUE - 1) // events for number in range(events)])


async def test_a_dense_history_is_checkpointed_soon_and_often_and_goes_on_there_after_a_kill() -> None:
    async with behind(steady(DAY, 1500)) as (bindings, (products,), made):
        captured = set[str]()
        kills = 0
        while len(captured) < len(made):
            # What is left of the last ten minutes, the newest part of all, and one window.
            bindings.server.journal.clear()
            captured |= {each["id"] for each in await products.sweep()}
            assert requests(bindings) <= (21 + TARGET + 2 * TARGET) / PAGE + 3
            bindings.feed = products.feed = EventFeed(
                types_of([products.stream]), window_size=timedelta(days=1), settings=SMALL
            )
            products.subscribe()
            kills += 1
        assert captured == made
        assert kills <= 2 * len(made) / TARGET


async def test_what_was_settled_when_it_was_read_is_not_read_again_but_after_a_restart() -> None:
    async with behind(steady(DAY, 1000)) as (bindings, (products,), _):
        await products.catch_up()
        newest, *windows = [bounds(each) for each in bindings.event_queries()]
        assert newest == (-DAY - DEFAULTS.restored_overlap, -DUE)
        assert windows[0][0] == -DAY - DEFAULTS.restored_overlap, (
            "others may have read up to there when that lay after the low watermark"
        )
        assert [start for start, _ in windows[1:]] == [end for _, end in windows[:-1]]
        bindings.server.journal.clear()
        await bindings.pass_time(300)
        await products.catch_up()
        assert [bounds(each) for each in bindings.event_queries()] == [(-DUE - OVERLAP, 300 - DUE)]


async def test_a_second_is_read_whole_however_much_it_holds() -> None:
    history = History(DAY, [5000] * (3 * AT_ONCE) + [5001] * 10 + [4999] * 10)
    async with behind(history) as (bindings, (products,), made):
        captured = [found async for found in sweeps(products)]
        assert sum(captured) == len(made)
        assert set(products.last()) == made
        assert requests(bindings) <= len(made) / PAGE + 8


async def test_a_configured_window_is_the_longest() -> None:
    hour = timedelta(hours=1)
    async with behind(steady(DAY, 20), window_size=hour) as (bindings, (products,), made):
        assert await products.catch_up() == made
        assert max(end - start for start, end in map(bounds, bindings.event_queries()[1:])) == 3600
        assert requests(bindings) == 24


# Together


async def test_a_slow_binding_beside_a_fast_one_costs_no_requests() -> None:
    """The fast one is through before the slow one has had its first window."""
    async with behind(steady(DAY, 20 * TARGET), "Products", "Coupons") as (bindings, (slow, fast), made):
        await slow.sweep()
        windows = [found async for found in sweeps(fast)]
        read = requests(bindings)
        assert len(windows) >= 17
        captured = [found async for found in sweeps(slow)]
        assert max(captured) <= AT_ONCE, "a checkpoint is never far away"
        assert set(slow.last()) == made
        assert requests(bindings) == read <= 1.1 * len(made) / PAGE + len(windows)


async def test_all_bindings_catch_up_together_on_one_reading_of_what_happened() -> None:
    # A child costs requests of its own.
    follows = [row for row in STREAMS if row.follows_events() and row.PARENT is None]
    names = [row.NAME for row in follows if not (row.POLLS or row.RELIST)]
    assert len(names) > 30
    rng = Random(0)
    async with behind(steady(DAY, 10 * TARGET), *names) as (bindings, opened, made):
        end = max(each.cursor for each in opened) + timedelta(seconds=DAY - DUE)
        while behind_still := [each for each in opened if each.cursor < end]:
            await rng.choice(behind_still[:7]).sweep()
        (products,) = (each for each in opened if each.stream.NAME == "Products")
        assert set(products.last()) == made
        assert requests(bindings) <= 1.2 * len(made) / PAGE + 8


async def test_a_binding_that_reads_on_its_own_does_so_window_by_window_and_then_shares_with_the_others() -> (
    None
):
    history = steady(DAY, 1000)
    async with behind(history, "Products", "Coupons") as (bindings, _, made):
        alone, ahead = bindings.open({"Products": DAY, "Coupons": 2 * DUE})
        await ahead.catch_up()
        captured = [found async for found in sweeps(alone)]
        assert set(alone.last()) == made
        assert max(captured) <= AT_ONCE + PAGE
        assert requests(bindings) <= 1.2 * len(made) / PAGE + 8
        await bindings.pass_time(300)
        await ahead.catch_up()
        await alone.catch_up()
        assert len(bindings.event_queries()) == 1


async def test_one_that_has_read_on_its_own_is_not_given_older_versions_that_others_read_before(
    world: World, server: StripeServer
) -> None:
    ago = int(DEFAULTS.subscription_spread.total_seconds()) + 400
    async with session(server, SMALL) as http:
        bindings = Bindings(server, http, timedelta(seconds=ago + 100), SMALL)
        ahead, alone = bindings.open({"Products": 0, "Coupons": ago})
        id = world.create("coupon", at=NOW - 2000)["id"]
        world.update("coupon", id, name="older", at=NOW + 5, visible_after=200)
        world.update("coupon", id, name="newer", at=NOW + 10, visible_after=400)
        for _ in range(2):
            # The second time the older version is seen, late.
            await bindings.pass_time(120)
            await ahead.catch_up()
        await bindings.pass_time(210)
        names = []
        for _ in range(4):
            names += [each["name"] for each in await alone.sweep()]
        assert "newer" in names
        assert set(names[names.index("newer") :]) == {"newer"}
        assert alone.cursor.timestamp() == NOW + 450 - DUE
