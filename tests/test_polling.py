"""Streams whose new objects no event tells of, or not all: they are found in their lists, once a window, and
what changes without a trace is found by a longer look once a day."""

import itertools
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from sandbox.stripe.kind import ABSENT
from source_stripe_native.settings import DEFAULTS
from tests.capture import UNLIMITED, Capture, Json, plain, without_secrets
from tests.conftest import NOW

DAY: Final = 86_400
LAG: Final = int(DEFAULTS.lag.total_seconds())
MIDNIGHT: Final = NOW - NOW % DAY + DAY
"""The next one, UTC."""

POLLED: Final = {
    "Accounts": "account",
    "BalanceTransactions": "balance_transaction",
    "CheckoutSessions": "checkout.session",
    "Files": "file",
    "FilesLink": "file_link",
    "ValueLists": "radar.value_list",
    "ValueListItems": "radar.value_list_item",
}
DAYS_BEFORE: Final = 3
"""How old most objects are when a capture begins."""


async def catch_up(capture: Capture, until: float | None = None) -> list[Json]:
    """What is captured once the clock stands at `until`, by default two minutes later."""
    before, clock = len(capture.documents), capture.server.world.clock
    clock.advance(120 if until is None else until - clock.time())
    await capture.session(capture.caught_up)
    return [document for _, document in capture.documents[before:]]


def told(found: list[Json]) -> dict[str, str]:
    """The operation by id, each of which must have come once."""
    assert len({each["id"] for each in found}) == len(found)
    return {each["id"]: each["_meta"]["op"] for each in found}


def stored(world: World, kind: str) -> dict[str, Json]:
    return {each["id"]: without_secrets(each) for each in world.list_all(kind)}


def table(capture: Capture, stream: str) -> dict[str, Json]:
    return {key: plain(each) for key, each in capture.last(stream).items()}


@pytest.fixture
def old() -> dict[str, Any]:
    """The options of an object that was there long before, without events."""
    return {"at": NOW - DAYS_BEFORE * DAY, "event": False}


# What is new


@pytest.mark.parametrize(("stream", "kind"), POLLED.items())
async def test_new_objects_are_found_in_the_list_window_by_window(
    world: World, server: StripeServer, old: dict[str, Any], stream: str, kind: str
) -> None:
    first = world.create(kind, **old)["id"]
    capture = await Capture(server, [stream]).backfill()
    assert first in capture.last(stream)
    new: set[str] = set()
    for _ in range(2):
        world.clock.advance(10)
        new |= {world.create(kind, event=False)["id"] for _ in range(3)}
        # Each time the capture starts again, what it captured in the last ten minutes comes again.
        assert told(await capture.catch_up()) == dict.fromkeys(new, "c")
    assert table(capture, stream) == stored(world, kind)


@pytest.mark.parametrize(("stream", "kind"), POLLED.items())
async def test_nothing_is_read_before_it_is_as_old_as_the_lag(
    world: World, server: StripeServer, old: dict[str, Any], stream: str, kind: str
) -> None:
    world.create(kind, **old)
    capture = await Capture(server, [stream]).backfill(pause=100)
    # As old as the lag: in the second that is read next.
    new = world.create(kind, at=world.clock.now() - LAG, event=False)["id"]
    assert await capture.catch_up(until=world.clock.now()) == []
    assert told(await capture.catch_up(until=world.clock.now() + 1)) == {new: "c"}


WHEN: Final = {"evenly": 1.0, "more and more": 0.3, "less and less": 3.0}
"""Which power of the part of all objects is the part of the day in which they are created."""


