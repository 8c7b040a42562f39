"""Write what the documentation says of each stream, from the catalogue: docs/streams.md, the table of streams
and their diagram, and the table of permissions in docs/create-a-key.md.

python tools/describe_streams.py            writes the files
python tools/describe_streams.py --check    says what is stale, and which list of Stripe nobody reads

Rules: the text follows from the rows, so that no line of it is written by hand. What Stripe's lists hold
comes from the facts about its OpenAPI document. Each list of that document is read by a stream, or is left
out for the reason in LEFT_OUT.
"""

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from source_stripe_native.cli.commands import checklist  # noqa: E402 - the path is set above
from source_stripe_native.events.snapshots import interval_of  # noqa: E402 - the path is set above
from source_stripe_native.settings import DEFAULTS  # noqa: E402 - the path is set above
from source_stripe_native.streams import STREAMS  # noqa: E402 - the path is set above
from source_stripe_native.streams.row import BaseStripeObject  # noqa: E402 - the path is set above
from source_stripe_native.stripe.grants import KNOWN, sureness  # noqa: E402 - the path is set above
from tools.facts import stripe_facts  # noqa: E402 - the path is set above

DOCS: Final = ROOT / "docs"
KEY_PAGE: Final = DOCS / "create-a-key.md"
MARK: Final = "<!-- tools/describe_streams.py writes what follows, up to the end of the table. -->\n"
"""Where the written part of a page begins, which is otherwise written by hand."""

LEFT_OUT: Final = {
    "/v1/accounts/{account}/people": "the persons of /v1/accounts/{account}/persons",
    "/v1/balance/history": "an older path of /v1/balance_transactions",
    "/v1/charges/search": "a search",
    "/v1/charges/{charge}/refunds": "a part of /v1/refunds",
    "/v1/credit_notes/preview/lines": "a preview",
    "/v1/customers/search": "a search",
    "/v1/customers/{customer}/subscriptions": "a part of /v1/subscriptions",
    "/v1/invoices/search": "a search",
    "/v1/linked_accounts": "an older path of /v1/financial_connections/accounts",
    "/v1/linked_accounts/{account}/owners": "an older path of that with /v1/financial_connections/",
    "/v1/payment_intents/search": "a search",
    "/v1/prices/search": "a search",
    "/v1/products/search": "a search",
    "/v1/subscriptions/search": "a search",
    "/v1/tax/calculations/{calculation}/line_items": "no list has the calculations, which expire",
    "/v1/tax/transactions/{transaction}/line_items": "no list and no event has the transactions",
    **dict.fromkeys(
        (
            "/v1/apps/installs",
            "/v1/product_catalog/trial_offers",
            "/v1/tax/locations",
            "/v1/three_d_secure/authentications",
            "/v2/commerce/product_catalog/imports",
            "/v2/core/accounts",
            "/v2/core/accounts/{account_id}/persons",
            "/v2/core/event_destinations",
            "/v2/core/events",
            "/v2/core/vault/gb_bank_accounts",
            "/v2/core/vault/us_bank_accounts",
            "/v2/money_management/adjustments",
            "/v2/money_management/financial_accounts",
            "/v2/money_management/financial_addresses",
            "/v2/money_management/inbound_transfers",
            "/v2/money_management/outbound_payments",
            "/v2/money_management/outbound_setup_intents",
            "/v2/money_management/payout_intents",
            "/v2/money_management/payout_methods",
            "/v2/money_management/received_credits",
            "/v2/money_management/transaction_entries",
            "/v2/money_management/transactions",
        ),
        "new in endive: no stream reads it yet",
    ),
}
"""Lists of Stripe's document that no stream reads, and why."""

HEAD: Final = """# Streams

All streams: where they come from, how soon their changes are captured, their keys, and what joins them.
`python tools/describe_streams.py` writes this page from the catalogue.

- *Backfill*: the list that is read.
  - "under" means one list for each parent, or none where the parent's own document shows all children.
  - "parts" are lists with different values of a filter, such as active and archived prices.
  - A name in brackets is a field that the connector adds. It has the object that showed this one.
- *Changes*: how they are found. [Freshness](freshness.md#ways-to-find-changes) explains each way.
- *Fresh*: the longest time until a change is found. The interval is the binding's, five minutes by default.
  The lag of ten seconds is added to it.
- *Deletions*: an event of the object or of its parent, or "compared", which finds what is missing in the
  list. See [Reading the data](reading-the-data.md#deletions).
- *Key*: most keys without `/account_id` are unique, because Stripe makes the id. Users choose the ids of
  coupons, plans and products: see [Accounts](accounts.md#capture-connected-accounts).
- *Permission* and *product*: what a restricted key and the account need. See [Create a key](create-a-key.md).
- *Enabled*: whether discover proposes the binding as enabled.
"""

