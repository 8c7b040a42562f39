"""Objects that change by the clock alone: read again once the day has come that they name, however old they
are, after a restart too, and for no request before."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.events.due_days import LATE, due_times, is_due, joined
from source_stripe_native.models import STREAMS, BaseStripeObject
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.state.windows import DAY, Window
from tests.capture import ROWS, Capture, Json, plain, without_secrets
from tests.conftest import NOW
from tests.documentation import text_of
from tests.test_streams import HELD
from tools.facts import references, stripe_facts


@dataclass(frozen=True)
class Case:
    """A stream, the time that its object names, and what the clock then changes in it."""

    stream: str
    field: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return HELD[self.stream].kind


CASES: Final = [
    Case("BalanceTransactions", "available_on", {"status": "pending"}, {"status": "available"}),
    Case("Coupons", "redeem_by", {"valid": True}, {"valid": False}),
    Case("PromotionCode", "expires_at", {"active": True}, {"active": False}),
    Case("FilesLink", "expires_at", {"expired": False}, {"expired": True}),
]
cases: Final = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stream)


def test_every_row_with_such_a_time_has_a_case() -> None:
    assert {case.stream for case in CASES} == {row.NAME for row in STREAMS if row.CHANGES_AT}
    for case in CASES:
        assert case.field in ROWS[case.stream].CHANGES_AT
        assert {case.field, *case.before} <= KINDS[case.kind].fields.keys()


# Over HTTP


def make(world: World, case: Case, *, age: int, due_in: int, event: bool = False) -> Json:
    """An object that was made `age` days ago and is due in so many days."""
    now = world.clock.now()
    due: Json = {case.field: now + due_in * DAY}
    return world.create(case.kind, created=now - age * DAY, event=event, **due, **case.before)


async def pass_days(capture: Capture, days: int) -> None:
    """Days in which the capture runs, and is started again each day."""
    for _ in range(days):
        capture.server.world.clock.advance(DAY)
        await capture.catch_up()


def now_at_stripe(world: World, case: Case, id: str) -> Json:
    found: Json = without_secrets(world.get(case.kind, id))
    return found


@cases
async def test_objects_of_a_backfill_are_read_again_when_their_times_have_come(
    world: World, server: StripeServer, case: Case
) -> None:
    ages = (0, 20, 31, 400)
    found = [make(world, case, age=age, due_in=33 + 3 * n)["id"] for n, age in enumerate(ages)]
    capture = await Capture(server, [case.stream]).backfill()
    await pass_days(capture, 31)
    for id in found:
        await pass_days(capture, 1)
        assert {name: capture.last(case.stream)[id][name] for name in case.before} == case.before
        world.update(case.kind, id, event=False, **case.after)
        await pass_days(capture, 2)
        assert plain(capture.last(case.stream)[id]) == now_at_stripe(world, case, id)


@cases
async def test_an_object_that_is_made_later_is_read_again_when_its_time_has_come(
    world: World, server: StripeServer, case: Case
) -> None:
    capture = await Capture(server, [case.stream]).backfill(pause=10)
    found = make(world, case, age=0, due_in=33, event=True)
    await capture.catch_up()
    await pass_days(capture, 32)
    world.update(case.kind, found["id"], event=False, **case.after)
    await pass_days(capture, 2)
    assert plain(capture.last(case.stream)[found["id"]]) == now_at_stripe(world, case, found["id"])


@cases
async def test_an_object_that_was_due_lately_is_read_again_too(
    world: World, server: StripeServer, case: Case
) -> None:
    """Stripe may be late: a backfill may see it as it was."""
    found = make(world, case, age=33, due_in=-1)
    capture = await Capture(server, [case.stream]).backfill()
    world.update(case.kind, found["id"], event=False, **case.after)
    await pass_days(capture, 1)
    assert plain(capture.last(case.stream)[found["id"]]) == now_at_stripe(world, case, found["id"])


@cases
async def test_what_is_not_due_costs_no_request_and_what_was_is_forgotten(
    world: World, server: StripeServer, case: Case
) -> None:
    for age in (3, 40, 41):
        make(world, case, age=age, due_in=40)
    capture = await Capture(server, [case.stream]).backfill()
    remembered = capture.binding_state(case.stream)["snapshot"]
    assert len(remembered) == 1, "a day has one entry, whatever is due on it"
    await capture.catch_up()
    row, server.world = ROWS[case.stream], world
    server.journal.clear()
    await pass_days(capture, 3)
    assert not reads_of_old(server, row, world.clock.now() - 35 * DAY)
    await pass_days(capture, 37)
    assert reads_of_old(server, row, world.clock.now() - 70 * DAY)
    await pass_days(capture, 4)
    assert capture.binding_state(case.stream).get("snapshot", {}) == {}


def reads_of_old(server: StripeServer, row: type[BaseStripeObject], before: int) -> list[Any]:
    """The requests for what was created before a time."""
    visits = server.journal.visits(row.list_path())
    return [each for each in visits if int(each.query.get("created[gte]", before)) < before]


async def test_connected_accounts_have_days_of_their_own(world: World, server: StripeServer) -> None:
    accounts = [world.connect()["id"] for _ in range(2)]
    codes = [
        world.create("coupon", account, redeem_by=world.clock.now() + days * DAY, event=False)["id"]
        for account, days in zip(accounts, (2, 5), strict=True)
    ]
    capture = await Capture(server, ["Coupons"], connected=True).backfill()
    for account, code in zip(accounts, codes, strict=True):
        world.update("coupon", code, account, event=False, valid=False)
    await pass_days(capture, 3)
    assert {id: each["valid"] for id, each in capture.last("Coupons").items()} == {
        codes[0]: False,
        codes[1]: True,
    }
    await pass_days(capture, 3)
    assert {each["valid"] for each in capture.last("Coupons").values()} == {False}


# The kind: every time in the facts


LIMIT: Final = "nothing reports it, which a page says"
OTHERWISE: Final[Mapping[str, str]] = {
    r"account_numbers\..*": "financial_connections.account.account_numbers_updated reports it",
    r"after_expiration\..*": "no field says whether it has come",
    "arrival_date": "payout.paid and payout.failed report it",
    "billed_until": "the subscription's events report it",
    "cancel_at": "customer.subscription.deleted reports it",
    "current_period_end": "customer.subscription.updated reports it",
    r"(configuration|identity)\..*": "an hour of the day, or the end of a year",
    r"current_phase\.end_date": "subscription_schedule.updated reports it",
    r"current_trial\.end_date": "customer.subscription.updated reports it",
    "data_available_end": "reporting.report_type.updated reports it",
    "data_available_start": "in the past",
    "deletes_after": "test_helpers.test_clock.deleted reports it",
    "due_date": "invoice.overdue reports it, and the invoice has no field for it",
    "effective_at": "no field says whether it has come",
    "end": "customer.discount.deleted reports it",
    "end_time": "the summary of a day, which ends with the day",
    "ended_at": "in the past",
    "expected_arrival_date": "the events of the payment report its status",
    "expires_at": "files and credit grants have no field for it, and a session's own event reports it",
    r"fx_quote\.lock_expires_at": LIMIT,
    "next_payment_attempt": "the invoice's events report it",
    "next_pending_invoice_item_invoice": "the subscription's events report it",
    r"next_action\..*": "the events of the payment or the refund report that the action came to nothing",
    r"parameters\.interval_end": "in the past",
    r"payment_(method_options|settings)\..*": "what a payment may do, and no field says whether it still may",
    r"pending_update\..*": "customer.subscription.pending_update_expired reports it",
    r"(source\.|)period_end|period\.end": "no field says whether it has come",
    r"phases\..*": "no field says whether it has come",
    r"regulatory_receipt\.url_expires_at": LIMIT,
    "result_available_until": "no field says whether it has come",
    r"transfer_history\..*": "no field says whether it has come",
    "trial_end": "customer.subscription.updated reports it",
    r".*\.next_refresh_available_at": "no field says whether it has come",
}
"""Fields with times that may lie ahead, and why nothing has to be read again then."""
LIMIT_OF: Final = {"V2PayoutIntents": "fx_quote.lock_status", "V2Transactions": "regulatory_receipt.status"}
"""What a page says to be stale."""
IS_TIME: Final = re.compile(
    r"expir|redeem_by|available|_end$|^end|due_date|until|cancel_at$|effective|deletes_after|arrival|next_(?!inv)"
)
IS_NUMBER: Final = re.compile(r"balance$|days|_seconds$|_sequence$|metric_tons|airport")
HAS_EXPIRED: Final[Mapping[str, str]] = {
    r"(cancellation_|replacement_|)reason|debit\.type": "of something that is over",
    r"cancel.*|.*(error|errors)\..*|.*disabled_reason|.*status_details\..*": "why something is refused",
    r"fraud_challenges\..*": "issuing_authorization.updated reports it",
    r"fx_quote\.lock_status": LIMIT,
    r"next_action\..*": "why a payout failed",
    r"regulatory_receipt\.status": LIMIT,
    r"request_history\..*": "of something that is over",
    "status": "issuing_authorization.updated, issuing_dispute.closed, checkout.session.expired and "
    "customer.subscription.updated report it",
}
"""Fields that may say that something has expired, and why nothing has to be read again for them."""


def places(schema: Json, path: str = "", inside: tuple[str, ...] = ()) -> Iterator[tuple[str, Json]]:
    """Every field of an object by its path with dots, without those of other objects inside it."""
    schemas = stripe_facts()["schemas"]
    for part in (schema, *schema.get("anyOf", ())):
        for name in references(part) if "$ref" in part else ():
            if name not in inside and "x-resourceId" not in schemas[name]:
                yield from places(schemas[name], path, (*inside, name))
        for name, field in part.get("properties", {}).items():
            yield f"{path}{name}", field
            yield from places(field, f"{path}{name}.", inside)
        if isinstance(part.get("items"), dict):
            yield from places(part["items"], f"{path}*.", inside)


def why_not(known: Mapping[str, str], place: str) -> list[str]:
    return [reason for pattern, reason in known.items() if re.fullmatch(pattern, place)]


def types_in(reason: str) -> set[str]:
    return set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", reason))


@pytest.mark.parametrize("row", [row for row in STREAMS if not row.SNAPSHOTS], ids=lambda row: row.NAME)
def test_what_the_facts_have_of_the_clock_is_followed_or_needs_not_be(row: type[BaseStripeObject]) -> None:
    """Every time that may lie ahead, and every field that may say that something has expired."""
    schema = stripe_facts()["schemas"].get(KINDS[HELD[row.NAME].kind].object_name, {})
    for place, field in places(schema):
        kinds = {"integer", "string"} if row.API == "v2" else {"integer"}
        name = place.rpartition(".")[2]
        is_time = field.get("type") in kinds and "enum" not in field and IS_TIME.search(name)
        reasons: list[str] | None = None
        if is_time and not IS_NUMBER.search(name) and place not in row.CHANGES_AT:
            # What a payout pays out is available.
            reasons = why_not(OTHERWISE, place) or ["it is"] * (row.NAME == "PayoutBalanceTransactions")
        elif any("expired" in str(value) for value in field.get("enum", ())):
            reasons = why_not(HAS_EXPIRED, place)
        if reasons is not None:
            assert reasons, place
            types = {each for reason in reasons for each in types_in(reason)}
            assert not types or types & row.all_event_types(), place
            assert LIMIT not in reasons or row.NAME in LIMIT_OF, place


def test_what_changes_by_the_clock_and_is_not_read_again_is_documented() -> None:
    _, _, section = text_of("docs/freshness.md").partition("## Changes that nothing reports")
    words = " ".join(section.partition("\n## ")[0].split())
    for stream, field in LIMIT_OF.items():
        assert f"`{field}` of {stream}" in words


# Pure


times: Final = st.integers(NOW - 400 * DAY, NOW + 400 * DAY)


@given(at=times, start=times, seconds=st.integers(1, 40 * DAY))
def test_each_time_is_about_some_window_and_no_window_that_ends_long_before_it(
    at: int, start: int, seconds: int
) -> None:
    window = Window(start, start + seconds)
    if window.start <= at < window.end or window.end <= at < window.end + DAY:
        assert is_due(at, window)
    if at >= window.end + DAY or at < window.start - LATE:
        assert not is_due(at, window)
    # What is due is in a day that is due.
    assert not is_due(at, window) or is_due(at // DAY * DAY, window, DAY)


parts: Final = st.tuples(times, st.integers(1, 100 * DAY)).map(
    lambda pair: Listed(b"", {"id": "2026-08-01", "since": pair[0], "until": pair[0] + pair[1]})
)


@given(one=parts, other=parts)
def test_parts_that_are_joined_hold_both(one: Listed, other: Listed) -> None:
    whole = joined(one, other)
    assert whole.keys["since"] == min(one.keys["since"], other.keys["since"])
    assert whole.keys["until"] == max(one.keys["until"], other.keys["until"])
    assert joined(None, one) == one == joined(one, one)
    assert joined(whole, one) == whole == joined(one, whole)


def test_the_times_of_an_object_are_those_that_it_has() -> None:
    row = ROWS["PromotionCode"]
    assert [*due_times(row, {"expires_at": None, "promotion": {"coupon": "a"}})] == []
    shown: Json = {"expires_at": 5, "coupon": {"redeem_by": 7}}
    assert [*due_times(row, shown)] == [5, 7]