@pytest.mark.parametrize("when", WHEN)
async def test_what_a_long_pause_has_left_in_a_list_is_caught_up_with_in_small_windows(
    world: World, server: StripeServer, when: str
) -> None:
    capture = await Capture(
        server, ["Files"], settings=replace(UNLIMITED, page_size=10, target=40)
    ).backfill()
    for number in range(1_000):
        at = NOW + 1 + int(DAY * (number / 1_000) ** WHEN[when])
        world.create("file", at=at, event=False)
    world.clock.advance(DAY + 120)
    requests, sizes = len(server.journal), [0]

    def done() -> bool:
        sizes.append(len(capture.documents))
        return capture.caught_up("Files")

    await capture.session(done)
    assert table(capture, "Files") == stored(world, "file")
    # What a window holds is told by its newest page: where there is ever less it may be some times more.
    assert max(now - then for then, now in itertools.pairwise(sizes)) <= 8 * 40
    assert len(server.journal) - requests <= 1.2 * 1_000 / 10 + len(sizes)
    assert len(sizes) < 60


# What changes without a trace


@pytest.fixture
def transactions(world: World, old: dict[str, Any]) -> dict[str, str]:
    """Pending ones, by the day before or after the next midnight on which they become available."""
    days = {"long ago": -20, "today": 0, "a day late": -1, "in a week": 7}
    return {
        name: world.create("balance_transaction", available_on=MIDNIGHT + day * DAY, **old)["id"]
        for name, day in days.items()
    }


def make_available(world: World, id: str) -> None:
    world.update("balance_transaction", id, status="available", event=False)


async def test_a_balance_transaction_that_becomes_available_is_captured_again_within_the_day(
    world: World, server: StripeServer, transactions: dict[str, str]
) -> None:
    capture = await Capture(server, ["BalanceTransactions"]).backfill()
    make_available(world, transactions["a day late"])
    assert await capture.catch_up(until=MIDNIGHT - 300) == [], "nothing is read again before midnight"
    make_available(world, transactions["today"])
    changed = await capture.catch_up(until=MIDNIGHT + 300)
    assert told(changed) == dict.fromkeys((transactions["today"], transactions["a day late"]), "u")
    assert table(capture, "BalanceTransactions") == stored(world, "balance_transaction")
    assert {each["status"] for each in changed} == {"available"}


async def test_a_balance_transaction_is_looked_at_again_while_its_day_may_still_be_late(
    world: World, server: StripeServer, transactions: dict[str, str]
) -> None:
    capture = await Capture(server, ["BalanceTransactions"]).backfill()
    await capture.catch_up(until=MIDNIGHT + 300)
    make_available(world, transactions["today"])
    for day in range(1, 12):
        if day == 7:
            make_available(world, transactions["in a week"])
        await capture.catch_up(until=MIDNIGHT + day * DAY + 300)
    assert table(capture, "BalanceTransactions") == stored(world, "balance_transaction")
    times = [document["id"] for _, document in capture.documents]
    assert times.count(transactions["long ago"]) == 1, "what is over and done with is not written again"
    assert times.count(transactions["in a week"]) <= 1 + 4


async def test_a_day_that_the_capture_was_away_is_made_up_for(
    world: World, server: StripeServer, transactions: dict[str, str]
) -> None:
    capture = await Capture(server, ["BalanceTransactions"]).backfill()
    for name in ("today", "in a week"):
        make_available(world, transactions[name])
    await capture.catch_up(until=MIDNIGHT + 10 * DAY + 300)
    assert table(capture, "BalanceTransactions") == stored(world, "balance_transaction")


@pytest.mark.parametrize("windows", ["PT1H", "P1D", "P4D"])
async def test_the_daily_look_comes_once_a_day_whatever_the_window(
    world: World, server: StripeServer, transactions: dict[str, str], windows: str
) -> None:
    capture = await Capture(
        server, ["BalanceTransactions"], config={"advanced": {"incremental_window_size": windows}}
    ).backfill()
    make_available(world, transactions["today"])
    server.journal.clear()
    await capture.catch_up(until=MIDNIGHT + 3 * DAY + 300)
    assert table(capture, "BalanceTransactions") == stored(world, "balance_transaction")
    spans = [
        int(each.query["created[lt]"]) - int(each.query["created[gte]"])
        for each in server.journal.visits("/v1/balance_transactions")
        if "created[lt]" in each.query
    ]
    assert sum(span > 20 * DAY for span in spans) == (1 if windows == "P4D" else 4)


