"""One reading of an account's events for all bindings: who reads what when, what is late, what fails in the
middle, what is kept."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.api import Changes, source_of
from source_stripe_native.errors import StripeError
from source_stripe_native.events.event_log import MAX_TYPES, type_params
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.models import STREAMS, BaseStripeObject
from source_stripe_native.models import Events as EventsStream
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.streams.event_types import RENAMED
from source_stripe_native.streams.row import PREVIEW
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.cdk_task import running_capture
from tests.conftest import NOW

LOG: Final = logging.getLogger("test")
DAY: Final = 86_400
LAG: Final = int(DEFAULTS.lag.total_seconds())
OVERLAP: Final = int(DEFAULTS.overlap.total_seconds())
RESTORED: Final = DEFAULTS.restored_overlap
LATEST: Final = 600
"""Seconds after which an event is visible at the latest."""
ROWS: Final = {each.NAME: each for each in STREAMS}
Stream = type[BaseStripeObject]


def types_of(streams: Iterable[Stream]) -> set[str]:
    return {each for row in streams for each in row.all_event_types()}


@dataclass
class Binding:
    """One binding as it follows one account, and what it has captured: documents count once a cursor follows
    them."""

    stream: Stream
    feed: EventFeed
    http: StripeSession
    cursor: datetime
    account: str | None = None
    documents: list[Json] = field(default_factory=list)

    def subscribe(self) -> None:
        self.feed.subscribe({self.account or PLATFORM: floor(self.cursor)})

    async def sweep(self, give_up_after: int | None = None) -> list[Json]:
        """One call of the fetch function. One that is given up after so many documents is as if it had never
        been."""
        documents: list[Json] = []
        source = source_of(self.stream, PLATFORM, self.account, self.http, LOG)
        fetch = Changes(source, self.feed).fetch(LOG, self.cursor)
        async with aclosing(fetch):
            async for item in fetch:
                if isinstance(item, datetime):
                    self.cursor = item
                    self.documents += documents
                else:
                    assert isinstance(item, dict)
                    documents.append(item)
                    if len(documents) == give_up_after:
                        return []
        return documents

    async def catch_up(self) -> set[str]:
        """The ids of what was captured on the way to now."""
        found: set[str] = set()
        for _ in range(50):
            before = self.cursor
            found |= {each["id"] for each in await self.sweep()}
            if self.cursor == before:
                return found
        raise AssertionError("there is no end of windows")

    def last(self) -> dict[str, Json]:
        table = {each["id"]: each for each in self.documents}
        return {key: plain(each) for key, each in table.items() if each["_meta"]["op"] != "d"}


@dataclass
class Bindings:
    """The bindings of one capture."""

    server: StripeServer
    http: StripeSession
    window_size: timedelta = timedelta(days=1)
    settings: Settings = UNLIMITED
    feed: EventFeed = field(init=False)

    def open(self, cursors: dict[str, int], account: str | None = None) -> list[Binding]:
        """Bindings by the stream's name, each at so many seconds before NOW."""
        rows = [ROWS[name] for name in cursors]
        types = frozenset[str]() if any(each.IS_EVENT for each in rows) else types_of(rows)
        self.feed = EventFeed(types, window_size=self.window_size, settings=self.settings)
        opened = [
            Binding(row, self.feed, self.http, datetime.fromtimestamp(NOW - ago, tz=UTC), account)
            for row, ago in zip(rows, cursors.values(), strict=True)
        ]
        for each in opened:
            each.subscribe()
        return opened

    async def pass_time(self, seconds: float) -> None:
        self.server.world.clock.advance(seconds)
        for _ in range(2):  # two answers that agree
            await self.http.get(LOG, "/v1/account")
        self.server.journal.clear()

    def event_queries(self) -> list[dict[str, str]]:
        """The queries to /v1/events since the time last passed, first pages only."""
        return [
            dict(each.query)
            for each in self.server.journal.visits("/v1/events")
            if "starting_after" not in each.query
        ]


class WorldsTime(StripeSession):
    """A session whose clock is the world's, so that on a slow machine no more windows come due."""

    def __init__(self, server: StripeServer, settings: Settings) -> None:
        world = server.world
        super().__init__(world.key, base=server.url, version=world.api_version, settings=settings)
        self._world = world

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._world.clock.now(), tz=UTC)


@asynccontextmanager
async def session(server: StripeServer, settings: Settings = UNLIMITED) -> AsyncIterator[StripeSession]:
    async with WorldsTime(server, settings) as http:
        yield http


@pytest.fixture
async def bindings(server: StripeServer) -> AsyncIterator[Bindings]:
    async with session(server) as http:
        yield Bindings(server, http)


def bounds(query: dict[str, str]) -> tuple[int, int]:
    """A query's bounds, in seconds after NOW."""
    return int(query["created[gte]"]) - NOW, int(query["created[lt]"]) - NOW


