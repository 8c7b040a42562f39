"""What the state remembers of lists that are compared as a whole: a deletion is found wherever the connector
was killed meanwhile, and nothing is invented."""

import functools
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, World, errors
from source_stripe_native.models import STREAMS
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.soak import hurried
from tests.test_documents import until_paused
from tests.test_streams import HELD, differences

HOUR: Final = 3_600
SETTINGS: Final = replace(UNLIMITED, child_snapshot_interval=timedelta(hours=1), longest_silence=timedelta())
SHOWING_DELETIONS: Final = [each.NAME for each in STREAMS if each.SHOWS_DELETIONS]
SOME: Final = ["WebhookEndpoints", "TerminalReaders", "ProductFeatures"]
"""One without events, one whose events show objects, one of children."""


def entries(capture: Capture, stream: str = "WebhookEndpoints") -> dict[str, bool]:
    """What the state remembers: by the object's identity whether its version is known."""
    found = capture.binding_state(stream).get("snapshot", {})
    return {key.partition("/")[2]: not each["last_digest"].startswith(" ") for key, each in found.items()}


def settled(capture: Capture) -> bool:
    """Whether all that is to be read has been, and is remembered in its version."""
    known = {each: entries(capture, each) for each in capture.streams}
    return all(
        capture.caught_up(each)
        and all(known[each].values())
        and set(known[each]) == set(captured(capture, each))
        for each in capture.streams
    )


def captured(capture: Capture, stream: str) -> set[str]:
    return set(capture.last_by_key(stream))


async def start(capture: Capture) -> None:
    """A session that ends as soon as all is captured, whether it is settled or not."""
    await capture.session(lambda: is_captured(capture))


def is_captured(capture: Capture) -> bool:
    return all(map(capture.caught_up, capture.streams))


def is_platform_captured(capture: Capture) -> bool:
    """The same, of connected accounts for the platform alone."""
    states = [capture.binding_state(each) for each in capture.streams]
    now, platform = capture.server.world.clock.now(), capture.server.world.platform
    cursors = [(each.get("inc") or {}).get(platform, {}).get("cursor") for each in states]
    return not any(platform in (each.get("backfill") or {}) for each in states) and all(
        each and datetime.fromisoformat(each).timestamp() >= now - 10 for each in cursors
    )


async def hour(capture: Capture) -> list[Json]:
    """The documents of a session that reads each list, an hour later."""
    before = len(capture.documents)
    capture.server.world.clock.advance(HOUR)
    await capture.session(lambda: settled(capture), seconds=10)
    return [document for _, document in capture.documents[before:]]


def ops(documents: list[Json]) -> dict[str, str]:
    return {each["id"]: each["_meta"]["op"] for each in documents}


# Whatever happens


@dataclass(frozen=True)
class Session:
    """Killed after so many `checkpoints`. So many objects of each kind are then deleted, changed and made,
    and so many `hours` pass. `again` requests a backfill; where it is `refused`, connected accounts refuse
    their lists in the next session."""

    checkpoints: int
    deletions: int = 0
    changes: int = 0
    hours: int = 0
    again: bool = False
    refused: bool = False


