"""One account's refusal is its own: whatever Stripe refuses one account for good, the others' capture is what
it would be without it, and the refused account is caught up with once it is let in again."""

import re
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.faults import account_in
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.routes import endpoint
from source_stripe_native.stripe.client import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.conftest import NOW
from tests.test_documents import logged
from tests.test_streams import ALL, HELD, differences

STREAMS: Final = {
    "Customers": "customer",
    "Cards": "card",
    "Files": "file",
    "InvoiceLineItems": "line_item",
    "Persons": "person",
    "Prices": "price",
}
"""A stream of each kind: own list, children, polled, children by parents' events, per account, variants."""
ANSWERS: Final = [
    (400, None, "Your account is not set up to use Issuing"),
    (401, None, "This account's access was revoked"),
    (402, None, "Something has to be paid"),
    (403, "account_invalid", "The provided key does not have access to the account"),
    (403, None, "You cannot perform this request"),
    (404, None, "Unrecognized request URL"),
    (410, None, "Gone for good"),
    (422, None, "Out of the ordinary"),
]
QUICK: Final = replace(UNLIMITED, refused_interval=timedelta(milliseconds=100))


def populate(world: World, accounts: list[str], number: int) -> None:
    for account in accounts:
        for kind in STREAMS.values():
            if kind != "person" or account != PLATFORM:
                for _ in range(number):
                    world.create(kind, account, event=number == 1)


def expected(world: World, stream: str, accounts: list[str]) -> dict[str, Json]:
    return {
        each["id"]: each
        for account in accounts
        for each in world.list_all(HELD[stream].kind, account)
        if stream != "Persons" or account != PLATFORM
    }


def captured(capture: Capture, stream: str, accounts: list[str]) -> dict[str, Json]:
    return {key: plain(each) for key, each in capture.last(stream).items() if each["account_id"] in accounts}


def has_all_of(capture: Capture, world: World, accounts: list[str]) -> bool:
    return all(
        captured(capture, each, accounts).keys() == expected(world, each, accounts).keys()
        for each in capture.streams
    )


def fill(world: World, names: list[str], accounts: list[str], *, event: bool) -> None:
    """Two objects of each stream in each account; those that no event tells of have more inside them than
    Stripe shows at once."""
    for name in names:
        kind = KINDS[HELD[name].kind]
        if kind.name in ("account", "event"):
            continue
        nested: Json = {} if event else {each.field: 12 for each in kind.nested}
        for account in accounts:
            if HELD[name].scope != "connected" or account != PLATFORM:
                for _ in range(2):
                    world.create(kind.name, account, event=event, **nested)


def incomplete(capture: Capture, among: list[str], changed: bool) -> str:
    """What is wrong with what was captured of these accounts. The platform has a document of each account."""
    found = []
    for name in capture.streams:
        if name == "Accounts" and len(among) < len(capture.server.world.accounts):
            last = capture.last(name)
            found += [f"no account {each}" for each in among if each != PLATFORM and each not in last]
        else:
            found.append(differences(capture, name, True, changed=changed, among=among))
    return "\n".join(filter(None, found))


def requests_for(server: StripeServer, account: str) -> list[str]:
    """A glob for each kind of request that was made for a connected account."""
    shapes = {
        (each.account if not each.path.startswith("/v1/accounts/") else account_in(each.path), shape)
        for each in server.journal
        for shape in [re.sub(r"(?<=/){}", "*", endpoint(each.method, each.path).partition(" ")[2])]
    }
    return sorted({"*", *(shape for acting, shape in shapes if acting == account)})


