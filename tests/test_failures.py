"""One account's refusal is its own: whatever Stripe refuses one account for good, the others' capture is what
it would be without it, and the refused account is caught up with once it is let in again."""

import asyncio
import functools
import logging
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.faults import account_in
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.paths import endpoint
from source_stripe_native.backfill.progress import Subtask
from source_stripe_native.capture.summary import Summary
from source_stripe_native.scheduling.pauses import Pause, Pauses, Unit
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import ROWS, UNLIMITED, Capture, Json, plain
from tests.conftest import NOW
from tests.soak import hurried
from tests.test_documents import logged
from tests.test_streams import ALL, DAY, HELD, THIN, differences

STREAMS: Final = {
    "Customers": "customer",
    "Cards": "card",
    "Files": "file",
    "InvoiceLineItems": "line_item",
    "Persons": "person",
    "Prices": "price",
}
"""A stream of each kind: own list, children, polled, children by parents' events, per account, variants."""
REFUSALS: Final = [
    (400, None, "Your account is not set up to use Issuing"),
    (401, None, "This account's access was revoked"),
    (402, None, "Something has to be paid"),
    (403, "account_invalid", "The provided key does not have access to the account"),
    (403, None, "You cannot perform this request"),
    (404, None, "Unrecognized request URL"),
    (410, None, "Gone for good"),
    (422, None, "Out of the ordinary"),
]
TROUBLES: Final = {
    **{
        f"{status} {code or message}": Fault(status=status, code=code, message=message)
        for status, code, message in REFUSALS
    },
    "500": Fault(status=500, message="Out of the ordinary"),
    "500, not to be tried again": Fault(status=500, headers={"Stripe-Should-Retry": "false"}),
    "lock": Fault(status=429, code="lock_timeout", message="Locked"),
    "reset": Fault(reset=True),
    "cut off": Fault(truncate=True),
    "no JSON": Fault(odd="html"),
    "an object without id": Fault(odd="no id"),
}
"""Every kind of trouble that one request may meet."""
PASSING: Final = ("500", "500, not to be tried again", "lock", "reset", "cut off", "no JSON")
IN_ONE_ACCOUNT: Final = {"401 This account's access was revoked", "403 account_invalid"}
"""Troubles of a connected account, which concern the key where the account is the key's own."""
QUICK: Final = replace(
    UNLIMITED,
    shortest_pause=timedelta(milliseconds=100),
    longest_pause=timedelta(milliseconds=400),
    first_summary=timedelta(milliseconds=50),
    summary_interval=timedelta(milliseconds=50),
)


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


def incomplete(capture: Capture, among: list[str], changed: bool, names: list[str] | None = None) -> str:
    """What is wrong with what was captured of these accounts, in all streams or in those `names`. The
    platform has a document of each account."""
    found = []
    for name in capture.streams if names is None else names:
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


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from([*ALL, *THIN]), min_size=2, max_size=3, unique=True),
    number=st.integers(0, 10_000),
    trouble=st.sampled_from(sorted(TROUBLES)),
    is_late=st.booleans(),
)
async def test_the_trouble_of_one_account_changes_nothing_for_the_others(
    seed: int, names: list[str], number: int, trouble: str, is_late: bool
) -> None:
    world = World(seed, now=NOW, unordered=True)
    accounts = [world.connect(controller={"type": "application"})["id"] for _ in range(2)]
    everyone = [PLATFORM, *accounts]
    others = [PLATFORM, accounts[1]]
    fill(world, names, everyone, event=False)
    with hurried() as patch:
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
            event(f"{trouble} at {path} of {', '.join(names)}")
            rule = replace(TROUBLES[trouble], path=path, account=accounts[0])
            # The platform reads a connected account by its id, without acting as it.
            by_id = replace(rule, path=f"/v1/accounts/{accounts[0]}*", account="")
            server.faults.set(rule, by_id) if path == "*" else server.faults.set(rule)
            await finished(capture, others, changed=True)
            server.faults.set()
            world.clock.advance(10)
            await finished(capture, everyone, changed=True)
            assert not incomplete(capture, everyone, changed=True)


