"""One object that Stripe fails to show holds up no other: it is read later, also after a restart."""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from estuary_cdk.capture.common import ResourceState
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.postponed import Postponed
from tests.capture import ROWS, UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.soak import hurried
from tests.test_documents import until_paused
from tests.test_failures import fill
from tests.test_streams import differences, one_of_each

QUICK: Final = replace(
    UNLIMITED,
    shortest_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(milliseconds=200),
    # Leaps of the world's clock are seen at once.
    longest_silence=timedelta(),
)
OLDER: Final = "2022-11-15"
"""What an event of this version carries is read again."""
FAILURES: Final = {"500": Fault(status=500), "reset": Fault(reset=True), "cut off": Fault(truncate=True)}


def changed_object(world: World, account: str) -> str:
    changed, other = (world.create("charge", account, event=False)["id"] for _ in range(2))
    for charge in (changed, other):
        world.tell("charge.updated", "charge", charge, account=account, api_version=OLDER)
    return f"/v1/charges/{changed}"


def children_of_a_changed_object(world: World, account: str) -> str:
    bad, _ = (world.create("invoice", account, lines=12)["id"] for _ in range(2))
    return f"/v1/invoices/{bad}/lines"


def container_of_discounts(world: World, account: str) -> str:
    invoices = [world.create("invoice", account, event=False)["id"] for _ in range(2)]
    for invoice in invoices:
        world.create("discount", account, event=False, invoice=invoice)
        world.tell("invoice.updated", "invoice", invoice, account=account, api_version=OLDER)
    return f"/v1/invoices/{invoices[0]}"


def object_of_a_thin_event(world: World, account: str) -> str:
    bad, _ = (world.create("v2.core.account_person", account) for _ in range(2))
    return f"/v2/core/accounts/{bad['account']}/persons/{bad['id']}"


@dataclass(frozen=True)
class Case:
    stream: str
    change: Callable[[World, str], str]
    """Changes two objects and returns the path that fails."""


CASES: Final = [
    Case("Charges", changed_object),
    Case("InvoiceLineItems", children_of_a_changed_object),
    Case("Discounts", container_of_discounts),
    Case("V2CoreAccountPersons", object_of_a_thin_event),
]


@pytest.mark.parametrize(("failure", "restarts"), [("cut off", False), ("reset", True)], ids=str)
@pytest.mark.parametrize("is_connected", [False, True], ids=["single", "connected"])
@pytest.mark.parametrize("case", CASES, ids=[case.stream for case in CASES])
async def test_an_object_that_cannot_be_read_again_holds_up_no_other(
    world: World, server: StripeServer, case: Case, is_connected: bool, failure: str, restarts: bool
) -> None:
    account = world.connect()["id"] if is_connected else PLATFORM
    capture = Capture(server, [case.stream], connected=is_connected, settings=QUICK)
    await capture.backfill()
    world.clock.advance(10)
    path = case.change(world, account)
    world.clock.advance(120)
    rule = replace(FAILURES[failure], path=f"{path}*", account=account)
    server.faults.set(rule)
    missing = functools.partial(differences, capture, case.stream, is_connected, changed=True)

    def has_others_and_has_failed() -> bool:
        return bool(capture.documents) and postponed(capture, case.stream) != {}

    with hurried():
        await capture.session(has_others_and_has_failed)
        assert missing()
        if restarts:
            server.faults.set()

        def mended() -> bool:
            server.faults.set()
            return not missing() and not postponed(capture, case.stream)

        await capture.session(mended)


def postponed(capture: Capture, stream: str) -> Json:
    entries = capture.binding_state(stream).get("snapshot") or {}
    return {key: entry for key, entry in entries.items() if key.startswith("postponed/")}


@pytest.mark.parametrize("pages", [0, 1], ids=["at first", "on the second page"])
@pytest.mark.parametrize("is_connected", [False, True], ids=["single", "connected"])
async def test_a_parent_whose_children_cannot_be_listed_holds_up_no_backfill(
    world: World, server: StripeServer, is_connected: bool, pages: int
) -> None:
    account = world.connect()["id"] if is_connected else PLATFORM
    invoices = [world.create("invoice", account, lines=12, event=False)["id"] for _ in range(3)]
    server.faults.set(Fault(f"/v1/invoices/{invoices[1]}/lines", account=account, status=500, after=pages))
    settings = replace(QUICK, page_size=10)
    capture = Capture(
        server, ["InvoiceLineItems"], connected=is_connected, settings=settings, interval="PT0.1S"
    )
    with hurried():
        await capture.backfill()
        assert differences(capture, "InvoiceLineItems", is_connected)
        server.faults.set()
        world.clock.advance(120)
        await capture.session(
            lambda: (
                not differences(capture, "InvoiceLineItems", is_connected)
                and not postponed(capture, "InvoiceLineItems")
            )
        )


