"""Which connected accounts are captured: those that the config selects. Of the others nothing is asked for,
and nothing that was captured of them before is touched."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.state.shards import WHOLE, Selection, Shard
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.soak import hurried
from tests.test_failures import fill

STREAMS: Final = [
    "Accounts",
    "Customers",
    "Cards",
    "Files",
    "Persons",
    "Prices",
    "WebhookEndpoints",
    "Events",
]
"""A stream of each kind: accounts, own list, children, polled, an account's, variants, compared, events."""
QUICK: Final = replace(UNLIMITED, new_accounts_interval=timedelta(milliseconds=30))
RULES: Final[dict[str, Callable[[str, str], Json]]] = {
    "an included id": lambda inside, outside: {"include": [inside]},
    "an excluded id": lambda inside, outside: {"exclude": [outside]},
    "an included key": lambda inside, outside: {"include": ["metadata.team"]},
    "an included value": lambda inside, outside: {"include": ["metadata.team=blue"]},
    "an excluded key": lambda inside, outside: {"exclude": ["metadata.internal"]},
    "both": lambda inside, outside: {"include": [inside, outside], "exclude": ["metadata.internal=yes"]},
}


@pytest.fixture
def accounts(world: World) -> tuple[str, str]:
    """An account that every rule selects, and one that none does."""
    inside = world.connect(at=NOW - 5000, metadata={"team": "blue"}, controller={"type": "application"})
    outside = world.connect(at=NOW - 4000, metadata={"internal": "yes"}, controller={"type": "application"})
    return inside["id"], outside["id"]


def capture_of(server: StripeServer, rules: Json, streams: list[str] = STREAMS) -> Capture:
    return Capture(
        server, streams, connected=True, config={"advanced": {"connected_accounts": rules}}, settings=QUICK
    )


def asked_of(server: StripeServer, account: str) -> list[str]:
    """The requests that were made for an account, or that name it."""
    return [each.path for each in server.journal if each.account == account or account in each.path]


def captured_of(capture: Capture, account: str) -> list[Json]:
    """The documents of an account, or about it."""
    return [each for _, each in capture.documents if account in (each["account_id"], each["id"])]


def new_customer(world: World, account: str) -> str:
    return str(world.create("customer", account)["id"])


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
async def test_nothing_is_asked_of_an_account_that_is_not_selected(
    world: World, server: StripeServer, accounts: tuple[str, str], rules: Callable[[str, str], Json]
) -> None:
    inside, outside = accounts
    fill(world, STREAMS, [PLATFORM, inside, outside], event=False)
    capture = capture_of(server, rules(inside, outside))
    with hurried():
        await capture.catch_up(700)
        new = [new_customer(world, each) for each in (PLATFORM, inside, outside)]
        world.update("account", outside, email="new@example.com")
        await capture.catch_up(700)
    assert not asked_of(server, outside)
    assert not captured_of(capture, outside)
    assert {*new[:2]} <= capture.last("Customers").keys()
    for name in STREAMS:
        assert {each["account_id"] for each in capture.last_by_key(name).values()} >= (
            {PLATFORM} if name == "Accounts" else {inside}
        )
    assert capture.last("Accounts").keys() == {PLATFORM, inside}


@pytest.mark.parametrize("name", ["an excluded id", "an included value", "both"])
async def test_an_account_that_is_excluded_later_is_left_alone_and_backfilled_once_it_is_back(
    world: World, server: StripeServer, accounts: tuple[str, str], name: str
) -> None:
    inside, outside = accounts
    fill(world, STREAMS, [PLATFORM, inside, outside], event=False)
    capture = capture_of(server, {})
    await capture.catch_up(700)
    before = captured_of(capture, outside)
    assert before
    capture.config = capture_of(server, RULES[name](inside, outside)).config
    server.journal.clear()
    new = [new_customer(world, each) for each in accounts]
    await capture.catch_up(700)
    assert asked_of(server, outside) == []
    assert captured_of(capture, outside) == before
    assert new[0] in capture.last("Customers")
    assert outside not in str(capture.state)
    gone = capture.last("Accounts").pop(outside)
    world.update("account", outside, event=False, email="meanwhile@example.com")
    capture.config = {}
    await capture.catch_up(700)
    assert {*new} <= capture.last("Customers").keys()
    assert capture.last("Accounts")[outside]["email"] != gone["email"]


