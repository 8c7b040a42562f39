"""A part again: objects or a range of time that the config names are captured again once, whatever stream,
mode and kill. Nothing else is, and the rest of the state stays as it is."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.requests import refuse_useless
from source_stripe_native.models import STREAMS
from tests.capture import ROWS, UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.held import holders_watched, still_held
from tests.soak import hurried
from tests.test_failures import QUICK, fill
from tests.test_streams import ALL, HELD, differences, refused

BY_ID: Final = [row.NAME for row in STREAMS if row.named_by() is not None and row.NAME in ALL]


def at(seconds: int) -> str:
    return datetime.fromtimestamp(NOW + seconds, tz=UTC).isoformat().replace("+00:00", "Z")


EVER: Final = {"since": "2011-01-01T00:00:00Z", "until": at(100_000)}


def capture_of(server: StripeServer, streams: list[str], *, connected: bool) -> Capture:
    settings = replace(UNLIMITED, shortest_pause=QUICK.shortest_pause, longest_pause=QUICK.longest_pause)
    return Capture(server, streams, connected=connected, settings=settings)


def refresh(capture: Capture, *refreshes: Json) -> None:
    capture.config = {"advanced": {"refresh": list(refreshes)}}


def entries(capture: Capture, stream: str) -> list[str]:
    """What the state has of refreshes, and of objects that are still to be read again."""
    return [
        key
        for key in capture.binding_state(stream).get("snapshot") or {}
        if key.startswith(("refresh/", "postponed/"))
    ]


def is_done(capture: Capture) -> bool:
    """Whether nothing but the notes is left."""
    left = [key for stream in capture.streams for key in entries(capture, stream)]
    notes = {f"{key.partition('/')[2]}" for key in left if key.count("/") == 1}
    return len(notes) > 0 and all(key.count("/") == 1 for key in left)


async def caught_up(capture: Capture) -> None:
    # No overlap of a list has what there is by now.
    capture.server.world.clock.advance(2000)
    await capture.session(lambda: all(capture.caught_up(stream) for stream in capture.streams))


async def refreshed(capture: Capture) -> list[tuple[str, Json]]:
    """The documents that refreshes capture, in a session that ends with them."""
    before = len(capture.documents)
    capture.server.world.clock.advance(120)
    with hurried():
        await capture.session(
            lambda: is_done(capture) and all(capture.caught_up(stream) for stream in capture.streams)
        )
    return capture.documents[before:]


# Every stream, in both modes


@pytest.fixture
def accounts(world: World) -> list[str]:
    return [PLATFORM, *(world.connect(controller={"type": "application"})["id"] for _ in range(2))]


@pytest.mark.parametrize(
    ("names", "connected"),
    [(ALL, False), (sorted({*ALL[::4], "Accounts"}), True)],
    ids=["single", "connected"],
)
async def test_a_part_of_every_stream_is_captured_again_whole_and_once(
    world: World, server: StripeServer, accounts: list[str], names: list[str], connected: bool
) -> None:
    account = accounts[1] if connected else PLATFORM
    fill(world, names, accounts[:2], event=False)
    capture = capture_of(server, names, connected=connected)
    await caught_up(capture)
    shapes = {name: capture.binding_state(name) for name in names}
    before = {name: capture.last_by_key(name) for name in names}
    capture.documents.clear()

    refresh(capture, *({"stream": name, **EVER} for name in names))
    await refreshed(capture)
    assert "\n".join(filter(None, (differences(capture, name, connected) for name in names))) == ""
    for name in names:
        state = capture.binding_state(name)
        for key in ("backfill", "last_initialized"):
            assert (state.get(key) or {}) == (shapes[name].get(key) or {})
        assert state["inc"].keys() == shapes[name]["inc"].keys()
        assert len([key for key in entries(capture, name) if key.startswith("refresh/")]) == 1

    refreshes = [of_ids(world, name, connected, account, before[name]) for name in BY_ID if name in names]
    wanted = {each["stream"]: each for each in refreshes if each["ids"]}
    assert len(wanted) >= len(refreshes) - 3
    capture.documents.clear()
    refresh(capture, *wanted.values())
    await refreshed(capture)
    for name in names:
        keys: set[str] = set()
        if name in wanted:
            home = wanted[name].get("account", PLATFORM)
            keys = {key for key, document in before[name].items() if document["account_id"] == home}
            among = [account] if connected and ROWS[name].PER_ACCOUNT else None
            assert differences(capture, name, connected, among=among) == ""
        assert capture.last_by_key(name).keys() == keys, name
    assert await refreshed(capture) == []
    assert refused(server) == []


def of_ids(world: World, name: str, connected: bool, account: str, documents: dict[str, Json]) -> Json:
    """A refresh of all objects of one account by their ids, or by those of their parents."""
    named_by, is_per_account = ROWS[name].named_by(), connected and ROWS[name].PER_ACCOUNT
    home = account if is_per_account else PLATFORM
    assert named_by is not None
    ids = [each["id"] for each in documents.values() if each["account_id"] == home]
    if named_by is not ROWS[name]:
        ids = [each["id"] for each in world.list_all(HELD[named_by.NAME].kind, home)]
    return {"stream": name, "ids": ids} | ({"account": home} if is_per_account else {})


# What is captured again


@pytest.mark.parametrize("connected", [False, True], ids=["single", "connected"])
async def test_a_range_has_what_was_created_in_it_alone(
    world: World, server: StripeServer, connected: bool
) -> None:
    home = world.connect()["id"] if connected else PLATFORM
    ids = [
        world.create("charge", home, created=NOW + age, event=False)["id"] for age in (-400, -300, -200, -100)
    ]
    capture = capture_of(server, ["Charges"], connected=connected)
    await caught_up(capture)
    refresh(capture, {"stream": "Charges", "since": at(-300), "until": at(-100)})
    assert [each["id"] for _, each in await refreshed(capture)] == [ids[2], ids[1]]


async def test_of_several_accounts_the_one_that_is_named_is_captured_again(
    world: World, server: StripeServer, accounts: list[str]
) -> None:
    fill(world, ["Charges"], accounts, event=False)
    capture = capture_of(server, ["Charges"], connected=True)
    await caught_up(capture)
    refresh(capture, {"stream": "Charges", "account": accounts[2], **EVER})
    assert {each["account_id"] for _, each in await refreshed(capture)} == {accounts[2]}


async def test_a_refresh_of_an_account_that_connects_later_is_done_then(
    world: World, server: StripeServer, accounts: list[str]
) -> None:
    fill(world, ["Charges"], accounts, event=False)
    capture = capture_of(server, ["Charges"], connected=True)
    await caught_up(capture)
    refresh(capture, {"stream": "Charges", "account": accounts[1], **EVER})
    capture.config["advanced"]["connected_accounts"] = {"exclude": [accounts[1]]}
    await caught_up(capture)
    assert entries(capture, "Charges") == []
    del capture.config["advanced"]["connected_accounts"]
    await caught_up(capture)
    assert len(entries(capture, "Charges")) == 1


async def test_a_refresh_that_is_taken_out_of_the_config_can_be_asked_for_again(
    world: World, server: StripeServer
) -> None:
    fill(world, ["Charges"], [PLATFORM], event=False)
    capture = capture_of(server, ["Charges"], connected=False)
    await caught_up(capture)
    for _ in range(2):
        refresh(capture, {"stream": "Charges", **EVER})
        assert len(await refreshed(capture)) == 2
        refresh(capture)
        await caught_up(capture)
        assert entries(capture, "Charges") == []


# Kills and failures


@pytest.mark.parametrize("connected", [False, True], ids=["single", "connected"])
@pytest.mark.parametrize("pages", [0, 1, 2])
async def test_a_refresh_goes_on_where_it_was_killed(
    world: World, server: StripeServer, pages: int, connected: bool
) -> None:
    home = world.connect()["id"] if connected else PLATFORM
    wanted = {world.create("customer", home, at=NOW - 250 + each, event=False)["id"] for each in range(250)}
    one = world.create("charge", home, event=False)["id"]
    capture = capture_of(server, ["Customers", "Charges"], connected=connected)
    await caught_up(capture)
    capture.documents.clear()
    of_account = {"account": home} if connected else {}
    refresh(
        capture,
        # The same one twice is one.
        {"stream": "Customers", **EVER, **of_account},
        {"stream": "Customers", **EVER, **of_account},
        {"stream": "Charges", "ids": [one], **of_account},
    )
    world.clock.advance(120)

    def is_so_far() -> bool:
        begun = capture.binding_state("Customers").get("snapshot")
        return bool(begun) and len(capture.last("Customers")) == pages * 100

    await capture.session(is_so_far)
    await refreshed(capture)
    assert capture.last("Customers").keys() == wanted
    assert capture.last("Charges").keys() == {one}
    assert len([name for name, _ in capture.documents if name == "Customers"]) == 250
    assert await refreshed(capture) == []


@pytest.mark.parametrize("request_of", ["range", "ids"])
async def test_an_account_that_fails_holds_up_no_other_and_comes_later(
    world: World, server: StripeServer, accounts: list[str], request_of: str
) -> None:
    fill(world, ["Charges"], accounts, event=False)
    capture = capture_of(server, ["Charges"], connected=True)
    await caught_up(capture)
    before = capture.last_by_key("Charges")
    capture.documents.clear()
    server.faults.set(Fault("/v1/charges*", account=accounts[0], status=500))
    refreshes = [{"stream": "Charges", **EVER}]
    if request_of == "ids":
        refreshes = [
            {"stream": "Charges", "account": each["account_id"], "ids": [each["id"]]}  # type: ignore[dict-item]  # as named
            for each in before.values()
        ]
    refresh(capture, *refreshes)
    world.clock.advance(120)
    with hurried():
        await capture.session(lambda: len(capture.last("Charges")) == 4)
        assert {each["account_id"] for _, each in capture.documents} == {*accounts[1:]}
        server.faults.set()
        await capture.session(lambda: is_done(capture))
    assert capture.last("Charges").keys() == before.keys()


@pytest.mark.parametrize("connected", [False, True], ids=["single", "connected"])
async def test_a_list_that_fails_holds_up_no_other_list_of_the_stream(
    world: World, server: StripeServer, connected: bool
) -> None:
    containers = [world.create(kind, event=False) for kind in ("customer", "subscription", "invoice")]
    for container in containers:
        world.create("discount", event=False, **{container["object"]: container["id"]})
    capture = capture_of(server, ["Discounts"], connected=connected)
    await caught_up(capture)
    before = capture.last("Discounts").keys()
    assert len(before) == 3
    for failing in ("customers", "subscriptions", "invoices"):
        capture.documents.clear()
        server.faults.set(Fault(f"/v1/{failing}*", status=500))
        refresh(capture)
        await caught_up(capture)
        refresh(capture, {"stream": "Discounts", **EVER})
        world.clock.advance(120)
        with hurried():
            await capture.session(lambda: len(capture.last("Discounts")) == 2, seconds=20)
            server.faults.set()
            await capture.session(lambda: is_done(capture), seconds=20)
        assert capture.last("Discounts").keys() == before


async def test_nothing_is_held_while_what_has_failed_is_paused(
    world: World, server: StripeServer, accounts: list[str]
) -> None:
    fill(world, ["Charges"], accounts, event=False)
    capture = capture_of(server, ["Charges"], connected=True)
    await caught_up(capture)
    capture.documents.clear()
    minute = timedelta(minutes=1)
    capture.settings = replace(capture.settings, shortest_pause=minute, longest_pause=minute)
    server.faults.set(Fault("/v1/charges*", account=accounts[0], status=500))
    refresh(capture, {"stream": "Charges", **EVER})
    with hurried(), holders_watched() as holders:
        session = asyncio.create_task(capture.session())
        while len(capture.last("Charges")) < 4:  # noqa: ASYNC110 - the capture sets no event
            await asyncio.sleep(0.01)
        assert await still_held(holders) == {}
        session.cancel()
        await asyncio.wait([session])


async def test_an_object_that_fails_holds_up_none_of_many_that_are_named(
    world: World, server: StripeServer
) -> None:
    wanted = [world.create("charge", at=NOW - 250 + each, event=False)["id"] for each in range(5)]
    capture = capture_of(server, ["Charges"], connected=False)
    capture.settings = replace(capture.settings, postponed_at_most=3)
    await caught_up(capture)
    capture.documents.clear()
    server.faults.set(Fault(f"/v1/charges/{wanted[0]}", status=500))
    refresh(capture, {"stream": "Charges", "ids": wanted})
    world.clock.advance(120)
    with hurried():
        await capture.session(lambda: capture.last("Charges").keys() == {*wanted[1:]})
        server.faults.set()
        await capture.session(lambda: is_done(capture))
    assert capture.last("Charges").keys() == {*wanted}


@pytest.mark.parametrize("connected", [False, True])
async def test_what_fails_inside_a_range_is_read_later_in_an_account_where_nothing_happens(
    world: World, server: StripeServer, connected: bool
) -> None:
    invoices = [world.create("invoice", lines=12, event=False)["id"] for _ in range(2)]
    capture = capture_of(server, ["InvoiceLineItems"], connected=connected)
    # Stripe is asked for its time at once, whose clock makes a leap.
    capture.settings, capture.interval = replace(capture.settings, longest_silence=timedelta()), "PT0.1S"
    await caught_up(capture)
    before = capture.last_by_key("InvoiceLineItems").keys()
    capture.documents.clear()
    server.faults.set(Fault(f"/v1/invoices/{invoices[0]}/lines", status=500))
    refresh(capture, {"stream": "InvoiceLineItems", **EVER})
    has_failed = False

    def is_read() -> bool:
        nonlocal has_failed
        is_postponed = any(key.startswith("postponed/") for key in entries(capture, "InvoiceLineItems"))
        if is_postponed and not has_failed:
            has_failed = True
            server.faults.set()
            world.clock.advance(120)
        return has_failed and is_done(capture)

    with hurried():
        await capture.session(is_read, seconds=20)
    assert capture.last_by_key("InvoiceLineItems").keys() == before


# What is refused


@pytest.mark.parametrize(
    ("refreshes", "connected", "problem"),
    [
        ([{"stream": "Charge", **EVER}], False, "Charge: no binding has this stream"),
        ([{"stream": "Charges", **EVER}], False, "Charges: no binding has this stream"),
        ([{"stream": "Discounts", "ids": ["di_1"]}], False, "Discounts: its objects have no ids"),
        ([{"stream": "Prices", **EVER, "account": "acct_1"}], False, "Prices: it is captured of one account"),
        ([{"stream": "Prices", "ids": ["price_1"]}], True, "Prices: ids need the account"),
    ],
)
def test_a_refresh_that_cannot_be_done_is_refused_in_one_line(
    refreshes: list[Json], connected: bool, problem: str
) -> None:
    config = EndpointConfig.model_validate(
        {
            "credentials": {"access_token": "sk_test_1"},
            "capture_connected_accounts": connected,
            "advanced": {"refresh": refreshes},
        }
    )
    with pytest.raises(ConnectorError, match=f"advanced.refresh cannot refresh {problem}"):
        refuse_useless(config, ["Prices", "Discounts"])