async def test_what_an_account_refuses_while_it_refuses_everything_is_read_once_it_is_back(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its events have reported by then what has to be read, and do not carry it."""
    account = world.connect(controller={"type": "application"})["id"]
    subscription = world.create("subscription", account, event=False, items=0)["id"]
    refund = world.create("refund", account, event=False)
    both, is_back = ["InlinePrices", "Charges"], False
    capture = Capture(server, both, connected=True, settings=QUICK)
    with hurried():
        await capture.session(lambda: all(map(capture.caught_up, both)))
        price = world.create("price", account, event=False, listed=False, active=False)
        world.create("subscription_item", account, subscription=subscription, price=price)
        world.update("charge", refund["charge"], account, event=False, amount_refunded=1)
        world.update("refund", refund["id"], account, status="canceled")
        world.clock.advance(120)
        closed = replace(TROUBLES["403 account_invalid"], account=account)
        server.faults.set(*(replace(closed, path=path) for path in ("/v1/[!e]*", "/v1/en*", "/v1/ex*")))
        # In one process: another one would read the events of the last days again.
        session = asyncio.create_task(capture.session(lambda: is_back and all(map(capture.caught_up, both))))
        while not logged(caplog, "is paused."):  # noqa: ASYNC110 - the log sets no event
            await asyncio.sleep(0.01)
        server.faults.set()
        world.clock.advance(120)
        is_back = True
        await session
    assert capture.last("InlinePrices").keys() == {price["id"]}
    assert capture.last("Charges")[refund["charge"]]["amount_refunded"] == 1


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from([*ALL, *THIN]), min_size=2, max_size=3, unique=True),
    number=st.integers(0, 10_000),
    trouble=st.sampled_from(sorted(TROUBLES.keys() - IN_ONE_ACCOUNT)),
    is_late=st.booleans(),
)
@example(1, ["Events", "PromotionCode"], 0, "400 Your account is not set up to use Issuing", True)
@example(1, ["Events", "PromotionCode", "Files"], 0, "500", False)
async def test_the_trouble_of_one_list_changes_nothing_for_other_streams(
    seed: int, names: list[str], number: int, trouble: str, is_late: bool
) -> None:
    world = World(seed, now=NOW, unordered=True)
    fill(world, names, [PLATFORM], event=False)
    with hurried() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, names, settings=QUICK)
            if is_late:
                await finished(capture, [PLATFORM], changed=False)
            rows = [ROWS[name] for name in names]
            listed = [row for row in rows if row.SEARCH_NAME]
            assume(listed)
            troubled = listed[number % len(listed)]
            path = troubled.list_template().format(parent="*")
            event(f"{trouble} at {path} of {', '.join(names)}")
            world.clock.advance(10)
            fill(world, names, [PLATFORM], event=True)
            world.clock.advance(120)
            server.faults.set(replace(TROUBLES[trouble], path=f"{path}*"))
            # Its changes are in the list of Events.
            is_told = {row: is_late and row.follows_events() and troubled.IS_EVENT for row in rows}
            others = [row.NAME for row in rows if not (is_told[row] or depends_on(row, troubled))]
            alone = functools.partial(incomplete, capture, [PLATFORM], True, others)
            if alone():
                await capture.session(lambda: not alone())
            assert not alone()
            server.faults.set()
            world.clock.advance(10)
            await finished(capture, [PLATFORM], changed=True)
            assert not incomplete(capture, [PLATFORM], True)


async def test_a_later_page_of_events_that_fails_at_first_costs_none_before_it(
    world: World, server: StripeServer
) -> None:
    """However many pages a window has, and however often some request fails, the account gets through."""
    account = world.connect(at=NOW - 5000)["id"]
    paged = replace(QUICK, page_size=3)
    capture = await Capture(server, ["Customers"], connected=True, settings=paged).backfill(pause=10)
    for _ in range(12):
        world.create("customer", account)
    world.clock.advance(120)
    # A page fails, and so does a smaller one.
    failing = Fault("/v1/events", account=account, query="starting_after", after=1, times=2, status=500)
    server.faults.set(failing)
    server.journal.clear()
    with hurried():
        await capture.session(lambda: len(capture.last("Customers")) == 12)
    visits = [each for each in server.journal.visits("/v1/events") if each.account == account]
    assert server.faults.fired(failing) == 2
    assert sum("starting_after" not in each.query for each in visits) == 1


@pytest.mark.parametrize(
    ("trouble", "connected"), [(trouble, bool(n % 2)) for n, trouble in enumerate(PASSING)]
)
async def test_a_capture_opens_though_the_events_of_its_account_cannot_be_read_for_now(
    world: World, server: StripeServer, trouble: str, connected: bool
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(connected))]
    fill(world, ["Customers"], accounts, event=False)
    server.faults.set(replace(TROUBLES[trouble], path="/v1/events"))
    # A capture under a restricted key asks whether it may read events.
    key = world.restrict({row.readable_with for row in KINDS.values()})
    capture = Capture(server, ["Customers"], connected=connected, settings=QUICK, key=key)

    def has_all() -> bool:
        return len(capture.last("Customers")) == 2 * len(accounts)

    with hurried():
        await capture.session(has_all)
        assert has_all()
        server.faults.set()
        world.clock.advance(10)
        new = world.create("customer", accounts[-1])["id"]
        world.clock.advance(120)
        await capture.session(lambda: new in capture.last("Customers"))
    assert new in capture.last("Customers")


LACKING: Final = Fault(
    status=403,
    message="The provided key 'rk_test_*1' does not have the required permissions for this endpoint.",
)


@pytest.mark.parametrize(
    ("trouble", "when"),
    [
        *((trouble, "at a restart") for trouble in ("reset", "permission", "an object without id")),
        *(("500", when) for when in ("at the first start", "while it runs")),
        ("permission", "while it runs"),
    ],
)
async def test_a_list_of_accounts_that_fails_ends_nothing_and_is_read_later(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, trouble: str, when: str
) -> None:
    known, quick = world.connect()["id"], replace(QUICK, new_accounts_interval=timedelta(milliseconds=50))
    fill(world, ["Customers"], [PLATFORM, known], event=False)
    capture = Capture(server, ["Accounts", "Customers"], connected=True, settings=quick)
    rule = replace(TROUBLES.get(trouble, LACKING), path="/v1/accounts")
    waiting_for = {PLATFORM} if when == "at the first start" else {PLATFORM, known}

    def is_waiting() -> bool:
        if when == "while it runs" and capture.last("Customers"):
            server.faults.set(rule)
        has = {each["account_id"] for each in capture.last("Customers").values()}
        return has >= waiting_for and bool(logged(caplog, "New accounts"))

    with hurried():
        if when != "at the first start":
            await capture.session(lambda: capture.caught_up("Customers") and capture.caught_up("Accounts"))
        world.clock.advance(120)
        before = [world.create("customer", account)["id"] for account in (PLATFORM, known)]
        world.clock.advance(120)
        if when != "while it runs":
            server.faults.set(rule)
        await capture.session(is_waiting)
        new = world.connect()["id"]
        fill(world, ["Customers"], [new], event=False)

        def is_mended() -> bool:
            server.faults.set()
            world.clock.advance(1)
            return (
                capture.last("Customers").keys() >= {*before}
                and {each["account_id"] for each in capture.last("Customers").values()}
                == {PLATFORM, known, new}
                and capture.last("Accounts").keys() == {PLATFORM, known, new}
            )

        world.clock.advance(120)
        await capture.session(is_mended)
    if trouble != "permission":  # which concerns all accounts: what ends then is at debug
        assert logged(caplog, "New accounts of account acct_1SandboxPlatform is read again")
    # Each session says it once.
    assert len([line for line in logged(caplog, "is paused.") if line.message.startswith("New acc")]) == 2


async def test_a_first_start_goes_on_where_the_list_of_accounts_was_none_once(
    world: World, server: StripeServer
) -> None:
    known = world.connect()["id"]
    fill(world, ["Customers"], [PLATFORM, known], event=False)
    server.faults.set(Fault(path="/v1/accounts", odd="empty", times=2))
    capture = Capture(server, ["Accounts", "Customers"], connected=True, settings=QUICK)
    with hurried():
        await capture.session(lambda: has_all_of(capture, world, [PLATFORM, known]))
    assert has_all_of(capture, world, [PLATFORM, known])


def depends_on(row: type[BaseStripeObject], other: type[BaseStripeObject]) -> bool:
    """Whether a stream asks for anything below the list of the other one."""
    family = {row.list_path().split("/{}")[0], *(each.list_path() for each in row.found_through())}
    # A list inside an object that Stripe cuts may be read anywhere.
    return bool(row.NESTED) or any(path.startswith(other.list_path().split("/{}")[0]) for path in family)


async def test_a_refused_account_is_named_once_and_let_in_again_in_the_same_session(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    populate(world, [PLATFORM, *accounts], 2)
    refused = {"status": 403, "code": "account_invalid", "message": "Revoked"}
    server.faults.set(Fault("*", account=accounts[0], times=40, **refused))  # type: ignore[arg-type]  # as named
    capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, *accounts]))
    (line,) = logged(caplog, "is paused.")
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
    assert not logged(caplog, "is paused.")


async def test_a_refused_accounts_cursor_stays_where_it_was(world: World, server: StripeServer) -> None:
    account = world.connect()["id"]
    world.create("customer", account, event=False)
    capture = await Capture(server, ["Customers"], connected=True, settings=QUICK).backfill()
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
    capture = await Capture(server, ["Accounts"], connected=True).backfill()
    lists = {key: each.get("external_accounts") for key, each in capture.last("Accounts").items()}
    shown = {key: len(each["data"]) for key, each in lists.items() if each}
    assert (shown[accounts[0]], shown[accounts[1]]) == (10, 12)


# How many, and for what


async def run_until(capture: Capture, *steps: tuple[Callable[[], bool], Callable[[], object]]) -> None:
    """Runs a session that is killed after the last step. Each one waits until something holds, and does
    something then."""
    session = asyncio.create_task(capture.session())
    for holds, act in steps:
        while not holds():
            await asyncio.sleep(0.01)
            assert not session.done()
        act()
    session.cancel()
    await asyncio.wait([session])


@pytest.fixture
def summaries(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The summaries of a capture so far."""
    return lambda: [
        each.message for each in caplog.records if "requests a second" in each.message and is_status(each)
    ]


def is_status(record: logging.LogRecord) -> bool:
    return getattr(record, "eventType", "") == "connectorStatus"


async def test_the_summary_says_how_many_accounts_are_paused_and_for_what_until_none_is(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, summaries: Callable[[], list[str]]
) -> None:
    caplog.set_level(logging.INFO)
    accounts = [world.connect()["id"] for _ in range(3)]
    populate(world, [PLATFORM, *accounts], 2)
    capture = Capture(server, ["Customers", "Files"], connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, *accounts]))
    world.clock.advance(120)
    server.faults.set(
        *(Fault("/v1/files", account=each, status=403, message="Barred") for each in accounts[:2]),
        Fault("/v1/events", account=accounts[2], status=403, message="Barred"),
    )
    told = "3 accounts are paused after failures: 2 for Files, 1 for their changes"
    await run_until(
        capture,
        (lambda: any(each.endswith(told) for each in summaries()), server.faults.set),
        (lambda: "paused" not in summaries()[-1], lambda: None),
    )
    assert any(each.endswith(told) for each in summaries())
    assert "paused" not in summaries()[-1]