SESSIONS: Final = st.lists(
    st.builds(
        Session,
        checkpoints=st.integers(0, 12),
        deletions=st.integers(0, 2),
        changes=st.integers(0, 2),
        hours=st.integers(0, 2),
        again=st.sampled_from([False, False, False, True]),
        refused=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def refused(world: World) -> list[Fault]:
    """Answers with which a connected account refuses its lists for good, until it does no more."""
    error = errors.not_set_up("this product")
    paths = ("/v1/webhook_endpoints", "/v1/terminal/readers", "/v1/products")
    return [
        Fault(each, account=account, status=error.status, type=error.type, message=error.message)
        for each in paths
        for account in world.accounts[1:]
    ]


def edit(world: World, rng: Random, stream: str, session: Session) -> None:
    """Changes that no event tells of."""
    kind = HELD[stream].kind
    for account in world.accounts:
        for _ in range(session.deletions):
            if found := world.list_all(kind, account):
                world.delete(kind, rng.choice(found)["id"], account, event=False)
        for number in range(session.changes):
            if found := world.list_all(kind, account):
                changes: Json = {"livemode": bool(rng.randrange(2))}
                # An event may show a version that is gone again when the list is read.
                world.update(kind, rng.choice(found)["id"], account, event=number > 0, **changes)
            world.create(kind, account, event=False)


@settings(max_examples=6)
@given(st.integers(0, 99), SESSIONS, st.booleans())
@example(0, [Session(99, deletions=2)], False)
@example(0, [Session(99, hours=1), Session(99, deletions=1, again=True)], True)
@example(1, [Session(4, deletions=2, hours=1), Session(2, changes=2, hours=1)], False)
async def test_what_was_captured_equals_the_world_wherever_the_connector_is_killed(
    seed: int, sessions: list[Session], connected: bool
) -> None:
    world, rng = World(seed, NOW, unordered=True), Random(seed)
    if connected:
        world.connect(controller={"type": "application"})
    for stream in SOME:
        edit(world, rng, stream, Session(0, changes=3))
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, SOME, connected=connected, settings=SETTINGS)
            refuses = False
            for each in sessions:
                until = functools.partial(is_platform_captured if refuses else is_captured, capture)
                await capture.session(until, checkpoints=each.checkpoints)
                for stream in SOME:
                    edit(world, rng, stream, each)
                world.clock.advance(each.hours * HOUR + 60)
                capture.backfills += each.again
                refuses = connected and each.refused
                server.faults.set(*refused(world) if refuses else ())
            server.faults.set()
            world.clock.advance(60)
            await start(capture)
            await hour(capture)
    assert "\n".join(differences(capture, each, connected) for each in SOME).strip() == ""
    assert all(set(entries(capture, stream)) == captured(capture, stream) for stream in SOME)


# Each of its promises


@pytest.mark.parametrize("stream", SHOWING_DELETIONS)
async def test_what_is_deleted_while_the_connector_is_stopped_becomes_a_tombstone(
    world: World, server: StripeServer, stream: str
) -> None:
    kind = HELD[stream].kind
    parent = world.create("quote" if "quote" in kind else "product", event=False)["id"]
    before = {each["id"] for each in world.list_all(kind)}
    fields: Json = {"product": parent} if kind == "product_feature" else {}
    before |= {world.create(kind, event=False, **fields)["id"] for _ in range(0 if before else 3)}
    capture = Capture(server, [stream], settings=SETTINGS)
    await start(capture)
    await hour(capture)
    gone = min(before)
    world.delete(kind, gone, event=False)
    (tombstone,) = await hour(capture)
    assert (tombstone["id"], tombstone["_meta"]) == (gone, {"op": "d"})
    assert capture.last(stream).keys() == before - {gone}
    assert await hour(capture) == []
    assert len(entries(capture, stream)) == len(before) - 1


async def test_nothing_that_did_not_change_is_captured_again_after_a_restart(
    world: World, server: StripeServer
) -> None:
    old, other = (world.create("webhook_endpoint", event=False)["id"] for _ in range(2))
    capture = Capture(server, ["WebhookEndpoints"], settings=SETTINGS)
    await start(capture)
    assert ops(await hour(capture)) in ({}, {old: "u", other: "u"})
    assert await hour(capture) == []
    size, checkpoints = len(str(capture.state)), capture.checkpoints
    assert await hour(capture) == []
    assert (len(str(capture.state)), capture.checkpoints - checkpoints) == (size, 1), "only the cursor"
    world.update("webhook_endpoint", old, event=False, metadata={"a": "b"})
    assert ops(await hour(capture)) == {old: "u"}


async def test_what_is_deleted_between_its_backfill_and_the_first_reading_becomes_a_tombstone(
    world: World, server: StripeServer
) -> None:
    kept, gone = (world.create("webhook_endpoint", event=False)["id"] for _ in range(2))
    capture = Capture(server, ["WebhookEndpoints"], settings=SETTINGS)
    await start(capture)
    world.delete("webhook_endpoint", gone, event=False)
    assert ops(await hour(capture)) == {kept: "u", gone: "d"}


async def test_accounts_that_list_nothing_store_nothing(world: World, server: StripeServer) -> None:
    for _ in range(5):
        world.connect()
    capture = Capture(server, ["WebhookEndpoints"], connected=True, settings=SETTINGS)
    await start(capture)
    await hour(capture)
    assert "snapshot" not in capture.binding_state("WebhookEndpoints")
    world.create("webhook_endpoint", world.accounts[3], event=False)
    await hour(capture)
    assert len(entries(capture)) == 1


async def test_a_state_that_remembers_nothing_goes_on_and_remembers(
    world: World, server: StripeServer
) -> None:
    """As an earlier version left it."""
    kept, gone = (world.create("webhook_endpoint", event=False)["id"] for _ in range(2))
    capture = Capture(server, ["WebhookEndpoints"], settings=SETTINGS)
    await start(capture)
    del capture.state["bindingStateV1"]["WebhookEndpoints"]["snapshot"]
    assert ops(await hour(capture)) == {kept: "u", gone: "u"}
    world.delete("webhook_endpoint", gone, event=False)
    assert ops(await hour(capture)) == {gone: "d"}


async def test_a_backfill_on_request_keeps_what_was_remembered(world: World, server: StripeServer) -> None:
    kept, gone = (world.create("webhook_endpoint", event=False)["id"] for _ in range(2))
    capture = Capture(server, ["WebhookEndpoints"], settings=SETTINGS)
    await start(capture)
    await hour(capture)
    world.delete("webhook_endpoint", gone, event=False)
    capture.backfills += 1
    await start(capture)
    assert capture.last("WebhookEndpoints").keys() == {kept, gone}, "no backfill finds a deletion"
    await hour(capture)
    assert capture.last("WebhookEndpoints").keys() == {kept}


async def test_a_list_that_is_too_long_is_not_remembered(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    found = [world.create("webhook_endpoint", event=False)["id"] for _ in range(4)]
    for bounds in ({"remembered_of_list": 3}, {"remembered_objects": 3}):
        caplog.clear()
        narrow: Any = bounds
        capture = Capture(server, ["WebhookEndpoints"], settings=replace(SETTINGS, **narrow))
        await start(capture)
        assert entries(capture) == {}
        assert [each.levelno for each in caplog.records if "to be remembered" in each.message] == [
            logging.WARNING
        ]
        before = len(capture.documents)
        world.clock.advance(HOUR)
        await start(capture)
        assert len(capture.documents) - before == len(found), "as without a memory"
        assert entries(capture) == {}
    world.delete("webhook_endpoint", found.pop(), event=False)
    world.clock.advance(HOUR)
    await start(capture)
    assert set(entries(capture)) == {*found}, "the list is short enough again"


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"remembered_of_list": 1}, "WebhookEndpoints: a list is too long to be remembered"),
        ({"remembered_objects": 1}, "WebhookEndpoints: the lists of the capture have too many objects"),
    ],
)
async def test_one_warning_tells_of_all_lists_of_a_stream_that_are_not_remembered(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, bounds: dict[str, Any], told: str
) -> None:
    for account in [world.connect()["id"] for _ in range(4)]:
        for _ in range(2):
            world.create("webhook_endpoint", account, event=False)
    capture = Capture(server, ["WebhookEndpoints"], connected=True, settings=replace(SETTINGS, **bounds))
    await start(capture)
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 1
    assert [each.message.startswith(told) for each in caplog.records if "remembered" in each.message] == [
        True
    ]