# Sharing


async def test_bindings_share_one_reading_of_each_window(world: World, bindings: Bindings) -> None:
    opened = bindings.open({"Prices": 0, "Customers": 0, "Coupons": 0})
    kinds = ("price", "customer", "coupon")
    for round in range(3):
        made = [world.create(kind)["id"] for kind in kinds]
        await bindings.pass_time(120)
        assert [await each.catch_up() for each in opened] == [{each} for each in made]
        (query,) = bindings.event_queries()
        assert set(query["types[]"].split(",")) == types_of(each.stream for each in opened)
        assert bounds(query) == (
            (120 * round - LAG - OVERLAP) if round else -RESTORED,
            120 * (round + 1) - LAG,
        )


async def test_bindings_that_ask_at_the_same_time_wait_for_one_reading(
    world: World, bindings: Bindings
) -> None:
    opened = bindings.open({"Prices": 0, "Customers": 0, "Coupons": 0, "Charges": 0})
    new = world.create("customer")["id"]
    await bindings.pass_time(120)
    found = await asyncio.gather(*(each.sweep() for each in opened))
    assert [[each["id"] for each in documents] for documents in found] == [[], [new], [], []]
    assert len(bindings.event_queries()) == 1


async def test_accounts_are_read_each_for_itself(world: World, bindings: Bindings) -> None:
    first, second = (world.connect()["id"] for _ in range(2))
    of_first = bindings.open({"Prices": 0, "Customers": 0}, first)
    of_second = [Binding(each.stream, each.feed, each.http, each.cursor, second) for each in of_first]
    new = {account: world.create("price", account)["id"] for account in (first, second)}
    await bindings.pass_time(120)
    for each in (*of_first, *of_second):
        expected = {new[str(each.account)]} if each.stream.NAME == "Prices" else set()
        assert await each.catch_up() == expected
    visits = bindings.server.journal.visits("/v1/events")
    assert [each.account for each in visits] == [first, second]


async def test_a_binding_gets_what_came_after_its_own_cursor_from_a_reading_that_began_before(
    world: World, bindings: Bindings
) -> None:
    early, late = bindings.open({"Prices": 1800, "Customers": 0})
    old_price = world.create("price", at=NOW - 1700)["id"]
    old_customer = world.create("customer", at=NOW - 1700)["id"]
    await bindings.pass_time(120)
    for each in (late, early):
        assert (await each.catch_up()) == ({old_price} if each is early else {old_customer})
    assert [bounds(each) for each in bindings.event_queries()] == [(-1800 - RESTORED, 120 - LAG)]
    new_price, new_customer = world.create("price")["id"], world.create("customer")["id"]
    await bindings.pass_time(120)
    assert (await late.catch_up(), await early.catch_up()) == ({new_customer}, {new_price})
    assert [bounds(each) for each in bindings.event_queries()] == [(120 - LAG - OVERLAP, 240 - LAG)]


@pytest.mark.parametrize("first", [0, 1])
async def test_a_binding_far_behind_reads_on_its_own_until_it_is_as_far_as_the_others(
    world: World, bindings: Bindings, first: int
) -> None:
    ago = int(DEFAULTS.subscription_spread.total_seconds()) + 1
    opened = bindings.open({"Prices": 0, "Customers": ago, "Coupons": 0})
    behind = opened[1]
    while_away = world.create("customer", at=NOW - ago + 5)["id"]
    new = {name: world.create(kind)["id"] for name, kind in (("Prices", "price"), ("Customers", "customer"))}
    await bindings.pass_time(120)
    for each in opened[first:] + opened[:first]:
        expected = {new[each.stream.NAME]} if each.stream.NAME in new else set()
        assert await each.catch_up() == expected | ({while_away} if each is behind else set())
    alone = [each for each in bindings.event_queries() if bounds(each)[0] == -ago - RESTORED]
    together = [each for each in bindings.event_queries() if each not in alone]
    assert [set(each["types[]"].split(",")) for each in alone] == [types_of([behind.stream])]
    assert [bounds(each)[1] for each in alone] == [0 if first else 120 - LAG], "no further than the others"
    assert [bounds(each) for each in together] == [(-RESTORED, 120 - LAG)]
    await bindings.pass_time(120)
    for each in opened:
        await each.catch_up()
    assert len(bindings.event_queries()) == 1, "it shares with the others"


async def test_a_binding_that_catches_up_on_its_own_holds_nobody_up(
    world: World, server: StripeServer, bindings: Bindings
) -> None:
    ago = int(DEFAULTS.subscription_spread.total_seconds()) + 1
    late, other = bindings.open({"Customers": ago, "Prices": 0})
    while_away = {world.create("customer", at=NOW - ago + each)["id"] for each in range(250)}
    await bindings.pass_time(120)
    await other.catch_up()
    slow = Fault("/v1/events", query="starting_after", latency=2, times=1)
    server.faults.set(slow)
    source = Source(bindings.http, LOG, late.stream, PLATFORM, None)
    reading = asyncio.create_task(bindings.feed.read(source, late.cursor))
    for _ in range(200):
        await asyncio.sleep(0.005)
        if server.faults.fired(slow):
            break
    new = world.create("price")["id"]
    await bindings.pass_time(60)
    assert await other.catch_up() == {new}
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    assert await late.catch_up() == while_away


