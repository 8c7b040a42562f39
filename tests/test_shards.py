"""Shards: what one capture captures, several capture together that each have a part of the keys, side by
side and once one of them is split."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from estuary_cdk.flow import RangeSpec
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.flow.catalog import load_catalog
from sandbox.flow.session import Capture as Task
from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.requests import shard_of
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.shards import LAST_KEY, WHOLE, Shard, key_of
from source_stripe_native.stripe import sessions
from source_stripe_native.stripe.rate_limit import RateLimiter, rate_limiter_for
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json
from tests.cdk_task import run_on_virtual_time
from tests.conftest import NOW
from tests.sandbox.fake_connector import written
from tests.test_rate_limit import MANY, times_of
from tests.test_streams import differences
from tests.warm_python import python

HALVES: Final = ((0, 0x7FFF_FFFF), (0x8000_0000, LAST_KEY))
STREAMS: Final = ["Accounts", "Customers", "Cards", "Prices", "Persons", "Files", "Events"]
AGO: Final = NOW - 5000
"""Before what an overlap reads again."""
KEYS: Final = st.integers(0, LAST_KEY)


def populated(accounts: int = 6, objects: int = 7, world: World | None = None) -> World:
    world = world or World(now=NOW, unordered=True)
    for number in range(accounts):
        world.connect(at=AGO - 60 * number)
    for account in world.accounts:
        for number in range(objects):
            at = AGO + number
            world.create("price", account, active=number % 2 == 0, created=at, event=False)
            customer = world.create("customer", account, at=at, event=False)["id"]
            world.create("card", account, customer=customer, at=at, event=False)
            world.create("file", account, at=at, event=False)
            if account != PLATFORM:
                world.create("person", account, at=at, event=False)
    return world


def shard(server: StripeServer, keys: tuple[int, int], state: Json | None = None, **options: Any) -> Capture:
    given: Json = {"streams": STREAMS, "connected": True} | options
    return Capture(server, keys=keys, state=deepcopy(state or {}), **given)


async def side_by_side(*captures: Capture, until: Callable[[Capture], bool] = Capture.is_backfilled) -> None:
    await asyncio.gather(*(each.session(partial(until, each)) for each in captures if not until(each)))


def told(*captures: Capture) -> Counter[tuple[str, str]]:
    """How often each object was captured."""
    return Counter((stream, each["id"]) for capture in captures for stream, each in capture.documents)


def together(server: StripeServer, *captures: Capture) -> Capture:
    """What the collections hold after all of `captures`, in that order."""
    documents = [each for capture in captures for each in capture.documents]
    return replace(captures[0], documents=documents)


def wrong(whole: Capture) -> str:
    return "\n".join(filter(None, (differences(whole, each, connected=True) for each in whole.streams)))


# Which accounts are a shard's


@pytest.mark.parametrize("id", ["acct_1Abc", "acct_0", "ä"])
def test_an_accounts_key_is_the_head_of_a_hash_that_any_tool_makes(id: str) -> None:
    assert key_of(id) == int(hashlib.sha256(id.encode()).hexdigest()[:8], 16)


@settings(max_examples=50)
@given(cuts=st.sets(KEYS, max_size=6), ids=st.lists(st.text("aZ0_", min_size=1), max_size=9, unique=True))
def test_each_account_belongs_to_exactly_one_shard(cuts: set[int], ids: list[str]) -> None:
    bounds = [-1, *sorted(cuts - {LAST_KEY}), LAST_KEY]
    shards = [Shard(before + 1, last) for before, last in pairwise(bounds)]
    assert sorted(each for part in shards for each in part.own(ids)) == sorted(ids)
    assert sum(each.share for each in shards) == pytest.approx(1)
    assert [each.is_whole for each in shards] == [len(shards) == 1] * len(shards)


@pytest.mark.parametrize("name", ["acct_{}", "acct_1Q{:014}xyz", "acct_{:x}"])
def test_accounts_are_spread_evenly_however_alike_their_ids_are(name: str) -> None:
    counts = Counter(key_of(name.format(number)) >> 28 for number in range(16_000))
    assert len(counts) == 16
    assert all(850 < count < 1150 for count in counts.values())


def test_a_range_of_flows_is_a_shard() -> None:
    assert shard_of(RangeSpec()) == WHOLE
    assert shard_of(RangeSpec(keyBegin=7, keyEnd=9)) == Shard(7, 9)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"keyBegin": 8, "keyEnd": 7}, "is no part of the keys from 0 to 4294967295"),
        ({"keyEnd": LAST_KEY + 1}, "is no part of the keys"),
        ({"rClockEnd": 7}, "divide it by key instead"),
        ({"rClockBegin": 7}, "divide it by key instead"),
    ],
)
async def test_a_range_that_would_lose_or_repeat_documents_is_refused(given: Json, line: str) -> None:
    with pytest.raises(ConnectorError, match=line):
        shard_of(RangeSpec(**given))


# Side by side


async def test_two_shards_capture_together_exactly_what_one_captures(
    world: World, server: StripeServer
) -> None:
    populated(world=world)
    whole, *parts = shard(server, (0, LAST_KEY)), *(shard(server, each) for each in HALVES)
    await whole.backfill()
    await side_by_side(*parts)
    assert told(*parts) == told(whole)
    assert all(each.documents for each in parts)
    assert wrong(together(server, *parts)) == ""
    for part in parts:
        own = Shard(*part.keys).own(world.accounts)
        assert {each["account_id"] for stream, each in part.documents if stream != "Accounts"} == {*own}
        assert part.last("Accounts").keys() == {*own}
        assert part.binding_state("Prices")["inc"].keys() == {*own}


async def test_what_changes_is_captured_by_the_shard_of_its_account(
    world: World, server: StripeServer
) -> None:
    populated(world=world)
    parts = [shard(server, each) for each in HALVES]
    await side_by_side(*parts)
    rng = Random(3)
    for _ in range(40):
        world.random_change(rng, ["price", "customer", "card", "person"])
        world.clock.advance(3)
    for each in world.accounts:
        world.update("account", each, email=f"{each}@new.example.com")
    world.clock.advance(120)
    await side_by_side(*parts, until=Capture.caught_up)
    for part in parts:
        own = {*Shard(*part.keys).own(world.accounts)}
        assert {each["account_id"] for stream, each in part.documents if stream != "Accounts"} <= own
    assert wrong(together(server, *parts)) == ""


async def test_an_account_that_connects_goes_to_its_shard(world: World, server: StripeServer) -> None:
    quick = replace(UNLIMITED, new_accounts_interval=timedelta(milliseconds=50))
    parts = [shard(server, each, streams=["Customers"], settings=quick) for each in HALVES]
    new: list[str] = []

    def found_new_accounts(part: Capture) -> bool:
        if part.is_backfilled() and not new:
            for _ in range(8):
                new.append(world.connect()["id"])
                world.create("customer", new[-1], event=False)
        own = Shard(*part.keys).own(new)
        return bool(new) and len(part.documents) == len(own)

    world.clock.advance(3600)
    await side_by_side(*parts, until=found_new_accounts)
    for part in parts:
        assert (own := Shard(*part.keys).own(new))
        assert sorted(each["account_id"] for _, each in part.documents) == sorted(own)


async def test_a_shard_without_accounts_waits_for_some(world: World, server: StripeServer) -> None:
    key = key_of(PLATFORM)
    quick = replace(UNLIMITED, min_rate=100_000)
    capture = shard(server, (key + 1, key + 1), settings=quick)
    await capture.backfill()
    with pytest.raises(TimeoutError):
        await capture.session(seconds=0.3)
    assert capture.documents == []


# A split


@settings(max_examples=6, deadline=None)
@given(
    middle=st.sampled_from([key_of(PLATFORM) - 1, key_of(PLATFORM), 0x7FFF_FFFF])
    | st.integers(1, LAST_KEY - 1),
    checkpoints=st.integers(1, 40),
    page_size=st.integers(2, 4),
)
async def test_a_shard_that_is_split_goes_on_with_nothing_lost_and_nothing_twice(
    middle: int, checkpoints: int, page_size: int
) -> None:
    world, streams = populated(accounts=3, objects=4), ["Accounts", "Cards", "Prices", "Persons"]
    limits = replace(UNLIMITED, page_size=page_size, min_rate=100_000)
    async with StripeServer(world) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(API_BASE_VARIABLE, server.url)
            parent = shard(server, (0, LAST_KEY), settings=limits, streams=streams)
            await parent.session(parent.is_backfilled, checkpoints=checkpoints)
            halves = [
                shard(server, keys, parent.state, settings=limits, streams=streams)
                for keys in ((0, middle), (middle + 1, LAST_KEY))
            ]
            await side_by_side(*halves)
    assert wrong(together(server, parent, *halves)) == ""
    assert max(told(parent, *halves).values()) == 1


async def test_changes_around_a_split_are_captured_by_the_shards_that_go_on(
    world: World, server: StripeServer
) -> None:
    populated(world=world)
    parent, rng = shard(server, (0, LAST_KEY)), Random(5)

    def change() -> None:
        for _ in range(20):
            world.random_change(rng, ["price", "customer", "card", "person"])
            world.clock.advance(2)
        world.update("account", rng.choice(world.accounts), metadata={"edit": str(rng.randrange(1000))})

    await parent.session(checkpoints=12)
    change()
    await parent.session(checkpoints=12)
    change()
    halves = [shard(server, keys, parent.state) for keys in HALVES]
    await side_by_side(*halves)
    change()
    world.clock.advance(120)
    await side_by_side(*halves, until=Capture.caught_up)
    assert wrong(together(server, parent, *halves)) == ""


@pytest.mark.parametrize("keys", [(0, key_of(PLATFORM)), (key_of(PLATFORM) + 1, LAST_KEY)])
async def test_a_state_without_account_ids_is_the_platforms_in_any_shard(
    world: World, server: StripeServer, keys: tuple[int, int]
) -> None:
    populated(accounts=5, world=world)
    flat = {"inc": {"cursor": "2026-05-28T20:20:00Z"}, "last_initialized": "2026-05-28T20:20:00Z"}
    capture = shard(server, keys, {"bindingStateV1": {"Customers": flat}}, streams=["Customers"])
    await capture.backfill()
    own = {*Shard(*keys).own(world.accounts)}
    assert {each["account_id"] for _, each in capture.documents} == own - {PLATFORM}
    assert capture.binding_state("Customers")["inc"].keys() == own


# A single account


async def test_a_single_account_is_captured_by_the_shard_that_has_it_and_the_others_idle(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    populated(accounts=1, world=world)
    own, other = sorted(HALVES, key=lambda keys: not Shard(*keys).has(PLATFORM))
    whole, part = (shard(server, keys, connected=False) for keys in ((0, LAST_KEY), own))
    for each in (whole, part):
        await each.backfill()
    assert told(part) == told(whole)
    # A scheduled backfill is overdue. It is not the idle shard's.
    before = deepcopy(part.state)
    for each in before["bindingStateV1"].values():
        each["last_initialized"] = "2020-01-01T00:00:00Z"
    idle = shard(server, other, before, connected=False, schedule="0 0 * * *")
    requests = len(list(server.journal))
    caplog.clear()
    with pytest.raises(TimeoutError):
        await idle.session(seconds=0.3)
    assert (idle.documents, idle.checkpoints, idle.state) == ([], 0, before)
    assert len(list(server.journal)) - requests <= 3
    lines = [each for each in caplog.messages if "another shard" in each]
    assert lines == [f"account {PLATFORM} is captured by another shard: this one has nothing to do"]


# Requests


def rate(total: float | None, share: float, endpoints: list[str]) -> float:
    """Requests a second that a shard may make."""
    limiter = rate_limiter_for("sk_live_0", total, DEFAULTS, share)
    [times] = run_on_virtual_time(times_of(limiter, (0, endpoints * 10)))
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize("endpoints", [MANY, MANY[:1]])
@pytest.mark.parametrize("total", [None, 10.0, 60.0])
def test_shards_share_the_rate_limits_in_proportion_to_their_keys(
    total: float | None, endpoints: list[str]
) -> None:
    whole = rate(total, 1, endpoints)
    for keys, part in (((0, 2**30 - 1), 0.25), ((2**30, LAST_KEY), 0.75)):
        assert rate(total, Shard(*keys).share, endpoints) == pytest.approx(part * whole, rel=0.1)
    assert rate(total, Shard(7, 7).share, endpoints) == pytest.approx(DEFAULTS.utilisation, rel=0.1)


@pytest.mark.parametrize(("connected", "share"), [(True, 0.5), (False, 1.0)])
async def test_only_the_one_shard_that_captures_a_single_account_has_all_of_the_rate_limit(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch, connected: bool, share: float
) -> None:
    made: list[float] = []

    def limiter(*given: Any) -> RateLimiter:
        made.append(given[3])
        return rate_limiter_for(*given)

    monkeypatch.setattr(sessions, "rate_limiter_for", limiter)
    keys = next(each for each in HALVES if Shard(*each).has(PLATFORM))
    capture = shard(server, keys, connected=connected, streams=["Customers"])
    await capture.backfill()
    assert made == [share]


# The local runtime

PROGRAM: Final = """
import os, sys
line = b""
while not line.endswith(b"\\n") and (byte := os.read(0, 1)):
    line += byte
