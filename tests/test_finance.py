"""The questions of finance in the documentation, answered from a capture of the demo and from its books."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.flow.database import Database
from sandbox.flow.document import KeyLocation
from sandbox.stripe import Shop, StripeServer, World
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import ROWS, Capture
from tests.conftest import NOW
from tests.documentation import blocks

PAGE = "docs/finance.md"
STREAMS = (
    *("Charges", "Customers", "Disputes", "InvoicePayments", "Invoices", "PaymentIntents", "Payouts"),
    *("PayoutBalanceTransactions", "Subscriptions"),
)
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
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
                monthly[each["currency"]] += item["price"]["unit_amount"] * item["quantity"]
    return [{"currency": currency, "monthly": amount} for currency, amount in monthly.items()]


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
            "month": start,
            "subscribed": subscribed[start],
            "lost": lost[start],
            "churn": pytest.approx(100 * lost[start] / subscribed[start], abs=0.051),
        }
        for start in starts
        if any(at(each["start_date"]) < start for each in every)
    ]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def month(seconds: int) -> datetime:
    return at(seconds).replace(day=1, hour=0, minute=0, second=0)


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


ANSWERS = (payouts, recurring_revenue, churn, charges_of_invoices, open_disputes)


async def test_the_questions_have_the_answers_of_the_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Shop(now=NOW, days=200).world
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = Capture(server, list(STREAMS))

        def is_backfilled() -> bool:
            states = [capture.binding_state(each) for each in STREAMS]
            return all(state and not state.get("backfill") for state in states)

        await capture.session(is_backfilled)
    file = tmp_path / "stripe.duckdb"
    with Database(file) as database:
        database.write(
            {each: list(capture.last_by_key(each).values()) for each in STREAMS},
            {each: [KeyLocation(pointer) for pointer in ROWS[each].KEY] for each in STREAMS},
        )
    queries = [each for each in blocks(PAGE) if each.language == "sql"]
    with duckdb.connect(str(file)) as books:
        for query, answer in zip(queries, ANSWERS, strict=True):
            found = books.sql(query.text)
            rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
            wanted = answer(world)
            key = found.columns[0] if answer is not charges_of_invoices else "charge"
            assert rows, answer.__name__
            assert sorted(rows, key=lambda row: str(row[key])) == sorted(
                wanted, key=lambda row: str(row[key])
            )
