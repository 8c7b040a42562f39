"""A backfill that repeats an earlier one, by schedule, on request or because events are gone: the collection
holds objects of before, and no deletion of one is lost."""

import copy
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from sandbox.stripe.journal import Visit
from source_stripe_native.state.windows import RETENTION
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.soak import Watch

DAY: Final = 86_400
PAGES_OF_ONE: Final = replace(UNLIMITED, page_size=1)
KINDS: Final = {"Cards": "card", "Products": "product", "Coupons": "coupon", "Persons": "person"}
SHAPES: Final = [
    *itertools.product(("Cards", "Products", "Coupons"), (False, True)),
    ("Persons", True),
]
"""Each shape of state: flat, in slices, by account; of objects with a list of their own and of children."""


def made(world: World, stream: str, number: int = 4) -> list[tuple[str, str]]:
    """Objects of the stream, as account and id, in two accounts if two are there."""
    accounts = world.accounts[1:] if stream == "Persons" else world.accounts
    found = []
    for account in itertools.islice(itertools.cycle(accounts), number * len(accounts)):
        parent = (
            {"customer": world.create("customer", account, event=False)["id"]} if stream == "Cards" else {}
        )
        found.append((account, world.create(KINDS[stream], account, event=False, **parent)["id"]))
    return found


async def captured(server: StripeServer, stream: str, connected: bool, **more: Any) -> Capture:
    """A capture of the stream that has caught up."""
    capture = Capture(server, [stream], connected=connected, **more)
    await capture.session(capture.caught_up)
    await capture.catch_up(100)
    return capture


# By schedule


@pytest.mark.parametrize("kills", [(), (1, 3), (2, 2, 2)], ids=str)
@pytest.mark.parametrize(("stream", "connected"), SHAPES)
async def test_a_deletion_that_becomes_visible_late_is_not_lost_to_a_backfill_by_schedule(
    world: World, server: StripeServer, stream: str, connected: bool, kills: tuple[int, ...]
) -> None:
    if connected:
        world.connect()
    objects = made(world, stream)
    capture = await captured(server, stream, connected, schedule="0 0 * * *", settings=PAGES_OF_ONE)
    gone = dict(objects[: len(world.accounts)])
    for account, each in gone.items():
        world.delete(KINDS[stream], each, account, visible_after=90 + 61 * (1 + len(kills)))
    await capture.catch_up(61)
    assert set(gone.values()) <= capture.last(stream).keys()
    capture.state["bindingStateV1"][stream]["last_initialized"] = "2020-01-01T00:00:00Z"
    for kill in kills:
        await capture.session(checkpoints=kill)
        world.clock.advance(61)
    world.clock.advance(90)
    await capture.catch_up(600)
    assert capture.last(stream).keys() == {each for _, each in objects} - set(gone.values())


# On request


@pytest.mark.parametrize(("kills", "late", "pause"), [((), 0, 3_600), ((1,), 90, 0), ((3,), 0, 0)], ids=str)
@pytest.mark.parametrize(("stream", "connected"), SHAPES)
async def test_a_deletion_before_a_requested_backfill_is_not_lost(
    world: World,
    server: StripeServer,
    stream: str,
    connected: bool,
    kills: tuple[int, ...],
    late: int,
    pause: int,
) -> None:
    if connected:
        world.connect()
    objects = made(world, stream)
    capture = await captured(server, stream, connected, settings=PAGES_OF_ONE)
    gone = dict(objects[: len(world.accounts)])
    for account, each in gone.items():
        world.delete(KINDS[stream], each, account, visible_after=late)
    world.clock.advance(pause)
    capture.backfills += 1
    for kill in kills:
        await capture.session(checkpoints=kill)
        world.clock.advance(61)
    await capture.catch_up(600)
    assert capture.last(stream).keys() == {each for _, each in objects} - set(gone.values())


@pytest.mark.parametrize("connected", [False, True], ids=["switched on", "switched off"])
async def test_a_requested_backfill_goes_on_from_the_platforms_cursor_if_the_switch_is_turned(
    world: World, server: StripeServer, connected: bool
) -> None:
    account = world.connect()["id"]
    objects = made(world, "Coupons")
    capture = await captured(server, "Coupons", connected)
    cursor = capture.binding_state("Coupons")["inc"]
    cursor = cursor[PLATFORM] if connected else cursor
    _, gone = next(each for each in objects if each[0] == PLATFORM)
    world.delete("coupon", gone)
    world.clock.advance(500)
    capture.backfills, capture.connected = 1, not connected
    await capture.session(checkpoints=1)
    inc = capture.binding_state("Coupons")["inc"]
    if connected:
        assert inc == cursor
    else:
        assert inc[PLATFORM] == cursor
        assert inc[account]["cursor"] > cursor["cursor"], "of which nothing was captured before"
    await capture.catch_up(600)
    assert gone not in capture.last("Coupons")


