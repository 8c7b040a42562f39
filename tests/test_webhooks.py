"""Posts of Stripe as notices: what changes is the delay, and nothing else."""

import asyncio
import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import orjson
import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World, facts
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.versions import LATEST
from sandbox.stripe.webhooks import SECRET, WebhookFaults, register, sign
from source_stripe_native.cli.endpoints import NOT_POSTED, needed_types
from source_stripe_native.errors import ConnectorError
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.models import STREAMS as ROWS_OF_ALL
from source_stripe_native.notices.notices import PORT_VARIABLE, Notices, port_of
from source_stripe_native.notices.posts import Notice, notice_of
from source_stripe_native.notices.server import MOST_BYTES, PostServer, listening
from source_stripe_native.notices.trust import Trust
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.stripe.pages import Source
from tests.capture import ROWS, UNLIMITED, Capture, Json
from tests.cdk_task import on_virtual_time, running_capture
from tests.conftest import NOW
from tests.posts import CONFIG, listen, post, posting
from tests.soak import hurried
from tests.test_command_line import run

HOUR = "PT1H"
RESTLESS = replace(UNLIMITED, trusted_interval=timedelta(seconds=1))
"""No account rests for longer than its interval, so that a capture is caught up in seconds."""
STREAMS = ["Products", "Prices", "Events"]
ALL_WAYS = ["Prices", "Events", "Accounts", "BalanceTransactions", "ShippingRates"]
"""A stream of each way to find changes."""
FAULTS = (
    WebhookFaults(lost=1.0, forged=1.0),
    WebhookFaults(lost=0.3, doubled=0.4, late=0.5, late_seconds=0.3, forged=0.3),
)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the capture tells nobody
            await asyncio.sleep(0.01)


