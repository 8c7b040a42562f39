"""The queries of the documentation, answered from one capture of the demo. Those of finance are compared with
its books, and use only what three databases have in common."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from sandbox.flow.database import Database
from sandbox.flow.document import KeyLocation
from sandbox.stripe import Shop, StripeServer, World
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import ROWS, Capture
from tests.conftest import NOW
from tests.documentation import blocks, pages, text_of, words_of

PAGE: Final = "docs/finance.md"
FINAL: Final = ("open", "paid", "uncollectible")
"""The states of invoices that ask for money, or did."""
OPEN: Final = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
PORTABLE: Final = {
    *("cast", "coalesce", "count", "date_trunc", "json_extract_path_text", "max", "nullif", "round", "sum"),
    "to_timestamp",
}
"""Functions that DuckDB, Postgres and Snowflake have, with the same parameters."""
Row = dict[str, Any]


def children(world: World, kind: str, parent: str) -> list[Row]:
    return [entry.data() for entry in world.table(kind).children.get(parent, ())]


def payouts(world: World) -> list[Row]:
    rows = []
    for payout in world.list_all("payout"):
        parts: Counter[str] = Counter()
        for each in children(world, "paid_balance_transaction", payout["id"]):
            if each["type"] != "payout":
                parts[each["reporting_category"].partition("_")[0]] += each["amount"]
                parts["fees"] += each["fee"]
                parts["net"] += each["net"]
        named = {"charges": parts["charge"], "refunds": parts["refund"], "disputes": parts["dispute"]}
        shown = {"id": payout["id"], "currency": payout["currency"], "paid_out": payout["amount"]}
        rows.append(shown | named | {"fees": parts["fees"], "net": parts["net"]})
    return rows


def recurring_revenue(world: World) -> list[Row]:
    monthly: Counter[str] = Counter()
    for each in world.list_all("subscription"):
        if each["status"] in ("active", "past_due") and not each["pause_collection"]:
            for item in children(world, "subscription_item", each["id"]):
                if item["price"]["recurring"]["usage_type"] == "licensed":
                    monthly[each["currency"]] += item["price"]["unit_amount"] * item["quantity"]
    return [{"currency": currency, "monthly": amount} for currency, amount in monthly.items()]


def development(world: World) -> list[Row]:
    starts = {month(each["created"]) for each in world.list_all("invoice")}
    kinds = set[str]()
    monthly: Counter[tuple[date, str]] = Counter()
    for invoice in world.list_all("invoice"):
        for line in children(world, "line_item", invoice["id"]):
            begins, ends = line["period"]["start"], line["period"]["end"]
            for start in starts if line["subscription"] and invoice["status"] in FINAL else ():
                if at(begins) <= start < at(ends):
                    kinds.add(line["parent"]["type"])
                    monthly[start.date(), line["currency"]] += line["amount"] * 2_628_000 / (ends - begins)
    assert kinds == {"invoice_item_details", "subscription_item_details"}, "prorations count too"
    return [
        {"month": start, "currency": currency, "monthly": pytest.approx(amount, abs=0.51)}
        for (start, currency), amount in monthly.items()
    ]


def churn(world: World) -> list[Row]:
    lost: Counter[datetime] = Counter()
    subscribed: dict[datetime, int] = defaultdict(int)
    every = world.list_all("subscription")
    starts = {month(each["ended_at"]) for each in every if each["ended_at"]}
    for start in starts:
        for each in every:
            if at(each["start_date"]) < start and (not each["ended_at"] or at(each["ended_at"]) >= start):
                subscribed[start] += 1
                lost[start] += bool(each["ended_at"]) and month(each["ended_at"]) == start
    return [
        {
            "month": start.date(),
            "subscribed": subscribed[start],
            "lost": lost[start],
            "churn": pytest.approx(100 * lost[start] / subscribed[start], abs=0.051),
        }
        for start in starts
        if any(at(each["start_date"]) < start for each in every)
    ]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def month(seconds: int) -> datetime:
    return at(seconds).replace(day=1, hour=0, minute=0, second=0)


def by_month(
    objects: list[Row], keys: tuple[str, ...], sums: dict[str, Callable[[Row], int]], when: str = "created"
) -> list[Row]:
    """A row for each month and what the objects have under the `keys`, with the `sums` over its objects."""
    found: dict[tuple[Any, ...], Row] = {}
    for each in objects:
        shown = {"month": month(each[when]).date()} | {key: each[key] for key in keys}
        row = found.setdefault(tuple(shown.values()), shown | dict.fromkeys(sums, 0))
        for name, value in sums.items():
            row[name] += value(each)
    return list(found.values())


def fees(world: World) -> list[Row]:
    kinds = ("balance_transaction", "paid_balance_transaction")
    sums: dict[str, Callable[[Row], int]] = {
        "charges": lambda each: each["amount"] if each["reporting_category"] == "charge" else 0,
        "fees": lambda each: each["fee"] - (each["amount"] if each["reporting_category"] == "fee" else 0),
    }
    rows = by_month([each for kind in kinds for each in world.list_all(kind)], ("currency",), sums)
    for row in rows:
        share = 100 * row["fees"] / row["charges"] if row["charges"] else None
        row["share"] = share and pytest.approx(share, abs=0.0051)
    return rows


def refunds(world: World) -> list[Row]:
    done = [each for each in world.list_all("refund") if each["status"] == "succeeded"]
    return by_month(
        done, ("currency", "reason"), {"refunds": lambda _: 1, "amount": lambda each: each["amount"]}
    )


def ends_of_disputes(world: World) -> list[Row]:
    sums: dict[str, Callable[[Row], int]] = {
        "disputes": lambda _: 1,
        "won": lambda each: each["status"] == "won",
        "lost": lambda each: each["status"] == "lost",
        "amount_lost": lambda each: each["amount"] if each["status"] == "lost" else 0,
    }
    return by_month(world.list_all("dispute"), ("currency",), sums)


def tax(world: World) -> list[Row]:
    invoices = [each for each in world.list_all("invoice") if each["status"] in FINAL]
    notes = [each for each in world.list_all("credit_note") if each["status"] == "issued"]
    billed = [each for each in (*invoices, *notes) if each["total_excluding_tax"] is not None]
    sign = {"invoice": 1, "credit_note": -1}
    sums: dict[str, Callable[[Row], int]] = {
        "before_tax": lambda each: sign[each["object"]] * each["total_excluding_tax"],
        "tax": lambda each: sign[each["object"]] * sum(one["amount"] for one in each["total_taxes"]),
    }
    return by_month(billed, ("currency",), sums)


def open_invoices(world: World) -> list[Row]:
    """One whose card is charged has no date at which it is due."""
    names = ("number", "customer_email", "currency", "amount_remaining")
    return [
        {name: each[name] for name in names} | {"due": each["due_date"] and at(each["due_date"]).date()}
        for each in world.list_all("invoice")
        if each["status"] == "open"
    ]


def usage(world: World) -> list[Row]:
    """The id of a summary has the customer's, who is asked for."""
    used = [
        each | {"customer": who["id"], "meter": world.get("billing.meter", each["meter"])["display_name"]}
        for each in world.list_all("billing.meter_event_summary")
        for who in world.list_all("customer")
        if who["id"] in each["id"]
    ]
    return by_month(
        used, ("meter", "customer"), {"used": lambda each: each["aggregated_value"]}, "start_time"
    )


