"""Invoices: their lines, numbers and payments, from the draft to the money.

An invoice that is finalized has a number of its customer and, if there is something to pay, a payment intent
with an invoice payment. A paid one has a paid invoice payment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.rules import payments
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.selling import amount_of, price_of

_DAY: Final = 24 * 3600
HOUR: Final = 3600
RETRIES: Final = (3 * _DAY, 5 * _DAY, 7 * _DAY)
"""How long after a failed payment the next one is tried."""


def draft(act: Act, customer: str, lines: list[Json], **fields: Any) -> Json:
    """An invoice with these lines and the customer's pending items, told by one event. It takes off what the
    subscription's or its own discounts do."""
    who = act.get("customer", customer)
    pending, off = fields.pop("pending", True), fields.pop("discounts", [])
    shown = {
        f"customer_{name}": who[name]
        for name in ("address", "email", "name", "phone", "shipping", "tax_exempt")
    }
    shown |= {"customer": customer, "lines": 0, "test_clock": who["test_clock"], "customer_tax_ids": []}
    shown |= {"period_start": act.at, "period_end": act.at, "account_name": "Sandbox", "discounts": off}
    with act.world.affecting(pulls=False):
        id = str(act.make("invoice", **shown | fields | {"event": False})["id"])
    for line in lines:
        act.make("line_item", invoice=id, event=False, **line)
    if pending:
        act.world.pull_items(id, act.home, event=False, at=act.at)
    _take_off(act, id, off)
    act.tell("invoice.created", "invoice", id)
    return act.get("invoice", id)


def _take_off(act: Act, id: str, discounts: list[str]) -> None:
    invoice = act.get("invoice", id)
    left, taken = invoice["subtotal"], list[Json]()
    for discount in discounts:
        coupon = act.world.whole("coupon", act.get("discount", discount)["source"]["coupon"], act.home)
        share = round(left * (coupon["percent_off"] or 0) / 100)
        amount = min(left, coupon["amount_off"] if coupon["amount_off"] is not None else share)
        taken.append({"amount": max(amount, 0), "discount": discount})
        left -= max(amount, 0)
    if taken or invoice["total"] != left:
        act.change("invoice", id, event=False, total=left, total_discount_amounts=taken)


def line_of(price: Json, quantity: int, amount: int, start: int, end: int, **more: Any) -> Json:
    """A line for so much of a price in a period. `of` are the ids of what it is for."""
    of = more.pop("of", {})
    details: Json = {"invoice_item": None, "proration": False, "subscription": None}
    details |= {"proration_details": {"credited_items": None}, "subscription_item": None} | of
    shown: Json = {"amount": amount, "currency": price["currency"], "quantity": quantity, "subtotal": amount}
    shown["description"] = f"{quantity} × {price['nickname'] or price['product']}"
    shown |= {"period": {"start": start, "end": end}, "subscription": details["subscription"]}
    priced = {"price": price["id"], "product": price["product"]}
    shown["pricing"] = {"price_details": priced, "type": "price_details"}
    shown["pricing"]["unit_amount_decimal"] = price["unit_amount_decimal"]
    kind = "subscription_item_details"
    shown["parent"] = {"invoice_item_details": None, kind: details, "type": kind}
    return shown | more