async def test_change_is_captured_at_once_after_its_post(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = world.create("price", unit_amount=500, event=False)
    capture = Capture(server, interval=HOUR, config=CONFIG)
    async with posting(world, listen(monkeypatch)):

        async def change() -> None:
            await until(capture.last)
            world.update("price", price["id"], unit_amount=700)

        changing = asyncio.create_task(change())
        await capture.session(lambda: capture.last().get(price["id"], {}).get("unit_amount") == 700)
        await changing
    assert [doc["unit_amount"] for _, doc in capture.documents] == [500, 700]


@pytest.mark.parametrize("api_version", ["2017-04-06", LATEST])
async def test_change_of_a_connected_account_is_captured_at_once_after_its_post(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch, api_version: str
) -> None:
    """Older events name the account by another field."""
    accounts = [world.connect()["id"] for _ in range(3)]
    prices = {each: world.create("price", each, unit_amount=500, event=False)["id"] for each in accounts}
    capture = Capture(server, connected=True, interval=HOUR, config=CONFIG)
    async with posting(world, listen(monkeypatch)):

        async def change() -> None:
            await until(lambda: len(capture.last()) == 3)
            price = prices[accounts[1]]
            world.update("price", price, accounts[1], unit_amount=700, api_version=api_version)

        changing = asyncio.create_task(change())
        await capture.session(lambda: capture.last().get(prices[accounts[1]], {}).get("unit_amount") == 700)
        await changing
    assert [doc["unit_amount"] for _, doc in capture.documents] == [500, 500, 500, 700]


@dataclass(frozen=True)
class Case:
    seed: int
    connected: bool


class Story:
    """Changes that are drawn by `seed`, some of which become visible late, and the times between them."""

    def __init__(self, world: World, seed: int, connected: bool) -> None:
        self.world, self.rng = world, Random(seed)
        self.accounts = [world.connect()["id"] for _ in range(3)] if connected else [world.platform]
        self.objects = [
            (kind, str(world.create(kind, account, event=False, metadata={"n": "0"})["id"]), account)
            for account in self.accounts
            for kind in ("product", "price", "product")
        ]
        self.versions: Counter[str] = Counter()
        self.changed: dict[str, int] = {}

    def change(self) -> None:
        kind, object_id, account = self.rng.choice(self.objects)
        # Events of one object in one second have no order: together they are captured again.
        if self.changed.get(object_id) == (now := self.world.clock.now()):
            return
        self.changed[object_id] = now
        self.versions[object_id] += 1
        late = self.rng.choice([0, 0, 0, 1, 4, 9, 14])
        metadata = {"n": str(self.versions[object_id])}
        self.world.update(kind, object_id, account, metadata=metadata, visible_after=late)

    async def tell(self, capture: Capture) -> None:
        await until(lambda: capture.is_open and len(capture.documents) >= len(self.objects))
        # The backfill and the first window share the second in which the capture began.
        self.world.clock.advance(2)
        for _ in range(12):
            for _ in range(self.rng.choice([0, 1, 1, 2, 6])):
                self.change()
            await asyncio.sleep(self.rng.choice([0, 0.02, 0.1]))
            self.world.clock.advance(self.rng.choice([0, 1, 1, 3, 8, 30]))
        # Whatever comes late is there by now, also what a capture has asked for meanwhile.
        for _ in range(2):
            self.world.clock.advance(50)
            await asyncio.sleep(0.3)


async def captured(case: Case, faults: WebhookFaults | None, opening: asyncio.Lock) -> Capture:
    """What is captured of a story. Captures run side by side, but the environment is one capture's when it
    opens."""
    world = World(now=NOW, unordered=True)
    story = Story(world, case.seed, case.connected)
    config = CONFIG if faults is not None else {}
    async with StripeServer(world) as server:
        capture = Capture(
            server, STREAMS, connected=case.connected, interval="PT1S", config=config, settings=RESTLESS
        )
        telling = asyncio.create_task(story.tell(capture))

        def is_over() -> bool:
            return telling.done() and all(map(capture.caught_up, STREAMS))

        async with AsyncExitStack() as stack:
            with pytest.MonkeyPatch.context() as environment:
                async with opening:
                    environment.setenv("STRIPE_API_BASE", server.url)
                    await stack.enter_async_context(posting(world, listen(environment), faults))
                    session = asyncio.create_task(capture.session(is_over))
                    await until(lambda: capture.is_open)
            await asyncio.gather(session, telling)
    assert_whole(capture, story)
    return capture


def assert_whole(capture: Capture, story: Story) -> None:
    """The tables are the world, no version was captured twice, and none after a newer one."""
    world = story.world
    for kind, stream in (("product", "Products"), ("price", "Prices")):
        held = {each["id"]: each for account in story.accounts for each in world.list_all(kind, account)}
        found = {key: each["metadata"] for key, each in capture.last(stream).items()}
        assert found == {key: each["metadata"] for key, each in held.items()}
    events = {each["id"] for account in world.accounts for each in world.events(account)}
    captured = Counter(document["id"] for stream, document in capture.documents if stream == "Events")
    assert captured == dict.fromkeys(events, 1), capture.config
    for object_id, numbers in versions(capture.documents).items():
        # A price is read again for its tiers, in a version whose event may be visible later.
        expected = sorted(numbers if object_id.startswith("price_") else set(numbers))
        assert numbers == expected, f"{object_id}: an older version after a newer one, or one twice"


def versions(documents: list[tuple[str, Json]]) -> dict[str, list[int]]:
    found = defaultdict(list)
    for stream, document in documents:
        if stream != "Events":
            found[document["id"]].append(int(document["metadata"]["n"]))
    return found


def outline(state: Any) -> Any:
    """A state without its times: when the capture began, and where the cursors are, depends on the moment."""
    if not isinstance(state, dict):
        return state
    return {
        name: "a time" if name in ("cursor", "last_initialized") else outline(value)
        for name, value in state.items()
    }


def cursors(state: Json) -> list[float]:
    parts = [each["inc"] for each in state["bindingStateV1"].values()]
    each_cursor = (one["cursor"] for inc in parts for one in ([inc] if "cursor" in inc else inc.values()))
    return [datetime.fromisoformat(cursor).timestamp() for cursor in each_cursor]


async def test_posts_change_nothing_but_the_delay() -> None:
    """Whether they are lost, doubled, late, out of order or forged, and events become visible late."""
    opening = asyncio.Lock()

    async def compare(case: Case) -> None:
        kinds = (None, *FAULTS)
        captures = await asyncio.gather(*(captured(case, each, opening) for each in kinds))
        assert [outline(each.state) == outline(captures[0].state) for each in captures] == [True] * len(kinds)
        for capture in captures:
            # The connector carries the clock of the world on while it stands still.
            now = capture.server.world.clock.now() + 5
            assert max(cursors(capture.state)) <= now - capture.settings.lag.total_seconds()

    async with asyncio.TaskGroup() as group:
        for case in (Case(0, connected=True), Case(1, connected=False)):
            group.create_task(compare(case))


async def test_older_event_that_becomes_visible_late_takes_no_newer_version_s_place(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window that shows it ends before the newer event, which was captured early."""
    product = str(world.create("product", event=False, metadata={"n": "0"})["id"])
    capture = Capture(server, ["Products"], interval="PT1S", config=CONFIG)
    async with posting(world, listen(monkeypatch)):

        async def tell() -> None:
            await until(lambda: capture.last("Products"))
            world.clock.advance(2)
            world.update("product", product, metadata={"n": "1"}, visible_after=31)
            world.clock.advance(28)
            world.update("product", product, metadata={"n": "2"})
            await until(lambda: capture.last("Products")[product]["metadata"]["n"] == "2")
            world.clock.advance(4)
            seen = len(server.journal)
            # The older event is visible by now, and the newer one is younger than the lag.
            await until(lambda: len(server.journal) > seen + 1)
            world.clock.advance(50)

        telling = asyncio.create_task(tell())
        await capture.session(lambda: telling.done() and capture.caught_up("Products"))
        await telling
    assert [document["metadata"]["n"] for _, document in capture.documents] == ["0", "2"]


@pytest.mark.parametrize("connected", [False, True])
async def test_version_that_was_captured_early_is_the_last_one_after_a_restart(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    """The first window ends between two events that were captured early, and the next comes an hour later."""
    account = world.connect()["id"] if connected else world.platform
    product = str(world.create("product", account, event=False, metadata={"n": "0"})["id"])
    capture = Capture(server, ["Products"], connected=connected, interval=HOUR, config=CONFIG)

    def numbers() -> list[str]:
        return [document["metadata"]["n"] for _, document in capture.documents]

    async with posting(world, listen(monkeypatch)):

        async def tell() -> None:
            await until(lambda: capture.caught_up("Products"))
            world.clock.advance(20)
            for number, seconds in (("1", 3), ("2", 0)):
                world.update("product", product, account, metadata={"n": number})
                await until(lambda: number in numbers())  # noqa: B023  # it is awaited within the turn
                world.clock.advance(seconds)

        telling = asyncio.create_task(tell())
        await capture.session(lambda: "2" in numbers())
        await telling
    first, last = world.events(account)[-1]["created"], world.events(account)[0]["created"]
    world.clock.advance(first + 11 - world.clock.now())
    await capture.session(lambda: first < min(cursors(capture.state)))
    assert max(cursors(capture.state)) <= last
    assert numbers() == ["0", "1", "2"]
    world.clock.advance(3_600)
    await capture.session(lambda: min(cursors(capture.state)) > last)
    assert numbers() == ["0", "1", "2", "2"]


async def test_account_that_disconnects_while_it_is_noticed_holds_up_no_other(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often Stripe posts of it, it is not asked again before its pause is over."""
    gone, other = (world.connect()["id"] for _ in range(2))
    products = {each: world.create("product", each, event=False)["id"] for each in (gone, other)}
    settings = replace(UNLIMITED, shortest_pause=timedelta(seconds=2))
    capture = Capture(server, ["Products"], connected=True, interval=HOUR, config=CONFIG, settings=settings)
    asked: list[int] = []

    def change(account: str, name: str) -> None:
        world.update("product", products[account], account, name=name)

    def is_named(account: str, name: str) -> bool:
        return capture.last("Products").get(products[account], {}).get("name") == name

    async with posting(world, listen(monkeypatch)):

        async def tell() -> None:
            await until(lambda: capture.caught_up("Products"))
            world.clock.advance(20)
            server.faults.set(Fault("/v1/*", account=gone, status=403, code="account_invalid"))
            server.journal.clear()
            for number in range(20):
                change(gone, f"Name {number}")
                await asyncio.sleep(0.02)
            change(other, "Ann")
            await until(lambda: is_named(other, "Ann"))
            asked.append(sum(each.account == gone for each in server.journal.visits("/v1/events")))
            server.faults.set()

        telling = asyncio.create_task(tell())
        await capture.session(lambda: bool(asked) and is_named(gone, "Name 19"))
        await telling
    assert 1 <= asked[0] <= 3


@pytest.mark.parametrize("is_connected", [False, True], ids=["single", "connected"])
async def test_what_failed_early_is_captured_once_its_pause_is_over(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch, is_connected: bool
) -> None:
    """The time stands still: no window comes to it. A card cannot be postponed, since it has no address."""
    account = world.connect()["id"] if is_connected else PLATFORM
    card = world.create("card", account, event=False)["id"]
    brief = timedelta(milliseconds=50)
    settings = replace(UNLIMITED, shortest_pause=brief)
    capture = Capture(
        server, ["Cards"], connected=is_connected, interval=HOUR, config=CONFIG, settings=settings
    )
    failing = Fault(f"*/{card}", status=500)

    async def tell() -> None:
        await until(lambda: capture.caught_up("Cards"))
        server.faults.set(failing)
        world.update("card", card, account, event=False, metadata={"edit": "1"})
        world.tell("customer.source.updated", "card", card, account=account, api_version="2020-08-27")
        await until(lambda: server.faults.fired(failing) > 10)
        server.faults.set()

    async with posting(world, listen(monkeypatch)):
        with hurried():
            telling = asyncio.create_task(tell())
            await capture.session(
                lambda: capture.last("Cards").get(card, {}).get("metadata") == {"edit": "1"}
            )
            await telling
    assert capture.last("Cards")[card]["metadata"] == {"edit": "1"}


class _Read:
    """Windows have passed what is older than an hour; nothing else has been read. A reading takes a
    second."""

    readings = 0

    def has_read(self, account_id: str, event_id: str) -> bool:
        return False

    def has_passed(self, account_id: str, event_id: str, created: float) -> bool:
        return created < NOW - 3_600

    async def read_newest(self, source: None) -> frozenset[str]:
        self.readings += 1
        await asyncio.sleep(1)
        return frozenset()


def notices_of(account_ids: set[str], types: set[str] | None) -> tuple[Notices, list[str]]:
    """The notices, and the accounts that they have."""
    added: list[str] = []
    notices = Notices(
        "acct_own",
        is_live=True,
        types=types,
        is_captured=account_ids.__contains__,
        read=cast(EventFeed, _Read()),
        trust=Trust(NOW),
        on_added=added.append,
    )
    return notices, added


@asynccontextmanager
async def serving(
    notices: Notices, secrets: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, asyncio.Event]]:
    url, stopping = listen(monkeypatch), asyncio.Event()
    server = PostServer(
        notices, secrets, lambda: datetime.fromtimestamp(NOW, tz=UTC), stopping, logging.getLogger()
    )
    async with listening(server, port_of(os.environ)):
        yield url, stopping


def event(**fields: Any) -> bytes:
    given = {"id": "evt_1", "object": "event", "type": "price.updated", "livemode": True, "created": NOW}
    return orjson.dumps(given | fields)


OLD, NEW, OTHER = "whsec_old_secret", "whsec_new_secret", "whsec_other_secret"
BODY = event()
SIGNED = {
    "by the secret": (sign(NEW, BODY, NOW), 200),
    "by the older secret": (sign(OLD, BODY, NOW), 200),
    "by one of two": (f"t={NOW},v1={'0' * 64},v1={sign(NEW, BODY, NOW).partition('v1=')[2]}", 200),
    "in the last second of the tolerance": (sign(NEW, BODY, NOW - 300), 200),
    "with blanks": (sign(NEW, BODY, NOW).replace(",", " , "), 200),
    "too long ago": (sign(NEW, BODY, NOW - 301), 400),
    "in the future": (sign(NEW, BODY, NOW + 301), 400),
    "by another secret": (sign(OTHER, BODY, NOW), 400),
    "of another body": (sign(NEW, BODY + b" ", NOW), 400),
    "of another time": (sign(NEW, BODY, NOW).replace(f"t={NOW}", f"t={NOW - 1}"), 400),
    "by another scheme": (sign(NEW, BODY, NOW).replace("v1=", "v0="), 400),
    "without a time": (sign(NEW, BODY, NOW).partition(",")[2], 400),
    "with two times": (f"t={NOW}," + sign(NEW, BODY, NOW), 400),
    "cut": (sign(NEW, BODY, NOW)[:-1], 400),
    "not ASCII": (f"t={NOW},v1=é", 400),
    "empty": ("", 400),
}


async def test_only_a_valid_signature_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (header, status) in SIGNED.items():
        notices, added = notices_of({"acct_own"}, set())
        async with serving(notices, [OLD, NEW], monkeypatch) as (url, _):
            answered = await post(url, BODY, NOW, NEW, **{"Stripe-Signature": header})
        assert (name, answered, added) == (name, status, ["acct_own"] if status == 200 else [])


async def test_answers_to_what_is_no_post(monkeypatch: pytest.MonkeyPatch) -> None:
    notices, added = notices_of({"acct_own"}, set())
    async with serving(notices, [NEW], monkeypatch) as (url, stopping), aiohttp.ClientSession() as session:
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            async with session.request(method, url + "any/path?x=1") as response:
                assert (response.status, response.headers["Allow"]) == (405, "POST")
        long = event(padding="x" * 1_000_000)
        assert await post(url, long, NOW, NEW) == 413

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(long), 100_000):
                yield long[start : start + 100_000]

        signed = {"Stripe-Signature": sign(NEW, long, NOW)}
        async with session.post(url, data=pieces(), headers=signed) as response:
            assert response.status == 413
        assert await post(url + "any/path", b"no JSON", NOW, NEW) == 200
        assert added == []
        stopping.set()
        assert await post(url, BODY, NOW, NEW) == 503
    assert notices.posts == {"received": 8, "405": 4, "413": 2, "503": 1}