async def test_links_to_files_that_changed_are_captured_again_within_the_day(
    world: World, server: StripeServer, old: dict[str, Any]
) -> None:
    link = world.create("file_link", **old)["id"]
    older = world.create("file_link", at=NOW - 40 * DAY, event=False)["id"]
    capture = await Capture(server, ["FilesLink"]).backfill()
    world.update("file_link", link, expired=True, metadata={"by": "hand"})
    assert told(await capture.catch_up(until=MIDNIGHT + 300)) == {link: "u"}
    assert table(capture, "FilesLink") == stored(world, "file_link")
    assert older in capture.last("FilesLink")


# Accounts


async def test_the_own_account_and_those_without_a_creation_time_are_captured_whatever_the_start_date(
    world: World, server: StripeServer
) -> None:
    start = NOW - DAY
    timeless = world.connect(created=ABSENT)["id"]
    at_start = world.connect(created=start)["id"]
    before = world.connect(created=start - 1)["id"]
    capture = await Capture(server, ["Accounts"], config={"start_date": "2026-05-27T20:26:40Z"}).backfill()
    assert capture.last("Accounts").keys() == {PLATFORM, timeless, at_start}
    assert before not in capture.last("Accounts")
    assert "created" not in capture.last("Accounts")[PLATFORM]


async def test_the_own_account_is_followed_by_its_events(world: World, server: StripeServer) -> None:
    capture = await Capture(server, ["Accounts"]).backfill(pause=10)
    world.update("account", PLATFORM, email="new@example.com")
    assert told(await capture.catch_up()) == {PLATFORM: "u"}
    assert table(capture, "Accounts") == stored(world, "account")


@pytest.mark.parametrize("connected", [False, True])
async def test_accounts_are_read_once_by_the_platform_and_again_by_the_daily_backfill(
    world: World, server: StripeServer, connected: bool
) -> None:
    changed = world.connect(created=NOW - DAY)["id"]
    capture = await Capture(server, ["Accounts"], connected=connected, schedule="0 0 * * *").backfill()
    assert len(capture.documents) == 2
    # Stripe tells this to the account itself, whose events are read only with connected accounts.
    world.update("account", changed, email="new@example.com")
    assert told(await capture.catch_up()) == ({changed: "u"} if connected else {})
    cursor = capture.binding_state("Accounts")["inc"]["cursor"]
    yesterday = datetime.now(tz=UTC) - timedelta(days=1, hours=1)
    capture.state["bindingStateV1"]["Accounts"]["last_initialized"] = yesterday.isoformat()
    before = len(capture.documents)
    await capture.session(lambda: len(capture.documents) == before + 2)
    assert table(capture, "Accounts") == stored(world, "account")
    assert capture.binding_state("Accounts")["inc"]["cursor"] == cursor, (
        "changes are followed from where they were"
    )
    acting = {each.account for each in server.journal.visits("/v1/accounts")}
    assert acting == {PLATFORM}


async def test_a_stream_that_is_discovered_with_a_schedule_is_the_one_that_needs_it(
    world: World, server: StripeServer
) -> None:
    found = {
        each["recommendedName"]: each["resourceConfig"]["schedule"]
        for each in await Capture(server).discover()
    }
    scheduled = {name for name, schedule in found.items() if schedule}
    assert scheduled == {"Accounts", "Persons", "ExternalAccountCards", "ExternalBankAccount", "ValueLists"}
    assert {found[name] for name in scheduled} == {"0 0 * * *"}


# Events