def charges_of_invoices(world: World) -> list[Row]:
    rows = []
    for invoice in world.list_all("invoice"):
        for payment in children(world, "invoice_payment", invoice["id"]):
            if payment["status"] == "paid":
                intent = world.get("payment_intent", payment["payment"]["payment_intent"])
                charge = world.get("charge", intent["latest_charge"])
                shown = {"number": invoice["number"], "currency": invoice["currency"], "charge": charge["id"]}
                paid = {"amount_paid": charge["amount"], "balance_transaction": charge["balance_transaction"]}
                rows.append(shown | paid)
    return rows


def open_disputes(world: World) -> list[Row]:
    rows = []
    for dispute in world.list_all("dispute"):
        if dispute["status"] in OPEN:
            who = world.get("customer", world.get("charge", dispute["charge"])["customer"])
            shown = {name: dispute[name] for name in ("id", "status", "reason", "currency", "amount")}
            due = at(dispute["evidence_details"]["due_by"])
            rows.append(shown | {"email": who["email"], "evidence_due_by": due})
    return rows


ANSWERS: Final = {
    "What is the net revenue of a payout?": payouts,
    "What do Stripe's fees cost?": fees,
    "What was refunded, and why?": refunds,
    "How do disputes end?": ends_of_disputes,
    "Which disputes are open?": open_disputes,
    "How much tax was invoiced?": tax,
    "Which invoices are open?": open_invoices,
    "Which charge paid an invoice?": charges_of_invoices,
    "What is the monthly recurring revenue today?": recurring_revenue,
    "How did it develop?": development,
    "How many subscribers were lost in a month?": churn,
    "What was used?": usage,
}
"""What the books answer, by the question that is the heading of its query."""


