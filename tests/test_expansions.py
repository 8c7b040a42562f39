"""Fields that Stripe returns only when asked: captured, kept through changes, survivable where refused."""

import logging
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.errors import ConnectorError
from source_stripe_native.models import STREAMS, Prices
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.expansions import RefusedParams, object_params
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, unknown_filter, unstamped
from tests.conftest import NOW
from tests.test_documents import logged
from tests.test_streams import HELD, expected, rows, without_needless

LOG: Final = logging.getLogger("test")
EXPANDED: Final = [each for each in STREAMS if each.EXPANSIONS]
KINDS: Final = sorted({HELD[each.NAME].kind for each in EXPANDED} - {"item"})
"""Lines of a Checkout session come with it, never later."""


def captured(capture: Capture, stream: str) -> dict[str, Any]:
    left = HELD[stream].parent_field
    return {
        key: {
            name: value for name, value in without_needless(stream, unstamped(each)).items() if name != left
        }
        for key, each in capture.last(stream).items()
    }


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    connected=st.booleans(),
    kills=st.lists(st.integers(1, 6), max_size=3),
)
async def test_every_expanded_field_is_as_in_the_world_wherever_the_connector_is_killed(
    seed: int, connected: bool, kills: list[int]
) -> None:
    world, rng = World(seed, now=NOW, unordered=True), Random(seed)
    if connected:
        world.connect()
    for account in world.accounts:
        for kind in (*KINDS, "item"):
            for _ in range(3):
                world.create(kind, account, at=NOW - 5000, event=False)
    names = [each.NAME for each in EXPANDED]
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, names, connected=connected)

            def caught_up() -> bool:
                return all(map(capture.caught_up, names))

            for checkpoints in kills:
                await capture.session(caught_up, checkpoints=checkpoints)
                for _ in range(8):
                    world.random_change(rng, KINDS)
                    world.clock.advance(rng.choice([0, 1, 40]))
                world.clock.advance(61)
            await capture.session(caught_up, seconds=40)
    for name in names:
        assert captured(capture, name) == expected(world, name, connected)


@pytest.mark.parametrize("stream", rows([each for each in EXPANDED if each.EVENT_TYPES]))
@pytest.mark.parametrize("status", [400, 403])
async def test_a_refused_expansion_costs_its_field_and_one_warning(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, stream: Any, status: int
) -> None:
    (_, field), *_ = object_params(stream)
    message = {
        400: f"This property cannot be expanded ({field}).",
        403: "The provided key 'rk_test_1' does not have the required permissions for this endpoint",
    }[status]
    refusal = {"status": status, "message": message}
    # As it is spelled in a query: the field of a list, or of an object.
    server.faults.set(
        Fault(query=f"data.{field}", **refusal),  # type: ignore[arg-type]  # as named
        Fault(query=f"={field}", **refusal),  # type: ignore[arg-type]  # as named
    )
    ids = {world.create(HELD[stream.NAME].kind, event=False)["id"] for _ in range(3)}
    capture = await Capture(server, [stream.NAME]).backfill()
    assert ids <= capture.last(stream.NAME).keys()
    # Once for the list, and once for single objects where these are read too.
    lines = logged(caplog, "is asked without")
    assert 1 <= len(lines) <= 2
    for line in lines:
        assert stream.NAME in line.message
        assert field in line.message
    await capture.catch_up()


PASSING = {
    "no answer": {"reset": True},
    "unavailable": {"status": 503},
    "conflict": {"status": 409},
    "in their words": {"status": 500, "message": "This property cannot be expanded (x)."},
    "key": {"status": 401, "message": "Invalid API Key provided: x"},
}


@pytest.mark.parametrize("probe", ["bare", "single"])
@pytest.mark.parametrize("trouble", PASSING)
async def test_a_probe_that_fails_for_a_passing_reason_leaves_nothing_out(
    world: World, server: StripeServer, waits: list[float], trouble: str, probe: str
) -> None:
    """Stripe refuses one of two expansions. What finds out which one fails otherwise, for once."""
    world.create("invoice", event=False)
    path, pairs = "/v1/invoices", [("expand[]", "data.test_clock"), ("expand[]", "data.customer")]
    refused = Fault(path, query="data.test_clock", status=400, message="This property cannot be expanded.")
    trouble_for_once = Fault(path, after=1 if probe == "bare" else 2, **PASSING[trouble])  # type: ignore[arg-type]
    impatient = replace(
        UNLIMITED, patience=timedelta(milliseconds=100), outage_patience=timedelta(milliseconds=100)
    )
    async with StripeSession(world.key, base=server.url, settings=impatient) as http:
        source = Source(http, LOG, Prices, PLATFORM, None)
        server.faults.set(trouble_for_once, refused)
        with pytest.raises(ConnectorError):
            await source.get(path, pairs)
        server.faults.set()
        (invoice,) = (await source.get(path, pairs))["data"]
        assert isinstance(invoice["customer"], dict), "asked for as before"
        assert http.refused_params.kept(None, path, pairs) == pairs
        server.faults.set(refused)
        await source.get(path, pairs)
        assert http.refused_params.kept(None, path, pairs) == pairs[1:]