async def test_events_are_captured_as_far_back_as_stripe_keeps_them_and_followed(
    world: World, server: StripeServer
) -> None:
    world.create("product", at=NOW - 31 * DAY)
    world.create("product", at=NOW - 29 * DAY)
    world.create("product", at=NOW - 10)
    capture = await Capture(server, ["Events"]).backfill()
    kept = world.list_all("event")[:2]
    assert table(capture, "Events") == {each["id"]: each for each in kept}
    assert {each["_meta"]["op"] for _, each in capture.documents} == {"c"}, "an event never changes"
    world.clock.advance(10)
    world.tell("climate.order.created", "product", world.list_all("product")[0]["id"])
    world.create("charge")
    found = await capture.catch_up()
    assert {each["type"] for each in found} > {"climate.order.created"}, "of all types, captured or not"
    assert table(capture, "Events") == {each["id"]: each for each in world.list_all("event")[:-1]}


async def test_a_page_cursor_that_aged_out_ends_the_backfill_of_events(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(250):
        world.create("product", at=NOW - 29 * DAY + number)
    capture = Capture(server, ["Events"], level=logging.DEBUG)
    await capture.session(lambda: len(capture.documents) == 100)
    world.clock.advance(2 * DAY)
    await capture.backfill()
    assert len(capture.documents) == 100
    assert "the list goes on no further" in caplog.text
    new = world.create("product")["id"]
    assert [each["data"]["object"]["id"] for each in await capture.catch_up()] == [new]


# Checkout sessions


async def test_a_session_is_captured_when_it_is_opened_and_when_it_is_completed(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, ["CheckoutSessions", "CheckoutSessionsLine"]).backfill(pause=10)
    session = world.create("checkout.session", line_items=12)["id"]
    opened = told(await capture.catch_up())
    assert opened.pop(session) == "c"
    assert opened == dict.fromkeys(stored(world, "item"), "c")
    world.update("checkout.session", session, status="complete")
    completed = told(await capture.catch_up())
    assert completed == dict.fromkeys((session, *opened), "u")
    assert table(capture, "CheckoutSessions") == stored(world, "checkout.session")


async def test_a_session_opened_and_completed_in_one_window_is_captured_once_as_it_is(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, ["CheckoutSessions"]).backfill(pause=10)
    session = world.create("checkout.session")["id"]
    world.clock.advance(10)
    world.update("checkout.session", session, status="complete")
    (document,) = await capture.catch_up()
    assert plain(document) == without_secrets(world.get("checkout.session", session))


# Radar's lists


@pytest.mark.parametrize("size", [3, 30])
async def test_items_that_are_added_to_an_old_list_are_captured(
    world: World, server: StripeServer, old: dict[str, Any], size: int
) -> None:
    value_list = world.create("radar.value_list", list_items=size, **old)["id"]
    # Older than the start date, though its items are not.
    ancient = world.create("radar.value_list", at=NOW - 5000 * DAY, list_items=size, event=False)["id"]
    capture = Capture(server, ["ValueLists", "ValueListItems"], config={"start_date": "2020-01-01T00:00:00Z"})
    early = world.create("radar.value_list_item", value_list=ancient, **old)["id"]
    await capture.backfill()
    captured = capture.last("ValueListItems")
    assert len(captured) == size + 1, "those from before the start date are left"
    assert early in captured
    world.clock.advance(10)
    added = {world.create("radar.value_list_item", value_list=each)["id"] for each in (value_list, ancient)}
    assert told(await capture.catch_up()) == dict.fromkeys(added, "c")


async def test_lists_of_values_that_are_shown_whole_cost_no_request(
    world: World, server: StripeServer, old: dict[str, Any]
) -> None:
    shown, cut = (world.create("radar.value_list", list_items=size, **old)["id"] for size in (10, 11))
    capture = await Capture(server, ["ValueListItems"]).backfill()
    assert {each.query["value_list"] for each in server.journal.visits("/v1/radar/value_list_items")} == {cut}
    assert {each["value_list"] for each in capture.last("ValueListItems").values()} == {shown, cut}