async def test_a_binding_that_is_slow_to_take_what_was_read_holds_nobody_up(
    world: World, bindings: Bindings
) -> None:
    slow, fast = bindings.open({"Prices": 0, "Customers": 0})
    prices = [world.create("price")["id"] for _ in range(250)]
    await bindings.pass_time(120)
    source = source_of(slow.stream, PLATFORM, None, slow.http, LOG)
    fetch = Changes(source, slow.feed).fetch(LOG, slow.cursor)
    async with aclosing(fetch):
        taken = [await anext(fetch)]
        for _ in range(5):
            new = world.create("customer")["id"]
            await bindings.pass_time(120)
            assert await fast.catch_up() == {new}
            assert len(bindings.event_queries()) == 1
        taken += [each async for each in fetch]
    cursor = taken.pop()
    assert cursor == datetime.fromtimestamp(NOW + 120 - LAG, tz=UTC)
    assert {each["id"] for each in taken if isinstance(each, dict)} == set(prices)


async def test_a_binding_ahead_of_what_was_read_displaces_nobody(world: World, bindings: Bindings) -> None:
    behind, ahead = bindings.open({"Prices": 1800, "Customers": 0})
    bindings.feed.window_size = timedelta(minutes=5)
    price, customer = world.create("price")["id"], world.create("customer")["id"]
    await bindings.pass_time(120)
    assert await ahead.catch_up() == {customer}
    read = len(bindings.event_queries())
    assert await behind.catch_up() == {price}
    assert len(bindings.event_queries()) == read