@pytest.mark.parametrize(
    "former",
    [
        {"shape": "of long ago"},
        {"inc": {"cursor": 7}, "backfill": {"cutoff": "soon"}},
        {"inc": ["2026-05-28T20:26:40Z"]},
        {"inc": {"cursor": "2400-01-01T00:00:00Z"}},
        "nothing",
        7,
    ],
    ids=repr,
)
async def test_a_late_deletion_is_not_lost_whatever_the_former_state_is(
    world: World, server: StripeServer, former: Any
) -> None:
    """A former state says that the backfill is a repeat, even if no cursor can be carried over."""
    objects = made(world, "Coupons")
    capture = await captured(server, "Coupons", connected=False)
    world.delete("coupon", objects[0][1], visible_after=90)
    world.clock.advance(1)
    capture.state["bindingStateV1"]["Coupons"] = former
    capture.backfills = 1
    await capture.session(checkpoints=1)
    await capture.catch_up(600)
    assert capture.last("Coupons").keys() == {each for _, each in objects[1:]}


async def test_a_backfill_starts_anew_where_the_former_cursor_is_too_old(
    world: World, server: StripeServer
) -> None:
    objects = made(world, "Coupons")
    capture = await captured(server, "Coupons", connected=False)
    capture.backfills = 1
    world.clock.advance(RETENTION.total_seconds() - 3_600)
    await capture.session(checkpoints=1)
    new = datetime.fromtimestamp(world.clock.now(), UTC)
    assert datetime.fromisoformat(capture.binding_state("Coupons")["inc"]["cursor"]) == new
    await capture.catch_up(600)
    assert "backfillRequests" not in capture.state
    assert capture.last("Coupons").keys() == {each for _, each in objects}


# Because events are gone


def state_at(ago: timedelta, streams: list[str], accounts: list[str] | None) -> Json:
    at = {"cursor": (datetime.fromtimestamp(NOW, UTC) - ago).isoformat()}
    inc = at if accounts is None else dict.fromkeys(accounts, at)
    at_rest = {"inc": inc, "last_initialized": "2026-05-01T00:00:00Z"}
    return {"bindingStateV1": {each: copy.deepcopy(at_rest) for each in streams}}


@pytest.mark.parametrize("margin", [UNLIMITED.retention_margin, timedelta()], ids=str)
@pytest.mark.parametrize("connected", [False, True])
async def test_a_cursor_on_the_edge_of_the_retention_loses_no_event_to_a_slow_answer(
    world: World, server: StripeServer, connected: bool, margin: timedelta
) -> None:
    retention = int(RETENTION.total_seconds())
    first = world.create("product", at=NOW - retention, event=False)["id"]
    world.update("product", first, at=NOW - retention + 8, name="changed")
    # Two answers have to agree on the later time.
    for second in range(3_000, 3_004):
        world.create("coupon", at=NOW - retention + second)
    streams = ["Products", "Coupons"]
    capture = Capture(
        server,
        streams,
        connected=connected,
        settings=replace(PAGES_OF_ONE, retention_margin=margin),
        state=state_at(RETENTION - timedelta(seconds=6), streams, [PLATFORM] if connected else None),
    )
    slow = iter([10])

    def on_visit(visit: Visit) -> None:
        if visit.path == "/v1/events":
            world.clock.advance(next(slow, 0))

    server.journal = Watch(on_visit)
    if not connected:
        await capture.session()
        assert capture.state["backfillRequests"]["Products"] is True
    await capture.session(capture.caught_up)
    assert {key: each["name"] for key, each in capture.last("Products").items()} == {first: "changed"}
    assert len(server.journal.visits("/v1/products")) == 1, "no loop"


def started_anew(capture: Capture) -> bool:
    inc = capture.binding_state("Coupons").get("inc") or {}
    cursors = [inc] if "cursor" in inc else list(inc.values())
    return bool(cursors) and all(
        datetime.fromisoformat(each["cursor"]).timestamp() > NOW + 31 * DAY for each in cursors
    )


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("kills", [(), (2,)], ids=str)
async def test_a_late_deletion_is_not_lost_where_a_long_pause_makes_a_backfill_start_anew(
    world: World, server: StripeServer, connected: bool, kills: tuple[int, ...]
) -> None:
    if connected:
        world.connect()
    objects = made(world, "Coupons")
    capture = await captured(server, "Coupons", connected, settings=PAGES_OF_ONE)
    world.clock.advance(31 * DAY)
    for account, each in objects[: len(world.accounts)]:
        world.delete("coupon", each, account, visible_after=90 + 61 * len(kills))
    world.clock.advance(1)
    if not connected:
        await capture.session()
    for kill in kills:
        await capture.session(checkpoints=kill)
        world.clock.advance(61)
    await capture.session(lambda: started_anew(capture))
    await capture.catch_up(600)
    assert capture.last("Coupons").keys() == {each for _, each in objects[len(world.accounts) :]}