COLUMNS: Final = (
    "stream",
    "object",
    "path",
    "backfill",
    "changes",
    "fresh",
    "deletions",
    "key",
    "permission",
    "product",
    "enabled",
)

Json = dict[str, Any]


def shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def lists() -> dict[str, list[str]]:
    """The paths of Stripe's lists by their shape, and the names of the objects that they have."""
    paths = stripe_facts()["paths"].items()
    return {shape(path): each["get"]["lists"] for path, each in paths if "lists" in each.get("get", {})}


def unread() -> list[str]:
    """What is wrong with the catalogue or with LEFT_OUT: lists that nobody reads, and needless exceptions."""
    own = {f"/v1/{each.SEARCH_NAME.format(parent='{}')}" for each in STREAMS}
    by_rows = own | {f"/v1/{each.WITHOUT_PARENT}" for each in STREAMS}
    left_out = {shape(path) for path in LEFT_OUT}
    everything = lists().keys()
    return [
        *(f"{path} is neither a stream's nor left out" for path in sorted(everything - by_rows - left_out)),
        *(f"{path} is left out and does not exist" for path in sorted(left_out - everything)),
        *(f"{path} is left out and a stream's" for path in sorted(left_out & by_rows)),
    ]


def path_of(row: type[BaseStripeObject]) -> str:
    if not row.SEARCH_NAME:
        return ""
    query = f"?{row.PARENT_PARAM}=" if row.PARENT_PARAM else ""
    return f"`/v1/{row.SEARCH_NAME.format(parent='{parent}')}{query}`"


def object_of(row: type[BaseStripeObject]) -> str:
    if row.EVENT_OBJECT:
        return row.EVENT_OBJECT
    path = f"/v1/{row.SEARCH_NAME.format(parent='{}')}"
    single = stripe_facts()["paths"].get(path, {}).get("get", {}).get("returns", [row.NAME])
    found = lists().get(path, single)
    return ", ".join(each for each in found if not each.startswith("deleted_"))


def backfill_of(row: type[BaseStripeObject]) -> str:
    if row.EMBEDDINGS:
        return f"taken out of {', '.join(each.stream.NAME for each in row.EMBEDDINGS.values())} (`found_in`)"
    how = f"under {row.PARENT.NAME}" if row.PARENT else "its list"
    if added := [f"`{each}`" for each in (row.PARENT_FIELD, *row.PARENT_QUERY) if each]:
        how += f" ({', '.join(added)})"
    if len(row.VARIANTS) > 1:
        how += ", of all its parts" if row.VARIANTS_OF_PARENT else f", in {len(row.VARIANTS)} parts"
    return f"{how}, then `/v1/{row.WITHOUT_PARENT}`" if row.WITHOUT_PARENT else how


def changes_of(row: type[BaseStripeObject]) -> str:
    ways = (
        (bool(row.EVENT_TYPES) or row.IS_EVENT, "events"),
        (bool(row.PARENT_EVENT_TYPES), "events of the parent"),
        (
            bool(row.RELATED_EVENTS or any(each.event_types for each in row.EMBEDDINGS.values())),
            "related events",
        ),
        (row.POLLS, "new in the list"),
        (bool(row.RELIST), f"the last {row.RELIST.days} days once a day"),
        (bool(row.CHANGES_AT), "by the clock"),
        (row.SNAPSHOTS, "read again" if row.SINGLE else "compared"),
        (bool(row.SCHEDULE), "backfilled daily"),
    )
    return ", ".join(way for is_used, way in ways if is_used)