async def test_accounts_that_are_paused_are_neither_backfilling_nor_the_oldest_cursor(
    world: World, server: StripeServer, summaries: Callable[[], list[str]]
) -> None:
    account = world.connect()["id"]
    populate(world, [PLATFORM, account], 2)
    server.faults.set(Fault("/v1/files", account=account, status=403, message="Barred"))
    capture = Capture(server, ["Customers", "Files"], connected=True, settings=QUICK)
    await run_until(
        capture,
        (lambda: any(each.startswith("Following 2 streams") for each in summaries()), lambda: None),
    )
    assert capture.binding_state("Files")["backfill"], "it is not done, and cannot go on"
    assert f"Files of {account}" not in summaries()[-1]
    assert "1 account is paused after failures: 1 for Files" in summaries()[-1]


async def test_the_summary_names_a_few_streams_for_which_accounts_are_paused() -> None:
    pauses = Pauses(cast(Any, SimpleNamespace(settings=QUICK)), logging.getLogger("test"), PLATFORM)
    names = ("Cards", "Files", "Persons", "Prices", "Reviews")
    pauses._pauses = {Unit(name, "acct_1"): Pause(0) for name in names} | {Unit("Files", "acct_2"): Pause(0)}
    words = pauses.status().words()
    assert words.startswith("2 accounts are paused after failures: 2 for Files, 1 for ")
    assert words.endswith(", and others for 2 more streams")
    assert pauses.status().whats["Files"] == 2
    pauses.end(Unit("Cards", "acct_1"))
    assert sorted(pauses.status().words().partition("2 for Files, ")[2].split(", ")) == [
        "1 for Persons",
        "1 for Prices",
        "1 for Reviews",
    ]
    pauses.end(Unit("Files", "acct_2"))
    pauses.end(Unit("Nothing", "acct_3"))
    assert pauses.status().words().startswith("1 account is paused after failures: 1 for ")


