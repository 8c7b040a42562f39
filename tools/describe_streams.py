"""Write what the documentation says of each stream, from the catalogue: docs/streams.md, the table of streams
and their diagram, the table of permissions in docs/create-a-key.md, and the names that other tools give to
tables in docs/other-tools.md.

python tools/describe_streams.py            writes the files
python tools/describe_streams.py --check    says what is stale, and which list of Stripe nobody reads

Rules: the text follows from the rows, so that no line of it is written by hand. What Stripe's lists hold
comes from the facts about its OpenAPI document. Each list of that document is read by a stream, or is left
out for the reason in LEFT_OUT.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from source_stripe_native.cli.commands import checklist  # noqa: E402 - the path is set above
from source_stripe_native.cli.purposes import PURPOSES  # noqa: E402 - the path is set above
from source_stripe_native.events.snapshots import interval_of  # noqa: E402 - the path is set above
from source_stripe_native.settings import DEFAULTS  # noqa: E402 - the path is set above
from source_stripe_native.streams import STREAMS  # noqa: E402 - the path is set above
from source_stripe_native.streams.grants import KNOWN, sureness  # noqa: E402 - the path is set above
from source_stripe_native.streams.row import BaseStripeObject  # noqa: E402 - the path is set above
from tools.facts import shape  # noqa: E402 - the path is set above
from tools.joins import Join, joins, lists, objects_of  # noqa: E402 - the path is set above
from tools.other_tools import NAMES  # noqa: E402 - the path is set above

DOCS: Final = ROOT / "docs"
KEY_PAGE: Final = DOCS / "create-a-key.md"
TOOLS_PAGE: Final = DOCS / "other-tools.md"
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

SETS: Final = """
## Which streams for what

Enable the bindings of the sets that you need, and disable the others. `source-stripe-native check` counts
what a set has, and `permissions` lists the permissions that it needs: with `--for finance`, for example.
"""

JOINS: Final = """
## What joins the streams

The diagram has the streams that are enabled by default. A line's text names the fields of the stream at its
end. They have the id of a document of the other stream. A field with several lines has the id of one of them.

A name with dots is nested: read `parent.subscription_details.subscription` of a JSON column as
`parent->'subscription_details'->>'subscription'`. `*` stands for each element of a list.
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


def unread() -> list[str]:
    """What is wrong with the catalogue or with LEFT_OUT: lists that nobody reads, and needless exceptions."""
    own = {each.list_template().format(parent="{}") for each in STREAMS}
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
    return f"`{row.list_template()}{query}`"


def object_of(row: type[BaseStripeObject]) -> str:
    return ", ".join(objects_of(row))


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
        (bool(row.THIN_EVENTS), "thin events"),
        (row.POLLS and not row.THIN_EVENTS, "new in the list"),
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
    ways += ["event"] if any(each.endswith(".deleted") for each in row.THIN_EVENTS) else []
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


def sets() -> Iterator[str]:
    yield "| for | streams |"
    yield "|---|---|"
    for purpose, names in PURPOSES.items():
        streams = [each.NAME for each in STREAMS if each.NAME in names]
        yield f"| {purpose} | {'all' if len(streams) == len(STREAMS) else ', '.join(streams)} |"


ENABLED: Final = frozenset(each.NAME for each in STREAMS if not each.DISABLED)


def is_drawn(join: Join) -> bool:
    """Whether the diagram shows a join: it would be too large with all of them."""
    return {join.stream, join.target} <= ENABLED


def diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "erDiagram"
    for (target, stream), fields in sorted(by_pair(is_drawn).items()):
        yield f'    {target} ||--o{{ {stream} : "{", ".join(fields)}"'
    yield "```"


def further_joins() -> Iterator[str]:
    yield "| stream | field | document of |"
    yield "|---|---|---|"
    for (target, stream), fields in by_pair(lambda join: not is_drawn(join)).items():
        yield f"| {stream} | {', '.join(f'`{each}`' for each in fields)} | {target} |"


def by_pair(is_wanted: Callable[[Join], bool]) -> dict[tuple[str, str], list[str]]:
    """The fields of the wanted joins, by the stream that has the id's document and the one with the field."""
    found: dict[tuple[str, str], list[str]] = {}
    for join in filter(is_wanted, joins()):
        found.setdefault((join.target, join.stream), []).append(join.path)
    return found


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


def other_names() -> Iterator[str]:
    yield "| stream | Fivetran | Airbyte | Stripe Data Pipeline |"
    yield "|---|---|---|---|"
    for row in STREAMS:
        if any(NAMES.get(row.NAME, ())):
            cells = (", ".join(f"`{each}`" for each in cell.split(", ") if each) for cell in NAMES[row.NAME])
            yield f"| {row.NAME} | {' | '.join(cells)} |"


def unnamed() -> list[str]:
    """What is wrong with the names of other tools: streams that they lack, and rows without a stream."""
    lacking, names = ENABLED - NAMES.keys(), {each.NAME for each in STREAMS}
    return [
        *(f"{each} has no row in tools/other_tools.py" for each in sorted(lacking)),
        *(f"tools/other_tools.py names {each}, which is no stream" for each in NAMES if each not in names),
    ]


def page() -> str:
    parts = (
        HEAD,
        "\n".join(table()),
        SETS,
        "\n".join(sets()),
        JOINS,
        "\n".join(diagram()),
        "\nAll others join a stream that is disabled by default:\n",
        "\n".join(further_joins()),
        "\n## Lists that no stream reads\n",
        "\n".join(
            ("| list | why |", "|---|---|", *(f"| `{path}` | {why} |" for path, why in LEFT_OUT.items()))
        ),
    )
    return "\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Each page that has a written part, as it is to be."""
    tables = {KEY_PAGE: permissions(), TOOLS_PAGE: other_names()}
    return {DOCS / "streams.md": page()} | {
        path: "\n".join((path.read_text().partition(MARK)[0] + MARK, *table)) + "\n"
        for path, table in tables.items()
    }


def problems() -> list[str]:
    """What `--check` finds."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    return [
        *unread(),
        *unnamed(),
        *(f"{path.relative_to(ROOT)} is stale: run tools/describe_streams.py" for path in stale),
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        raise SystemExit("\n".join(problems()) or None)
    for path, text in pages().items():
        path.write_text(text)