if line.startswith(b'{"open"'):
    reader, writer = os.pipe()
    os.write(writer, line)
    os.dup2(reader, 0)
    from source_stripe_native.__main__ import Settings, main
    limits = {each: 100_000 for each in ("requests_live", "requests_test", "requests_per_endpoint")}
    main(Settings(page_size=2, **limits))
else:
    import json
    [(verb, body)] = json.loads(line).items()
    paths = [{"resourcePath": [each["resourceConfig"]["name"]]} for each in body.get("bindings", [])]
    answers = {
        "spec": {"spec": {"protocol": 3032023, "resourcePathPointers": ["/name"]}},
        "validate": {"validated": {"bindings": paths}},
        "apply": {"applied": {"actionDescription": ""}},
    }
    print(json.dumps(answers[verb]), flush=True)
"""
"""The connector as a process, without what it owes to Stripe's limits. What comes before open is answered
without the time that it takes to load the connector."""


async def test_two_processes_of_the_local_runtime_go_on_where_one_was_split(
    world: World, server: StripeServer, tmp_path: Path
) -> None:
    populated(accounts=5, world=world)
    streams = ["Prices", "Customers", "Accounts"]
    config = {
        "credentials": {"access_token": world.key},
        "start_date": "2020-01-01T00:00:00Z",
        "capture_connected_accounts": True,
    }
    local = {
        "command": [python(), "-c", PROGRAM],
        "config": config,
        "env": {API_BASE_VARIABLE: server.url, "PYTHONPATH": str(Path(__file__).parent.parent)},
    }
    bindings = [{"resource": {"name": each}, "target": f"acmeCo/{each}"} for each in streams]
    collections = {f"acmeCo/{each}": {"schema": {"type": "object"}, "key": ["/id"]} for each in streams}
    captures = {"acmeCo/stripe": {"endpoint": {"local": local}, "bindings": bindings}}
    source = written(tmp_path, {"captures": captures, "collections": collections})
    found: list[tuple[str, str]] = []

    async def run(task: Task, transactions: int | None = None) -> None:
        async with asyncio.timeout(30), task.session() as session:
            async for transaction in session:
                found.extend((streams[binding], each["id"]) for binding, each in transaction.documents)
                if transactions is not None:
                    transactions -= 1
                states = task.state["bindingStateV1"]
                if transactions == 0 or all(
                    not (states.get(each) or {"backfill": 1}).get("backfill") for each in streams
                ):
                    return

    parent = Task(load_catalog(source))
    await parent.validate()
    await run(parent, 9)
    assert any(each.get("backfill") for each in parent.state["bindingStateV1"].values())
    await asyncio.gather(*map(run, parent.split()))
    expected = Counter(
        (stream, each["id"])
        for stream, kind in (("Prices", "price"), ("Customers", "customer"))
        for account in world.accounts
        for each in world.list_all(kind, account)
    ) + Counter(("Accounts", each) for each in world.accounts)
    assert Counter(found) == expected


async def test_what_only_the_platform_lists_is_captured_by_the_shard_that_has_it(
    world: World, server: StripeServer
) -> None:
    products = {world.create("climate.product", event=False)["id"] for _ in range(3)}
    for _ in range(6):
        world.create("charge", world.connect()["id"], event=False)
    streams = ["ClimateProducts", "Charges"]
    parts = [shard(server, keys, streams=streams) for keys in HALVES]

    def is_done(part: Capture) -> bool:
        return part.is_backfilled(*(streams if Shard(*part.keys).has(world.platform) else ["Charges"]))

    await side_by_side(*parts, until=is_done)
    times = {id: count for (stream, id), count in told(*parts).items() if stream == "ClimateProducts"}
    assert times == dict.fromkeys(products, 1)
    unfinished = [bool(part.binding_state("ClimateProducts").get("backfill")) for part in parts]
    assert unfinished == [not Shard(*part.keys).has(world.platform) for part in parts]