# What concerns the key


@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_permission_that_is_gone_pauses_its_binding_with_one_line(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, is_connected: bool
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(5 * is_connected))]
    populate(world, accounts, 2)
    key = world.keys.restrict(world.keys._known)
    names = ["Customers", "Cards"]
    capture = Capture(server, names, connected=is_connected, key=key, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, accounts))
    world.keys.add(key, world.keys._known - {"source"})
    world.clock.advance(10)
    populate(world, accounts, 1)
    world.clock.advance(120)
    capture.state, capture.documents = {}, []
    caplog.clear()
    customers = {customer["id"] for account in accounts for customer in world.list_all("customer", account)}
    await run_until(
        capture,
        (lambda: capture.last("Customers").keys() >= customers, lambda: None),
        (lambda: bool(logged(caplog, "is paused.")), lambda: None),
    )
    (line,) = logged(caplog, "is paused.")
    assert "Cards" in line.message
    assert "the API key lacks the read permission" in line.message
    assert line.message.startswith("Cards is paused")
    world.keys.add(key, world.keys._known)
    await capture.session(lambda: has_all_of(capture, world, accounts))


async def test_a_permission_that_an_account_withdraws_pauses_it(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    populate(world, [PLATFORM, *accounts], 2)
    message = (
        "The provided key 'rk_test_*1' does not have the required permissions for this endpoint on account"
    )
    server.faults.set(Fault("/v1/customers*", account=accounts[0], status=403, message=message))
    capture = Capture(server, ["Customers", "Cards"], connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, accounts[1]]))
    assert logged(caplog, f"of account {accounts[0]} is paused")
    server.faults.set()
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, *accounts]))


