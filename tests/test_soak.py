"""Whatever fails, and wherever the connector is killed, the last state of every object is captured."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, Visit, World
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW
from tests.soak import (
    COMPARED,
    DELETIONS,
    EFFECTS,
    ENDS,
    LATE_OBJECTS,
    LATEST,
    NOT_SOAKED,
    ODD_BODIES,
    REFUSES,
    SETTLE,
    SOAKED,
    UNTOLD,
    WRONG_DATES,
    Case,
    Chaos,
    Process,
    Session,
    Tally,
    Watch,
    run,
)
from tests.test_streams import DAY, ROWS
from tests.troubles import DISCONNECTED, PERMISSION, TROUBLES, Trouble
from tests.untold import Untold

CASES = 20
MIDNIGHT = (NOW // DAY + 1) * DAY

TROUBLE = st.lists(
    st.builds(
        lambda what, after: Trouble(what[0], what[1], after, seconds=0.1),
        # The soak has the others, which have to last for longer.
        st.sampled_from([each for each in TROUBLES if each[1] not in (DISCONNECTED, PERMISSION)]),
        st.sampled_from([-1, 0, 20]),
    ),
    min_size=1,
    max_size=1,
).map(tuple)
FEW_TROUBLES = st.integers(0, 3).flatmap(lambda number: st.just(()) if number else TROUBLE)
SESSIONS = st.builds(
    Session,
    checkpoints=st.integers(1, 8),
    chance=st.sampled_from([0.0, 0.05, 0.2]),
    troubles=FEW_TROUBLES,
    changes=st.integers(0, 8),
    pause=st.sampled_from([0, 0, 1, 7, 45]),
    ends=st.sampled_from(ENDS[:-1]),
    fired=st.sampled_from([False] * 7 + [True]),
)


def test_the_soak_covers_every_stream_of_the_catalogue() -> None:
    assert {*SOAKED, *NOT_SOAKED} == {each.NAME for each in STREAMS}
    assert not {*SOAKED} & NOT_SOAKED.keys()
    untold = Untold(World(), Random(), SOAKED)
    compared = {name for name in SOAKED if ROWS[name].SNAPSHOTS or ROWS[name].RELIST}
    assert compared <= untold.streams, "what is read again has changes that no event tells of"


def cases(first: tuple[str, ...] = ()) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        seed=st.integers(0, 2**32),
        streams=st.lists(st.sampled_from(SOAKED), min_size=1, max_size=7, unique=True).map(
            lambda others: tuple(dict.fromkeys((*first, *others)))
        ),
        sessions=st.lists(SESSIONS, max_size=3).map(tuple),
        connected=st.sampled_from([None, 0, 2]),
        objects=st.integers(0, 6),
        page_size=st.integers(1, 5),
        late=st.sampled_from([0, 30, 600]),
        faults=st.sampled_from([0.0, 0.01, 0.03]),
        window=st.sampled_from(["P1D", "P1D", "PT1H", "PT2M"]),
        refuses=st.sampled_from(REFUSES),
        late_objects=st.sampled_from(LATE_OBJECTS),
        effects=st.sampled_from(EFFECTS),
        odd_bodies=st.sampled_from(ODD_BODIES),
        wrong_dates=st.sampled_from(WRONG_DATES),
        deletions=st.sampled_from(DELETIONS),
        divided=st.sampled_from([0.5, 2, DEFAULTS.pages_to_divide]),
        poll_wait=st.sampled_from([0, 60]),
        untold=st.sampled_from(UNTOLD),
        compared=st.sampled_from(COMPARED),
        is_half=st.sampled_from([False, False, False, True]),
        is_selected=st.sampled_from([False, False, False, True]),
        refreshes=st.sampled_from([0, 0, 0, 1]),
        rounds=st.sampled_from([0, 0, 1]),
        last=st.builds(Session, st.just(1 << 30), troubles=FEW_TROUBLES),
    )


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=CASES // 4, deadline=None)
@given(data=st.data())
async def test_every_objects_last_state_is_captured_whatever_fails(part: int, data: st.DataObject) -> None:
    # Each part has its share of the streams, so that over all of them every stream has its turn.
    share = SOAKED[part::4]
    case = data.draw(cases((data.draw(st.sampled_from(share)),)))
    tally = Tally()
    assert await run(case, tally) == [], tally
    event("connected accounts" if case.connected else "one account")
    event("a refused key" if tally.counts["refused sessions"] else "no refused key")
    event("troubles that last" if tally.counts["troubles"] else "no trouble that lasts")


@pytest.mark.parametrize("when", ["while it is captured", "once it is"])
async def test_a_world_that_fails_fails_its_case(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Chaos) -> None:
        raise RuntimeError("no such object")

    monkeypatch.setattr(Chaos, "change", fail)
    sessions = (Session(100, chance=1.0),) if when == "while it is captured" else ()
    with pytest.raises(AssertionError, match="the world failed with RuntimeError"):
        await run(Case(3, ("Products",), sessions, rounds=1), Tally())


@pytest.mark.parametrize("posted", ["", "badly"])
async def test_accounts_of_others_are_neither_asked_for_nor_captured(posted: str) -> None:
    """Whatever Stripe posts of them, in a capture that is one of two shards, and leaves out an account."""
    streams = ("Products", "Accounts", "Cards", "BalanceTransactions", "Events")
    case = Case(
        *(5, streams, (Session(30, chance=0.1, changes=20),), 5),
        posted=posted,
        is_half=True,
        is_selected=True,
        refreshes=2,
        rounds=1,
    )
    assert await run(case, Tally()) == []


HALVES = {None: SOAKED[::2], 1: SOAKED[1::2]}
"""The streams of a case with many, by how many accounts are connected: each is in one of two."""


@pytest.mark.parametrize("connected", [None, 1])
async def test_no_session_ends_by_itself_under_three_percent_of_each_failure(connected: int | None) -> None:
    sessions = (Session(400, chance=0.05, changes=20, pause=3),)
    # Each kind of failure has half the chance: those to be sat out, the broken ones and the slow ones.
    case = Case(
        3, HALVES[connected], sessions, connected, objects=3, page_size=2, late=60, faults=0.06, divided=2
    )
    tally = Tally()
    assert await run(case, tally) == [], tally
    assert tally.counts["kills"] == tally.counts["sessions"] == 2
    assert tally.counts["faults"] > 0.03 * 8 * tally.counts["requests"]


@pytest.mark.parametrize("connected", [None, 1])
async def test_every_objects_last_state_is_captured_by_processes_however_they_end(
    connected: int | None,
) -> None:
    trouble = Trouble("one account", "reset", after=20, seconds=0.5)
    sessions = tuple(
        Session(1 << 30, chance=0.03, changes=20, pause=3, troubles=(trouble,), ends=end, stalls=0.3)
        for end in ("kill", "stop", "signal")
    )
    case = Case(7, HALVES[connected], sessions, connected, objects=3, page_size=100, late=60, faults=0.004)
    tally = Tally()
    assert await run(case, tally, Process) == [], tally
    assert tally.counts["sessions"] == 4
    assert tally.counts["troubles"]


# What it has found


async def test_a_deletion_in_the_second_of_the_creation_is_the_last_word_for_the_children(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, streams=["InvoiceLineItems"]).backfill()
    for _ in range(10):  # the events of one second come in any order
        invoice = world.create("invoice", lines=3)
        world.delete("invoice", invoice["id"], visible_after=300)
    await capture.catch_up()
    assert len(capture.last("InvoiceLineItems")) == 30
    await capture.catch_up(400)
    assert capture.last("InvoiceLineItems") == {}


async def test_a_fee_shows_no_older_version_of_its_refunds_than_their_own_events(
    world: World, server: StripeServer
) -> None:
    fees = [world.create("application_fee", event=False)["id"] for _ in range(10)]
    refunds = [world.create("fee_refund", fee=each, event=False)["id"] for each in fees]
    capture = await Capture(server, streams=["ApplicationFeesRefunds"]).backfill()
    for fee, refund in zip(fees, refunds, strict=True):
        world.create("fee_refund", fee=fee)
        world.update("fee_refund", refund, metadata={"edit": "1"})
    await capture.catch_up()
    captured = capture.last("ApplicationFeesRefunds")
    assert [captured[each]["metadata"] for each in refunds] == [{"edit": "1"}] * 10


async def test_an_attempt_in_the_second_in_which_its_intent_had_none_is_captured(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, streams=["SetupAttempts"]).backfill()
    intents = [world.create("setup_intent")["id"] for _ in range(10)]
    attempts = {world.create("setup_attempt", setup_intent=each)["id"] for each in intents}
    await capture.catch_up()
    assert capture.last("SetupAttempts").keys() == attempts


@pytest.mark.parametrize("container", ["customer", "subscription"])
async def test_of_a_discounts_changes_in_one_second_the_last_one_counts(
    world: World, server: StripeServer, container: str
) -> None:
    capture = await Capture(server, streams=["Discounts"]).backfill()
    ends: dict[str, int] = {}
    for number in range(10):  # the events of one second come in any order
        id = world.create("discount", **{container: world.create(container)["id"]})["id"]
        for end in (NOW + 100, NOW + 200, ends.setdefault(id, NOW + 300 + number)):
            world.update("discount", id, end=end)
    await capture.catch_up()
    assert {id: each["end"] for id, each in capture.last("Discounts").items()} == ends


async def test_an_items_discount_is_captured_in_the_second_in_which_its_subscription_is_canceled(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, streams=["Discounts"]).backfill()
    discounts = set()
    for _ in range(10):  # the events of one second come in any order
        item = world.create("subscription_item")
        world.delete("subscription", item["subscription"])
        discounts.add(world.create("discount", subscription_item=item["id"])["id"])
    await capture.catch_up()
    assert capture.last("Discounts").keys() == discounts


async def test_a_discount_is_as_it_was_when_its_customer_was_deleted(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, streams=["Discounts"]).backfill()
    for number in range(10):
        customer = world.create("customer")["id"]
        id = world.create("discount", customer=customer)["id"]
        world.update("discount", id, end=NOW + 100)
        world.update("discount", id, end=NOW + 1000 + number)
        world.delete("customer", customer)
    await capture.catch_up()
    captured = capture.last("Discounts").values()
    assert sorted(each["end"] for each in captured) == [NOW + 1000 + number for number in range(10)]


async def test_an_event_that_shows_up_after_the_backfill_has_listed_events_is_captured(
    world: World, server: StripeServer
) -> None:
    for _ in range(3):
        world.create("price", at=NOW - 100)
    world.create("price", at=NOW - 10, visible_after=60)

    pauses = [40, 40, 40, 0, 0, 0, 900]
    """Seconds that pass with each page: first of the backfill, then until the event is out of any overlap."""

    def on_visit(visit: Visit) -> None:
        if visit.path == "/v1/events" and pauses:
            world.clock.advance(pauses.pop(0))

    server.journal = Watch(on_visit)
    capture = Capture(server, streams=["Events"], settings=replace(UNLIMITED, page_size=1))
    await capture.session(lambda: not pauses and capture.caught_up("Events"))
    await capture.catch_up(1000)
    assert capture.last("Events").keys() == {each["id"] for each in world.events()}


async def test_a_page_that_takes_long_is_not_written_over_what_has_changed_meanwhile(
    world: World, server: StripeServer
) -> None:
    changed, *others = [world.create("transfer", event=False)["id"] for _ in range(4)]
    for number in range(45):  # more than the transfers show: they are listed, one transfer after the other
        world.create("transfer_reversal", transfer=others[number % 3], event=False)
    world.clock.advance(10)
    # The first two slow answers show the incremental task how late it is, as they agree. The third holds the
    # page up until that task has read.
    server.faults.set(Fault(path="/v1/transfers/*/reversals", latency=1.3, times=3))

    def on_visit(visit: Visit) -> None:
        if visit.path == "/v1/transfers":
            world.update("transfer", changed, metadata={"edit": "1"})
            world.clock.advance(90)

    server.journal = Watch(on_visit)
    capture = await Capture(server, streams=["Transfers"]).backfill()
    assert len(capture.documents) >= 3
    assert capture.last("Transfers")[changed]["metadata"] == {"edit": "1"}


async def test_a_scheduled_backfill_of_connected_accounts_loses_no_deletion(
    world: World, server: StripeServer
) -> None:
    account = world.connect()["id"]
    gone, _ = (world.create("person", account, event=False)["id"] for _ in range(2))
    capture = await Capture(server, streams=["Persons"], connected=True, schedule="0 0 * * *").backfill()
    await capture.catch_up()
    world.delete("person", gone, account)
    world.clock.advance(LATEST + SETTLE)
    capture.state["bindingStateV1"]["Persons"]["last_initialized"] = "2020-01-01T00:00:00Z"
    await capture.session(capture.is_backfilled, checkpoints=20)
    await capture.catch_up(1000)
    assert gone not in capture.last("Persons")
    assert len(capture.last("Persons")) == 1


async def test_a_parent_that_is_deleted_while_its_children_are_read_ends_their_list(
    world: World, server: StripeServer
) -> None:
    kept, gone = (world.create("customer", at=NOW - age, event=False)["id"] for age in (10, 0))
    for customer in (kept, gone):
        for _ in range(150):
            world.create("card", customer=customer, event=False)
    visits: list[Visit] = []

    def on_visit(visit: Visit) -> None:
        if visit.path == f"/v1/customers/{gone}/cards":
            visits.append(visit)
            if len(visits) == 1:
                world.delete("customer", gone)

    server.journal = Watch(on_visit)
    capture = await Capture(server, streams=["Cards"]).backfill()
    assert sum(each["customer"] == kept for each in capture.last("Cards").values()) == 150
    assert len(visits) == 3, "its first page, its second page, which is gone, and its first page again"


async def test_lines_of_a_payment_intent_are_listed_after_its_events_which_never_show_them(
    world: World, server: StripeServer
) -> None:
    intent = world.create("payment_intent", event=False)["id"]
    capture = await Capture(server, streams=["PaymentIntentAmountDetailsLineItems"]).backfill()
    kind = "payment_intent_amount_details_line_item"
    line = world.create(kind, payment_intent=intent, event=False)["id"]
    world.tell("payment_intent.updated", "payment_intent", intent)
    await capture.catch_up()
    assert capture.last("PaymentIntentAmountDetailsLineItems").keys() == {line}


async def test_what_moves_under_a_financial_account_is_captured_though_it_is_closed_meanwhile(
    world: World, server: StripeServer
) -> None:
    account = world.create("treasury.financial_account", event=False)["id"]
    payment = world.create("treasury.outbound_payment", financial_account=account, event=False)["id"]
    # The list of open accounts is answered last.
    server.faults.set(Fault("/v1/treasury/financial_accounts", query="status=open", latency=0.1))

    def on_visit(visit: Visit) -> None:
        if (
            visit.query.get("status") == "closed"
            and world.get("treasury.financial_account", account)["status"] == "open"
        ):
            world.clock.advance(20)
            world.update("treasury.financial_account", account, status="closed")

    server.journal = Watch(on_visit)
    capture = await Capture(server, streams=["TreasuryOutboundPayments"]).backfill()
    await capture.catch_up()
    assert capture.last("TreasuryOutboundPayments").keys() == {payment}


@pytest.mark.parametrize("late", [0, 60])
async def test_what_the_daily_list_shows_is_not_taken_back_by_an_older_event(
    world: World, server: StripeServer, late: int
) -> None:
    session = world.create("identity.verification_session", event=False)["id"]
    capture = await Capture(server, streams=["IdentityVerificationSessions"]).backfill()
    world.clock.advance(MIDNIGHT - NOW - 20)
    world.update("identity.verification_session", session, status="processing", visible_after=late)
    world.update("identity.verification_session", session, metadata={"edit": "1"}, event=False)
    await capture.catch_up(40)
    await capture.catch_up()
    assert capture.last("IdentityVerificationSessions")[session]["metadata"] == {"edit": "1"}
