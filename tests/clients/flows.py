"""What Stripe's SDK for Python does to the local Stripe: `python flows.py ADDRESS KEY`, beside the SDK.


Each flow ends without an error, or says what was wrong. The answers are JSON lines on stdout."""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any
from urllib.request import Request, urlopen

import stripe  # type: ignore[import-not-found, unused-ignore]  # installed beside, by `make clients`

ADDRESS, KEY = sys.argv[1:]
client: Any = stripe.StripeClient(KEY, base_addresses={"api": ADDRESS}, max_network_retries=0)
v1 = client.v1


def lists(service: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every service that lists without an id."""
    if hasattr(service, "list") and next(iter(signature(service.list).parameters)) == "params":
        yield name, service
    for each in sorted(getattr(sys.modules[type(service).__module__], "_subservices", ())):
        yield from lists(getattr(service, each), f"{name}.{each}")


def page_over(service: Any, **asked: int) -> int:
    try:
        return sum(1 for _ in service.list(asked).auto_paging_iter())
    except stripe.InvalidRequestError as error:
        if not asked or error.param != "limit":
            raise
        return page_over(service)  # a list that is always whole


def expect(error: Any, deed: Callable[[], Any]) -> Any:
    try:
        deed()
    except error as caught:
        return caught
    raise AssertionError(f"no {error.__name__}")


def same(found: Any, wanted: Any) -> None:
    assert found == wanted, f"{found!r} in place of {wanted!r}"


def payer(card: str = "pm_card_visa", **more: Any) -> Any:
    settings = {"default_payment_method": card}
    return v1.customers.create({"name": "Ada", "payment_method": card, "invoice_settings": settings, **more})


def monthly(amount: int = 1000, **more: Any) -> Any:
    sold = {"currency": "usd", "unit_amount": amount, "recurring": {"interval": "month"}}
    return v1.prices.create({**sold, "product_data": {"name": "Tea"}, **more})


def pay(card: str, **more: Any) -> Any:
    money = {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": card}
    return v1.payment_intents.create({**money, **more})


def types(wanted: str, limit: int = 30) -> list[str]:
    return [each.type for each in v1.events.list({"limit": limit}).data if each.type.startswith(wanted)]


def flow_payment() -> None:
    intent = pay("pm_card_visa", expand=["latest_charge.balance_transaction"])
    charge = intent.latest_charge
    same((intent.status, charge.paid, charge.balance_transaction.net), ("succeeded", True, 2000 - 88))
    refund = v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    same(v1.charges.retrieve(charge.id).amount_refunded, refund.amount)


def flow_declined_payment() -> None:
    error = expect(stripe.CardError, lambda: pay("pm_card_visa_chargeDeclinedInsufficientFunds"))
    same((error.code, error.error.decline_code), ("card_declined", "insufficient_funds"))
    same(v1.payment_intents.retrieve(error.error.payment_intent.id).status, "requires_payment_method")


def flow_disputed_payment() -> None:
    intent = pay("pm_card_createDispute")
    (dispute,) = v1.disputes.list({"payment_intent": intent.id}).data
    same(v1.charges.retrieve(intent.latest_charge).disputed, True)
    won = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
    same(v1.disputes.update(dispute.id, won).status, "won")


def flow_manual_capture() -> None:
    intent = pay("pm_card_visa", capture_method="manual")
    same(intent.status, "requires_capture")
    same(v1.payment_intents.capture(intent.id, {"amount_to_capture": 1500}).amount_received, 1500)
    other = pay("pm_card_visa", capture_method="manual")
    same(v1.payment_intents.cancel(other.id).status, "canceled")


def flow_setup() -> None:
    customer = v1.customers.create({"name": "Ben"})
    fields = {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True}
    made = v1.setup_intents.create(fields)
    same(v1.payment_methods.retrieve(made.payment_method).customer, customer.id)


def flow_subscription() -> None:
    customer, basic, better = payer(), monthly(1000, nickname="Basic"), monthly(3000, nickname="Better")
    asked = {"customer": customer.id, "items": [{"price": basic.id, "quantity": 2}]}
    made = v1.subscriptions.create({**asked, "expand": ["latest_invoice.payments"]})
    same((made.status, made.latest_invoice.amount_paid), ("active", 2000))
    same(made.latest_invoice.payments.data[0].status, "paid")
    change = {
        "items": [{"id": made["items"].data[0].id, "price": better.id}],
        "proration_behavior": "always_invoice",
    }
    changed = v1.subscriptions.update(made.id, {**change, "expand": ["latest_invoice"]})
    same(changed["items"].data[0].price.id, better.id)
    same(changed.latest_invoice.billing_reason, "subscription_update")
    same(v1.subscriptions.update(made.id, {"cancel_at_period_end": True}).cancel_at_period_end, True)
    same(v1.subscriptions.cancel(made.id).status, "canceled")


def flow_invoice() -> None:
    customer = payer()
    v1.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    asked = {"customer": customer.id, "pending_invoice_items_behavior": "include"}
    invoice = v1.invoices.create(asked)
    same(invoice.amount_due, 700)
    final = v1.invoices.finalize_invoice(invoice.id)
    assert final.number, "an invoice that is finalized has a number"
    same(v1.invoices.pay(invoice.id).status, "paid")
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 200})
    same(v1.invoices.retrieve(invoice.id).post_payment_credit_notes_amount, note.amount)


def flow_checkout() -> None:
    data = {"currency": "eur", "unit_amount": 450, "product_data": {"name": "Mug"}}
    asked = {
        "mode": "payment",
        "line_items": [{"price_data": data, "quantity": 2}],
        "success_url": "https://example.com",
    }
    session = v1.checkout.sessions.create({**asked, "expand": ["line_items"]})
    same((session.amount_total, session.line_items.data[0].quantity), (900, 2))
    same(v1.checkout.sessions.expire(session.id).status, "expired")


def flow_prices() -> None:
    product = v1.products.create({"name": "Coffee", "metadata": {"a": "1", "b": "2"}})
    price = v1.prices.create({"currency": "usd", "product": product.id, "unit_amount_decimal": "10.5"})
    same((price.unit_amount, str(price.unit_amount_decimal)), (None, "10.5"))
    expect(stripe.InvalidRequestError, lambda: v1.prices.update(price.id, {"unit_amount": 7}))
    tiers = [{"up_to": 10, "unit_amount": 100}, {"up_to": "inf", "unit_amount": 50}]
    monthly(0, unit_amount=None, billing_scheme="tiered", tiers_mode="graduated", tiers=tiers)
    same(v1.coupons.create({"percent_off": 25.5}).percent_off, 25.5)


def flow_metadata() -> None:
    customer = v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    same(v1.customers.update(customer.id, {"metadata": {"a": ""}}).metadata.to_dict(), {"b": "2"})
    same(v1.customers.update(customer.id, {"metadata": ""}).metadata.to_dict(), {})


def flow_idempotency() -> None:
    options = {"idempotency_key": "the-same"}
    first, second = (v1.customers.create({"name": "Cy"}, options) for _ in range(2))
    same(first.id, second.id)
    (event,) = [each for each in v1.events.list({"limit": 5}).data if each.data.object.id == first.id]
    same(event.request.idempotency_key, "the-same")
    expect(stripe.IdempotencyError, lambda: v1.customers.create({"name": "Di"}, options))


def flow_archived_price() -> None:
    customer, price = payer(), monthly()
    made = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    v1.prices.update(price.id, {"active": False})
    same(v1.subscriptions.retrieve(made.id)["items"].data[0].price.active, False)


def flow_sources() -> None:
    customer = v1.customers.create({"source": "tok_visa"})
    same(v1.charges.create({"amount": 500, "currency": "usd", "customer": customer.id}).paid, True)
    card = v1.customers.payment_sources.create(customer.id, {"source": "tok_mastercard"})
    same(len(v1.customers.payment_sources.list(customer.id).data), 2)
    assert v1.customers.payment_sources.delete(customer.id, card.id).deleted


def flow_search() -> None:
    customer = v1.customers.create({"email": "searched@example.com"})
    (found,) = v1.customers.search({"query": 'email:"searched@example.com"'}).data
    same(found.id, customer.id)


def flow_clock() -> None:
    clock = v1.test_helpers.test_clocks.create({"frozen_time": 1_700_000_000})
    customer = payer(test_clock=clock.id)
    asked = {"customer": customer.id, "items": [{"price": monthly().id}], "trial_period_days": 14}
    made = v1.subscriptions.create(asked)
    same(made.status, "trialing")
    v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": 1_700_000_000 + 80 * 86_400})
    same(v1.subscriptions.retrieve(made.id).status, "active")
    paid = [
        each.amount_paid for each in v1.invoices.list({"subscription": made.id}).data if each.status == "paid"
    ]
    same(paid, [1000, 1000, 1000, 0])
    failing = payer("pm_card_visa", test_clock=clock.id)
    other = v1.subscriptions.create({"customer": failing.id, "items": [{"price": monthly().id}]})
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": failing.id})
    v1.customers.update(failing.id, {"invoice_settings": {"default_payment_method": bad.id}})
    v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": 1_700_000_000 + 150 * 86_400})
    same(v1.subscriptions.retrieve(other.id).status, "canceled")


def flow_portal() -> None:
    assert v1.billing_portal.sessions.create({"customer": payer().id}).url


def flow_quote() -> None:
    quote = v1.quotes.create({"customer": payer().id, "line_items": [{"price": monthly().id, "quantity": 3}]})
    v1.quotes.finalize_quote(quote.id)
    accepted = v1.quotes.accept(quote.id)
    same(v1.subscriptions.retrieve(accepted.subscription).status, "active")


def flow_payout_and_transfer() -> None:
    account = v1.accounts.create({"type": "standard"})
    sent = v1.transfers.create({"amount": 100, "currency": "usd", "destination": account.id})
    same(v1.transfers.reversals.create(sent.id, {"amount": 40}).amount, 40)
    paid = v1.payouts.create({"amount": 300, "currency": "usd"})
    same(v1.balance_transactions.retrieve(paid.balance_transaction).amount, -300)


def flow_deletions() -> None:
    for service, made in (
        (v1.customers, v1.customers.create({})),
        (v1.products, v1.products.create({"name": "Gone"})),
        (v1.coupons, v1.coupons.create({"percent_off": 5})),
    ):
        assert service.delete(made.id).deleted


def flow_unknown_version() -> None:
    for version, status in (
        ("2026-11-18.endive", 200),
        ("2026-10-28.endive", 200),
        ("2026-10-29.endive", 400),
    ):
        headers = {"Authorization": f"Bearer {KEY}", "Stripe-Version": version}
        try:
            found = urlopen(Request(f"{ADDRESS}/v1/customers", headers=headers)).status
        except OSError as error:
            found = getattr(error, "code", 0)
        same(found, status)


def main() -> None:
    for name, flow in sorted(globals().items()):
        if name.startswith("flow_"):
            _report("flow", name.removeprefix("flow_"), flow)
    for name, service in lists(v1, "v1"):
        _report("list", name, lambda service=service: page_over(service, limit=3))  # type: ignore[misc]  # a default of a lambda has no type


def _report(kind: str, name: str, deed: Callable[[], Any]) -> None:
    said = ""
    try:
        deed()
    except Exception as error:  # noqa: BLE001 - whatever is wrong is a line of the report
        place = traceback.extract_tb(error.__traceback__)[1].lineno
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} (line {place})"
    print(json.dumps({"kind": kind, "name": name, "wrong": said}), flush=True)


if __name__ == "__main__":
    main()