async def test_one_answer_about_the_key_serves_all_refusals_of_a_minute(
    world: World, server: StripeServer
) -> None:
    accounts = [world.connect()["id"] for _ in range(20)]
    refused = {"status": 401, "message": "This account's access was revoked"}
    server.faults.set(*(Fault("*", account=each, **refused) for each in accounts))  # type: ignore[arg-type]  # as named
    capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
    new = world.create("customer", event=False)["id"]
    await capture.session(lambda: not capture.binding_state("Customers").get("backfill", {}).get(PLATFORM))
    assert new in capture.last("Customers")
    paths = [each.path if each.status == 200 else "refused" for each in server.journal]
    assert paths.count("refused") > 20
    # One is about the key, and one may be for the clock.
    assert paths[paths.index("refused") :].count("/v1/account") <= 2


# Coming back, and being gone


@pytest.mark.parametrize("restarts", [True, False])
async def test_an_account_that_comes_back_after_thirty_days_is_backfilled_again(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, restarts: bool
) -> None:
    account, other = (world.connect()["id"] for _ in range(2))
    everyone = [PLATFORM, account, other]
    populate(world, everyone, 2)
    capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, everyone))
    world.revoked.add(account)
    world.clock.advance(10)
    for each in everyone:
        world.update("customer", world.list_all("customer", each)[0]["id"], each, name="while away")
        populate(world, [each], 1)
    world.clock.advance(120)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, other]))

    def come_back() -> bool:
        if world.revoked and logged(caplog, f"Account {account} is paused"):
            world.clock.advance(31 * DAY)
            world.revoked.clear()
        return has_last_of_all()

    def has_last_of_all() -> bool:
        return all(captured(capture, each, everyone) == expected(world, each, everyone) for each in STREAMS)

    if restarts:
        world.clock.advance(31 * DAY)
        world.revoked.clear()
    # The others' cursors are as old as their account's where no capture ran.
    await capture.session(come_back)
    assert has_last_of_all()