async def test_two_consumers_interleaved_on_one_reading_each_get_all_of_it_in_order(
    world: World, server: StripeServer, bindings: Bindings
) -> None:
    bindings.settings = replace(UNLIMITED, batch_lines=7, batch_memory=10_000)
    (prices,) = bindings.open({"Prices": 0})
    for number in range(120):
        world.create("price", at=NOW + number // 4)
    await bindings.pass_time(120)
    source = Source(bindings.http, LOG, prices.stream, PLATFORM, None)
    events = await bindings.feed.read(source, prices.cursor)
    assert events is not None
    created = [each for each in world.events() if each["type"] == "price.created"]
    one, other = (aiter(events.newest_first(types)) for types in ({"price.created"}, ()))
    got: list[Json] = []
    async for new, event in one:
        assert (new, event) == await anext(other)
        got.append(event)
    assert got == created
    assert await anext(other, None) is None


@pytest.mark.parametrize("in_memory", [1, 10**9])
async def test_a_reading_too_large_for_memory_is_read_from_disk_just_the_same(
    world: World, bindings: Bindings, in_memory: int
) -> None:
    bindings.settings = replace(UNLIMITED, batch_memory=in_memory)
    prices, customers = bindings.open({"Prices": 0, "Customers": 0})
    for number in range(120):
        world.create("price", nickname="née\n“ 1 2 ”" * 50, at=NOW + number)
        world.create("customer", at=NOW + number)
    await bindings.pass_time(240)
    source = Source(bindings.http, LOG, prices.stream, PLATFORM, None)
    events = await bindings.feed.read(source, prices.cursor)
    assert events is not None
    (batch,) = events.batches
    assert vars(batch.spool)["_rolled"] == (in_memory == 1)
    for binding, kind in ((prices, "price"), (customers, "customer")):
        await binding.catch_up()
        assert binding.last() == {each["id"]: each for each in world.list_all(kind)}
    assert len(bindings.event_queries()) == 1 + (0 if in_memory else 1)


# What is kept


async def publish_news(bindings: Bindings, reader: Binding, number: int) -> set[str]:
    made = set()
    for _ in range(number):
        made.add(bindings.server.world.create("customer")["id"])
        bindings.server.world.create("price")
        await bindings.pass_time(61)
        await reader.catch_up()
    return made


async def test_a_binding_behind_more_than_is_kept_reads_on_its_own(bindings: Bindings) -> None:
    bindings.settings = replace(UNLIMITED, batch_retention=timedelta(seconds=61 * 9))
    reader, slow, slower = bindings.open({"Prices": 0, "Customers": 0, "Coupons": 0})
    made = await publish_news(bindings, reader, 10)
    bindings.server.journal.clear()
    assert await slow.catch_up() == made
    assert bindings.event_queries() == []
    await publish_news(bindings, reader, 1)
    bindings.server.journal.clear()
    assert await slower.catch_up() == set()
    assert len(bindings.event_queries()) == 1
    assert slower.cursor == reader.cursor


async def test_quiet_windows_take_no_room_among_those_that_are_kept(bindings: Bindings) -> None:
    reader, behind = bindings.open({"Prices": 0, "Customers": 0})
    made = await publish_news(bindings, reader, 1)
    for _ in range(90):
        await bindings.pass_time(60)
        await reader.catch_up()
    bindings.server.journal.clear()
    assert await behind.catch_up() == made
    assert bindings.event_queries() == []


async def test_what_is_kept_of_all_accounts_is_bounded(world: World, bindings: Bindings) -> None:
    accounts = [world.connect()["id"] for _ in range(6)]
    bindings.settings = replace(UNLIMITED, batch_bytes=10_000)
    bindings.open({"Prices": 0})
    customers = ROWS["Prices"]
    cursor = datetime.fromtimestamp(NOW, tz=UTC)
    readers = [Binding(customers, bindings.feed, bindings.http, cursor, each) for each in accounts]
    new = [world.create("price", each, nickname="x" * 1000)["id"] for each in accounts]
    await bindings.pass_time(120)
    first = [await each.catch_up() for each in readers]
    second = [Binding(customers, bindings.feed, bindings.http, cursor, each) for each in accounts]
    bindings.server.journal.clear()
    assert [await each.catch_up() for each in second] == first == [{each} for each in new]
    again = [each.account for each in bindings.server.journal.visits("/v1/events")]
    assert 0 < len(again) < len(accounts)
    assert again == accounts[: len(again)], "the oldest were dropped"


async def test_a_reading_larger_than_all_that_is_kept_still_reaches_who_asked_for_it(
    world: World, bindings: Bindings
) -> None:
    bindings.settings = replace(UNLIMITED, batch_bytes=1000)
    prices, customers = bindings.open({"Prices": 0, "Customers": 0})
    made = {world.create("price", at=NOW + number)["id"] for number in range(20)}
    customer = world.create("customer")["id"]
    await bindings.pass_time(120)
    assert await prices.catch_up() == made
    assert await customers.catch_up() == {customer}
    new = world.create("price")["id"]
    await bindings.pass_time(120)
    assert await customers.catch_up() == set()
    assert await prices.catch_up() == {new}


async def test_dropped_batch_is_read_to_its_end_and_then_closed(world: World, bindings: Bindings) -> None:
    bindings.settings = replace(UNLIMITED, batch_bytes=1)
    (prices,) = bindings.open({"Prices": 0})
    source = Source(bindings.http, LOG, prices.stream, PLATFORM, None)
    world.create("price")
    await bindings.pass_time(120)
    events = await bindings.feed.read(source, prices.cursor)
    assert events is not None
    spool = weakref.ref(events.batches[0].spool)
    world.create("price")
    await bindings.pass_time(120)
    assert await bindings.feed.read(source, events.window.end_at), "which drops the first batch"
    assert len([each async for each in events.newest_first(())]) == 1
    del events
    assert spool() is None


async def test_what_a_window_has_shown_is_not_new_to_who_comes_late_to_the_newest_events(
    world: World, bindings: Bindings
) -> None:
    (prices,) = bindings.open({"Prices": 0})
    source = Source(bindings.http, LOG, prices.stream, PLATFORM, None)
    price = world.create("price")["id"]
    await bindings.pass_time(1)
    assert await bindings.feed.read_newest(source)
    await bindings.pass_time(20)
    assert await prices.catch_up() == {price}
    events = bindings.feed.newest(source, prices.cursor)
    assert events is not None
    assert [is_new async for is_new, _ in events.newest_first(())] == [False]


# Failures


@pytest.mark.parametrize("rounds_before", [0, 1])
async def test_a_reading_that_fails_in_the_middle_is_as_if_it_had_not_begun(
    world: World, server: StripeServer, bindings: Bindings, rounds_before: int
) -> None:
    prices, customers = bindings.open({"Prices": 0, "Customers": 0})
    for _ in range(rounds_before):
        await publish_news(bindings, prices, 2)
        await customers.catch_up()
    made = {world.create("price", at=world.clock.now() + number)["id"] for number in range(150)}
    customer = world.create("customer")["id"]
    await bindings.pass_time(300)
    server.faults.set(Fault("/v1/events", query="starting_after", status=400, message="Not now", times=1))
    with pytest.raises(StripeError, match="Not now"):
        await prices.sweep()
    assert await prices.catch_up() >= made
    assert await customers.catch_up() == {customer}
    assert len(bindings.event_queries()) == 2


async def test_a_reading_that_was_cancelled_in_the_middle_loses_nothing(
    world: World, server: StripeServer, bindings: Bindings
) -> None:
    prices, customers = bindings.open({"Prices": 0, "Customers": 0})
    made = {world.create("price", at=NOW + number)["id"] for number in range(150)}
    await bindings.pass_time(300)
    server.faults.set(Fault("/v1/events", query="starting_after", latency=0.3, times=1))
    sweep = asyncio.create_task(prices.sweep())
    waiting = asyncio.create_task(customers.sweep())
    for _ in range(200):
        await asyncio.sleep(0.005)
        if server.faults.fired(server.faults.rules[0]):
            break
    sweep.cancel()
    assert await waiting == []
    assert await prices.catch_up() == made


# Late events and ties


async def test_a_late_event_is_captured_and_one_seen_before_is_not_repeated(
    world: World, bindings: Bindings
) -> None:
    prices, events = bindings.open({"Prices": 0, "Events": 0})
    late = world.create("price", visible_after=LATEST, at=NOW + 5)["id"]
    other = world.create("price", at=NOW + 5)["id"]
    seen: dict[str, int] = {}
    for step in range(1, 12):
        await bindings.pass_time(60)
        for each in await prices.catch_up():
            assert each not in seen
            seen[each] = step * 60
        await events.catch_up()
    assert seen == {other: 60, late: 660}
    ids = [each["id"] for each in events.documents]
    assert sorted(ids) == sorted(each["id"] for each in world.events())


async def test_what_was_captured_early_stays_the_last_version_though_its_window_lacks_it(
    world: World, bindings: Bindings
) -> None:
    """The window is being read when the event becomes visible."""
    product = world.create("product", event=False)["id"]
    binding, other = bindings.open({"Products": 10, "Customers": 10})
    bindings.feed.is_early = True
    world.clock.advance(5)
    world.update("product", product, name="older")
    world.clock.advance(80)
    world.update("product", product, name="newer", visible_after=30)
    world.clock.advance(25)
    bindings.server.faults.set(Fault("/v1/events", slow=0.3, times=1))
    passing = asyncio.create_task(other.sweep())
    await asyncio.sleep(0.1)
    world.clock.advance(10)
    source = source_of(binding.stream, PLATFORM, None, bindings.http, LOG)
    await bindings.feed.read_newest(source)
    early = Changes(source, bindings.feed).fetch_early(LOG, binding.cursor)
    assert [item["name"] async for item in early if isinstance(item, dict)] == ["newer"]
    assert not passing.done()
    await passing
    for _ in range(3):
        assert await binding.catch_up() == set()
        world.clock.advance(OVERLAP // 3)
    world.clock.advance(2 * OVERLAP)
    await binding.catch_up()
    assert bindings.feed.captured_early(source).events == {}


async def test_a_late_older_event_does_not_overwrite_a_newer_version(
    world: World, bindings: Bindings
) -> None:
    (coupons,) = bindings.open({"Coupons": 0})
    id = world.create("coupon")["id"]
    world.update("coupon", id, name="older", at=NOW + 5, visible_after=400)
    world.update("coupon", id, name="newer", at=NOW + 6)
    gone = world.create("coupon")["id"]
    world.update("coupon", gone, name="older", at=NOW + 5, visible_after=400)
    world.delete("coupon", gone, at=NOW + 6)
    for _ in range(10):
        await bindings.pass_time(60)
        await coupons.catch_up()
    assert {each["id"]: each for each in coupons.documents}[id]["name"] == "newer"
    assert set(coupons.last()) == {id}
    assert len(coupons.documents) == 2, "nothing was new of what came late"


@pytest.mark.parametrize("seed", range(4))
async def test_versions_of_one_second_that_are_seen_in_two_readings_leave_the_last(seed: int) -> None:
    world = World(seed, now=NOW, unordered=True)
    async with StripeServer(world) as server, session(server) as http:
        bindings = Bindings(server, http)
        coupons, others = bindings.open({"Coupons": 0, "Prices": 0})
        ids = [world.create("coupon", event=False)["id"] for _ in range(3)]
        for id in ids:
            for number in range(3):
                late = 300 * ((number + seed + ids.index(id)) % 2)
                world.update("coupon", id, name=str(number), at=NOW + 5, visible_after=late)
        world.delete("coupon", ids[2], at=NOW + 5, visible_after=300 * (seed % 2))
        for _ in range(8):
            await bindings.pass_time(60)
            await coupons.catch_up()
            await others.catch_up()
        assert {key: each["name"] for key, each in coupons.last().items()} == {ids[0]: "2", ids[1]: "2"}


async def test_what_became_visible_while_no_connector_ran_is_new_to_the_binding_that_was_ahead(
    world: World, bindings: Bindings
) -> None:
    bindings.window_size = timedelta(minutes=2)
    late = world.create("product", at=NOW - 200, visible_after=350)["id"]
    await bindings.pass_time(200)
    behind, ahead = bindings.open({"Prices": 150, "Products": 0})
    await behind.catch_up()
    assert await ahead.catch_up() == {late}


@pytest.mark.parametrize("kept", [1, 10**6])
async def test_a_binding_that_was_ahead_gets_what_became_visible_before_it_even_if_that_is_not_kept(
    world: World, bindings: Bindings, kept: int
) -> None:
    bindings.settings = replace(UNLIMITED, batch_bytes=kept)
    bindings.window_size = timedelta(minutes=2)
    late = world.create("product", at=NOW - 300, visible_after=600)["id"]
    world.create("price", at=NOW - 30)
    await bindings.pass_time(2000)
    behind, ahead = bindings.open({"Prices": 900, "Products": 0})
    await behind.catch_up()
    assert await ahead.catch_up() == {late}


async def test_the_window_that_passes_where_a_binding_joined_tells_of_what_became_visible_before_it(
    world: World, bindings: Bindings
) -> None:
    """To subscribers that learn only the types of a window, as from the account poller."""
    bindings.window_size = timedelta(minutes=2)
    world.create("product", at=NOW - 200, visible_after=350)
    await bindings.pass_time(200)
    behind, _ = bindings.open({"Prices": 150, "Products": 0})
    source = Source(bindings.http, LOG, behind.stream, PLATFORM, None)
    told: list[tuple[Window, frozenset[str]]] = []
    while events := await bindings.feed.read(source, behind.cursor):
        told.append((events.window, events.types))
        behind.cursor = events.window.end_at
    (types,) = (types for window, types in told if window.start <= NOW < window.end)
    assert types == {"product.created"}
    assert told[-1][1] == set()


async def test_readings_in_quick_succession_have_an_overlap_once_a_minute(
    world: World, bindings: Bindings
) -> None:
    (prices,) = bindings.open({"Prices": 0})
    starts: list[int] = []
    for _ in range(14):
        await bindings.pass_time(10)
        await prices.catch_up()
        starts += [start - end for start, end in map(bounds, bindings.event_queries())]
    overlap, alone = -OVERLAP - 60, -10
    assert starts == [-RESTORED - 10, *[alone] * 5, overlap, *[alone] * 5, overlap]


async def test_readings_of_a_busy_account_every_second_cost_little_more_than_one_page() -> None:
    """A tenth of five changes a second, on pages of a tenth."""
    world = World(now=NOW, unordered=True)
    async with StripeServer(world) as server, session(server, replace(UNLIMITED, page_size=10)) as http:
        bindings = Bindings(server, http, settings=replace(UNLIMITED, page_size=10))
        (prices,) = bindings.open({"Prices": 0})
        for second in range(0, 800, 2):
            world.create("price", at=NOW + second)
        await bindings.pass_time(700)
        await prices.catch_up()
        server.journal.clear()
        for _ in range(62):
            world.clock.advance(1)
            await prices.sweep()
        requests = len(server.journal.visits("/v1/events"))
        assert len(prices.last()) == len(prices.documents) == 376
    assert requests <= 2 * 62


@pytest.mark.parametrize("seed", [1, 3])
async def test_what_is_late_between_two_overlaps_is_captured_in_its_last_state(seed: int) -> None:
    rng = Random(seed)
    steps = [
        Step(
            late=[rng.choice([0, 15, 70, 150, 300, LATEST]) for _ in range(rng.randrange(3))],
            pause=rng.choice([1, 9, 20, 30, 40]),
            sweeps=rng.sample(range(3), rng.randrange(1, 4)),
            restarts=rng.random() < 0.02,
            gives_up=rng.random() < 0.1,
        )
        for _ in range(50)
    ]
    shaped = replace(UNLIMITED, page_size=rng.choice([2, 5, 100]))
    for captured, expected in await follow(
        World(seed, now=NOW, unordered=True), rng, steps, timedelta(days=1), shaped
    ):
        assert captured == expected


@dataclass(frozen=True)
class Step:
    """Changes, each at random and visible so late, then so many seconds, then what the bindings do: one
    restarts the connector at its last checkpoints, or gives up within a sweep."""

    late: list[int]
    pause: int
    sweeps: list[int]
    restarts: bool
    gives_up: bool


STEPS: Final = st.lists(
    st.builds(
        Step,
        late=st.lists(st.sampled_from([0, 0, 1, 30, 60, 61, 299, 600]) | st.integers(0, LATEST), max_size=4),
        pause=st.sampled_from([0, 0, 1, 7, 60, 61, 90, 300, 660]),
        sweeps=st.lists(st.integers(0, 2), max_size=3),
        restarts=st.booleans(),
        gives_up=st.booleans(),
    ),
    max_size=12,
)
KINDS: Final = {"Products": "product", "Prices": "price", "Coupons": "coupon"}


def change(world: World, rng: Random, late: int) -> None:
    """A change that an event tells of, `late` seconds later."""
    kind = rng.choice(list(KINDS.values()))
    listed = [each["id"] for each in world.list_all(kind)]
    deed = rng.choice(["create", "update", "update", "delete"]) if listed else "create"
    if deed == "create":
        world.create(kind, visible_after=late)
    elif deed == "update":
        metadata = {"n": str(rng.randrange(10**9))}
        world.update(kind, rng.choice(listed), metadata=metadata, visible_after=late)
    else:
        world.delete(kind, rng.choice(listed), visible_after=late)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=STEPS,
    small_windows=st.booleans(),
    at_once=st.sampled_from([2, 5, 2000]),
)
async def test_whatever_is_late_and_whenever_it_restarts_the_last_state_is_captured(
    seed: int, steps: list[Step], small_windows: bool, at_once: int
) -> None:
    world, rng = World(seed, now=NOW, unordered=True), Random(seed)
    settings = replace(UNLIMITED, page_size=min(at_once, 100), target=at_once, batch_bytes=at_once * 10_000)
    window_size = timedelta(seconds=150) if small_windows else timedelta(days=1)
    for captured, expected in await follow(world, rng, steps, window_size, settings):
        assert captured == expected


async def follow(
    world: World, rng: Random, steps: list[Step], window_size: timedelta, settings: Settings
) -> list[tuple[dict[str, Json], dict[str, Json]]]:
    """Of each binding what was captured at the end, and what the world has."""
    async with StripeServer(world) as server, session(server, settings) as http:
        bindings = Bindings(server, http, window_size, settings)
        opened = bindings.open(dict.fromkeys(KINDS, 0))
        for step in steps:
            for late in step.late:
                change(world, rng, late)
                world.clock.advance(rng.choice([0, 0, 1]))
            await bindings.pass_time(step.pause)
            for number in step.sweeps:
                await opened[number].sweep(1 if step.gives_up else None)
            if step.restarts:
                opened = restarted(bindings, opened)
        for _ in range(2):
            await bindings.pass_time(LATEST + 1)
            for each in opened:
                await each.catch_up()
        return [
            (each.last(), {found["id"]: found for found in world.list_all(KINDS[each.stream.NAME])})
            for each in opened
        ]


def restarted(bindings: Bindings, opened: list[Binding]) -> list[Binding]:
    again = bindings.open(dict.fromkeys(KINDS, 0))
    bindings.feed = EventFeed(
        types_of(each.stream for each in again), window_size=bindings.window_size, settings=bindings.settings
    )
    for each, before in zip(again, opened, strict=True):
        each.feed, each.cursor, each.documents = bindings.feed, before.cursor, before.documents
        each.subscribe()
    return again


# Which types


def rows_of(at_most: int) -> list[str]:
    """As many streams as ask for so many event types together."""
    names: list[str] = []
    once = {each.now for each in RENAMED}
    rows = [
        row for row in STREAMS if row.EVENT_TYPES and row.NAME != "Coupons" and not once & {*row.EVENT_TYPES}
    ]
    for row in sorted(rows, key=lambda each: len(each.EVENT_TYPES)):
        if len(types_of(ROWS[each] for each in (*names, row.NAME))) <= at_most:
            names.append(row.NAME)
    return names


@pytest.mark.parametrize(("number", "named"), [(1, 1), (MAX_TYPES, 20), (MAX_TYPES + 1, 0), (0, 0)])
def test_types_are_named_as_long_as_one_request_may_name_them(number: int, named: int) -> None:
    types = [f"type.{each}" for each in range(number)]
    assert sorted(each for _, each in type_params(types, None)) == sorted(types)[:named]


@pytest.mark.parametrize(
    ("version", "asked"),
    [("2026-09-30.preview", "quote.created quote.stale"), ("2026-10-28.endive", "quote.created")],
)
def test_types_of_the_preview_are_asked_for_under_a_preview_alone(version: str, asked: str) -> None:
    params = type_params(["quote.stale", "quote.created"], version)
    assert params == [("types[]", each) for each in asked.split()]
    others = [f"type.{each}" for each in range(MAX_TYPES - 1)]
    left = type_params([*others, *sorted(PREVIEW), "quote.created"], version)
    assert len(left) == (0 if "preview" in version else MAX_TYPES)


async def test_the_types_of_all_bindings_are_asked_for(bindings: Bindings) -> None:
    opened = bindings.open(dict.fromkeys(rows_of(MAX_TYPES), 0))
    await bindings.pass_time(120)
    await opened[0].catch_up()
    (query,) = bindings.event_queries()
    assert set(query["types[]"].split(",")) == types_of(each.stream for each in opened)


async def test_of_more_types_all_events_are_read_and_only_those_kept_that_somebody_follows(
    world: World, bindings: Bindings
) -> None:
    opened = bindings.open(dict.fromkeys((*rows_of(MAX_TYPES), "Prices", "Products"), 0))
    world.create("coupon")
    new = world.create("product")["id"]
    await bindings.pass_time(120)
    source = Source(bindings.http, LOG, ROWS["Prices"], PLATFORM, None)
    events = await bindings.feed.read(source, opened[0].cursor)
    assert events is not None
    assert events.types == {"product.created"}
    kept = [event async for _, event in events.newest_first(())]
    assert [each["data"]["object"]["id"] for each in kept] == [new]
    (query,) = bindings.event_queries()
    assert "types[]" not in query


async def test_the_events_stream_shares_a_reading_of_all_events(world: World, bindings: Bindings) -> None:
    events, prices = bindings.open({"Events": 0, "Prices": 0})
    for _ in range(4):
        price = world.create("price")["id"]
        world.create("coupon")
        await bindings.pass_time(100)
        await events.catch_up()
        await prices.catch_up()
        (query,) = bindings.event_queries()
        assert "types[]" not in query
    assert events.last() == {each["id"]: each for each in world.events() if each["created"] < NOW + 400 - LAG}
    assert price in prices.last()
    ids = [each["id"] for each in events.documents]
    assert len(ids) == len(set(ids)), "the overlap is read again, but nothing of it captured again"


# Whole captures


async def test_nothing_is_read_where_no_binding_follows_events(world: World, server: StripeServer) -> None:
    capture = Capture(server, ["Files", "ValueLists"])
    await capture.session(capture.caught_up)
    assert server.journal.visits("/v1/events", limit="100") == []


@pytest.mark.parametrize("connected", [False, True])
async def test_all_bindings_of_a_capture_read_each_accounts_events_once(
    world: World, server: StripeServer, connected: bool
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(3 * connected))]
    capture = Capture(server, ["Prices", "Customers", "Coupons", "Charges", "Products"], connected=connected)
    capture.interval = "PT5M"
    capture.state = followed(capture, accounts)
    new = {
        account: [world.create(kind, account)["id"] for kind in ("price", "customer", "coupon")]
        for account in accounts
    }
    await capture.catch_up(301)
    for place, stream in enumerate(("Prices", "Customers", "Coupons")):
        assert set(capture.last(stream)) == {each[place] for each in new.values()}
    visits = [each for each in server.journal.visits("/v1/events") if each.query["limit"] == "100"]
    assert sorted(each.account for each in visits) == sorted(accounts)


