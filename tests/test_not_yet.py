"""Children that cannot be read yet: they are left out, and the event of their parent's completion brings
them, wherever the backfill and the cursor were at that time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.errors import EXPLAINED
from source_stripe_native.models import STREAMS
from source_stripe_native.streams.row import NotYet
from tests.capture import ROWS, UNLIMITED, Capture, Json
from tests.test_documents import ids


@dataclass(frozen=True)
class Case:
    """A parent in the local Stripe that does not show its children yet, and the change that completes it."""

    stream: str
    parent: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    path: str
    child: Mapping[str, str]
    """How a child is made: the argument that names its parent."""

    @property
    def not_yet(self) -> NotYet:
        found = ROWS[self.stream].NOT_YET
        assert found is not None
        return found


CASES: Final = [
    Case(
        "PayoutBalanceTransactions",
        "payout",
        {"reconciliation_status": "in_progress"},
        {"reconciliation_status": "completed"},
        "/v1/balance_transactions",
        {"paid_balance_transaction": "payout"},
    ),
    Case(
        "FinancialConnectionsTransactions",
        "financial_connections.account",
        {"transaction_refresh": {"status": "pending"}},
        {"transaction_refresh": {"status": "succeeded"}},
        "/v1/financial_connections/transactions",
        {"financial_connections.transaction": "linked"},
    ),
]
cases: Final = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stream)


def made(world: World, case: Case, fields: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A parent with these fields and the ids of its children."""
    parent = world.create(case.parent, event=False, **fields)["id"]
    ((kind, argument),) = case.child.items()
    if not world.list_all(kind):
        world.create(kind, event=False, **{argument: parent})
    return parent, ids(
        [each for each in world.list_all(kind) if world.table(kind).by_id[each["id"]].parent == parent]
    )


def complete(world: World, case: Case, parent: str, **options: Any) -> Json:
    """Complete a parent, with the event that says so."""
    changed = world.update(case.parent, parent, event=False, **case.after)
    world.tell(case.not_yet.event_type, case.parent, parent, **options)
    return changed


def test_every_row_of_the_catalogue_that_knows_such_an_error_has_a_case_and_follows_the_completion() -> None:
    rows = [row for row in STREAMS if row.NOT_YET]
    assert [row.NAME for row in rows] == [
        case.stream for case in sorted(CASES, key=lambda each: [*ROWS].index(each.stream))
    ]
    for row in rows:
        assert row.NOT_YET is not None
        assert row.NOT_YET.event_type in row.PARENT_EVENT_TYPES
        assert row.NOT_YET.error not in (*row.TOLERATED, *EXPLAINED), (
            "it is no reason to leave them out for good"
        )


@cases
async def test_they_are_left_out_and_the_event_of_the_completion_brings_them(
    world: World, server: StripeServer, case: Case
) -> None:
    parent, children = made(world, case, case.before)
    capture = await Capture(server, [case.stream]).backfill()
    assert capture.documents == []
    # An event that comes before the completion finds them still refused.
    world.tell(ROWS[case.stream].PARENT_EVENT_TYPES[0], case.parent, parent)
    assert await capture.catch_up() == []
    complete(world, case, parent)
    assert sorted(ids(await capture.catch_up())) == sorted(children)


@cases
async def test_a_parent_that_completes_while_its_children_are_refused_is_read_again(
    world: World, server: StripeServer, case: Case
) -> None:
    """Its event may be older than the cursor."""
    _, children = made(world, case, case.after)
    error, soon = case.not_yet.error, timedelta(milliseconds=20)
    server.faults.set(Fault(case.path, status=400, code=error.code, message="Not yet", times=1))
    settings = replace(UNLIMITED, shortest_pause=soon, longest_pause=soon)
    capture = Capture(server, [case.stream], settings=settings)
    await capture.session(lambda: set(capture.last(case.stream)) == set(children))
    assert sorted(capture.last(case.stream)) == sorted(children)


@cases
async def test_an_event_that_shows_it_complete_is_not_passed_while_its_children_are_refused(
    world: World, server: StripeServer, case: Case
) -> None:
    """The parent is postponed, and read again."""
    parent, children = made(world, case, case.before)
    soon = timedelta(milliseconds=20)
    capture = await Capture(
        server, [case.stream], settings=replace(UNLIMITED, shortest_pause=soon, longest_pause=soon)
    ).backfill()
    complete(world, case, parent)
    error = case.not_yet.error
    refusal = Fault(case.path, status=400, code=error.code, message="Not yet", times=4)
    server.faults.set(refusal)
    world.clock.advance(120)
    await capture.session(lambda: set(capture.last(case.stream)) == set(children))
    assert server.faults.fired(refusal) == 4


@cases
async def test_the_other_bindings_go_on(world: World, server: StripeServer, case: Case) -> None:
    made(world, case, case.before)
    capture = Capture(server, ["Customers", case.stream])
    customer = world.create("customer", event=False)["id"]
    await capture.backfill()
    assert set(capture.last("Customers")) == {customer}


def test_the_local_stripe_has_the_fields_that_say_it() -> None:
    for case in CASES:
        top = case.not_yet.field.partition(".")[0]
        assert top in KINDS[case.parent].fields
