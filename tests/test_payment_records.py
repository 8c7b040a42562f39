"""Payment records and their attempts: bounded by the start date, new ones found in the list, and those that
changed through the events of their payment intent or, if others processed the payment, once a day."""

from datetime import UTC, datetime
from typing import Final

import pytest

from sandbox.stripe import StripeServer, World
from source_stripe_native.streams.row import TimeRange
from tests.capture import Capture
from tests.conftest import NOW

DAY: Final = 86_400
BOTH: Final = ["PaymentRecords", "PaymentAttemptRecords"]


def record(world: World, at: int, by: str = "stripe") -> str:
    made = world.create("payment_record", at=at, reported_by=by, event=False)["id"]
    world.create("payment_attempt_record", at=at, payment_record=made, event=False)
    return str(made)


def asked(server: StripeServer) -> dict[str, int]:
    """Requests for records and for attempts."""
    paths = [each.path for each in server.journal]
    return {
        "records": paths.count("/v1/payment_records"),
        "attempts": paths.count("/v1/payment_attempt_records"),
    }


async def test_only_records_since_the_start_date_are_read(world: World, server: StripeServer) -> None:
    old = [record(world, NOW - 400 * DAY - number) for number in range(300)]
    young = [record(world, NOW - DAY - number) for number in range(10)]
    start = datetime.fromtimestamp(NOW - 30 * DAY, tz=UTC)
    capture = await Capture(server, BOTH, config={"start_date": start.isoformat()}).backfill()
    assert capture.last("PaymentRecords").keys() == set(young)
    assert {each["payment_record"] for each in capture.last("PaymentAttemptRecords").values()} == set(young)
    assert len(old) + len(young) == len(world.list_all("payment_record"))


async def test_new_records_are_found_and_old_ones_are_not_read_again(
    world: World, server: StripeServer
) -> None:
    for number in range(390):
        record(world, NOW - 10 * DAY - number)
    capture = await Capture(server, BOTH).backfill()
    young = {record(world, NOW + number) for number in range(10)}
    world.clock.advance(30)
    server.journal.clear()
    await capture.catch_up()
    assert young <= capture.last("PaymentRecords").keys()
    assert young <= {each["payment_record"] for each in capture.last("PaymentAttemptRecords").values()}
    requests = asked(server)
    assert requests["records"] <= 2
    assert requests["records"] + requests["attempts"] <= 15


async def test_an_event_of_the_payment_intent_tells_of_its_record(world: World, server: StripeServer) -> None:
    changed, left = record(world, NOW - DAY), record(world, NOW - DAY)
    intent = world.create("payment_intent", at=NOW - DAY, payment_record=changed, event=False)["id"]
    capture = await Capture(server, BOTH).backfill(pause=10)
    server.journal.clear()
    new_amount = {"currency": "usd", "value": 7}
    world.update("payment_record", changed, event=False, amount_guaranteed=new_amount)
    attempt = world.create("payment_attempt_record", payment_record=changed, event=False)["id"]
    world.update("payment_intent", intent, status="canceled")
    documents = await capture.catch_up()
    by_id = {each["id"]: each for each in documents}
    assert by_id[changed]["amount_guaranteed"] == new_amount
    assert attempt in by_id
    assert left not in by_id
    assert [each.path for each in server.journal if changed in each.path] == [
        f"/v1/payment_records/{changed}"
    ]


async def test_records_of_other_processors_are_read_again_once_a_day(
    world: World, server: StripeServer
) -> None:
    of_others, own = record(world, NOW - DAY, "self"), record(world, NOW - DAY)
    old = record(world, NOW - 20 * DAY, "self")
    capture = await Capture(server, BOTH).backfill()
    for each in (of_others, own, old):
        world.update("payment_record", each, event=False, metadata={"edit": "silent"})
    attempt = world.create("payment_attempt_record", payment_record=of_others, event=False)["id"]
    await capture.catch_up()
    world.clock.advance(DAY)
    documents = await capture.catch_up()
    found = {each["id"] for each in documents}
    assert {of_others, attempt} <= found
    assert not {own, old} & found


@pytest.mark.parametrize(
    ("by", "start", "params"),
    [
        (TimeRange(), 5, [("created[gte]", "5"), ("created[lt]", "9")]),
        (
            TimeRange("created_after", "created_before", since_is_exclusive=True),
            5,
            [("created_after", "4"), ("created_before", "9")],
        ),
        (
            TimeRange("created_after", "created_before", since_is_exclusive=True),
            0,
            [("created_after", "0"), ("created_before", "9")],
        ),
    ],
)
def test_a_list_is_asked_in_its_own_way(by: TimeRange, start: int, params: list[tuple[str, str]]) -> None:
    assert by.params(start, 9) == params
    assert by.names() == {name.partition("[")[0] for name, _ in params}