async def test_every_query_has_an_answer_from_the_demo_and_those_of_finance_have_that_of_its_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, file = Shop(now=NOW, days=200).world, tmp_path / "stripe.duckdb"
    await capture_into(file, world, monkeypatch)
    with duckdb.connect(str(file)) as shop:
        shop.execute("SET TimeZone = 'UTC'")
        for page in pages():
            answers = iter(ANSWERS.values() if page == PAGE else ())
            for query in (each for each in blocks(page) if each.language == "sql"):
                try:
                    found = shop.sql(query.text)
                    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
                except duckdb.Error as error:
                    pytest.fail(f"{page}:{query.line}: {error}")
                assert rows, f"{page}:{query.line} finds nothing"
                if page == PAGE:
                    assert in_order(rows) == in_order(next(answers)(world)), f"{page}:{query.line}"
                    assert shop.sql(as_in_postgres(query.text)).fetchall() == found.fetchall()


async def capture_into(file: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captures all streams that a query is about."""
    streams = sorted({word for page in pages() for word in words_of(page)} & ROWS.keys())
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = await Capture(server, streams).backfill()
    with Database(file) as database:
        database.write(
            {each: list(capture.last_by_key(each).values()) for each in streams},
            {each: [KeyLocation(pointer) for pointer in ROWS[each].KEY] for each in streams},
        )


def in_order(rows: list[Row]) -> list[Row]:
    """Rows by what is exact in them: a number may be approximate."""
    return sorted(rows, key=lambda row: [str(row[name]) for name in sorted(row) if name in EXACT])


EXACT: Final = ("id", "charge", "month", "currency", "number", "meter", "customer", "reason")
TABLE: Final = re.compile(r"\b(FROM|JOIN) ([A-Z]\w+)")


def as_in_postgres(query: str) -> str:
    return TABLE.sub(r'\1 "\2"', query)


def test_the_page_has_the_questions_that_the_books_answer() -> None:
    queries = [each for each in blocks(PAGE) if each.language == "sql"]
    assert list(re.findall(r"^## (.*)$", text_of(PAGE), re.MULTILINE)) == list(ANSWERS)
    assert len(queries) == len(ANSWERS)


def test_the_questions_use_what_three_databases_have_in_common() -> None:
    for query in (each for each in blocks(PAGE) if each.language == "sql"):
        place = f"{PAGE}:{query.line}"
        text = re.sub(r"'[^']*'", "''", query.text)
        assert {*re.findall(r"(\w+)\(", text)} <= PORTABLE, place
        assert not re.search(
            r"::|->|\b(ALL|FILTER|QUALIFY|INTERVAL|LATERAL)\b", text.replace("UNION ALL", "")
        ), place
        assert {*re.findall(r"\b([A-Z]\w*[a-z]\w*)\b", text)} <= ROWS.keys(), (
            f"{place}: only streams have capitals"
        )