@pytest.mark.parametrize("is_connected", [False, True], ids=["single", "connected"])
async def test_an_object_that_cannot_be_read_in_full_holds_up_no_backfill(
    world: World, server: StripeServer, is_connected: bool
) -> None:
    account, stream = world.connect()["id"] if is_connected else PLATFORM, "V2CoreAccounts"
    bad, *_ = [world.create("v2.core.account", account, event=False)["id"] for _ in range(3)]
    server.faults.set(Fault(f"/v2/core/accounts/{bad}", account=account, status=500))
    capture = Capture(server, [stream], connected=is_connected, settings=QUICK)
    with hurried():
        await capture.backfill()
        assert capture.last(stream)[bad]["identity"] is None, "as the list shows it"
        assert "identity" in differences(capture, stream, is_connected)
        server.faults.set()
        world.clock.advance(120)
        await capture.session(
            lambda: not differences(capture, stream, is_connected) and not postponed(capture, stream)
        )


CHILD_ROWS: Final = one_of_each(
    [
        row
        for row in STREAMS
        if row.PARENT is not None
        and not row.PARENT.ARE_ACCOUNTS
        # The list of a version that the tests' capture does not have, and the one that days go by.
        and not row.UNTIL_VERSION
        and not row.RANGED
    ],
    lambda row: (
        *map(bool, (row.PARENT_FIELD, row.PARENT_PARAM, row.PARENT_QUERY, row.PARENT_EVENT_TYPES)),
        *map(bool, (row.EVENT_TYPES, row.THIN_EVENTS, row.SNAPSHOTS, row.POLLS, row.RELIST, row.NOT_YET)),
        row.VARIANTS_OF_PARENT,
        row.API,
    ),
)
"""A stream for each way in which children are listed and followed."""


@pytest.mark.parametrize(
    ("stream", "is_connected"), [(row.NAME, bool(number % 2)) for number, row in enumerate(CHILD_ROWS)]
)
async def test_children_that_cannot_be_listed_at_first_are_all_there_at_last(
    world: World, server: StripeServer, stream: str, is_connected: bool
) -> None:
    account = world.connect()["id"] if is_connected else PLATFORM
    parent = ROWS[stream].PARENT
    assert parent is not None
    fill(world, [parent.NAME, stream], [account], event=False)
    path = ROWS[stream].list_template().format(parent="*")
    server.faults.set(Fault(f"{path}*", account=account, status=500))
    capture = Capture(server, [stream], connected=is_connected, settings=QUICK, interval="PT0.1S")

    def missing() -> str:
        return differences(capture, stream, is_connected, changed=False)

    def is_left() -> bool:
        return bool(missing() or postponed(capture, stream))

    def mended() -> bool:
        server.faults.set()
        return not is_left()

    with hurried():
        await capture.backfill()
        assert 500 in {visit.status for visit in server.journal}
        server.faults.set()
        world.clock.advance(120)
        if is_left():
            await capture.session(mended)
    assert not missing()


@pytest.mark.parametrize("restarts", [False, True])
async def test_changes_of_a_connected_account_do_not_wait_for_what_is_postponed(
    world: World, server: StripeServer, restarts: bool
) -> None:
    account, hour = world.connect()["id"], timedelta(hours=1)
    settings = replace(UNLIMITED, shortest_pause=hour, longest_pause=hour)
    capture = Capture(server, ["Charges"], connected=True, settings=settings)
    await capture.session(capture.caught_up)
    world.clock.advance(10)
    bad, good = (world.create("charge", account, event=False)["id"] for _ in range(2))
    world.tell("charge.updated", "charge", bad, account, api_version=OLDER)
    world.clock.advance(120)
    server.faults.set(Fault(f"/v1/charges/{bad}", status=500), Fault("/v1/charges", status=500))

    def is_postponed() -> bool:
        return bool(capture.binding_state("Charges").get("snapshot"))

    async def change() -> None:
        async with asyncio.timeout(20):
            while not (is_postponed() and capture.is_open):  # noqa: ASYNC110 - the capture tells nobody
                await asyncio.sleep(0.01)
        world.update("charge", good, account, metadata={"n": "1"})
        world.clock.advance(60)

    with hurried():
        if restarts:
            await capture.session(is_postponed)
        changing = asyncio.create_task(change())
        await capture.session(lambda: good in capture.last("Charges"), seconds=20)
        await changing
    assert is_postponed()