async def test_an_account_that_is_refused_and_no_longer_listed_is_dropped_at_the_next_start(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    gone, other = (world.connect()["id"] for _ in range(2))
    populate(world, [PLATFORM, gone, other], 2)
    capture = Capture(server, list(STREAMS), connected=True, settings=QUICK)
    await capture.session(lambda: has_all_of(capture, world, [PLATFORM, gone, other]))
    world.revoked.add(gone)
    world.clock.advance(10)
    new = world.create("customer", other)["id"]
    world.clock.advance(120)
    await capture.session(
        lambda: bool(logged(caplog, f"Account {gone} is paused")) and new in capture.last("Customers")
    )
    assert gone in capture.binding_state("Customers")["inc"]
    before = captured(capture, "Customers", [gone])
    assert before
    world.delete("account", gone)
    server.journal.clear()
    await capture.session(lambda: all(gone not in capture.binding_state(each)["inc"] for each in STREAMS))
    assert captured(capture, "Customers", [gone]) == before
    assert not [each for each in server.journal if each.account == gone]


# What tells how a capture is


@pytest.mark.parametrize("method", ["_look", "_oldest_cursor", "_report_beginning"])
async def test_a_mistake_in_the_summary_ends_nothing(
    world: World,
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(Summary, method, fail)
    monkeypatch.setattr(Subtask, "__init__", fail)
    world.create("charge", event=False)
    capture = Capture(server, ["Charges"], settings=QUICK)
    await run_until(
        capture,
        (lambda: len(capture.last("Charges")) == 1, lambda: None),
        (lambda: bool(logged(caplog, "the summary failed, and the capture goes on")), lambda: None),
    )
    assert logged(caplog, "progress failed, and the capture goes on")


# Stripe that answers nobody


@pytest.mark.parametrize("is_connected", [False, True])
async def test_an_outage_longer_than_the_patience_of_a_request_ends_nothing(
    world: World, server: StripeServer, is_connected: bool
) -> None:
    everyone = [PLATFORM, *(world.connect()["id"] for _ in range(is_connected))]
    populate(world, everyone, 2)
    calm = replace(QUICK, patience=timedelta(milliseconds=50), outage_patience=timedelta(minutes=1))
    capture = Capture(server, ["Customers", "Prices"], connected=is_connected, settings=calm)
    await capture.session(lambda: has_all_of(capture, world, everyone))
    world.clock.advance(10)
    populate(world, everyone, 1)
    world.clock.advance(120)

    def break_down() -> None:
        server.faults.set(Fault(reset=True))
        asyncio.get_running_loop().call_later(0.5, server.faults.set)

    break_down()
    # What opens a capture is asked for during the outage, too.
    await capture.session(lambda: has_all_of(capture, world, everyone))
    assert has_all_of(capture, world, everyone)


@pytest.mark.parametrize("is_connected", [False, True])
async def test_an_outage_of_half_an_hour_ends_the_capture(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, is_connected: bool
) -> None:
    brief = replace(QUICK, patience=timedelta(seconds=0.1), outage_patience=timedelta(seconds=0.5))
    if is_connected:
        world.connect()
    capture = Capture(server, ["Customers"], connected=is_connected, settings=brief)
    await capture.session(lambda: capture.caught_up("Customers"))

    def break_down() -> bool:
        server.faults.set(Fault(reset=True))
        return False

    # While it runs: without an answer about its own account no capture opens.
    world.create("customer")
    world.clock.advance(120)
    with pytest.raises(SystemExit):
        await capture.session(break_down)
    (line, *_) = logged(caplog, "Stripe could not be reached at")
    assert re.search(r"reached at \S+ for \d+ seconds?:", line.message)
