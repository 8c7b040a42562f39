"""Prices as a user's warehouse has them: world, what happens to it, what was captured."""

from collections.abc import Iterable
from typing import Any

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from tests.capture import Capture, Json, plain
from tests.conftest import NOW

DAY = 86_400


def stock(world: World, active: int, archived: int, account: str | None = None) -> None:
    """Prices of two days before, several to a second, without events."""
    for number in range(active + archived):
        world.create(
            "price",
            account,
            active=number % (active + archived) < active,
            created=NOW - 2 * DAY + number // 3,
            event=False,
        )


def prices(world: World, accounts: Iterable[str | None] = (None,)) -> dict[str, Json]:
    return {each["id"]: each for account in accounts for each in world.list_all("price", account)}


def captured(capture: Capture) -> dict[str, Json]:
    return {key: plain(each) for key, each in capture.last().items()}


@pytest.mark.parametrize("bare_prices", ["active", "both"])
async def test_every_price_is_backfilled_once_active_and_archived(
    world: World, server: StripeServer, bare_prices: Any
) -> None:
    world.bare_prices = bare_prices
    stock(world, active=130, archived=120)
    capture = await Capture(server).backfill()
    ids = [document["id"] for _, document in capture.documents]
    assert len(ids) == len(set(ids)) == 250
    assert captured(capture) == prices(world)
    assert {document["account_id"] for _, document in capture.documents} == {PLATFORM}
    assert {document["_meta"]["op"] for _, document in capture.documents} == {"u"}


async def test_created_updated_and_deleted_prices_arrive_by_events_in_their_newest_version(
    world: World, server: StripeServer
) -> None:
    stock(world, active=3, archived=0)
    capture = await Capture(server).backfill()
    before = len(capture.documents)

    world.clock.advance(10)
    kept, changed, gone = (each["id"] for each in world.list_all("price"))
    for nickname in ("one", "two", "three"):
        world.update("price", changed, nickname=nickname)
        world.clock.advance(10)
    world.update("price", gone, nickname="soon gone")
    world.clock.advance(10)
    world.delete("price", gone)
    new = world.create("price")["id"]
    inline = world.create("price", listed=False)["id"]
    await capture.catch_up()

    ops = {document["id"]: document["_meta"]["op"] for _, document in capture.documents[before:]}
    assert ops == {changed: "u", gone: "d", new: "c", inline: "c"}
    assert len(capture.documents) == before + 4
    assert captured(capture) == prices(world)
    assert kept in captured(capture)


async def test_changes_within_one_second_leave_the_last_of_them(world: World, server: StripeServer) -> None:
    stock(world, active=3, archived=0)
    capture = await Capture(server).backfill()
    flapping, steady, gone = (each["id"] for each in world.list_all("price"))
    world.clock.advance(5)
    for active in (False, True, False):
        world.update("price", flapping, active=active)
    world.update("price", steady, nickname="once")
    world.update("price", gone, nickname="about to go")
    world.delete("price", gone)
    world.clock.advance(120)
    server.journal.clear()
    await capture.session(capture.caught_up)
    assert captured(capture) == prices(world)
    asked = [each.path.rsplit("/", 1)[1] for each in server.journal.visits("/v1/prices/*")]
    assert sorted(asked) == sorted([flapping, gone, steady]), "each once: events lack a price's currencies"


async def test_of_connected_accounts_only_the_one_that_was_away_is_backfilled_again(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    away, present = (world.connect()["id"] for _ in range(2))
    for account in (away, present):
        stock(world, active=3, archived=2, account=account)
    capture = await Capture(server, connected=True).backfill()
    world.update("price", world.list_all("price", away)[0]["id"], away, nickname="while away")
    world.clock.advance(31 * DAY)
    incs = capture.binding_state()["inc"]
    for account in (PLATFORM, present):
        incs[account]["cursor"] = "2026-06-28T20:26:00Z"
    server.journal.clear()
    await capture.session(
        lambda: capture.caught_up() or capture.binding_state()["inc"][away]["cursor"] > "2026-06-28T20:26:30Z"
    )
    await capture.backfill()
    assert captured(capture) == prices(world, world.accounts)
    listed = [each for each in server.journal.visits("/v1/prices") if each.query.get("limit") != "1"]
    assert {each.account for each in listed} == {away}
    assert caplog.text.count("older than Stripe keeps events") == 1


async def test_new_accounts_are_backfilled_and_the_state_of_gone_ones_is_dropped(
    world: World, server: StripeServer
) -> None:
    first = world.connect()["id"]
    stock(world, active=2, archived=1, account=first)
    capture = await Capture(server, connected=True).backfill()
    second = world.connect()["id"]
    stock(world, active=2, archived=1, account=second)
    world.delete("account", first)
    server.journal.clear()
    await capture.session(lambda: len(capture.last()) == 6 and capture.is_backfilled())
    assert set(capture.binding_state()["inc"]) == {PLATFORM, second}
    assert captured(capture).keys() >= prices(world, [second]).keys()


async def test_no_connected_accounts_yet_has_the_same_shape_as_some(
    world: World, server: StripeServer
) -> None:
    stock(world, active=2, archived=1)
    capture = await Capture(server, connected=True).backfill()
    assert set(capture.binding_state()["inc"]) == {PLATFORM}
    account = world.connect()["id"]
    stock(world, active=2, archived=1, account=account)
    await capture.session(lambda: len(capture.last()) == 6)
    world.delete("account", account)
    await capture.catch_up()
    assert set(capture.binding_state()["inc"]) == {PLATFORM}
    assert captured(capture).items() >= prices(world).items()


async def test_a_flat_state_goes_on_once_there_are_connected_accounts(
    world: World, server: StripeServer
) -> None:
    stock(world, active=150, archived=2)
    capture = Capture(server)
    await capture.session(lambda: len(capture.documents) >= 100)
    account = world.connect()["id"]
    stock(world, active=2, archived=1, account=account)
    capture.connected = True
    await capture.backfill()
    assert set(capture.binding_state()["inc"]) == {PLATFORM, account}
    assert captured(capture) == prices(world, [PLATFORM, account])
    assert len(capture.documents) == 155, "nothing was captured twice"
