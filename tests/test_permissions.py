"""Which streams a key can read, in which version and with which products: found out at discover, at validate
and at open, and told in the words of Stripe's dashboard."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from aiohttp import web

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.keys import permission_of
from sandbox.stripe.kinds import KINDS
from source_stripe_native.api import fetch_backfill, fetch_incremental
from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.models import (
    STREAMS,
    BalanceTransactions,
    BaseStripeObject,
    Cards,
    Charges,
    CreditNotesLines,
    Events,
    PaymentMethods,
    Subscriptions,
)
from source_stripe_native.resources import Opening, all_resources
from source_stripe_native.stripe.account_directory import own_account_id
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.permissions import outside_versions
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE, open_session
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW
from tests.test_documents import until_paused
from tests.test_streams import HELD

LOG: Final = logging.getLogger("test")
OLD: Final = "2024-06-20"

NEEDED: Final = {
    each.NAME: KINDS[HELD[(each if each.SEARCH_NAME else each.found_through()[0]).NAME].kind].readable_with
    for each in STREAMS
}
"""The permission that each stream's own objects take, in the sandbox's words."""
IN_OLD: Final = [each for each in STREAMS if outside_versions(each, OLD) is None]
ALL: Final = frozenset(NEEDED[each.NAME] for each in IN_OLD)
SINCE_2026: Final = {each.NAME for each in STREAMS if each.SINCE_VERSION >= "2026"}
UNCONDITIONAL: Final = frozenset({"event", "account"})
"""Without these nothing is captured: changes, and the account itself."""


@pytest.fixture
def world() -> World:
    return World(now=NOW, api_version=OLD)


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[StripeSession]:
    """A session under a restricted key that may read everything, for now."""
    async with StripeSession(server.world.restrict(ALL), base=server.url, settings=UNLIMITED) as session:
        await own_account_id(session, LOG)
        yield session


def batched(values: list[str], size: int) -> list[list[str]]:
    return [values[first : first + size] for first in range(0, len(values), size)]


def readable_with(permissions: frozenset[str]) -> set[str]:
    """The streams that a key with `permissions` can read: their own objects and their parents both count."""
    return {
        each.NAME
        for each in IN_OLD
        if {NEEDED[one.NAME] for one in (each, *each.found_through())} <= permissions
    }


async def discovered(capture: Capture) -> set[str]:
    return {each["recommendedName"] for each in await capture.discover()}


async def refusal(capture: Capture, caplog: pytest.LogCaptureFixture, verb: str) -> str:
    """The one error line with which the connector exits."""
    with pytest.raises(SystemExit):
        await getattr(capture, verb)()
    (line,) = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert "\n" not in line
    return line


# What the key may read


@pytest.mark.parametrize("missing", batched(sorted(ALL - UNCONDITIONAL), 24))
async def test_a_missing_permission_leaves_out_just_its_streams_and_is_named(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, missing: list[str]
) -> None:
    readable = readable_with(ALL - set(missing))
    capture = Capture(server, key=world.restrict(ALL - set(missing)))
    assert await discovered(capture) == readable
    (line,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    count = len(IN_OLD) - len(readable)
    assert line.message.startswith(
        f"{count} stream{'s are' if count > 1 else ' is'} left out: the API key lacks"
    )
    needed_by: dict[str, list[str]] = {}
    for stream in IN_OLD:
        through = (*([stream] if stream.SEARCH_NAME else []), *stream.found_through())
        for permission in dict.fromkeys(each.PERMISSION for each in through if NEEDED[each.NAME] in missing):
            needed_by.setdefault(permission, []).append(stream.NAME)
    told = dict(re.findall(r"'([^']+)' \(([^)]+)\)", line.message))
    assert {name: streams.split(", ") for name, streams in told.items()} == needed_by
    assert list(told) == sorted(told)
    assert {*re.findall(r"rak_(\w+)_read", line.message)} == {permission_of(each) for each in missing}, (
        "as Stripe itself says"
    )


async def test_a_permission_is_named_as_one_thing_by_all_of_its_streams() -> None:
    for permission in ALL:
        listed = (each for each in STREAMS if each.SEARCH_NAME)
        names = {each.PERMISSION for each in listed if NEEDED[each.NAME] == permission}
        assert len(names) == 1, permission


async def test_a_key_that_may_not_read_events_is_refused(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(server, key=world.restrict(ALL - {"event"}))
    line = await refusal(capture, caplog, "discover")
    assert "Changes cannot be captured" in line
    assert "'Events'" in line
    also = Capture(server, ["Prices"], key=world.restrict(ALL - {"event", "price"}))
    caplog.clear()
    assert "permissions 'Events' (Events), 'Prices' (Prices): grant" in await refusal(
        also, caplog, "validate"
    )


@pytest.mark.parametrize(("lost", "named"), [("source", "'Payment Methods'"), ("customer", "'Customers'")])
async def test_a_stream_that_the_key_cannot_read_is_refused_before_anything_is_captured(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, lost: str, named: str
) -> None:
    world.create("card", event=False)
    capture = Capture(server, ["Prices", "Cards"], key=world.restrict(ALL - {lost}))
    line = await refusal(capture, caplog, "validate")
    assert "Cards cannot be captured" in line
    assert named in line
    assert "disable the binding" in line
    assert capture.documents == []


async def test_all_streams_that_cannot_be_captured_are_told_in_one_line(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    bound = ["Prices", "Cards", "Files", "FilesLink", "Charges", "InvoicePayments"]
    key = world.restrict(ALL - {"source", "customer", "file", "file_link"})
    line = await refusal(Capture(server, bound, key=key), caplog, "validate")
    assert line == (
        "Cards, Files, FilesLink, InvoicePayments cannot be captured: the API key lacks the read permissions "
        "'Customers' (Cards), 'Files' (Files, FilesLink), 'Payment Methods' (Cards): grant them in Stripe's "
        "dashboard (Developers > API keys > edit key), or use a secret key. (Stripe: rak_customer_read, "
        "rak_file_read, rak_payment_method_read) InvoicePayments: API version 2024-06-20 cannot "
        "be used for it: set advanced.api_version to one from 2025-03-31 on. Or disable their bindings."
    )


async def test_both_permissions_of_one_stream_are_told(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.restrict(ALL - {"source", "customer"})
    line = await refusal(Capture(server, ["Cards"], key=key), caplog, "validate")
    assert "permissions 'Customers' (Cards), 'Payment Methods' (Cards): grant them" in line


async def test_only_the_streams_that_are_bound_need_their_permissions(
    world: World, server: StripeServer
) -> None:
    world.create("price", event=False)
    capture = Capture(server, key=world.restrict({"account", "event", "price"}))
    await capture.validate()
    await capture.backfill()
    assert capture.last()


# What it costs to find out


async def test_a_secret_key_is_not_probed_stream_by_stream(world: World, server: StripeServer) -> None:
    assert len(await discovered(Capture(server))) == len(IN_OLD)
    products = {each.PRODUCT for each in IN_OLD} - {""}
    assert len(server.journal) == 2 + len(products)


class PatientServer(StripeServer):
    """Answers no probe before there are as many as may be in flight."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.missing = min(len([each for each in IN_OLD if each.SEARCH_NAME]), UNLIMITED.max_in_flight)
        self.all_there = asyncio.Event()

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path != "/v1/account":
            self.missing -= 1
            if self.missing == 0:
                self.all_there.set()
            await self.all_there.wait()
        return await super()._serve(http)