def followed(capture: Capture, accounts: list[str]) -> Json:
    """The state of a capture that has backfilled and follows each account since NOW."""
    at = "2026-05-28T20:26:40Z"
    return {
        "bindingStateV1": {
            stream: {
                "inc": {each: {"cursor": at} for each in accounts} if capture.connected else {"cursor": at},
                "last_initialized": at,
            }
            for stream in capture.streams
        }
    }


@pytest.mark.parametrize("connected", [False, True])
async def test_a_new_captures_changes_do_not_repeat_what_its_backfill_has(
    world: World, server: StripeServer, connected: bool
) -> None:
    for number in range(30):
        world.create("customer", created=NOW - 10 * number - 1)
    world.clock.advance(1)
    capture = Capture(server, ["Customers"], connected=connected)
    await capture.session(checkpoints=1)
    assert capture.documents == []
    new = world.create("customer")["id"]
    world.clock.advance(120)
    await capture.session(lambda: capture.caught_up("Customers"))
    ids = [document["id"] for _, document in capture.documents if document["id"] != new]
    assert sorted([*ids, new]) == sorted(each["id"] for each in world.list_all("customer"))


class Listening:
    """A subscriber that only listens."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.once = asyncio.Event()

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        self.windows.append(window)
        self.once.set()

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        raise AssertionError("no account is new here")


@pytest.mark.parametrize("ahead", [False, True])
async def test_rounds_tell_from_where_bindings_joined_even_if_one_of_them_has_read_on(
    bindings: Bindings, ahead: bool
) -> None:
    http = bindings.http
    source = Source(http, logging.getLogger("test"), EventsStream, PLATFORM, None, True)
    start = datetime.fromtimestamp(NOW - 600, tz=UTC)
    feed = EventFeed((), window_size=timedelta(days=1))
    feed.subscribe({PLATFORM: floor(start)})
    await http.get(logging.getLogger("test"), "/v1/account")
    await http.refresh_clock(logging.getLogger("test"))
    if ahead:
        assert await feed.read(source, start) is not None

    async def none_new() -> list[str]:
        return []

    told = Listening()
    async with running_capture() as capture:
        pauses = Pauses(source.http, LOG, PLATFORM)
        poller = AccountPoller(feed, lambda _: source, [PLATFORM], none_new, pauses)
        poller.subscribe(told, timedelta(minutes=5))
        capture.task.spawn_child("accounts", poller.run)
        async with asyncio.timeout(10):
            await told.once.wait()
        capture.task.stopping.event.set()
    assert told.windows[0].start == NOW - 600