def fresh_of(row: type[BaseStripeObject]) -> str:
    ways = ["interval"] if row.follows_events() or row.POLLS else []
    if row.SNAPSHOTS:
        ways.append(duration(interval_of(row, DEFAULTS)))
    if row.RELIST or row.CHANGES_AT or row.SCHEDULE:
        ways.append("a day")
    return ", else ".join(dict.fromkeys(ways))


def duration(length: timedelta) -> str:
    hours = int(length.total_seconds()) // 3_600
    return "an hour" if hours == 1 else f"{hours} hours"


def deletions_of(row: type[BaseStripeObject]) -> str:
    ways = ["event"] if "d" in row.EVENT_TYPES.values() else []
    ways += ["event of the parent"] if any(each.removed_from for each in row.RELATED_EVENTS) else []
    ways += ["compared"] if row.SHOWS_DELETIONS else []
    return ", ".join(ways) or "none"


def table() -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for row in STREAMS:
        cells = (
            row.NAME,
            object_of(row),
            path_of(row),
            backfill_of(row),
            changes_of(row),
            fresh_of(row),
            deletions_of(row),
            " ".join(f"`{each}`" for each in row.KEY),
            row.PERMISSION,
            row.PRODUCT,
            "no" if row.DISABLED else "yes",
        )
        yield f"| {' | '.join(cells)} |"


def joins() -> Iterator[tuple[str, str, str]]:
    """What joins enabled streams: a stream, a field of its documents, and the stream that the id is of."""
    homes = {object_of(row): row.NAME for row in reversed(STREAMS) if not row.DISABLED and not row.PARENT}
    homes |= {"subscription": "Subscriptions", "customer": "Customers"}
    schemas = stripe_facts()["schemas"]
    for row in STREAMS:
        if row.DISABLED or row.IS_EVENT or object_of(row) not in schemas or row.NAME == "SubscriptionItems":
            continue
        for field, schema in sorted(schemas[object_of(row)]["properties"].items()):
            references = [each.get("$ref", "").rpartition("/")[2] for each in schema.get("anyOf", [])]
            for target in dict.fromkeys(homes[each] for each in references if each in homes):
                yield row.NAME, field, target
        if row.PARENT and row.PARENT_FIELD:
            yield row.NAME, row.PARENT_FIELD, row.PARENT.NAME


def diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "erDiagram"
    by_pair: dict[tuple[str, str], list[str]] = {}
    for stream, field, target in joins():
        by_pair.setdefault((target, stream), []).append(field)
    for (target, stream), fields in sorted(by_pair.items()):
        yield f'    {target} ||--o{{ {stream} : "{", ".join(dict.fromkeys(fields))}"'
    yield "```"


def permissions() -> Iterator[str]:
    """The table of permissions: what Stripe calls each, how sure that is, and who needs it."""
    yield "| permission (read) | Stripe's name | how sure | streams enabled by default | other streams |"
    yield "|---|---|---|---|---|"
    disabled = {each.NAME for each in STREAMS if each.DISABLED}
    for permission, needed_by in checklist(STREAMS).items():
        name = f"`{KNOWN[permission]}`" if permission in KNOWN else ""
        enabled = ", ".join(each for each in needed_by if each not in disabled)
        others = ", ".join(each for each in needed_by if each in disabled)
        yield f"| {permission} | {name} | {sureness(permission)} | {enabled} | {others} |"


def page() -> str:
    parts = (
        HEAD,
        "\n".join(table()),
        "\n## What joins the streams\n\nOf the streams that are enabled. A line's text is the field of the "
        "stream at its end, with the id of the other.\n",
        "\n".join(diagram()),
        "\n## Lists that no stream reads\n",
        "\n".join(
            ("| list | why |", "|---|---|", *(f"| `{path}` | {why} |" for path, why in LEFT_OUT.items()))
        ),
    )
    return "\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Each page that has a written part, as it is to be."""
    by_hand = KEY_PAGE.read_text().partition(MARK)[0]
    return {
        DOCS / "streams.md": page(),
        KEY_PAGE: "\n".join((by_hand + MARK, *permissions())) + "\n",
    }


def problems() -> list[str]:
    """What `--check` finds."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    return [
        *unread(),
        *(f"{path.relative_to(ROOT)} is stale: run tools/describe_streams.py" for path in stale),
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        raise SystemExit("\n".join(problems()) or None)
    for path, text in pages().items():
        path.write_text(text)