@pytest.mark.parametrize(
    ("stream", "fields", "change"),
    [
        pytest.param(
            "PaymentIntents",
            {"amount_details": {"tip": {}}},
            {"status": "processing"},
            id="lines without a tax, a discount or shipping of the whole payment",
        ),
        pytest.param(
            "PromotionCode",
            {"restrictions": {"minimum_amount": None, "currency_options": {"eur": {"minimum_amount": 400}}}},
            {"active": False},
            id="a minimum in another currency alone",
        ),
    ],
)
async def test_a_field_is_kept_where_no_other_tells_of_it(
    world: World, server: StripeServer, stream: str, fields: dict[str, Any], change: dict[str, Any]
) -> None:
    kind = HELD[stream].kind
    id = world.create(kind, event=False, **fields)["id"]
    if stream == "PaymentIntents":
        world.create("payment_intent_amount_details_line_item", event=False, intent=id)
    capture = await Capture(server, [stream]).backfill(pause=10)
    world.update(kind, id, **change)
    (document,) = await capture.catch_up()
    want = expected(world, stream, connected=False)[id]
    for name in fields:
        assert document[name] == want[name]
        assert document[name].keys() >= fields[name].keys()
    if stream == "PaymentIntents":
        assert len(document["amount_details"]["line_items"]["data"]) == 1


@pytest.mark.parametrize("side_by_side", [True, False])
async def test_changes_after_a_refused_expansion_cost_no_requests_and_no_warnings(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, side_by_side: bool
) -> None:
    ids = [world.create("payment_intent", event=False)["id"] for _ in range(5)]
    at_once = len(ids) if side_by_side else 1
    # By their ids, however many there are.
    settings = replace(UNLIMITED, rereads_at_once=at_once, least_listed=1000)
    capture = await Capture(server, ["PaymentIntents"], settings=settings).backfill()
    refusal = "This property cannot be expanded (amount_details.line_items)."
    server.faults.set(Fault(query="=amount_details.line_items", status=400, message=refusal))
    server.journal.clear()
    world.clock.advance(10)
    for each in ids:
        world.update("payment_intent", each, status="processing")
    assert {each["id"] for each in await capture.catch_up()} == {*ids}
    assert len(logged(caplog, "is asked without")) == 1
    visits = [each for each in server.journal if each.path.startswith("/v1/payment_intents/")]
    # Those with the expansion, the two that find out, and those without it.
    assert len(visits) == 2 * at_once + 2


