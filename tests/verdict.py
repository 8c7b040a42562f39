"""What was captured in a case of the soak, held to its world: what is lost, stale and invented.

Rule: the last document of each object is the object as it is, as far as the row of its stream promises that.
What a row does not promise is in this module, each with its reason.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import orjson

from sandbox.stripe import World
from sandbox.stripe.kind import Holder
from sandbox.stripe.kinds import KINDS
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.documents import get_path
from tests.capture import Capture, Json
from tests.test_streams import DAY, HELD, ROWS, expected, without, without_needless
from tests.untold import SOLD, customer_of

if TYPE_CHECKING:
    from tests.soak import Chaos

HIDDEN: Final = {"Reviews": ("open", False), "PaymentMethods": ("customer", None)}
"""Objects that exist and that no list shows, by the value of a field."""


def wrong(chaos: "Chaos", capture: Capture) -> list[str]:
    """What is not as in the world: for each stream what is lost, stale and invented."""
    found = []
    for stream in chaos.case.streams:
        held, row, tables = HELD[stream], ROWS[stream], (captured(capture, stream), owed(chaos, stream))
        left = {"_meta", "account_id", held.parent_field, *held.quiet}
        have, want = (
            without(left, {key: without_needless(stream, each) for key, each in table.items()})
            for table in tables
        )
        documents = [document for name, document in capture.documents if name == stream]
        buried = {row.identity(each) for each in documents if each["_meta"]["op"] == "d"}
        unheard = set() if row.SINGLE else {each["id"] for each in documents} - chaos.world.ever
        gone = {key for key in have.keys() - want.keys() if is_known_gone(chaos, stream, have[key]["id"])}
        mistakes = {
            "lost": {key for key in want.keys() - have.keys() if is_told(chaos, stream, want[key])},
            "stale": {key for key in want.keys() & have.keys() if want[key] != have[key]},
            "invented": gone | (buried & want.keys()) | unheard,
        }
        if held.kind in ("event", "v2.core.event"):
            mistakes["invented"] = have.keys() - want.keys()
        counts = chaos.tally.by_way[way_of(row)]
        counts.update(streams=1, documents=len(documents))
        for name, ids in mistakes.items():
            chaos.tally.counts[name] += len(ids)
            counts[name] += len(ids)
            if ids:
                found.append(f"{stream}: {len(ids)} {name}, such as {min(ids)}")
    return found


def way_of(row: type[BaseStripeObject]) -> str:
    """The way in which changes of a stream's objects are found, beside events if it is another one."""
    if row.SNAPSHOTS:
        return "compared lists, and deletions" if row.SHOWS_DELETIONS else "compared lists"
    if row.RELIST:
        return "lists of a longer past"
    if row.POLLS:
        return "polled lists"
    return "events" if row.EVENT_TYPES or row.IS_EVENT else "events of other objects"


def captured(capture: Capture, stream: str) -> dict[str, Json]:
    """The last documents by their keys, deleted ones left out; by account the newest day's where each account
    has a single object."""
    if not ROWS[stream].SINGLE:
        return capture.last_by_key(stream)
    newest: dict[str, Json] = {}
    for name, document in capture.documents:
        account = document["account_id"]
        if name == stream and document["id"] >= newest.get(account, document)["id"]:
            newest[account] = document
    return {account: each | {"id": account} for account, each in newest.items()}


def owed(chaos: "Chaos", stream: str) -> dict[str, Json]:
    """What `captured` should return, as far as the row promises it."""
    connected, row, world = chaos.case.connected is not None, ROWS[stream], chaos.world
    accounts = chaos.accounts if connected else [world.platform]
    if HELD[stream].scope == "connected" and not connected and not row.SNAPSHOTS:
        return {}  # Only the accounts' own events tell, which a single account does not read: once a day.
    if row.SINGLE:
        return {
            account: found | {"id": account, "created": world.clock.now() // DAY * DAY}
            for account in accounts
            for found in world.list_all(HELD[stream].kind, account)
        }
    found = expected(world, stream, connected, accounts)
    if ROWS[stream].ARE_ACCOUNTS:
        return {key: each for key, each in found.items() if each["id"] in accounts}
    if row.EMBEDDINGS and row.LISTED_IN:
        sold = {price for account in accounts for price in inline_prices(world, account)}
        return {key: each for key, each in found.items() if key in sold}
    if row.RANGED:
        # Of whole days only.
        ended = [each for each in found.values() if each["end_time"] <= world.clock.now() // DAY * DAY]
        named = [{"customer": customer_of(each), **each} for each in ended]
        return {row.identity(each): each for each in named}
    return found


def inline_prices(world: World, account: str) -> Iterator[str]:
    """The ids of the prices of what was sold that no list has."""
    prices = world.table("price", account).by_id
    for kind, place in SOLD:
        ids = [get_path(each, place) for each in world.list_all(kind, account)]
        yield from (each for each in ids if each in prices and not prices[each].listed)


def is_listed(world: World, kind: str, id: str) -> bool:
    """Whether lists may show the object."""
    tables = [world.table(kind, account) for account in world.accounts]
    return any(id in table.by_id and table.by_id[id].listed for table in tables)


def is_told(chaos: "Chaos", stream: str, found: Json) -> bool:
    """Whether a list or an event has shown the object since the capture of it began."""
    hides, value = HIDDEN.get(stream, ("", ""))
    kind = KINDS[HELD[stream].kind]
    is_hidden = hides and found[hides] == value
    if stream == "Prices":
        is_hidden = not is_listed(chaos.world, kind.name, found["id"])
    if not is_hidden and (not kind.holders or is_held(chaos, kind.holders, found)):
        return True
    return any(
        found["id"]
        in ((shown := event["data"]["object"] or {}).get("id"), (shown.get("discount") or {}).get("id"))
        and event["created"] >= chaos.started.get((stream, account), 0)
        for account in chaos.world.accounts
        for event in chaos.world.events(account)
    )


def is_held(chaos: "Chaos", containers: Iterable[Holder], found: Json) -> bool:
    """Whether the object that has `found` in a place of its own still exists: the first one that it names."""
    container = next((each for each in containers if found[each.field]), None)
    return container is not None and any(
        found[container.field] in chaos.world.table(kind, account).by_id
        for account in chaos.world.accounts
        for kind in container.kinds
    )


def is_known_gone(chaos: "Chaos", stream: str, id: str) -> bool:
    """Whether the capture should know by now that the object is gone."""
    if HELD[stream].kept:
        return False
    if ROWS[stream].SHOWS_DELETIONS:
        return True
    return is_told_gone(chaos, id)


def is_told_gone(chaos: "Chaos", id: str) -> bool:
    """Whether an event has told that the object is gone: of what belongs to others it shows but ten."""
    return any(
        event["type"].endswith(".deleted") and f'"{id}"'.encode() in orjson.dumps(event["data"])
        for account in chaos.world.accounts
        for event in chaos.world.events(account)
    )
