"""One account's refusal is its own: whatever Stripe refuses one account for good, the others' capture is what
it would be without it, and the refused account is caught up with once it is let in again."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.stripe.client import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.conftest import NOW
from tests.test_documents import logged
from tests.test_streams import HELD

STREAMS: Final = {
    "Customers": "customer",
    "Cards": "card",
    "Files": "file",
    "InvoiceLineItems": "line_item",
    "Persons": "person",
    "Prices": "price",
}
"""A stream of each kind: own list, children, polled, children by parents' events, per account, variants."""
PATHS: Final = [
    "*",
    "/v1/events",
    "/v1/customers",
    "/v1/customers/*",
    "/v1/files",
    "/v1/invoices",
    "/v1/invoices/*",
    "/v1/prices",
    "/v1/accounts/*",
]
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


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    path=st.sampled_from(PATHS),
    answer=st.sampled_from(ANSWERS),
    refused=st.integers(0, 2),
    is_late=st.booleans(),
)
async def test_what_one_account_is_refused_changes_nothing_for_the_others(
    seed: int, path: str, answer: tuple[int, str | None, str], refused: int, is_late: bool
) -> None:
    world = World(seed, now=NOW, unordered=True)
    accounts = [world.connect()["id"] for _ in range(3)]
    everyone = [PLATFORM, *accounts]
    others = [each for each in everyone if each != accounts[refused]]
    status, code, message = answer
    rule = Fault(path, account=accounts[refused], status=status, code=code, message=message)
    # The platform reads a connected account by its id, without acting as it.
    by_id = replace(rule, path=f"/v1/accounts/{accounts[refused]}*", account="")
    populate(world, everyone, 2)
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
            if is_late:
                await capture.session(lambda: has_all_of(capture, world, everyone))
            server.faults.set(rule, by_id)
            world.clock.advance(10)
            populate(world, everyone, 1)
            world.clock.advance(120)
            await capture.session(lambda: has_all_of(capture, world, others))
            server.faults.set()
            world.clock.advance(10)
            await capture.session(lambda: has_all_of(capture, world, everyone))
    for stream in STREAMS:
        assert captured(capture, stream, everyone) == expected(world, stream, everyone)


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