async def test_all_probes_are_under_way_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with PatientServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        try:
            async with asyncio.timeout(5):
                assert len(await discovered(Capture(server, key=world.restrict(ALL)))) == len(IN_OLD)
        finally:
            server.all_there.set()


async def test_a_probe_that_is_not_answered_is_no_permission(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.set(Fault(path="/v1/customers/*/cards", status=402, message="Another day"))
    line = await refusal(Capture(server, key=world.restrict(ALL)), caplog, "discover")
    assert "Another day" in line


# Versions and products


@pytest.mark.parametrize(
    ("version", "missing", "pinned"),
    [
        (
            "2016-06-15",
            {
                "Subscriptions",
                "SubscriptionItems",
                "SubscriptionLineItems",
                "BillingMeterEventSummaries",
                "InlinePrices",
                "UsageRecords",
                "InvoiceLineItems",
                "InvoicePayments",
                "Discounts",
            },
            False,
        ),
        ("2016-07-06", {"InvoiceLineItems", "InvoicePayments", "Discounts"}, True),
        ("2019-11-05", {"InvoiceLineItems", "InvoicePayments", "Discounts"}, False),
        ("2019-12-03", {"InvoicePayments", "Discounts"}, True),
        ("2025-02-24.acacia", {"InvoicePayments"}, False),
        ("2025-03-31.basil", {"UsageRecords"}, True),
    ],
)
async def test_streams_that_an_api_version_does_not_have_are_left_out_with_a_line(
    server: StripeServer, caplog: pytest.LogCaptureFixture, version: str, missing: set[str], pinned: bool
) -> None:
    capture = Capture(server)
    if pinned:
        capture.config["advanced"] = {"api_version": version}
    else:
        server.world.api_version = version
    missing = missing | SINCE_2026
    assert {each.NAME for each in STREAMS} - await discovered(capture) == missing
    (line,) = [each.message for each in caplog.records if "left out" in each.message]
    assert line.startswith(f"{len(missing)} stream{'s are' if len(missing) > 1 else ' is'} left out: ")
    reasons = re.findall(
        rf"([\w, ]+): API version {version} cannot be used .*?: set advanced.api_version", line
    )
    assert {name for each in reasons for name in each.strip().split(", ")} == missing
    assert len(reasons) == len({*reasons}) <= 7


@pytest.mark.parametrize(
    "version", ["", "2011-01-01", OLD, "2025-03-31.basil", "9999-12-31", "banana", "0", "~"]
)
def test_no_message_about_a_version_has_a_hole(version: str) -> None:
    bounded = type("Bounded", (Charges,), {"SINCE_VERSION": "2", "UNTIL_VERSION": "1"})
    sentence = (
        rf"API version {re.escape(version)} cannot be used for it: set advanced\.api_version to one "
        r"(from \S+ on( and before \S+)?|before \S+)\."
    )

    def is_right(row: type[BaseStripeObject], reason: str | None) -> bool:
        if reason is not None:
            return re.fullmatch(sentence, reason) is not None
        is_since = not row.SINCE_VERSION or version >= row.SINCE_VERSION
        return not version or (is_since and (not row.UNTIL_VERSION or version < row.UNTIL_VERSION))

    reasons = {row.__name__: (row, outside_versions(row, version)) for row in (*STREAMS, bounded)}
    assert len(reasons) == len(STREAMS) + 1
    assert {name: reason for name, (row, reason) in reasons.items() if not is_right(row, reason)} == {}


@pytest.mark.parametrize(
    ("stream", "version", "bound"),
    [
        ("UsageRecords", "2025-03-31.basil", "before 2025-03-31"),
        ("InvoiceLineItems", "2019-11-05", "from 2019-12-03 on"),
    ],
)
@pytest.mark.parametrize("pinned", [False, True])
async def test_a_bound_stream_that_the_version_does_not_have_is_refused(
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    stream: str,
    version: str,
    bound: str,
    pinned: bool,
) -> None:
    capture = Capture(server, [stream])
    if pinned:
        capture.config["advanced"] = {"api_version": version}
    else:
        server.world.api_version = version
    line = await refusal(capture, caplog, "validate")
    assert f"{stream} cannot be captured: API version {version}" in line
    assert f"set advanced.api_version to one {bound}" in line


async def test_no_permission_is_asked_for_where_the_version_does_not_have_the_stream(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    world.api_version = "2025-03-31.basil"
    await discovered(Capture(server, key=world.restrict(ALL - {"subscription"})))
    lacking, others = (each.message for each in caplog.records if "left out" in each.message)
    assert "'Subscriptions' (" in lacking
    assert "UsageRecords" not in lacking
    assert "UsageRecords: API version 2025-03-31.basil cannot be used for it" in others


@pytest.mark.parametrize("restricted", [False, True])
async def test_streams_of_products_that_the_account_does_not_have_are_left_out_in_one_line(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, restricted: bool
) -> None:
    products = {each.PRODUCT for each in IN_OLD} - {""}
    world.unavailable |= products
    capture = Capture(server, key=world.restrict(ALL) if restricted else None)
    of_products = {each.NAME for each in IN_OLD if each.PRODUCT}
    assert {each.NAME for each in IN_OLD} - await discovered(capture) == of_products
    (line,) = [each for each in caplog.records if "left out" in each.message]
    left_out = len(STREAMS) - len(IN_OLD) + len(of_products)
    assert line.message.startswith(f"{left_out} streams are left out: ")
    assert "not set up to use Issuing" in line.message
    assert all(each in line.message for each in of_products)
    # As Stripe names them: each product, once.
    assert line.message.count("(Stripe: ") <= len(products)
    assert line.levelno == logging.INFO, "nobody has to do anything"


@pytest.mark.parametrize("restricted", [False, True])
async def test_a_product_that_the_platform_lacks_is_proposed_as_disabled_where_connected_accounts_may_have_it(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, restricted: bool
) -> None:
    caplog.set_level(logging.INFO)
    world.unavailable.add((PLATFORM, "issuing"))
    capture = Capture(server, key=world.restrict(ALL) if restricted else None, connected=True)
    found = {each["recommendedName"]: each for each in await capture.discover()}
    issuing = {each.NAME for each in STREAMS if each.PRODUCT == "issuing"}
    assert {name for name in found if found[name].get("disable")} == issuing | {
        each.NAME for each in STREAMS if each.DISABLED and each.NAME in found
    }
    (line,) = [each for each in caplog.records if "proposed as disabled" in each.message]
    (told, reason) = re.findall(r"disabled: ([^:]+): (.*)", line.message)[0]
    assert {*told.split(", ")} == issuing
    assert reason.count("not set up to use Issuing") == 1
    assert line.levelno == logging.INFO


@pytest.mark.parametrize("restricted", [False, True])
async def test_what_connected_accounts_alone_have_is_captured_of_them(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, restricted: bool
) -> None:
    without, having = (world.connect()["id"] for _ in range(2))
    world.unavailable |= {(PLATFORM, "issuing"), (without, "issuing")}
    cards = {world.create("issuing.cardholder", having, event=False)["id"] for _ in range(3)}
    customers = {world.create("customer", each, event=False)["id"] for each in world.accounts}
    key = world.restrict(ALL) if restricted else None
    capture = Capture(server, ["CardHolders", "Customers"], key=key, connected=True)
    await capture.validate()
    await capture.session(
        lambda: capture.last("CardHolders").keys() == cards and capture.last("Customers").keys() == customers
    )
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("connected", [False, True])
async def test_what_the_platform_alone_may_not_read_says_nothing_about_connected_accounts(
    world: World, server: StripeServer, connected: bool
) -> None:
    account = world.connect()["id"]
    made = world.create("review", account, event=False)["id"]
    server.faults.set(Fault("/v1/reviews", account=PLATFORM, status=403, message="Not in your country"))
    capture = Capture(server, ["Reviews"], key=world.restrict(ALL), connected=connected)
    if not connected:
        with pytest.raises(SystemExit):
            await capture.validate()
        return
    await capture.validate()
    await capture.session(lambda: made in capture.last("Reviews"))


async def test_a_permission_that_the_key_lacks_holds_for_connected_accounts_too(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    world.connect()
    world.unavailable.add("issuing")
    capture = Capture(
        server, ["CardHolders"], key=world.restrict(ALL - {"issuing_cardholder"}), connected=True
    )
    assert "CardHolders cannot be captured: the API key lacks" in await refusal(capture, caplog, "validate")


# What is asked for at all


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("verb", ["discover", "validate", "session"])
async def test_each_verb_asks_for_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, world: World, server: StripeServer, restricted: bool, verb: str
) -> None:
    """A capture that opens lists connected accounts, and asks for no permission but that of events."""
    connected = {world.connect()["id"] for _ in range(250)}
    bound = ["Prices", "Refunds"]
    key = world.restrict(ALL) if restricted else world.key
    capture = Capture(server, bound, key=key, connected=True)
    monkeypatch.setenv(API_BASE_VARIABLE, server.url)
    if verb == "session":
        http = open_session(
            EndpointConfig.model_validate(capture.endpoint_config), UNLIMITED, timedelta(seconds=5)
        )
        async with http:
            resources = await all_resources(
                LOG, http, EndpointConfig.model_validate(capture.endpoint_config), bound, Opening({})
            )
        assert {each.name for each in resources} == {*bound}
        listed = [each for each in server.journal if each.path == "/v1/accounts"]
        assert len(listed) >= len(connected) / 100
        others = Counter(each.path for each in server.journal if each.path != "/v1/accounts")
        assert others.keys() <= {"/v1/account", "/v1/events"}
        return
    await getattr(capture, verb)()
    asked = Counter(each.path for each in server.journal)
    assert asked["/v1/accounts"] <= (verb == "discover"), "whether they may be read, not which there are"
    if verb == "validate":
        assert asked.keys() <= {"/v1/account", "/v1/events", "/v1/prices", "/v1/refunds"}
    if not restricted:
        assert asked.total() <= 12


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("seed", range(2))
async def test_discover_succeeds_while_stripe_refuses_three_requests_in_ten_for_rate(
    world: World, server: StripeServer, waits: list[float], restricted: bool, seed: int
) -> None:
    server.faults._rng.seed(seed)
    server.faults.set(Fault(status=429, code="rate_limit", probability=0.3))
    capture = Capture(server, key=world.restrict(ALL) if restricted else world.key)
    assert await discovered(capture) == {each.NAME for each in IN_OLD}
    assert waits == []


# What is lost while a capture runs


def backfill(stream: type[BaseStripeObject], http: StripeSession) -> Any:
    start, cutoff = datetime(2020, 1, 1, tzinfo=UTC), datetime.fromtimestamp(NOW, tz=UTC)
    return fetch_backfill(stream, start, "acct_1SandboxPlatform", None, http, LOG, None, cutoff)


def changes(stream: type[BaseStripeObject], http: StripeSession) -> Any:
    cursor = datetime.fromtimestamp(NOW - 3600, tz=UTC)
    return fetch_incremental(stream, "acct_1SandboxPlatform", None, http, LOG, cursor)


@pytest.mark.parametrize(
    ("fetch", "stream", "lost", "named"),
    [
        (backfill, Charges, "charge", Charges.PERMISSION),
        (backfill, Cards, "source", Cards.PERMISSION),
        (backfill, Cards, "customer", "Customers"),
        (backfill, PaymentMethods, "customer", "Customers"),
        (changes, Charges, "event", Events.PERMISSION),
        (changes, Cards, "event", Events.PERMISSION),
        (changes, Charges, "charge", Charges.PERMISSION),
        (changes, BalanceTransactions, "balance_transaction", BalanceTransactions.PERMISSION),
        (changes, CreditNotesLines, "credit_note", CreditNotesLines.PERMISSION),
        (backfill, Subscriptions, "subscription", Subscriptions.PERMISSION),
    ],
)
async def test_a_permission_lost_while_capturing_fails_with_stream_and_permission(
    world: World, http: StripeSession, fetch: Any, stream: type[BaseStripeObject], lost: str, named: str
) -> None:
    world.create(HELD[stream.NAME].kind, at=NOW - 600)
    world.create("credit_note", at=NOW - 600, lines=20)
    # A notice in another version, so that the object itself is asked for.
    world.create("charge", at=NOW - 600, api_version="2022-11-15")
    assert [each async for each in fetch(stream, http)]
    world.keys.add(http._key, ALL - {lost})
    with pytest.raises(ConnectorError) as caught:
        _ = [each async for each in fetch(stream, http)]
    assert str(caught.value).startswith(f"{stream.NAME}: the API key lacks the read permission '{named}'")
    assert f"rak_{permission_of(lost)}_read" in str(caught.value)


async def test_a_permission_lost_between_two_pages_pauses_the_backfill(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    for hours in range(150):  # too few for slices
        world.create("charge", at=NOW - 3600 * hours, event=False)
    key = world.restrict(ALL)
    capture = Capture(server, ["Charges"], key=key)

    def lose() -> bool:
        if capture.documents:
            world.keys.add(key, ALL - {"charge"})
        return False

    assert "Charges: the API key lacks the read permission" in await until_paused(capture, caplog, lose)
    assert len(capture.last("Charges")) == 100
    assert capture.binding_state("Charges")["backfill"]
    world.keys.add(key, ALL)
    await capture.backfill()
    assert len(capture.last("Charges")) == 150


async def test_a_stream_that_no_restricted_key_can_read_is_left_out(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    message = (
        "This is a restricted API key, but the required permissions are not available for use by restricted "
        "keys."
    )
    server.faults.set(Fault("/v1/reviews", status=403, message=message))
    capture = Capture(server, key=world.restrict(ALL))
    assert await discovered(capture) == {each.NAME for each in IN_OLD} - {"Reviews"}
    assert "No restricted API key can read this: put a secret key" in caplog.text


@pytest.mark.parametrize("path", ["/v1/*", "/v1/customers"])
@pytest.mark.parametrize("verb", ["discover", "validate", "session"])
async def test_a_key_that_is_bound_to_other_addresses_is_told_what_to_add_to_it(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, verb: str, path: str
) -> None:
    """Whatever was asked for: no binding is at fault."""
    key = world.restrict(kind.readable_with for kind in KINDS.values())
    message = "The API key provided does not allow requests from your IP address."
    server.faults.set(Fault(path, status=403, message=message))
    with pytest.raises(SystemExit):
        await getattr(Capture(server, ["Customers"], key=key), verb)()
    *_, line = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert "add the addresses that the connector runs at" in line
    assert "disable the binding" not in line