async def test_too_many_objects_pause_their_stream(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(server, ["Charges"], settings=replace(QUICK, postponed_at_most=2))
    await capture.backfill(pause=10)
    for charge in [world.create("charge", event=False)["id"] for _ in range(3)]:
        world.tell("charge.updated", "charge", charge, api_version=OLDER)
    world.clock.advance(120)
    server.faults.set(Fault("/v1/charges/*", status=500), Fault("/v1/charges", status=500))
    with hurried():
        await capture.session(lambda: any("is paused." in record.message for record in caplog.records))
        assert capture.last("Charges") == {}
        server.faults.set()
        await capture.session(lambda: len(capture.last("Charges")) == 3)


@pytest.mark.parametrize("is_connected", [False, True], ids=["single", "connected"])
async def test_what_can_be_read_again_makes_room_for_what_cannot(
    world: World, server: StripeServer, is_connected: bool
) -> None:
    settings = replace(QUICK, postponed_at_most=1)
    capture = Capture(server, ["Charges"], settings=settings, connected=is_connected)
    await capture.session(lambda: not capture.binding_state("Charges").get("backfill"))
    first, second = (world.create("charge", event=False)["id"] for _ in range(2))

    def is_left(charge: str) -> bool:
        return {key.rpartition(":")[2] for key in postponed(capture, "Charges")} == {charge}

    with hurried():
        for failing, captured in ((first, list[str]()), (second, [first])):
            world.clock.advance(10)
            world.tell("charge.updated", "charge", failing, api_version=OLDER)
            world.clock.advance(120)
            server.faults.set(Fault(f"/v1/charges/{failing}", status=500))
            await capture.session(functools.partial(is_left, failing), seconds=20)
            assert [*capture.last("Charges")] == captured


@given(
    st.lists(
        st.tuples(st.sampled_from(["acct_1", "acct_2"]), st.sampled_from(["OBJECT::a", "PARENT::b"])),
        min_size=1,
    )
)
def test_what_is_postponed_survives_a_restart_with_its_failures(failures: list[tuple[str, str]]) -> None:
    state: Json = {}

    async def write(entries: Json) -> None:
        for key, entry in entries.items():
            state.pop(key, None) if entry is None else state.update({key: entry})

    async def fail() -> Postponed:
        before = Postponed(DEFAULTS, write)
        for number, (account_id, subject) in enumerate(failures):
            at = datetime.fromtimestamp(NOW + number, tz=UTC)
            assert await before.add(account_id, subject, at)
        return before

    before, after = asyncio.run(fail()), Postponed(DEFAULTS, write)
    snapshot: Any = dict(state)
    restored = ResourceState.model_validate({"snapshot": snapshot})
    assert after.restore(restored, {"acct_1", "acct_2"}) == {}
    assert not restored.snapshot
    for seconds in (0, 59, 200, 10_000):
        now = datetime.fromtimestamp(NOW + len(failures) + seconds, tz=UTC)
        for account_id in ("acct_1", "acct_2", "acct_3"):
            assert sorted(after.due(account_id, now)) == sorted(before.due(account_id, now))
            assert after.wait(account_id, now) == before.wait(account_id, now)


async def test_all_that_fail_at_once_are_in_the_state(world: World, server: StripeServer) -> None:
    capture = await Capture(server, ["Charges"], settings=QUICK).backfill(pause=10)
    charges = [world.create("charge", event=False)["id"] for _ in range(20)]
    for charge in charges:
        world.tell("charge.updated", "charge", charge, api_version=OLDER)
    world.clock.advance(120)
    server.faults.set(Fault("/v1/charges*", status=500))
    with hurried():
        await capture.session(capture.caught_up)
        assert {key.rpartition(":")[2] for key in postponed(capture, "Charges")} == {*charges}
        server.faults.set()
        await capture.session(lambda: capture.last("Charges").keys() == {*charges})


async def test_what_cannot_be_read_by_its_id_alone_is_not_postponed(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    card = world.create("card", event=False)
    capture = await Capture(server, ["Cards"], settings=QUICK).backfill(pause=10)
    world.tell("customer.source.updated", "card", card["id"], api_version=OLDER)
    world.clock.advance(120)
    server.faults.set(Fault(f"*/{card['id']}", status=500))
    with hurried():
        await until_paused(capture, caplog)
        assert not postponed(capture, "Cards")
        server.faults.set()
        await capture.session(capture.caught_up)
    assert capture.last("Cards")[card["id"]]["customer"] == card["customer"]
