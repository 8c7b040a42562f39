"""Checkout sessions, payment links and quotes: what is offered, and what a customer's consent makes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.kinds.derived import templates
from sandbox.stripe.rules import billing, invoices, payments
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.selling import amount_of, price_of


def _add_lines(
    act: Act, kind: str, of: Mapping[str, str], items: Sequence[Mapping[str, Any]]
) -> tuple[int, str]:
    """The lines of what is offered, their sum and currency."""
    total, currency = 0, "usd"
    for item in items:
        price = price_of(act, item)
        amount, currency = amount_of(act, price, item.get("quantity") or 1), price["currency"]
        total += amount
        shown: Json = {"price": price, "quantity": item.get("quantity") or 1, "currency": currency}
        shown |= {"amount_subtotal": amount, "amount_total": amount, "amount_discount": 0, "amount_tax": 0}
        name = act.get("product", price["product"])["name"]
        act.make(kind, event=False, description=name, discounts=[], taxes=[], **shown, **of)
    return total, currency


def create_checkout_session(write: Write) -> Json:
    given, mode = write.given, write.given.get("mode") or "payment"
    if mode != "setup":
        write.need("line_items")
    dropped = ("discounts", "shipping_options", "subscription", "optional_items", "currency", "mode")
    fields = write.without(*dropped)
    fields["client_secret"] = f"{given['ui_mode']}_secret" if given.get("ui_mode") else None
    made = start(write.act, given.get("line_items") or (), mode, **fields)
    write.act.world.kept[made["id"]] = {name: given.get(name) for name in ("payment_intent_data",)}
    return made


def start(act: Act, items: Sequence[Mapping[str, Any]], mode: str = "payment", **fields: Any) -> Json:
    """A session that offers these items."""
    status = "unpaid" if mode != "setup" else "no_payment_required"
    made = act.make("checkout.session", mode=mode, payment_status=status, line_items=0, **fields)
    _, currency = _add_lines(act, "item", {"session": made["id"]}, items)
    shown = currency if mode != "setup" else None
    return act.change("checkout.session", made["id"], event=False, currency=shown)


def complete(act: Act, id: str, method: Json) -> Json:
    """What happens when a customer pays. Raises StripeError if that fails: the session stays open."""
    session, kept = act.get("checkout.session", id), act.world.kept.get(id, {})
    if session["status"] != "open":
        raise StripeError(400, f"This Checkout Session is {session['status']}.")
    billed = method["billing_details"]
    customer = session["customer"]
    if customer is None and session["mode"] != "payment":
        customer = act.make(
            "customer", email=billed["email"] or session["customer_email"], name=billed["name"]
        )["id"]
    who = templates("payment_pages_checkout_session_customer_details") | {"tax_exempt": "none", "tax_ids": []}
    who |= {name: billed[name] for name in ("address", "name", "phone")}
    who["email"] = billed["email"] or session["customer_email"]
    done: Json = {"customer": customer, "customer_details": who}
    waits = False
    if session["mode"] == "payment":
        asked = (kept.get("payment_intent_data") or {}).items()
        known = {name: each for name, each in asked if name in KINDS["payment_intent"].fields and each}
        money = {"amount": session["amount_total"], "currency": session["currency"], "customer": customer}
        types = {"payment_method_types": session["payment_method_types"]}
        intent = act.make("payment_intent", **{**known, **money, **types, "payment_method": method["id"]})
        act.change("checkout.session", id, event=False, payment_intent=intent["id"])
        waits = payments.confirm(act, intent["id"], method)["status"] == "processing"
    elif session["mode"] == "subscription":
        if method["customer"] is None:
            act.change("payment_method", method["id"], customer=customer)
        items = [{"price": each["price"]["id"], "quantity": each["quantity"]} for each in act.of("item", id)]
        made = billing.subscribe(
            act, customer, items, default_payment_method=method["id"], payment_behavior="error_if_incomplete"
        )
        done |= {"subscription": made["id"], "invoice": made["latest_invoice"]}
    done["payment_status"] = (
        "unpaid" if waits else "paid" if session["mode"] != "setup" else "no_payment_required"
    )
    act.change("checkout.session", id, status="complete", url=None, **done)
    if waits:
        intent = act.get("payment_intent", act.get("checkout.session", id)["payment_intent"])
        _end_waiting(act, id, intent)
    return act.get("checkout.session", id)


def _end_waiting(act: Act, id: str, intent: Json) -> None:
    """A payment that takes days succeeds, after all."""
    charge = act.get("charge", intent["latest_charge"])
    booked = payments.book(act, "payment", charge["id"], charge["amount"], charge["currency"])
    taken: Json = {
        "amount_captured": charge["amount"],
        "captured": True,
        "paid": True,
        "balance_transaction": booked,
    }
    act.change("charge", charge["id"], status="succeeded", **taken)
    act.change("payment_intent", intent["id"], status="succeeded", amount_received=intent["amount"])
    act.change("checkout.session", id, event=False, payment_status="paid")
    act.tell("checkout.session.async_payment_succeeded", "checkout.session", id)


def confirm_checkout_session(write: Write) -> Json:
    method = write.act.get("payment_method", write.given["payment_method"])
    return complete(write.act, write.id, method)


def create_payment_link(write: Write) -> Json:
    fields = write.without("line_items", "optional_items")
    made = write.act.make("payment_link", event=False, line_items=0, **fields)
    of = {"payment_link": made["id"]}
    _, currency = _add_lines(write.act, "payment_link_item", of, write.given["line_items"])
    link = f"https://buy.stripe.com/test_{made['id'].removeprefix('plink_')}"
    write.act.change("payment_link", made["id"], event=False, currency=currency, url=link)
    write.act.tell("payment_link.created", "payment_link", made["id"])
    return write.act.get("payment_link", made["id"])


# Quotes


def create_quote(write: Write) -> Json:
    act, given = write.act, write.given
    if given.get("customer"):
        act = act.under(act.get("customer", given["customer"])["test_clock"])
    fields = write.without("line_items", "discounts", "test_clock")
    none: Json = {"line_items": 0, "computed.upfront.line_items": 0, "test_clock": act.clock}
    made = act.make("quote", event=False, **fields, **none)
    total, currency = _add_lines(act, "quote_item", {"quote": made["id"]}, given.get("line_items") or ())
    sums = {"amount_subtotal": total, "amount_total": total, "currency": currency}
    act.change("quote", made["id"], event=False, **sums)
    act.tell("quote.created", "quote", made["id"])
    return act.get("quote", made["id"])


def finalize_quote(write: Write) -> Json:
    times = {"finalized_at": write.act.at}
    number = f"QT-{write.id[-8:].upper()}-0001-1"
    return write.act.change("quote", write.id, status="open", number=number, status_transitions=times)


def accept_quote(write: Write) -> Json:
    """Recurring prices become a subscription, others an invoice."""
    act, quote = write.act, write.old
    if quote["status"] != "open":
        raise errors.wrong_status("quote", quote["status"], "accepted")
    lines = act.of("quote_item", write.id)
    recurring = [each for each in lines if each["price"]["recurring"]]
    done: Json = {"status_transitions": quote["status_transitions"] | {"accepted_at": act.at}}
    if recurring:
        items = [{"price": each["price"]["id"], "quantity": each["quantity"]} for each in recurring]
        made = billing.subscribe(act, quote["customer"], items)
        done |= {"subscription": made["id"], "invoice": made["latest_invoice"]}
    else:
        bought = [
            invoices.line_of(each["price"], each["quantity"], each["amount_total"], act.at, act.at)
            for each in lines
        ]
        parent = {"quote_details": {"quote": write.id}, "subscription_details": None, "type": "quote_details"}
        of: Json = {"currency": quote["currency"], "parent": parent, "from_invoice": None}
        done["invoice"] = invoices.draft(act, quote["customer"], bought, **of)["id"]
    return act.change("quote", write.id, status="accepted", **done)
