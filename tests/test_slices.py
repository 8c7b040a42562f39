"""A single account's backfill in slices: all of it, once, at few more requests than one list."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from source_stripe_native.backfill.slices import Density, Slice, useful_slices, without_overlap
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.pages import PageToken
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json, plain, unknown_filter
from tests.conftest import NOW

DAY = 86_400
START = NOW - 1500 * DAY
FROM = {"start_date": "2022-04-19T00:00:00Z"}
"""A little before START."""


SMALL_PAGES = 5
SLICED = replace(UNLIMITED, slice_surplus=10**9)
"""As if Stripe were so slow that any number of slices is useful."""
SMALL = replace(SLICED, page_size=SMALL_PAGES)


# What is in a slice


@pytest.mark.parametrize(
    ("latency", "slices"), [(0, 1), (0.02, 1), (0.04, 3), (0.1, 7), (0.2, 15), (1, 16), (60, 16)]
)
def test_there_are_as_many_slices_as_it_takes_to_ask_as_often_as_stripe_allows(
    latency: float, slices: int
) -> None:
    assert useful_slices(latency, DEFAULTS) == slices


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.lists(st.integers(0, 10**6), max_size=30))
def test_however_often_slices_are_divided_each_second_is_in_one_of_them(
    since: int, length: int, divided: list[int]
) -> None:
    parts = [Slice(since, since + length)]
    for number in divided:
        this = parts[number % len(parts)]
        if this.window.seconds > 1:
            parts.append(this.divide())
    parts.sort(key=lambda each: each.since)
    assert parts[0].since == since
    assert parts[-1].until == since + length
    assert all(older.until + 1 == newer.since for older, newer in itertools.pairwise(parts))
    assert all(each.window.seconds >= 1 for each in parts)


def test_the_newer_half_goes_on_where_the_slice_was_and_the_older_one_below_the_middle() -> None:
    token = PageToken("ch_1", 99)
    older = Slice(0, 99, token, pages=50)
    newer = older.divide()
    assert (newer.since, newer.until, newer.token) == (50, 99, token)
    assert (older.since, older.until, older.token) == (0, 49, PageToken(None, 49))
    assert newer.pages == older.pages == 0, "nothing is known of either before a page of it is read"


def test_slices_that_overlap_are_cut_where_the_newer_one_starts() -> None:
    token = PageToken("ch_1", 99)
    found = [Slice(50, 80), Slice(0, 99, token), Slice(90, 99, token)]
    without_overlap(found)
    assert [(each.since, each.until, each.token) for each in found] == [
        (50, 80, None),
        (0, 49, PageToken(None, 49)),
        (90, 99, token),
    ]


def test_the_pages_left_are_told_by_the_lower_density() -> None:
    assert Density(pages=10, seconds=1000).pages_in(500, last=100) == 5
    assert Density(pages=10, seconds=1000).pages_in(500, last=10) == 5, "a burst says little of the rest"
    assert Density(pages=10, seconds=1000).pages_in(500, last=500) == 1
    assert Density(pages=1, seconds=0).pages_in(500, last=0) == 500


# The requests and what they bring

Spread = Callable[[float, Random], float]
SPREADS: dict[str, Spread] = {
    "evenly": lambda part, _: START + (NOW - START) * part,
    "more and more": lambda part, _: START + (NOW - START) * part**0.25,
    "less and less": lambda part, _: START + (NOW - START) * part**4,
    "at night": lambda part, rng: NOW - 365 * DAY + int(365 * part) * DAY + rng.randrange(600),
    "in one second": lambda part, _: NOW - 50 * DAY,
    "this week": lambda part, _: NOW - 5 * DAY + 5 * DAY * part,
    "long ago": lambda part, _: NOW - 700 * DAY + 5 * DAY * part,
}


def fill(world: World, number: int, spread: str = "evenly", kind: str = "charge") -> None:
    rng = Random(1)
    for each in range(number):
        world.create(kind, at=int(SPREADS[spread](each / number, rng)), event=False)


@dataclass
class Backfill:
    """A capture's backfill of one stream to its end: every suffix that its state ever had."""

    capture: Capture
    stream: str
    suffixes: set[str]

    @classmethod
    async def run(cls, server: StripeServer, stream: str = "Charges", **options: object) -> "Backfill":
        capture = Capture(server, [stream], config=FROM, **{"settings": SLICED, **options})  # type: ignore[arg-type]  # as they are named
        this = cls(capture, stream, set())
        await capture.session(this.is_done)
        return this

    def is_done(self) -> bool:
        state = self.capture.binding_state(self.stream).get("backfill")
        self.suffixes |= set(state or {})
        return not state

    @property
    def ids(self) -> list[str]:
        return [each["id"] for _, each in self.capture.documents]