@pytest.mark.parametrize(
    ("fields", "account_id"),
    [
        ({}, "acct_own"),
        ({"account": "acct_connected"}, "acct_connected"),
        ({"user_id": "acct_connected", "api_version": "2017-04-06"}, "acct_connected"),
        ({"account": "acct_of_another_shard"}, None),
        ({"livemode": False}, None),
        ({"type": "invoice.paid"}, None),
        ({"object": "v2.core.event", "type": "v1.price.updated"}, "acct_own"),
        (
            {"object": "v2.core.event", "type": "v1.price.updated", "context": "acct_a/acct_connected"},
            "acct_connected",
        ),
        ({"type": "v2.core.event_destination.ping"}, None),
        ({"account": 7}, None),
        ({"created": NOW - 86_400}, None),
        ({"object": "v2.core.event", "created": "2026-05-27T20:26:40Z"}, "acct_own"),
        ({"id": None}, None),
    ],
)
def test_notice_is_of_a_captured_account_in_its_mode(fields: Json, account_id: str | None) -> None:
    notices, added = notices_of({"acct_own", "acct_connected"}, {"price.updated"})
    if (notice := notice_of(event(**fields))) is not None:
        notices.add(notice)
    assert added == ([] if account_id is None else [account_id])


@pytest.mark.parametrize("text", ["0", "65536", "9" * 5_000, "-1", "8080x"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConnectorError, match="set it to a number from 1 to 65535"):
        port_of({PORT_VARIABLE: text})


@on_virtual_time
async def test_thousand_posts_of_an_account_are_one_reading() -> None:
    notices, _ = notices_of({"acct_own"}, set())
    pauses = cast(Pauses, SimpleNamespace(until_time=lambda _: -math.inf, end=lambda _: None))
    reader = NoticeReader(notices, notices.read, lambda _: cast(Source, None), pauses)
    async with running_capture() as capture:
        for number in range(1_000):
            notices.add(Notice(f"evt_{number}", "price.updated", None, is_live=True))
        capture.task.spawn_child("notices", reader.run)
        await asyncio.sleep(1.5)
        assert cast(_Read, notices.read).readings == 1
        capture.task.stopping.event.set()


async def test_check_says_what_stripe_posts_to_an_address(world: World, server: StripeServer) -> None:
    url, types = "https://abc-8080.example.dev/", needed_types([ROWS["Prices"], ROWS["Products"]])
    register(world, url, tuple(types))
    register(world, "https://another.example.dev/")
    some = ("--stream", "Prices", "--stream", "Customers")
    result = await run(server, "check", *some[:2], "--endpoint", url)
    assert "is enabled and posts all types that are needed" in result.output
    result = await run(server, "check", *some, "--endpoint", url.rstrip("/"), "--json")
    (first, second) = json.loads(result.output)["endpoints"]
    assert first["missing"] == second["missing"] == needed_types([ROWS["Customers"]])
    result = await run(server, "check", *some, "--endpoint", "https://nobody.example.dev/")
    assert "Stripe posts nothing to https://nobody.example.dev/" in result.output
    readable = {row.readable_with for row in KINDS.values()}
    key = world.restrict(readable - {"webhook_endpoint"})
    result = await run(server, "check", *some, "--endpoint", url, key=key)
    assert "The key may not say what Stripe posts to" in result.output


def test_an_event_of_v2_is_no_notice_where_all_types_are_followed() -> None:
    notices, added = notices_of({"acct_own"}, set())
    found = notice_of(event(object="v2.core.event", type="v2.core.account.created"))
    assert found is not None
    notices.add(found)
    assert added == []


async def test_webhooks_lists_the_types_that_the_streams_follow(server: StripeServer) -> None:
    listed = (await run(server, "webhooks", "Prices", "Products")).output.split()
    assert listed == sorted({*ROWS["Prices"].all_event_types(), *ROWS["Products"].all_event_types()})
    enabled = (await run(server, "webhooks")).output.split()
    assert {*listed} < {*enabled}
    every = {*needed_types(each for each in ROWS_OF_ALL if not each.IS_EVENT)}
    assert every <= {each for each in facts.event_types() if not each.startswith("v2.")}
    assert not NOT_POSTED & facts.event_types()
    assert (await run(server, "webhooks", "Events")).output.split() == ["*"]


async def test_without_a_secret_nothing_listens(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = listen(monkeypatch)
    world.create("price", event=False)
    capture = Capture(server)
    async with posting(world, url) as webhooks:
        session = asyncio.create_task(capture.session())
        await until(capture.last)
        world.create("product")
        await until(lambda: webhooks.answers)
        session.cancel()
        await asyncio.wait([session])
    assert webhooks.answers.keys() == {0}
    assert "posts" not in caplog.text
    summaries = [record.args for record in caplog.records if "Following" in record.message]
    assert not any("posts" in str(each) for each in summaries)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_secret_alone_asks_and_writes_nothing_else(
    connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shown(config: Json) -> tuple[Counter[Any], list[Any], Any]:
        listen(monkeypatch)
        world = World(now=NOW)
        for account in (PLATFORM, *(world.connect(at=NOW - 5000)["id"] for _ in range(2))):
            world.create("price", account, at=NOW - 1000)
        async with StripeServer(world) as server:
            monkeypatch.setenv("STRIPE_API_BASE", server.url)
            capture = Capture(server, ALL_WAYS, connected=connected, interval=HOUR, config=config)
            session = asyncio.create_task(capture.session())
            await until(lambda: all(map(capture.caught_up, ALL_WAYS)))
            await asyncio.sleep(0.3)
            session.cancel()
            await asyncio.wait([session])
            asked = Counter((each.method, each.path, each.account, *each.query) for each in server.journal)
        return asked, sorted(map(str, capture.documents)), outline(capture.state)

    assert await shown({}) == await shown(CONFIG)


async def test_signing_secret_is_in_no_line_state_or_document(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = listen(monkeypatch)
    price = world.create("price", unit_amount=500, event=False)
    capture = Capture(server, ["Prices", "Events"], interval=HOUR, config=CONFIG, level=logging.DEBUG)
    async with posting(world, url):

        async def change() -> None:
            await until(capture.last)
            assert await post(url, BODY, NOW, OTHER) == 400
            world.update("price", price["id"], unit_amount=700)

        changing = asyncio.create_task(change())
        await capture.session(lambda: len(capture.documents) == 3)
        await changing
    shown = (caplog.text, [vars(each) for each in caplog.records], capture.state, capture.documents)
    assert SECRET not in str(shown)


async def test_flood_of_posts_without_a_signature_asks_stripe_nothing_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notices, added = notices_of({"acct_own"}, set())
    async with serving(notices, [NEW], monkeypatch) as (url, _), aiohttp.ClientSession() as session:

        async def flood(number: int) -> int:
            signed = {"Stripe-Signature": sign(OTHER, BODY, NOW)} if number % 2 else {}
            async with session.post(url, data=BODY, headers=signed) as response:
                return response.status

        statuses = await asyncio.gather(*map(flood, range(300)))
        assert Counter(statuses) == {400: 300}
        # Bodies that are announced and do not come hold what they may have.
        held = [
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].strip("/")))
            for _ in range(20)
        ]
        head = (
            "POST / HTTP/1.1",
            "Host: x",
            f"Stripe-Signature: {sign(NEW, BODY, NOW)}",
            "Content-Length: 999999",
        )
        for _, writer in held:
            writer.write("\r\n".join([*head, "", ""]).encode())
        await until(lambda: notices.posts["received"] == 320)
        assert notices.posts["503"] == 20 - MOST_BYTES // 999_999
        for _, writer in held:
            writer.close()
    assert added == []


async def test_account_that_connects_is_captured_at_once_while_all_others_rest(
    server: StripeServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.connect(at=NOW - 5000)["id"]
    quick = replace(UNLIMITED, new_accounts_interval=timedelta(milliseconds=100))
    capture = Capture(server, ["Accounts", "Prices"], connected=True, config=CONFIG, settings=quick)
    new: list[str] = []

    def is_captured() -> bool:
        return bool(new) and new[0] in capture.last("Accounts")

    async def connect() -> None:
        await until(lambda: account in capture.last("Accounts"))
        price = world.create("price", account)["id"]
        await until(lambda: price in capture.last())
        # Its event was announced, and is found.
        world.clock.advance(60)
        readings = -1
        while readings != (count := len(list(server.journal.visits("/v1/events")))):
            readings = count
            # Nobody tells of a reading that does not come.
            await asyncio.sleep(1.5)
        new.append(world.connect(created=NOW - 10**7)["id"])

    async with posting(world, listen(monkeypatch)):
        connecting = asyncio.create_task(connect())
        await capture.session(is_captured, seconds=30)
        await connecting
    assert capture.last("Accounts").keys() == {*world.accounts}