async def test_what_one_account_refuses_to_expand_stays_in_the_documents_of_the_others(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    refused, other = (world.connect()["id"] for _ in range(2))
    for account in world.accounts:
        for _ in range(3):
            world.create("coupon", account, event=False, applies_to={"products": ["prod_1"]})
    message = "This property cannot be expanded (data.applies_to)."
    server.faults.set(Fault("/v1/coupons", account=refused, query="expand", status=400, message=message))
    capture = Capture(server, ["Coupons"], connected=True)
    await capture.session(lambda: len(capture.last("Coupons")) == 9)
    assert {(each["account_id"], "applies_to" in each) for each in capture.last("Coupons").values()} == {
        (world.platform, True),
        (other, True),
        (refused, False),
    }
    (line,) = logged(caplog, "is asked without")
    assert refused in line.message


@pytest.mark.parametrize(
    "stream", rows([each for each in EXPANDED if len(each.EXPANSIONS) == 1 and each.PARENT is None])
)
async def test_a_permission_that_is_back_at_once_leaves_no_field_out(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, stream: Any
) -> None:
    for _ in range(3):
        world.create(HELD[stream.NAME].kind, event=False)
    message = "The provided key 'rk_test_1' does not have the required permissions for this endpoint"
    server.faults.set(Fault(query="expand", status=403, message=message, times=1))
    brief = replace(UNLIMITED, shortest_pause=timedelta(milliseconds=50))
    capture = Capture(server, [stream.NAME], settings=brief)
    await capture.session(capture.caught_up)
    assert captured(capture, stream.NAME) == expected(world, stream.NAME, connected=False)
    assert logged(caplog, "is asked without") == []


async def test_an_expansion_whose_permission_is_granted_is_asked_for_again_within_the_hour(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    world.create("invoice", event=False)
    path, pairs = "/v1/invoices", [("expand[]", "data.test_clock"), ("expand[]", "data.customer")]
    lacking = Fault(
        query="data.customer",
        status=403,
        message="The provided key 'rk_test_1' does not have the required permissions",
    )
    server.faults.set(lacking)
    time, hour = 0.0, UNLIMITED.refusal_retention.total_seconds()
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED) as http:
        http.refused_params = RefusedParams(hour, lambda: time)
        source = Source(http, LOG, Prices, PLATFORM, None)
        for time in (0.0, hour - 1, hour, 2 * hour - 1):
            server.journal.clear()
            (invoice,) = (await source.get(path, pairs))["data"]
            assert isinstance(invoice["customer"], str)
            assert len(server.journal) == (1 if time % hour else 5)
        server.faults.set()
        time = 2 * hour
        (invoice,) = (await source.get(path, pairs))["data"]
        assert isinstance(invoice["customer"], dict)
    assert len(logged(caplog, "is asked without")) == 1


async def test_a_filter_that_stripe_does_not_know_is_applied_here(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    old = world.create("charge", at=NOW - 900_000_000, event=False)["id"]
    new = {world.create("charge", at=NOW - 1000 - each, event=False)["id"] for each in range(150)}
    server.faults.set(unknown_filter("/v1/charges", "created"))
    capture = await Capture(server, ["Charges"]).backfill()
    assert capture.last("Charges").keys() == new
    assert old not in capture.last("Charges")
    assert len(logged(caplog, "is asked without")) == 1


@pytest.mark.parametrize(("most", "of_objects"), [(50, 0), (0, 30)])
async def test_fields_inside_a_map_come_with_the_page_as_far_as_its_keys_are_not_too_many(
    world: World, server: StripeServer, most: int, of_objects: int
) -> None:
    """Stripe wants each key named. A page is read again where it shows a key for the first time."""
    option = {"unit_amount": None, "tiers": [{"up_to": None, "unit_amount": 1}]}
    for number in range(30):
        options = {"usd": dict(option), ("eur" if number % 2 else "gbp"): dict(option)}
        fields: Any = {"billing_scheme": "tiered", "currency_options": options}
        world.create("price", at=NOW - 5000 + number, event=False, **fields)
    capture = Capture(server, ["Prices"], settings=replace(UNLIMITED, page_size=10, map_keys=most))
    await capture.session(capture.caught_up)
    prices = capture.last().values()
    assert len(prices) == 30
    assert all("tiers" in option for price in prices for option in price["currency_options"].values())
    assert len(server.journal.visits("/v1/prices/*")) == of_objects
    # Three pages of one half, one of the other.
    assert len(server.journal.visits("/v1/prices", limit="10")) == 4 + (most > 0)


def documented_fields() -> dict[str, tuple[list[str], str]]:
    """The documentation's table of expanded fields: for each stream the fields, and when it is read again."""
    text = (Path(__file__).parent.parent / "docs" / "freshness.md").read_text()
    _, _, table = text.partition("| stream | fields | read again after a change |\n|---|---|---|\n")
    lines = [line.strip("|").split("|") for line in table.partition("\n\n")[0].splitlines()]
    return {
        stream.strip(): (re.findall(r"`([^`]+)`", fields), when.strip())
        for streams, fields, when in lines
        for stream in streams.split(",")
    }


def test_the_documentation_names_the_fields_of_every_row_and_no_others() -> None:
    assert {stream: fields for stream, (fields, _) in documented_fields().items()} == {
        each.NAME: [expansion.path for expansion in each.EXPANSIONS] for each in EXPANDED
    }


@pytest.mark.parametrize("stream", rows(EXPANDED))
def test_the_documentation_says_when_a_changed_object_is_read_again(stream: Any) -> None:
    _, when = documented_fields()[stream.NAME]
    assert when.startswith("always") == any(not each.when for each in stream.EXPANSIONS)
    if not when.startswith("always"):
        assert all(
            f"`{name}`" in when
            for each in stream.EXPANSIONS
            for name in (*each.when, each.when_value)
            if name
        )