@pytest.mark.parametrize("spread", SPREADS)
async def test_a_large_stream_is_read_in_slices_within_its_requests(
    world: World, server: StripeServer, spread: str
) -> None:
    fill(world, 500, spread)
    backfill = await Backfill.run(server, settings=SMALL)
    assert sorted(backfill.ids) == sorted(each["id"] for each in world.list_all("charge")), (
        "each of them once"
    )
    assert len(backfill.suffixes) > 1
    visits = server.journal.visits("/v1/charges", limit=str(SMALL_PAGES))
    assert len(visits) <= 1.05 * math.ceil(500 / SMALL_PAGES) + len(backfill.suffixes)


async def test_slices_are_read_side_by_side(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world, 800)
    async with StripeServer(world, latency=0.02) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        await Backfill.run(server, settings=SMALL)
        visits = server.journal.visits("/v1/charges", limit=str(SMALL_PAGES))
    at_once = [sum(one.started_at <= each.started_at < one.finished_at for one in visits) for each in visits]
    assert 4 <= max(at_once) <= DEFAULTS.max_slices


@pytest.mark.parametrize("spread", ["evenly", "less and less"])
async def test_a_small_account_is_not_divided(world: World, server: StripeServer, spread: str) -> None:
    number = int(DEFAULTS.pages_to_divide // 2) * SMALL_PAGES
    fill(world, number, spread)
    backfill = await Backfill.run(server, settings=SMALL)
    assert backfill.suffixes == {"_from_start"}
    assert len(server.journal.visits("/v1/charges", limit=str(SMALL_PAGES))) == math.ceil(
        number / SMALL_PAGES
    )


async def test_a_list_that_stripe_does_not_filter_is_not_divided(world: World, server: StripeServer) -> None:
    # Pages from the list's top would be taken for those of the older half, which would be divided again.
    fill(world, 800)
    server.faults.set(unknown_filter("/v1/charges", "created"))
    backfill = await Backfill.run(server, settings=SMALL)
    assert backfill.suffixes == {"_from_start"}
    assert sorted(backfill.ids) == sorted(each["id"] for each in world.list_all("charge"))


@pytest.mark.parametrize(
    "backfill", [{"_from_start": {}}, {"_from_start": {}, "_from_2026-05-20T00:00:00Z": {}}]
)
async def test_objects_that_are_newer_than_a_backfill_hold_it_up_in_no_list_that_stripe_does_not_filter(
    monkeypatch: pytest.MonkeyPatch, backfill: Json
) -> None:
    """After a pause or a stop there may be pages of them, of which nothing is the backfill's."""
    world = World(now=NOW, livemode=True)
    for created in (NOW - 20 * DAY, NOW - 5000, NOW - 500):
        for second in range(2 * SMALL_PAGES):
            world.create("charge", at=created + second, event=created == NOW - 500)
    world.clock.advance(60)
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        server.faults.set(unknown_filter("/v1/charges", "created"))
        cutoff = datetime.fromtimestamp(NOW - 1000, tz=UTC).isoformat().replace("+00:00", "Z")
        state = {
            "inc": {"cursor": cutoff},
            "backfill": {key: {"cutoff": cutoff, "next_page": None} for key in backfill},
            "last_initialized": cutoff,
        }
        capture = Capture(server, ["Charges"], settings=SMALL, state={"bindingStateV1": {"Charges": state}})
        await capture.session(capture.caught_up, seconds=20)
    assert capture.last("Charges").keys() == {each["id"] for each in world.list_all("charge")}


async def test_slices_are_named_by_the_second_in_which_they_start(world: World, server: StripeServer) -> None:
    fill(world, 400)
    backfill = await Backfill.run(server, settings=SMALL, schedule="")
    years = {suffix.removeprefix("_from_")[:4] for suffix in backfill.suffixes - {"_from_start"}}
    assert years <= {"2022", "2023", "2024", "2025", "2026"}
    assert len(years) > 1


async def test_a_list_is_divided_by_what_it_calls_the_time_of_creation(
    world: World, server: StripeServer
) -> None:
    customer = world.create("customer", at=START, event=False)["id"]
    for each in range(300):
        world.create("invoiceitem", at=START + each * 4 * DAY, customer=customer, event=False)
    backfill = await Backfill.run(server, "InvoiceItems", settings=SMALL)
    assert len(backfill.suffixes) > 1
    assert sorted(backfill.ids) == sorted(each["id"] for each in world.list_all("invoiceitem"))


async def test_a_backfill_by_schedule_stays_whole(world: World, server: StripeServer) -> None:
    fill(world, 400)
    backfill = await Backfill.run(server, settings=SMALL, schedule="0 0 1 1 *")
    assert backfill.suffixes == {"_from_start"}
    assert len(backfill.ids) == 400


async def test_a_stream_that_could_be_divided_loses_no_deletion_to_its_schedule(
    world: World, server: StripeServer
) -> None:
    gone, kept = (world.create("product", at=NOW - 1000, event=False)["id"] for _ in range(2))
    capture = Capture(server, ["Products"], config=FROM, schedule="0 0 * * *")
    await capture.session(capture.caught_up)
    world.clock.advance(120)
    world.delete("product", gone)
    world.clock.advance(700)
    capture.state["bindingStateV1"]["Products"]["last_initialized"] = "2020-01-01T00:00:00Z"
    await capture.session(capture.caught_up)
    assert capture.last("Products").keys() == {kept}


async def test_connected_accounts_are_not_divided(world: World, server: StripeServer) -> None:
    account = world.connect()["id"]
    fill(world, 400)
    backfill = await Backfill.run(server, settings=SMALL, connected=True)
    assert backfill.suffixes == {world.platform, account}


def test_what_can_be_divided_is_listed_by_creation_time_and_not_by_schedule() -> None:
    divided = {each.NAME for each in STREAMS if each.is_sliced()}
    assert {"Charges", "Customers", "Invoices", "Subscriptions", "BalanceTransactions", "Events"} <= divided
    assert not divided & {"Prices", "Accounts", "ValueLists", "Cards", "InvoiceLineItems", "Persons"}


# Going on


async def test_a_backfill_that_an_older_state_began_whole_ends_whole(
    world: World, server: StripeServer
) -> None:
    fill(world, 400)
    charges = sorted(world.list_all("charge"), key=lambda each: int(each["created"]), reverse=True)
    newest_first = [each["id"] for each in charges]
    at = {"cutoff": "2026-05-28T20:00:00Z", "next_page": newest_first[99]}
    capture = Capture(server, ["Charges"], config=FROM, settings=SMALL)
    capture.state = {"bindingStateV1": {"Charges": {"inc": {"cursor": at["cutoff"]}, "backfill": at}}}
    keys: set[str] = set()

    def done() -> bool:
        state = capture.binding_state("Charges").get("backfill")
        keys.update(state or {})
        return not state

    await capture.session(done)
    assert keys == {"cutoff", "next_page"}
    assert sorted(each["id"] for _, each in capture.documents) == sorted(newest_first[100:])


async def test_a_slice_that_was_given_away_is_not_read_again_by_the_one_that_gave_it(
    world: World, server: StripeServer
) -> None:
    fill(world, 60)
    top = {"cutoff": "2026-05-28T20:26:40Z"}
    backfill = {"_from_start": top, "_from_2024-01-01T00:00:00Z": top}
    capture = Capture(server, ["Charges"], config=FROM, settings=SMALL)
    capture.state = {"bindingStateV1": {"Charges": {"inc": {"cursor": top["cutoff"]}, "backfill": backfill}}}
    await capture.backfill()
    assert len(capture.documents) == len(capture.last("Charges")) == 60


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(0, 40),
    spread=st.sampled_from(sorted(SPREADS)),
    page_size=st.integers(1, 3),
    divided=st.sampled_from([0.5, 2, 8]),
    kills=st.lists(st.integers(1, 12), max_size=5),
)
async def test_wherever_it_is_killed_every_slice_goes_on(
    seed: int, number: int, spread: str, page_size: int, divided: float, kills: list[int]
) -> None:
    world, rng = World(seed, now=NOW, unordered=True), Random(seed)
    fill(world, number, spread)
    with pytest.MonkeyPatch.context() as patch:
        settings = replace(SLICED, page_size=page_size, pages_to_divide=divided)
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, ["Charges"], config=FROM, settings=settings)
            for checkpoints in kills:
                await capture.session(capture.caught_up, checkpoints=checkpoints)
                for _ in range(rng.randrange(3)):
                    world.random_change(rng, ["charge"])
                world.clock.advance(61)
            await capture.session(capture.caught_up)
    expected: dict[str, Json] = {each["id"]: each for each in world.list_all("charge")}
    assert {key: plain(each) for key, each in capture.last("Charges").items()} == expected