async def test_accounts_come_and_go_by_their_metadata_while_the_capture_runs(
    world: World, server: StripeServer, accounts: tuple[str, str]
) -> None:
    inside, outside = accounts
    fill(world, ["Customers"], [inside, outside], event=False)
    rules = {"include": ["metadata.team"], "exclude": ["metadata.stop"]}
    capture = capture_of(server, rules, ["Accounts", "Customers"])
    await capture.catch_up(700)
    world.clock.advance(60)
    trigger = new_customer(world, inside)
    world.clock.advance(60)

    def is_in() -> bool:
        if trigger in capture.last("Customers"):
            world.update("account", outside, event=False, metadata={"team": "red"})
        world.clock.advance(1)
        return len(capture.last("Customers")) == 5 and outside in capture.last("Accounts")

    assert not await capture.session(is_in)
    new_customer(world, inside)
    world.clock.advance(60)

    def leave() -> bool:
        world.update("account", inside, event=False, metadata={"stop": "now"})
        world.clock.advance(1)
        return False

    assert await capture.session(leave)
    server.journal.clear()
    new = [new_customer(world, each) for each in accounts]
    await capture.catch_up(700)
    assert asked_of(server, inside) == []
    assert capture.last("Customers").keys() & {*new} == {new[1]}


async def test_an_account_that_is_not_selected_is_not_captured_by_its_id_either(
    world: World, server: StripeServer, accounts: tuple[str, str]
) -> None:
    capture = capture_of(server, {"exclude": ["metadata.internal"]}, ["Accounts"])
    await capture.catch_up(700)
    capture.config["advanced"]["refresh"] = [{"stream": "Accounts", "ids": [*accounts]}]
    before = len(capture.documents)
    await capture.catch_up(700)
    await capture.catch_up(700)
    assert {each["id"] for _, each in capture.documents[before:]} == {accounts[0]}


# The rules

IDS: Final = ["acct_1", "acct_2", "acct_3"]
KEYS: Final = ["metadata.a", "metadata.a=x", "metadata.b=x=y"]


@given(
    include=st.frozensets(st.sampled_from(IDS + KEYS), max_size=3),
    exclude=st.frozensets(st.sampled_from(IDS + KEYS), max_size=3),
    account=st.sampled_from(IDS),
    metadata=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", "x=y"])),
    is_own=st.booleans(),
    shard=st.sampled_from([WHOLE, Shard(0, 2**31), Shard(2**31 + 1)]),
)
def test_an_account_is_selected_if_a_rule_includes_it_and_none_excludes_it(
    include: frozenset[str],
    exclude: frozenset[str],
    account: str,
    metadata: dict[str, str],
    is_own: bool,
    shard: Shard,
) -> None:
    selection = Selection(shard, account if is_own else "", include, exclude)

    def matches(rule: str) -> bool:
        key, _, value = rule.removeprefix("metadata.").partition("=")
        return rule == account or (rule in KEYS and key in metadata and value in ("", metadata[key]))

    is_selected = (not include or any(map(matches, include))) and not any(map(matches, exclude))
    has = selection.has({"id": account, "metadata": metadata})
    assert has == (shard.has(account) and (is_own or is_selected))
    assert selection.may_have(account) or not has
    if not selection.depends_on_metadata:
        assert selection.may_have(account) == has


@pytest.mark.parametrize("verb", ["discover", "validate"])
@pytest.mark.parametrize(
    ("rules", "connected", "problem"),
    [
        ({"include": ["acct_1Abc"]}, False, "selects accounts, but capture_connected_accounts is false"),
        ({"exclude": [PLATFORM]}, True, f"names {PLATFORM}, the key's own account"),
    ],
)
async def test_rules_that_cannot_be_followed_are_refused_in_one_line(
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    verb: str,
    rules: Json,
    connected: bool,
    problem: str,
) -> None:
    capture = capture_of(server, rules, ["Customers"])
    capture.connected = connected
    with pytest.raises(SystemExit):
        await getattr(capture, verb)()
    assert len([record for record in caplog.records if problem in record.getMessage()]) == 1
