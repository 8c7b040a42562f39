"""Event types that older API versions name differently: an account's default version decides, whatever
version is pinned, and each such event counts as the one that rows know."""

from typing import Any, Final

import pytest

from sandbox.stripe import StripeServer, World, facts
from sandbox.stripe.versions import VERSIONS
from source_stripe_native.models import STREAMS, BaseStripeObject
from source_stripe_native.streams.event_types import RENAMED, Renamed
from tests.capture import Capture, Json, plain, without_secrets
from tests.conftest import NOW
from tests.test_streams import HELD
from tools.facts import stripe_facts

TYPES: Final[frozenset[str]] = frozenset(stripe_facts()["event_types"])


def followers(renamed: Renamed) -> list[type[BaseStripeObject]]:
    """The rows whose objects such events carry."""
    return [row for row in STREAMS if renamed.now in row.EVENT_TYPES and is_about(row, renamed)]


def is_about(row: type[BaseStripeObject], renamed: Renamed) -> bool:
    """`customer.card.created` is about cards alone."""
    kind = renamed.was.removeprefix("customer.").partition(".")[0]
    return not row.EVENT_OBJECT or kind == row.EVENT_OBJECT


CASES: Final[list[Any]] = [
    pytest.param(renamed, row, id=f"{renamed.was}-{row.NAME}")
    for renamed in RENAMED
    for row in followers(renamed)
]


def before(version: str) -> str:
    """The last version before `version`."""
    return max(each for each in VERSIONS if each < version)


def older(found: Json, renamed: Renamed) -> Json:
    """An object as an event of that time carries it: by another type where it was split, and little of it."""
    split: Json = {"object": "transfer", "type": min(renamed.of)} if renamed.of else {}
    return {name: found[name] for name in ("id", "object", "customer") if name in found} | split


def test_each_name_leads_to_one_that_stripe_has_today_and_that_a_row_follows() -> None:
    for renamed in RENAMED:
        assert renamed.now in TYPES
        assert followers(renamed), renamed.was
        assert renamed.was not in TYPES or renamed.of, (
            "only a part of what has this name has another one today"
        )
        assert any(version >= renamed.until for version in VERSIONS)


@pytest.mark.parametrize("is_pinned", [True, False])
@pytest.mark.parametrize(("renamed", "row"), CASES)
async def test_an_event_by_its_older_name_counts_as_the_one_that_the_row_follows(
    renamed: Renamed, row: type[BaseStripeObject], is_pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = before(renamed.until)
    world = World(now=NOW, api_version=version)
    async with StripeServer(world) as server:
        monkeypatch.setenv("STRIPE_API_BASE", server.url)
        pin = {"api_version": VERSIONS[-1]} if is_pinned else {}
        kind = HELD[row.NAME].kind
        found = world.create(kind, event=False)
        capture = await Capture(server, [row.NAME], config={"advanced": pin}).backfill(pause=10)
        is_deletion = row.EVENT_TYPES[renamed.now] == "d"
        if is_deletion:
            world.delete(kind, found["id"], event=False)
        else:
            changed = world.update(kind, found["id"], event=False, metadata={"changed": "once"})
        server.journal.clear()
        world.announce(renamed.was, older(found, renamed), api_version=version)
        documents = {each["id"]: each for each in await capture.catch_up()}
        document = documents[found["id"]]
        if is_deletion:
            assert document["_meta"]["op"] == "d"
        else:
            known = without_secrets(
                {each: changed[each] for each in changed.keys() - facts.added(kind, version)}
            )
            assert plain(document) | known == plain(document)
        asked = [query.get("types[]", "") for query in queries(server)]
        assert all(renamed.was in each and renamed.now in each for each in asked if each)


def queries(server: StripeServer) -> list[Json]:
    return [dict(each.query) for each in server.journal.visits("/v1/events")]


@pytest.mark.parametrize("renamed", RENAMED, ids=lambda renamed: f"{renamed.was}-{renamed.now}")
def test_an_event_of_a_later_version_has_its_own_name(renamed: Renamed) -> None:
    event = {"type": renamed.was, "data": {"object": {"type": min(renamed.of, default="")}}}
    assert renamed.applies(event | {"api_version": before(renamed.until)})
    assert not renamed.applies(event | {"api_version": renamed.until})


async def test_a_transfer_between_accounts_is_no_payout(world: World, server: StripeServer) -> None:
    transfer = world.create("transfer", event=False)
    capture = await Capture(server, ["Transfers", "Payouts"]).backfill(pause=10)
    for kind in ("transfer.created", "transfer.paid"):
        world.announce(kind, transfer | {"type": "stripe_account"}, api_version="2016-07-06")
        world.clock.advance(10)
    payout = {"id": world.create("payout", event=False)["id"], "object": "transfer", "type": "bank_account"}
    world.announce("transfer.created", payout, api_version="2016-07-06")
    before = len(capture.documents)
    await capture.catch_up()
    found = [
        (stream, document["id"], document["_meta"]["op"]) for stream, document in capture.documents[before:]
    ]
    assert set(found) == {("Transfers", transfer["id"], "u"), ("Payouts", payout["id"], "c")}


async def test_the_stream_of_events_has_each_as_stripe_sent_it(world: World, server: StripeServer) -> None:
    capture = await Capture(server, ["Events", "PaymentMethods"]).backfill()
    method = world.create("payment_method", event=False)["id"]
    world.announce(
        "payment_method.card_automatically_updated",
        {"id": method, "object": "payment_method"},
        api_version="2020-03-02",
    )
    await capture.catch_up()
    (event,) = capture.last("Events").values()
    assert (event["type"], event["api_version"]) == (
        "payment_method.card_automatically_updated",
        "2020-03-02",
    )
    assert method in capture.last("PaymentMethods")