async def finished(capture: Capture, among: list[str], changed: bool) -> None:
    """Runs a session until the capture of these accounts is complete, unless it is already."""
    if not incomplete(capture, among, changed):
        return
    try:
        await capture.session(lambda: not incomplete(capture, among, changed))
    except TimeoutError:
        raise AssertionError(incomplete(capture, among, changed)) from None


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from(ALL), min_size=2, max_size=3, unique=True),
    number=st.integers(0, 10_000),
    answer=st.sampled_from(ANSWERS),
    is_late=st.booleans(),
)
async def test_what_one_account_is_refused_changes_nothing_for_the_others(
    seed: int, names: list[str], number: int, answer: tuple[int, str | None, str], is_late: bool
) -> None:
    world = World(seed, now=NOW, unordered=True)
    accounts = [world.connect(controller={"type": "application"})["id"] for _ in range(2)]
    everyone = [PLATFORM, *accounts]
    others = [PLATFORM, accounts[1]]
    status, code, message = answer
    fill(world, names, everyone, event=False)
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            # What requests there are, of a capture whom nobody refuses anything.
            capture = Capture(server, names, connected=True, settings=QUICK)
            await finished(capture, everyone, changed=False)
            if not is_late:
                again = capture
                capture = Capture(server, names, connected=True, settings=QUICK)
            world.clock.advance(10)
            fill(world, names, everyone, event=True)
            world.clock.advance(120)
            if not is_late:
                await finished(again, everyone, changed=True)
            paths = requests_for(server, accounts[0])
            path = paths[number % len(paths)]
            event(f"{path} of {', '.join(names)}")
            rule = Fault(path, account=accounts[0], status=status, code=code, message=message)
            # The platform reads a connected account by its id, without acting as it.
            by_id = replace(rule, path=f"/v1/accounts/{accounts[0]}*", account="")
            server.faults.set(rule, by_id) if path == "*" else server.faults.set(rule)
            await finished(capture, others, changed=True)
            server.faults.set()
            world.clock.advance(10)
            await finished(capture, everyone, changed=True)


async def test_a_refused_account_is_named_once_and_let_in_again_in_the_same_session(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    populate(world, [PLATFORM, *accounts], 2)
    refused = {"status": 403, "code": "account_invalid", "message": "Revoked"}
    server.faults.set(Fault("*", account=accounts[0], times=40, **refused))  # type: ignore[arg-type]  # as named
    capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, *accounts]))
    (line,) = logged(caplog, "is set aside")
    assert accounts[0] in line.message
    assert line.levelname == "WARNING"


async def test_a_refused_key_ends_the_capture_of_connected_accounts(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    populate(world, [PLATFORM, *accounts], 2)
    capture = Capture(server, ["Customers"], connected=True)
    server.faults.set(
        Fault("/v1/customers", status=401, code="api_key_expired", message="Expired API Key provided"),
        Fault("/v1/account", status=401, code="api_key_expired", message="Expired API Key provided", after=1),
    )
    with pytest.raises(SystemExit):
        await capture.session()
    assert logged(caplog, "revoked or has expired")
    assert not logged(caplog, "is set aside")


async def test_a_refused_accounts_cursor_stays_where_it_was(world: World, server: StripeServer) -> None:
    account = world.connect()["id"]
    world.create("customer", account, event=False)
    capture = Capture(server, ["Customers"], connected=True, settings=QUICK)
    await capture.session(lambda: not capture.binding_state("Customers").get("backfill"))
    before = deepcopy(capture.binding_state("Customers")["inc"])
    server.faults.set(Fault("/v1/events", account=account, status=403, message="Barred"))
    world.clock.advance(300)
    new = world.create("customer", PLATFORM)["id"]
    world.clock.advance(120)
    await capture.session(lambda: new in capture.last("Customers"))
    after = capture.binding_state("Customers")["inc"]
    assert after[account] == before[account]
    assert after[PLATFORM] != before[PLATFORM]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_account_that_refuses_its_external_accounts_is_captured_with_those_it_shows(
    world: World, server: StripeServer, status: int
) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    for account in accounts:
        for _ in range(12):
            world.create("external_card", account, event=False)
    path = f"/v1/accounts/{accounts[0]}/external_accounts"
    server.faults.set(Fault(path, status=status, message="Not for you"))
    capture = Capture(server, ["Accounts"], connected=True)
    await capture.session(lambda: not capture.binding_state("Accounts").get("backfill"))
    lists = {key: each.get("external_accounts") for key, each in capture.last("Accounts").items()}
    shown = {key: len(each["data"]) for key, each in lists.items() if each}
    assert (shown[accounts[0]], shown[accounts[1]]) == (10, 12)
