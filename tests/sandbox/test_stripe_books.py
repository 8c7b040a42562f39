"""The demo's books: what it sold adds up, to the last unit of each currency."""

from collections import Counter, defaultdict
from typing import Any

import pytest

from sandbox.stripe import Shop

NOW = 1_780_000_000
MONTH = 32 * 24 * 3600
Json = dict[str, Any]


class Books:
    """All objects of a shop, by kind, and of any kind by id."""

    def __init__(self, shop: Shop) -> None:
        self.world = shop.world
        self.transactions = self.of("balance_transaction") + self.of("paid_balance_transaction")
        self.by_source: dict[str, list[Json]] = defaultdict(list)
        for each in self.transactions:
            self.by_source[each["source"]].append(each)

    def of(self, kind: str) -> list[Json]:
        return self.world.list_all(kind)

    def children(self, kind: str, parent: str) -> list[Json]:
        return [each.data() for each in self.world.table(kind).children.get(parent, ())]


@pytest.fixture(scope="module", params=[0, 1])
def books(request: pytest.FixtureRequest) -> Books:
    shop = Shop(request.param, now=NOW, days=400)
    for _ in range(50):
        shop.world.clock.advance(3)
        shop.live()
    return Books(shop)


def test_a_payout_is_the_sum_of_its_transactions(books: Books) -> None:
    payouts = books.of("payout")
    assert len(payouts) > 50
    for payout in payouts:
        inside = books.children("paid_balance_transaction", payout["id"])
        (own,) = [each for each in inside if each["type"] == "payout"]
        others = [each for each in inside if each is not own]
        assert payout["amount"] == sum(each["net"] for each in others) == -own["net"]
        assert {each["currency"] for each in inside} == {payout["currency"]}
        assert payout["balance_transaction"] == own["id"]


def test_a_transaction_is_in_one_payout_or_in_the_balance(books: Books) -> None:
    assert max(Counter(each["id"] for each in books.transactions).values()) == 1
    for each in books.transactions:
        assert (
            each["net"]
            == each["amount"] - each["fee"]
            == each["amount"] - sum(part["amount"] for part in each["fee_details"])
        )


def test_a_charge_has_one_transaction_with_its_fee_if_it_took_money(books: Books) -> None:
    charges = books.of("charge")
    assert Counter(each["status"] for each in charges).keys() == {"succeeded", "failed"}
    for charge in charges:
        booked = books.by_source[charge["id"]]
        if not charge["captured"]:
            assert (booked, charge["balance_transaction"]) == ([], None)
            continue
        (one,) = booked
        assert (one["amount"], one["currency"]) == (charge["amount_captured"], charge["currency"])
        assert (one["id"], one["type"]) == (charge["balance_transaction"], "charge")
        assert one["fee"] > 0


def test_refunds_and_disputes_have_their_transactions(books: Books) -> None:
    refunded: Counter[str] = Counter()
    for refund in books.of("refund"):
        (one,) = books.by_source[refund["id"]]
        assert (one["id"], one["amount"]) == (refund["balance_transaction"], -refund["amount"])
        refunded[refund["charge"]] += refund["amount"]
    disputes = books.of("dispute")
    for dispute in disputes:
        booked = books.by_source[dispute["id"]]
        assert {each["id"] for each in dispute["balance_transactions"]} == {each["id"] for each in booked}
        assert sum(each["amount"] for each in booked) == (
            0 if dispute["status"] == "won" else -dispute["amount"]
        )
        assert books.world.get("charge", dispute["charge"])["disputed"]
        is_open = dispute["status"] == "needs_response"
        assert is_open == (dispute["evidence_details"]["due_by"] > books.world.clock.now())
    assert {each["status"] for each in disputes} == {"needs_response", "won", "lost"}
    for charge in books.of("charge"):
        assert charge["amount_refunded"] == refunded[charge["id"]]


def test_a_paid_invoice_has_its_number_lines_and_payment(books: Books) -> None:
    numbers = Counter(each["number"] for each in books.of("invoice") if each["number"])
    assert max(numbers.values()) == 1
    for invoice in books.of("invoice"):
        lines = books.children("line_item", invoice["id"])
        off = sum(each["amount"] for each in invoice["total_discount_amounts"] or ())
        assert lines
        assert invoice["subtotal"] == sum(each["amount"] for each in lines)
        assert invoice["total"] == invoice["subtotal"] - off
        assert all(each["period"]["start"] <= each["period"]["end"] for each in lines)
        if invoice["status"] != "paid":
            continue
        assert invoice["number"]
        used = invoice["starting_balance"] - invoice["ending_balance"]
        assert invoice["amount_due"] == max(invoice["total"] + used, 0)
        assert invoice["amount_remaining"] == 0
        payments = books.children("invoice_payment", invoice["id"])
        assert sum(each["amount_paid"] or 0 for each in payments) == invoice["amount_paid"]
        for payment in payments:
            intent = books.world.get("payment_intent", payment["payment"]["payment_intent"])
            charge = books.world.get("charge", intent["latest_charge"])
            assert (payment["status"], intent["status"]) == ("paid", "succeeded")
            assert charge["amount"] == payment["amount_paid"]
    renewed = [each for each in books.of("invoice") if each["billing_reason"] == "subscription_cycle"]
    assert renewed
    assert all(each["parent"]["subscription_details"]["subscription"] for each in renewed)


def test_a_customers_balance_is_the_sum_of_its_transactions(books: Books) -> None:
    for customer in books.of("customer"):
        inside = books.children("customer_balance_transaction", customer["id"])
        assert customer["balance"] == sum(each["amount"] for each in inside)


def test_it_sells_in_several_currencies_one_without_minor_units(books: Books) -> None:
    for kind in ("charge", "payout", "invoice", "subscription"):
        assert {"eur", "usd", "jpy"} <= {each["currency"] for each in books.of(kind)}


def test_subscriptions_renew_and_are_extended_paused_left_and_lost(books: Books) -> None:
    subscriptions = books.of("subscription")
    assert {"active", "canceled"} <= {each["status"] for each in subscriptions}
    reasons = Counter(each["cancellation_details"]["reason"] for each in subscriptions)
    assert reasons["payment_failed"] > 0
    assert reasons["cancellation_requested"] > 0
    assert any(each["pause_collection"] for each in subscriptions)
    assert any(each["proration"] for each in books.of("invoiceitem"))
    now = books.world.clock.now()
    for each in subscriptions:
        if each["status"] in ("active", "trialing"):
            for item in books.children("subscription_item", each["id"]):
                assert item["current_period_start"] <= now <= item["current_period_end"] + MONTH
