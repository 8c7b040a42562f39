"""Accounts' own changes: with connected accounts, each is in the collection of accounts within the round in
which its events are read, wherever the connector is killed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.models import DEFAULT_WINDOW, Accounts
from source_stripe_native.scheduling.account_changes import AccountChanges
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.pauses import PausedAccounts
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.windows import Window
from tests.capture import UNLIMITED, Capture, unstamped
from tests.cdk_task import on_virtual_time
from tests.conftest import NOW
from tests.soak import LATEST, SETTLE, Case, Session, Tally, run
from tests.test_streams import expected

TYPES: Final = Accounts.all_event_types()
A, B = "acct_1A", "acct_1B"


def is_current(capture: Capture) -> bool:
    have = {key: unstamped(each) for key, each in capture.last("Accounts").items()}
    return have == expected(capture.server.world, "Accounts", connected=True)


# What is captured


def edit(world: World, account: str) -> None:
    world.update("account", account, email="new@example.com")


def capability(world: World, account: str) -> None:
    world.update("account", account, event=False, capabilities={"transfers": "pending"})
    found = {"id": "transfers", "object": "capability", "account": account, "status": "pending"}
    world.announce("capability.updated", found, account)


def add(world: World, account: str) -> None:
    world.create("external_card", account, event=True)


def change(world: World, account: str) -> None:
    card = next(iter(world.table("external_card", account).by_id))
    world.update("external_card", card, account, metadata={"edit": "1"})


def remove(world: World, account: str) -> None:
    world.delete("external_card", next(iter(world.table("external_card", account).by_id)), account)


@pytest.mark.parametrize("others", [[], ["Customers", "ExternalAccountCards"]])
@pytest.mark.parametrize("happens", [edit, capability, add, change, remove])
async def test_a_connected_accounts_change_is_captured_whole_within_the_round(
    world: World, server: StripeServer, happens: Callable[[World, str], None], others: list[str]
) -> None:
    changed, _ = (world.connect(at=NOW - 5000)["id"] for _ in range(2))
    for _ in range(12):
        world.create("external_card", changed, at=NOW - 5000, event=False)
    capture = await Capture(server, ["Accounts", *others], connected=True).backfill(pause=700)
    happens(world, changed)
    found = await capture.catch_up()
    accounts = [each for each in found if each["object"] == "account"]
    assert [(each["id"], each["_meta"]["op"], each["account_id"]) for each in accounts] == [
        (changed, "u", PLATFORM)
    ]
    assert is_current(capture)


async def test_the_platforms_own_change_is_captured_once(world: World, server: StripeServer) -> None:
    world.connect(at=NOW - 5000)
    capture = await Capture(server, ["Accounts", "Customers"], connected=True).backfill(pause=10)
    world.update("account", PLATFORM, email="new@example.com")
    assert [each["id"] for each in await capture.catch_up()] == [PLATFORM]
    assert is_current(capture)


async def test_several_changes_of_an_account_cost_one_request(world: World, server: StripeServer) -> None:
    account = world.connect(at=NOW - 5000)["id"]
    capture = await Capture(server, ["Accounts"], connected=True).backfill(pause=10)
    for number in range(20):
        world.update("account", account, email=f"{number}@example.com")
    assert len(await capture.catch_up()) == 1
    assert len(list(server.journal.visits(f"/v1/accounts/{account}"))) == 1


async def test_an_account_that_connects_long_after_its_creation_is_captured_within_the_hour(
    world: World, server: StripeServer
) -> None:
    quick = replace(UNLIMITED, new_accounts_interval=timedelta(milliseconds=30))
    capture = await Capture(server, ["Accounts"], connected=True, settings=quick).backfill(pause=3600)
    new: list[str] = []

    def is_captured() -> bool:
        if not new:
            new.append(world.connect(created=NOW - 10**7)["id"])
        world.clock.advance(1)
        return new[0] in capture.last("Accounts")

    await capture.session(is_captured)
    assert capture.last("Accounts").keys() == {*world.accounts}


# Kills


@pytest.mark.parametrize("checkpoints", range(1, 9))
async def test_a_change_is_captured_even_if_other_bindings_are_past_it_when_the_connector_is_killed(
    world: World, server: StripeServer, checkpoints: int
) -> None:
    accounts = [world.connect(at=NOW - 5000)["id"] for _ in range(2)]
    capture = await Capture(server, ["Customers", "Accounts"], connected=True).backfill(pause=10)
    for account in accounts:
        world.create("customer", account)
        world.update("account", account, email="new@example.com")
    # So long ago that no overlap reads it again.
    world.clock.advance(LATEST + 300)
    await capture.session(capture.caught_up, checkpoints=checkpoints)
    await capture.catch_up(LATEST + SETTLE)
    assert is_current(capture)


async def test_a_restart_reads_no_account_again_for_nothing(world: World, server: StripeServer) -> None:
    accounts = [world.connect(at=NOW - 5000)["id"] for _ in range(3)]
    capture = await Capture(server, ["Customers", "Accounts"], connected=True).backfill()
    await capture.catch_up()
    # The other bindings are a little further, as they mostly are.
    for each in capture.state["bindingStateV1"]["Customers"]["inc"].values():
        each["cursor"] = (datetime.fromisoformat(each["cursor"]) + timedelta(seconds=30)).isoformat()
    assert await capture.catch_up() == []
    assert not [each for account in accounts for each in server.journal.visits(f"/v1/accounts/{account}")]


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    others=st.sampled_from([(), ("Customers",), ("Persons", "ExternalBankAccount")]),
    sessions=st.lists(
        st.builds(
            Session,
            checkpoints=st.integers(1, 12),
            chance=st.sampled_from([0.0, 0.2]),
            changes=st.integers(1, 8),
            pause=st.sampled_from([0, 7, 45, 300]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    late=st.sampled_from([0, LATEST]),
)
async def test_every_accounts_last_state_is_captured_wherever_the_connector_is_killed(
    seed: int, others: tuple[str, ...], sessions: tuple[Session, ...], late: int
) -> None:
    case = Case(seed, ("Accounts", *others), sessions, connected=2, objects=2, late=late)
    tally = Tally()
    assert await run(case, tally) == [], tally


async def test_accounts_that_other_bindings_have_read_far_beyond_are_read_again(
    world: World, server: StripeServer
) -> None:
    account = world.connect(at=NOW - 500_000)["id"]
    capture = await Capture(server, ["Accounts", "Customers"], connected=True).backfill(pause=10)
    world.update("account", account, email="new@example.com")
    world.clock.advance(20_000)
    # As where accounts were disabled for hours: the others have read what happened meanwhile.
    far = datetime.fromtimestamp(NOW + 19_000, tz=UTC).isoformat()
    capture.state["bindingStateV1"]["Customers"]["inc"][account] = {"cursor": far}
    capture.state["bindingStateV1"]["Customers"]["inc"][PLATFORM] = {"cursor": far}
    assert account in {each["id"] for each in await capture.catch_up()}
    assert is_current(capture)


async def test_an_account_that_is_let_in_again_is_read_again_and_held_nobody_up(
    world: World, server: StripeServer
) -> None:
    refused, other = (world.connect(at=NOW - 5000)["id"] for _ in range(2))
    quick = replace(UNLIMITED, shortest_pause=timedelta(milliseconds=100))
    capture = await Capture(server, ["Accounts"], connected=True, settings=quick).backfill(pause=10)
    world.revoked.add(refused)
    for each in (refused, other):
        world.update("account", each, email="new@example.com")
    world.clock.advance(120)

    def is_let_in() -> bool:
        if capture.last("Accounts")[other]["email"] == "new@example.com":
            world.revoked.clear()
            world.clock.advance(2)
        return is_current(capture)

    await capture.session(is_let_in)
    assert {capture.last("Accounts")[each]["email"] for each in (refused, other)} == {"new@example.com"}


async def test_an_account_that_was_gone_only_while_it_was_read_again_is_captured(
    world: World, server: StripeServer
) -> None:
    account = world.connect(at=NOW - 5000)["id"]
    capture = await Capture(server, ["Accounts"], connected=True).backfill(pause=10)
    world.update("account", account, email="new@example.com")
    # Its events are read all the while: nothing of it is ever paused.
    gone = Fault(f"/v1/accounts/{account}", status=403, code="account_invalid", message="Revoked", times=1)
    server.faults.set(gone)
    world.clock.advance(120)

    def is_captured() -> bool:
        world.clock.advance(2)
        return is_current(capture)

    await capture.session(is_captured, seconds=20)
    assert [visit.status for visit in server.journal.visits(f"/v1/accounts/{account}")] == [403, 200]


@pytest.mark.parametrize("failing", ["/v1/events", "/v1/accounts/*"])
async def test_change_of_an_account_that_cannot_be_read_survives_a_restart_long_after(
    world: World, server: StripeServer, failing: str
) -> None:
    """No other binding has a cursor that lies before the change."""
    away, other = (world.connect(at=NOW - 5000)["id"] for _ in range(2))
    brief = timedelta(milliseconds=50)
    quick = replace(UNLIMITED, shortest_pause=brief, longest_silence=timedelta())
    capture = await Capture(server, ["Accounts"], connected=True, settings=quick).backfill(pause=LATEST + 60)
    closed = Fault(failing, account=away, status=403, code="account_invalid", message="Revoked")
    server.faults.set(closed)
    for each in (away, other):
        world.update("account", each, email="new@example.com")

    def emails() -> list[str]:
        return [str(capture.last("Accounts")[each].get("email")) for each in (other, away)]

    def is_far() -> bool:
        world.clock.advance(120)
        return world.clock.now() > NOW + 4 * LATEST

    await capture.session(is_far)
    assert [each == "new@example.com" for each in emails()] == [True, False]
    server.faults.set()
    world.clock.advance(120)
    await capture.session(lambda: is_current(capture))
    world.clock.advance(120)
    await capture.session(lambda: not capture.binding_state("Accounts").get("snapshot"))


# Which accounts, and how far


@dataclass
class Polled:
    """An account poller that has read each account up to the same second."""

    high: int = 100
    not_read: set[str] = field(default_factory=set)

    @property
    def paused(self) -> PausedAccounts:
        return PausedAccounts(self.not_read)

    def high_watermark(self, _: str) -> int:
        return self.high


def changes(poller: Polled | None = None, accounts: tuple[str, ...] = (A, B)) -> AccountChanges:
    interval = timedelta(seconds=10)
    read = cast(AccountPoller, poller or Polled())
    return AccountChanges(TYPES, accounts, 100, read, interval, asyncio.Event())


UPDATED: Final = frozenset({"account.updated"})
NOTHING: Final = frozenset({"customer.created"})
SPREAD: Final = int(DEFAULTS.subscription_spread.total_seconds())


def test_the_cursor_goes_as_far_as_every_account_has_been_read() -> None:
    tracked = changes()
    assert tracked.limit(Window(100, 500)) is None
    tracked.notify(A, Window(100, 300), NOTHING)
    assert tracked.limit(Window(100, 500)) is None
    tracked.notify(B, Window(100, 200), NOTHING)
    assert tracked.limit(Window(100, 500)) == Window(100, 200)
    assert tracked.limit(Window(100, 150)) == Window(100, 150)
    assert tracked.take() == []


def taken(tracked: AccountChanges) -> list[str]:
    """The accounts that a window captures."""
    accounts = tracked.take()
    tracked.release(accounts)
    return accounts


def test_a_changed_account_is_told_once() -> None:
    tracked = changes()
    for _ in range(2):
        tracked.notify(B, Window(100, 300), UPDATED)
    assert (taken(tracked), taken(tracked)) == ([B], [])


def test_an_account_of_a_window_that_failed_is_told_again() -> None:
    tracked = changes()
    tracked.notify(A, Window(100, 300), UPDATED)
    assert tracked.take() == [A]
    tracked.notify(B, Window(100, 300), UPDATED)
    assert tracked.take() == [A, B]
    tracked.notify(A, Window(300, 400), UPDATED)
    tracked.release([A, B])
    assert tracked.take() == [A]


def test_an_account_of_which_no_document_came_is_told_again() -> None:
    tracked = changes()
    for account in (A, B):
        tracked.notify(account, Window(100, 300), UPDATED)
    assert tracked.take() == [A, B]
    tracked.release([B])
    assert taken(tracked) == [A]
    assert taken(tracked) == []


def test_an_account_of_which_something_was_not_read_counts_as_changed() -> None:
    tracked = changes()
    tracked.notify(A, Window(100, 200), NOTHING)
    tracked.notify(A, Window(201, 300), NOTHING)
    tracked.notify(B, Window(50, 300), NOTHING)
    assert taken(tracked) == [A]


def test_a_refused_account_limits_nothing_and_counts_as_changed_once_it_is_back() -> None:
    poller = Polled(not_read={A})
    tracked = changes(poller)
    tracked.notify(B, Window(100, 300), NOTHING)
    assert tracked.limit(Window(100, 500)) == Window(100, 300)
    assert taken(tracked) == []
    poller.not_read.clear()
    assert tracked.limit(Window(300, 500)) is None
    assert taken(tracked) == [A]


def test_without_accounts_nothing_is_waited_for() -> None:
    assert changes(accounts=()).limit(Window(100, 500)) == Window(100, 500)


async def test_an_account_that_has_connected_while_the_capture_was_stopped_is_captured_at_the_next_start(
    world: World, server: StripeServer
) -> None:
    """It was created long ago, and nothing has happened in it since."""
    capture = await Capture(server, ["Accounts", "Charges"], connected=True).backfill(pause=3600)
    new = world.connect(created=NOW - 10**7)["id"]

    def is_captured() -> bool:
        return new in capture.last("Accounts") and not capture.binding_state("Accounts").get("snapshot")

    await capture.session(is_captured, seconds=20)
    assert capture.last("Accounts").keys() == {*world.accounts}
    world.clock.advance(120)
    assert await capture.catch_up() == [], "it is captured once"


def test_a_new_account_counts_as_changed_and_is_waited_for_from_then_on() -> None:
    tracked = changes(Polled(high=400), accounts=())
    tracked.add_accounts([A])
    assert taken(tracked) == [A]
    assert tracked.limit(Window(100, 500)) == Window(100, 400)


@on_virtual_time
async def test_it_is_waited_until_all_accounts_are_an_interval_further_and_no_longer_than_that() -> None:
    clock, tracked = asyncio.get_running_loop().time, changes()
    start = clock()
    await tracked.wait(100)
    assert clock() - start == 10
    waiting = asyncio.create_task(tracked.wait(100))
    await asyncio.sleep(1)
    tracked.notify(A, Window(100, 110), NOTHING)
    tracked.notify(B, Window(100, 109), NOTHING)
    await asyncio.sleep(1)
    assert not waiting.done()
    tracked.notify(B, Window(109, 110), NOTHING)
    await waiting
    assert clock() - start == 12
    await tracked.wait(100)
    assert clock() - start == 12


def test_change_of_an_account_that_was_refused_is_there_once_the_account_is_back() -> None:
    poller = Polled()
    found = changes(poller)
    found.notify(A, Window(100, 120), UPDATED)
    poller.not_read.add(A)
    found.changed.clear()
    assert taken(found) == []
    found.notify(B, Window(100, 120), NOTHING)
    assert not found.changed.is_set()
    poller.not_read.clear()
    found.notify(A, Window(120, 140), NOTHING)
    assert found.changed.is_set()
    assert taken(found) == [A]


@on_virtual_time
async def test_who_captures_early_waits_for_no_account_that_rests() -> None:
    clock, tracked = asyncio.get_running_loop().time, changes()
    tracked.is_early = True
    happens: list[Callable[[], None]] = [
        lambda: tracked.notify(A, Window(100, 120), UPDATED),
        lambda: tracked.add_accounts(["acct_new"]),
    ]
    for number, change in enumerate(happens):
        waiting = asyncio.create_task(tracked.wait(100))
        await asyncio.sleep(1)
        assert not waiting.done()
        change()
        await waiting
        assert clock() == number + 1
        tracked.changed.clear()


@pytest.mark.parametrize(
    ("own", "common", "first"),
    [
        (None, None, None),
        (None, 100, 100),
        (500, None, 500),
        (500, 400, 400),
        (500, 600, 500),
        (500 + SPREAD, 500, 500),
        (501 + SPREAD, 500, 501 + SPREAD),
    ],
)
def test_an_account_is_read_from_the_cursor_of_the_accounts_unless_that_is_far_behind(
    own: int | None, common: int | None, first: int | None
) -> None:
    feed = EventFeed(TYPES, window_size=DEFAULT_WINDOW)
    if own is not None:
        feed.subscribe({A: own})
    if common is not None:
        feed.subscribe(common)
    assert feed.first_cursor(A) == feed.high_watermark(A) == first


def test_change_is_there_to_be_captured_while_another_account_keeps_the_cursor_back() -> None:
    found = changes()
    found.notify(A, Window(100, 120), frozenset({"price.updated"}))
    assert not found.changed.is_set()
    found.notify(A, Window(120, 140), TYPES)
    assert found.changed.is_set()
    assert found.limit(Window(100, 140)) is None
    assert found.take() == [A]
    found.release([A])
    assert found.take() == []