async def test_an_object_that_a_key_no_longer_lists_is_no_deletion(
    world: World, server: StripeServer
) -> None:
    """Without the permission to read test clocks, their quotes are not listed."""
    clock = world.create("test_helpers.test_clock", event=False)["id"]
    customer = world.create("customer", event=False, test_clock=clock)["id"]
    world.create("quote", event=False, customer=customer, test_clock=clock)
    capture = Capture(server, ["QuoteLineItems"], settings=SETTINGS)
    await start(capture)
    await hour(capture)
    lines = set(capture.last("QuoteLineItems"))
    assert lines
    capture.key = world.restrict({"account", "event", "quote"})
    assert await hour(capture) == []
    world.delete("quote_item", min(lines), event=False)
    assert ops(await hour(capture)) == {min(lines): "d"}
    assert capture.last("QuoteLineItems").keys() == lines - {min(lines)}


async def test_a_list_that_fails_half_way_forgets_nothing(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    found = {world.create("webhook_endpoint", event=False)["id"] for _ in range(5)}
    capture = Capture(server, ["WebhookEndpoints"], settings=replace(SETTINGS, page_size=2))
    await start(capture)
    fault = Fault("/v1/webhook_endpoints", status=400, message="not now", after=1)
    server.faults.set(fault)
    world.clock.advance(HOUR)
    await until_paused(capture, caplog)
    server.faults.set()
    assert set(entries(capture)) == found
    await hour(capture)
    assert capture.last("WebhookEndpoints").keys() == found


@pytest.mark.parametrize("stream", ["WebhookEndpoints", "QuoteLineItems"])
@pytest.mark.parametrize(("status", "connected"), [(500, False), (500, True), (403, False)])
async def test_what_cannot_be_checked_hides_no_other_deletion(
    world: World, server: StripeServer, stream: str, status: int, connected: bool
) -> None:
    """Of an object, or of a parent, Stripe does not say whether it is still there. All others are deleted."""
    kind = HELD[stream].kind
    for _ in range(4):
        world.create("quote" if stream == "QuoteLineItems" else kind, event=False)
    settings = replace(SETTINGS, shortest_pause=timedelta(milliseconds=50))
    capture = Capture(server, [stream], connected=connected, settings=settings)
    await start(capture)
    await hour(capture)
    documents = capture.last(stream)
    unknown = min(documents)
    parent = documents[unknown].get("quote")
    for each in documents:
        world.delete(kind, each, event=False)
    path = f"/v1/quotes/{parent}/line_items" if parent else f"/v1/webhook_endpoints/{unknown}"
    server.faults.set(Fault(path, status=status))
    world.clock.advance(HOUR + 60)
    with hurried():
        await capture.session(lambda: set(capture.last(stream)) == {unknown}, seconds=20)
        server.faults.set()
        world.clock.advance(HOUR + 60)
        await capture.session(lambda: not capture.last(stream))


async def test_a_later_start_date_is_no_deletion(world: World, server: StripeServer) -> None:
    old = world.create("webhook_endpoint", event=False, at=NOW - 9 * HOUR)["id"]
    capture = Capture(server, ["WebhookEndpoints"], settings=SETTINGS)
    await start(capture)
    await hour(capture)
    capture.config = {"start_date": "2026-05-28T20:00:00Z"}
    world.create("webhook_endpoint", event=False, at=NOW - 8 * HOUR)
    assert await hour(capture) == []
    world.update("webhook_endpoint", old, event=False, metadata={"a": "b"})
    assert ops(await hour(capture)) == {old: "u"}
    world.delete("webhook_endpoint", old, event=False)
    assert ops(await hour(capture)) == {old: "d"}


async def test_a_version_that_only_an_event_showed_is_not_taken_for_the_last_one(
    world: World, server: StripeServer
) -> None:
    reader = world.create("terminal.reader", event=False)
    capture = Capture(server, ["TerminalReaders"], settings=SETTINGS)
    await start(capture)
    await hour(capture)
    labels = [reader["label"], "for a while"]
    world.update("terminal.reader", reader["id"], event=False, label=labels[1])
    world.tell("terminal.reader.action_succeeded", "terminal.reader", reader["id"])
    world.clock.advance(60)
    await start(capture)
    assert capture.documents[-1][1]["label"] == labels[1]
    world.update("terminal.reader", reader["id"], event=False, label=labels[0])
    assert (await hour(capture))[-1]["label"] == labels[0]