def finalize(act: Act, id: str) -> Json:
    """Gives it its number. What has nothing to pay is paid with that."""
    invoice = act.get("invoice", id)
    if invoice["status"] != "draft":
        raise StripeError(
            400,
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    who = act.get("customer", invoice["customer"])
    number = f"{who['invoice_prefix'].upper()}-{who['next_invoice_sequence']:04}"
    act.change("customer", who["id"], next_invoice_sequence=who["next_invoice_sequence"] + 1)
    balance = min(max(who["balance"], -max(invoice["total"], 0)), 0)
    page = f"https://invoice.stripe.com/i/{act.home}/test_{id}"
    fields: Json = {
        "number": number,
        "effective_at": act.at,
        "hosted_invoice_url": page,
        "invoice_pdf": f"{page}/pdf",
    }
    fields |= {
        "starting_balance": who["balance"],
        "ending_balance": who["balance"] - balance,
        "status": "open",
    }
    if invoice["total"] < 0:  # what it owes the customer is for the next one
        balance, fields["ending_balance"] = -invoice["total"], who["balance"] + invoice["total"]
    if invoice["collection_method"] == "send_invoice":
        fields["due_date"] = invoice["due_date"] or act.at + 30 * _DAY
    if balance:
        kind = "applied_to_invoice" if balance < 0 else "unspent_receiver_credit"
        spent: Json = {"amount": -balance, "currency": invoice["currency"], "invoice": id, "type": kind}
        act.make("customer_balance_transaction", customer=who["id"], event=False, **spent)
    act.change("invoice", id, automatically_finalizes_at=None, **fields)
    invoice = act.get("invoice", id)
    if invoice["amount_due"] == 0:
        return _close(act, id, {})
    _request(act, invoice)
    return act.get("invoice", id)


def _request(act: Act, invoice: Json) -> None:
    """The payment intent of an open invoice, and the invoice payment that joins them."""
    money = {
        "amount": invoice["amount_due"],
        "currency": invoice["currency"],
        "customer": invoice["customer"],
    }
    intent_id, said = (
        KINDS["payment_intent"].new_id(act.world.rng),
        f"Payment for Invoice {invoice['number']}",
    )
    act.world.kept |= {intent_id: {"invoice": invoice["id"]}, invoice["id"]: {"payment_intent": intent_id}}
    intent = act.paying.make("payment_intent", id=intent_id, description=said, **money)
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    act.change("invoice", invoice["id"], event=False, confirmation_secret=secret)
    of = {"payment_intent": intent["id"], "type": "payment_intent"}
    asked: Json = {"amount_requested": money["amount"], "currency": money["currency"], "is_default": True}
    act.make("invoice_payment", invoice=invoice["id"], payment=of, amount_paid=None, status="open", **asked)


def payment_of(act: Act, id: str) -> Json | None:
    return next(iter(act.of("invoice_payment", id)), None)


def pay(act: Act, id: str, method: Mapping[str, Any] | None, unattended: bool = True) -> Json:
    """Tries to collect an open invoice. Raises StripeError if that fails, after what follows from it."""
    invoice, payment = act.get("invoice", id), payment_of(act, id)
    if invoice["status"] not in ("open", "uncollectible") or payment is None:
        done = (
            "Invoice is already paid"
            if invoice["status"] == "paid"
            else f"This invoice is {invoice['status']}."
        )
        raise StripeError(400, done, code="invoice_not_editable")
    tried: Json = {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": None,
    }
    intent = payment["payment"]["payment_intent"]
    try:
        if method is None:
            raise StripeError(400, "Cannot charge a customer that has no active card", code="missing")
        paid = payments.confirm(act.paying, intent, method, {"off_session": unattended})
    except StripeError:
        if act.get("invoice", id)["attempt_count"] < tried["attempt_count"]:
            _fail(act, invoice, tried)
        raise
    if paid["status"] == "requires_action":
        act.change("invoice", id, **tried)
        act.tell("invoice.payment_action_required", "invoice", id)
        raise errors.card_declined(
            "authentication_required",
            "This payment requires additional user action.",
            "invoice_payment_intent_requires_action",
            payment_intent=paid,
        )
    if paid["status"] == "processing":
        return act.change("invoice", id, **tried)
    return settle(act, payment, paid["amount"], **tried)


def settle(act: Act, payment: Json, amount: int, **tried: Any) -> Json:
    """The end of an invoice whose payment has succeeded."""
    when = {"canceled_at": None, "paid_at": act.at}
    act.change("invoice_payment", payment["id"], status="paid", status_transitions=when, amount_paid=amount)
    return _close(act, payment["invoice"], tried)


def _fail(act: Act, invoice: Json, tried: Json) -> None:
    times = invoice["attempt_count"]
    due = None
    if (
        times < len(RETRIES)
        and invoice["auto_advance"]
        and invoice["billing_reason"] != "subscription_create"
    ):
        due = act.at + RETRIES[times]
    act.change("invoice", invoice["id"], **tried | {"next_payment_attempt": due})
    act.tell("invoice.payment_failed", "invoice", invoice["id"])


def _close(act: Act, id: str, fields: Json) -> Json:
    done: Json = {"next_payment_attempt": None, "auto_advance": False, "status": "paid"}
    return act.change("invoice", id, **fields | done)


def method_for(act: Act, invoice: Json) -> Json | None:
    """What an invoice is paid with: its own, the subscription's or the customer's."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    who = act.get("customer", invoice["customer"])
    own = act.get("subscription", details["subscription"]) if details.get("subscription") else {}
    for id in (
        invoice["default_payment_method"],
        own.get("default_payment_method"),
        who["invoice_settings"]["default_payment_method"],
    ):
        if id:
            return act.get("payment_method", id)
    sources = [each for each in act.of("card", who["id"]) if each["id"] == who["default_source"]]
    return sources[0] if sources else None


# Requests


def create_invoice(write: Write) -> Json:
    act, given = write.act, write.given
    customer, subscription = given.get("customer"), given.get("subscription")
    fields = write.without("customer", "discounts")
    if subscription:
        customer = act.get("subscription", subscription)["customer"]
        fields["parent"] = of_subscription(subscription)
    if customer is None:
        raise errors.missing_parameter("customer")
    who = act.get("customer", customer)
    act = act.under(who["test_clock"])
    items = [each for each in act.world.list_all("invoiceitem", act.home) if each["customer"] == customer]
    pending = given.get("pending_invoice_items_behavior") == "include"
    first = next((each["currency"] for each in items if pending and not each["invoice"]), "usd")
    fields["currency"] = (given.get("currency") or first).lower()
    if days := given.get("days_until_due"):
        fields["due_date"] = act.at + days * _DAY
    return draft(act, customer, [], pending=pending, **fields)


def of_subscription(id: str) -> Json:
    details = {"metadata": {}, "subscription": id}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def finalize_invoice(write: Write) -> Json:
    return finalize(write.act, write.id)


def pay_it(write: Write) -> Json:
    act, given = write.act, write.given
    if write.old["status"] == "draft":
        finalize(act, write.id)
    invoice = act.get("invoice", write.id)
    if invoice["status"] == "paid" and write.old["status"] == "draft":
        return invoice
    if given.get("paid_out_of_band"):
        if payment := payment_of(act, write.id):
            act.change("payment_intent", payment["payment"]["payment_intent"], status="canceled")
            act.change("invoice_payment", payment["id"], status="canceled")
        return _close(act, write.id, {"amount_paid_off_stripe": invoice["amount_due"]})
    method = payments.method_of(act, given, invoice["customer"]) or method_for(act, invoice)
    return pay(act, write.id, method, unattended=bool(given.get("off_session")))


def send_invoice(write: Write) -> Json:
    act = write.act
    if write.old["status"] == "draft":
        finalize(act, write.id)
    act.tell("invoice.sent", "invoice", write.id)
    return act.get("invoice", write.id)


def void_invoice(write: Write) -> Json:
    return _end(write, "void", ("open", "uncollectible"))


def mark_uncollectible_invoice(write: Write) -> Json:
    return _end(write, "uncollectible", ("open",))


def _end(write: Write, status: str, after: tuple[str, ...]) -> Json:
    act, payment = write.act, payment_of(write.act, write.id)
    if write.old["status"] not in after:
        raise errors.wrong_status("invoice", write.old["status"], status)
    if payment and status == "void":
        act.change("payment_intent", payment["payment"]["payment_intent"], status="canceled")
        act.change("invoice_payment", payment["id"], status="canceled")
    return act.change("invoice", write.id, status=status, auto_advance=False)


def create_invoiceitem(write: Write) -> Json:
    """An amount that a customer owes: on a draft at once, or on the next invoice."""
    act, given = write.act, write.given
    fields, quantity = write.without("discounts"), given.get("quantity") or 1
    fields |= _priced(act, given, quantity)
    if given.get("unit_amount_decimal"):
        fields["amount"] = round(float(given["unit_amount_decimal"]) * quantity)
    fields["currency"] = (given.get("currency") or fields.get("currency") or "usd").lower()
    invoice = fields.pop("invoice", None)
    made = act.make("invoiceitem", **fields | {"quantity": quantity})
    if invoice:
        act.world.pull_items(invoice, act.home, at=act.at)
    return act.get("invoiceitem", made["id"])


def _priced(act: Act, given: Mapping[str, Any], quantity: int) -> Json:
    """What a line has of the price that its parameters name or describe."""
    named = (given.get("pricing") or {}).get("price")
    if not named and not given.get("price_data"):
        return {}
    price = price_of(act, {"price": named, **given})
    details = {"price": price["id"], "product": price["product"]}
    shown = {"price_details": details, "type": "price_details"}
    shown["unit_amount_decimal"] = price["unit_amount_decimal"]
    return {"amount": amount_of(act, price, quantity), "currency": price["currency"], "pricing": shown}


_SHOWN: Final = ("amount", "description", "discountable", "metadata", "period", "quantity")


def _lines(write: Write, deed: Callable[[Json, Json], object]) -> Json:
    """Does something for each of the lines that a form has: with it, and with the fields of a line."""
    act, old = write.act, write.old
    if old["status"] != "draft":
        raise StripeError(400, "Only the lines of a draft can be changed.", code="invoice_not_editable")
    for each in write.given["lines"]:
        fields: Json = {name: each[name] for name in _SHOWN if each.get(name) is not None}
        fields |= _priced(act, each, each.get("quantity") or 1)
        if "amount" in fields:
            fields["subtotal"] = fields["amount"]
        deed(each, fields)
    return write.old


def add_lines_invoice(write: Write) -> Json:
    of: Json = {"invoice": write.id, "currency": write.old["currency"]}
    return _lines(write, lambda _, fields: write.act.make("line_item", **of | {"amount": 0} | fields))


def update_lines_invoice(write: Write) -> Json:
    act = write.act
    return _lines(
        write, lambda line, new: act.change("line_item", act.get("line_item", line["id"])["id"], **new)
    )


def remove_lines_invoice(write: Write) -> Json:
    act = write.act
    return _lines(write, lambda line, _: act.remove("line_item", act.get("line_item", line["id"])["id"]))


def attach_payment_invoice(write: Write) -> Json:
    intent = write.act.get("payment_intent", write.need("payment_intent"))
    asked: Json = {"amount_requested": intent["amount"], "currency": intent["currency"], "is_default": False}
    of = {"payment_intent": intent["id"], "type": "payment_intent"}
    write.act.make("invoice_payment", invoice=write.id, payment=of, **asked)
    return write.old


def create_preview_invoice(write: Write) -> Json:
    """The invoice that would be made, which nobody is told of."""
    act = replace(write.act, told=False)
    made = create_invoice(replace(write, act=act))
    act.remove("invoice", made["id"])
    return made


# Credit notes


def create_credit_note(write: Write) -> Json:
    given, dropped = write.given, ("amount", "invoice", "refunds", "shipping_cost")
    fields = write.without(*dropped)
    whole: list[Json] = [{"unit_amount": given.get("amount") or given.get("credit_amount") or 0}]
    made = credit(write.act, given["invoice"], given.get("lines") or whole, **fields)
    payment = payment_of(write.act, given["invoice"])
    if payment and given.get("refund_amount"):
        intent = write.act.get("payment_intent", payment["payment"]["payment_intent"])
        payments.refund(write.act, write.act.get("charge", intent["latest_charge"]), given["refund_amount"])
    return made


def credit(act: Act, id: str, lines: Sequence[Mapping[str, Any]], **fields: Any) -> Json:
    """A credit note with these lines, for an invoice that is paid or open."""
    invoice = act.get("invoice", id)
    money: Json = {"currency": invoice["currency"], "invoice": id}
    note = str(act.make("credit_note", lines=0, event=False, **money, **fields)["id"])
    for line in lines:
        amount = line.get("amount") or (line.get("unit_amount") or 0) * (line.get("quantity") or 1)
        kept = {
            name: line[name] for name in ("description", "quantity", "type", "unit_amount") if line.get(name)
        }
        act.make("credit_note_line_item", credit_note=note, event=False, amount=amount, **kept)
    total = act.get("credit_note", note)["amount"]
    part = "post_payment_amount" if invoice["status"] == "paid" else "pre_payment_amount"
    act.change("credit_note", note, event=False, **{part: total})
    act.tell("credit_note.created", "credit_note", note)
    return act.get("credit_note", note)
