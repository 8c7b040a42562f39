"""Payments as Stripe makes them: intents, charges, their balance transactions, refunds, disputes, payouts.

Every charge that takes money has one balance transaction with its fee; every refund, dispute, payout and
transfer has its own, so that the books add up.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import ABSENT
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.kinds.derived import templates
from sandbox.stripe.rules import cards
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.cards import Card

_FIXED_FEES: Final = {"eur": 25, "gbp": 20, "jpy": 40, "usd": 30}
_DISPUTE_FEES: Final = {"eur": 2000, "gbp": 2000, "jpy": 1300, "usd": 1500}
_LATER: Final = frozenset(("acss_debit", "au_becs_debit", "bacs_debit", "sepa_debit", "us_bank_account"))
"""The types of payment methods whose payments take days."""
_AVAILABLE_AFTER: Final = 2 * 24 * 3600
_COPIED: Final = (
    *("customer", "description", "metadata", "on_behalf_of", "receipt_email", "shipping"),
    *("statement_descriptor", "statement_descriptor_suffix", "transfer_group", "transfer_data"),
)
"""The fields that a charge has of its intent."""


# Balance transactions


def book(act: Act, type: str, source: str, amount: int, currency: str, fee: int = 0, **fields: Any) -> str:
    """The id of a new balance transaction, which its source's own events tell of."""
    parts = [{"amount": fee, "application": None, "currency": currency}] if fee else []
    for part in parts:
        part |= {"description": "Stripe processing fees", "type": "stripe_fee"}
    more: Json = {"available_on": act.at + _AVAILABLE_AFTER, "reporting_category": type} | fields
    more |= {"amount": amount, "currency": currency, "fee": fee, "fee_details": parts, "type": type}
    return str(act.make("balance_transaction", source=source, net=amount - fee, **more)["id"])


def fee_of(amount: int, currency: str) -> int:
    return min(amount, round(amount * 0.029) + _FIXED_FEES.get(currency, 30))


def _new_id(act: Act, kind: str) -> str:
    return KINDS[kind].new_id(act.world.rng)


# Charges


def charge(act: Act, amount: int, paid_by: "Paid", captured: bool = True, **fields: Any) -> Json:
    """A charge of a payment method, with what follows from its card. A declined one is a charge, too."""
    method, card = paid_by
    id, currency, details = _new_id(act, "charge"), fields["currency"], (method or {}).get("billing_details")
    fields |= {"payment_method_details": _details(method), "amount": amount, "id": id}
    fields |= {"billing_details": details} if details else {}
    if method and method["object"] == "payment_method":
        fields["payment_method"] = method["id"]
    none: Json = {"amount_captured": 0, "captured": False, "paid": False}
    if card.declines:
        said: Json = {"failure_code": card.code, "failure_message": cards.declined(card).message}
        return act.make("charge", status="failed", outcome=_outcome(card), **none, **said, **fields)
    if (method or {}).get("type") in _LATER:
        return act.make("charge", status="pending", **none, **fields)
    if captured:
        at_once = {"status": "available", "available_on": act.at} if card.at_once else {}
        fee = fee_of(amount, currency)
        fields["balance_transaction"] = book(act, "charge", id, amount, currency, fee, **at_once)
    fields |= {"amount_captured": amount if captured else 0, "captured": captured, "status": "succeeded"}
    return act.make("charge", outcome=_outcome(card), paid=True, **fields)


Paid = tuple[Mapping[str, Any] | None, Card]
"""A payment method or a card, and the test card behind it."""


def with_card(method: Mapping[str, Any] | None) -> Paid:
    return method, cards.card_of(method)


def follow(act: Act, charge: Json, method: Mapping[str, Any] | None) -> None:
    """What else a payment with a card leads to."""
    card, of = cards.card_of(method), {"charge": charge["id"], "payment_intent": charge["payment_intent"]}
    if card.warned:
        act.make("radar.early_fraud_warning", fraud_type=card.warned, **of)
    if card.disputed:
        dispute(act, charge, card.disputed, card.inquired)


def _details(method: Mapping[str, Any] | None) -> Json | None:
    if method is None:
        return None
    type = method.get("type", "card")
    shown = method.get(type) or {}
    if type == "card":
        source, empty = shown or method, templates("payment_method_details_card")
        shown = {name: source.get(name) for name in empty} | {"brand": str(source["brand"]).lower()}
    return {"type": type, type: shown}


def _outcome(card: Card) -> Json:
    blocked, said = card.declines == "fraudulent", "Payment complete."
    status, type = "approved_by_network", "authorized"
    if card.declines:
        status, type = "declined_by_network", "issuer_declined"
        said = "The bank did not return any further details with this decline."
    if blocked:
        status, type = "not_sent_to_network", "blocked"
    why: Json = {"reason": "highest_risk_level" if blocked else card.declines or None, "type": type}
    why |= {"network_status": status, "risk_level": "highest" if blocked else "normal"}
    return templates("charge_outcome") | {"seller_message": said} | why


def create_charge(write: Write) -> Json:
    act, given = write.act, write.given
    amount, currency = write.need("amount"), write.need("currency").lower()
    source, own = _paying_source(act, given), ("amount", "captured", "currency", "source")
    fields = write.without(*own)
    made = charge(act, amount, with_card(source), given.get("capture", True), currency=currency, **fields)
    if made["status"] == "failed":
        raise cards.declined(cards.card_of(source), charge=made["id"])
    follow(act, made, source)
    return act.get("charge", made["id"])


def _paying_source(act: Act, given: Mapping[str, Any]) -> Json | None:
    """The token's card, or one of the customer's sources."""
    if card := cards.named(given.get("source") or ""):
        return {"object": "card", "exp_month": 12, "exp_year": 2034, **card.shown}
    customer = given.get("customer")
    owned = [each for kind in ("card", "bank_account", "source") for each in act.of(kind, customer or "")]
    wanted = given.get("source") or (act.get("customer", customer)["default_source"] if customer else None)
    return next((each for each in owned if each["id"] == wanted), None)


def capture(act: Act, id: str, amount: int | None = None) -> Json:
    """Takes the money of a charge that was only authorized."""
    old = act.get("charge", id)
    if old["captured"]:
        raise StripeError(400, f"Charge {id} has already been captured.", code="charge_already_captured")
    taken, currency = amount or old["amount"], old["currency"]
    booked = book(act, "charge", id, taken, currency, fee_of(taken, currency))
    return act.change("charge", id, captured=True, amount_captured=taken, balance_transaction=booked)


def capture_charge(write: Write) -> Json:
    return capture(write.act, write.id, write.given.get("amount"))


# Refunds and disputes


def refund(act: Act, charge: Json, amount: int | None = None, **fields: Any) -> Json:
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise StripeError(
            400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if (amount or left) > left:
        words = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise StripeError(400, words, param="amount")
    status = cards.card_of({"card": (charge["payment_method_details"] or {}).get("card")}).refunds
    fields |= {"id": _new_id(act, "refund"), "amount": amount or left, "currency": charge["currency"]}
    fields |= {"payment_intent": charge["payment_intent"], "charge": charge["id"]}
    if charge["captured"]:
        fields["balance_transaction"] = book(
            act, "refund", fields["id"], -fields["amount"], fields["currency"]
        )
    made = act.make("refund", status="pending" if status == "pending" else "succeeded", **fields)
    return act.change("refund", made["id"], status="failed") if status == "failed" else made


def create_refund(write: Write) -> Json:
    act, given = write.act, write.given
    id = given.get("charge") or write.parent
    if intent := given.get("payment_intent"):
        id = act.get("payment_intent", intent)["latest_charge"]
    if id is None:
        raise StripeError(
            400, "One of the following params should be provided for this request: payment_intent or charge."
        )
    fields = {name: each for name, each in write.fields.items() if name in ("metadata", "reason")}
    return refund(act, act.get("charge", id), given.get("amount"), **fields)


def refund_charge(write: Write) -> Json:
    create_refund(replace(write, parent=write.id))
    return write.old


def refund_application_fee(write: Write) -> Json:
    amount = write.given.get("amount") or write.old["amount"] - write.old["amount_refunded"]
    write.act.make("fee_refund", fee=write.id, amount=amount, currency=write.old["currency"])
    return write.old


def dispute(act: Act, charge: Json, reason: str, inquiry: bool = False, **fields: Any) -> Json:
    """A dispute, whose amount is withdrawn unless it is an inquiry."""
    id, amount, currency = _new_id(act, "dispute"), charge["amount"], charge["currency"]
    fields |= {"amount": amount, "currency": currency, "id": id, "reason": reason, "charge": charge["id"]}
    fields |= {"payment_intent": charge["payment_intent"], "is_charge_refundable": inquiry}
    if inquiry:
        return act.make("dispute", status="warning_needs_response", **fields)
    booked = _book_dispute(act, id, -amount, currency, _DISPUTE_FEES.get(currency, 1500))
    made = act.make("dispute", status="needs_response", balance_transactions=[booked], **fields)
    act.tell("charge.dispute.funds_withdrawn", "dispute", id)
    return made


def _book_dispute(act: Act, id: str, amount: int, currency: str, fee: int = 0) -> Json:
    category = "dispute" if amount < 0 else "dispute_reversal"
    booked = book(act, "adjustment", id, amount, currency, fee, reporting_category=category)
    return act.get("balance_transaction", booked)


def end_dispute(act: Act, id: str, won: bool) -> Json:
    old = act.get("dispute", id)
    if old["status"].startswith("warning"):
        return act.change("dispute", id, status="warning_closed")
    if not won:
        return act.change("dispute", id, status="lost")
    back = _book_dispute(act, id, old["amount"], old["currency"])
    return act.change("dispute", id, status="won", balance_transactions=[*old["balance_transactions"], back])


def update_dispute(write: Write) -> Json:
    """Evidence decides a dispute of a test card."""
    act, old = write.act, write.old
    if (write.given.get("evidence") or {}) and write.given.get("submit", True):
        evidence = write.given["evidence"].get("uncategorized_text")
        details = old["evidence_details"] | {"has_evidence": True, "submission_count": 1}
        inquiry = "warning_" * old["status"].startswith("warning")
        fields = write.fields | {"status": f"{inquiry}under_review", "evidence_details": details}
        act.change("dispute", write.id, **fields)
        if evidence in ("winning_evidence", "losing_evidence"):
            return end_dispute(act, write.id, evidence == "winning_evidence")
        return act.get("dispute", write.id)
    return act.change("dispute", write.id, **write.fields)


def close_dispute(write: Write) -> Json:
    return end_dispute(write.act, write.id, won=False)


# Payment intents


def method_of(act: Act, given: Mapping[str, Any], customer: str | None = None) -> Json | None:
    """The payment method that parameters name or describe."""
    if data := given.get("payment_method_data"):
        return new_method(act, data)
    if id := given.get("payment_method"):
        return act.get("payment_method", id)
    if id := given.get("source"):
        return next((each for each in act.of("card", customer or "") if each["id"] == id), None)
    return None


def create_payment_intent(write: Write) -> Json:
    act, given = write.act, write.given
    method = method_of(act, given, given.get("customer"))
    fields: Json = write.fields | {"currency": given["currency"].lower()}
    if method is not None and method["object"] == "payment_method":
        fields["payment_method"] = method["id"]
    if given.get("automatic_payment_methods"):
        fields["payment_method_types"] = ["card", "link"]
    status = "requires_payment_method" if method is None else "requires_confirmation"
    made = act.make("payment_intent", **fields, status=status)
    return confirm(act, made["id"], method, given) if given.get("confirm") else made


def confirm(
    act: Act, id: str, method: Mapping[str, Any] | None, given: Mapping[str, Any] | None = None
) -> Json:
    """Tries to pay. Raises StripeError if the card is declined, after all that follows from it."""
    intent = act.get("payment_intent", id)
    if method is None:
        raise StripeError(
            400,
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    own: Json = {"payment_method": method["id"]} if method["object"] == "payment_method" else {}
    if method.get("type") == "customer_balance":
        owed = {"amount_remaining": intent["amount"], "currency": intent["currency"]}
        action: Json = {
            "type": "display_bank_transfer_instructions",
            "display_bank_transfer_instructions": owed,
        }
        return act.change("payment_intent", id, status="requires_action", next_action=action, **own)
    card, unattended = cards.card_of(method), (given or {}).get("off_session")
    if card.asks and not unattended:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        return act.change("payment_intent", id, status="requires_action", next_action=action, **own)
    if card.asks:
        card = replace(card, declines="authentication_required", code="authentication_required")
    return _attempt(act, intent, method, card, own)


def _attempt(act: Act, intent: Json, method: Mapping[str, Any], card: Card, own: Json) -> Json:
    id, manual = intent["id"], intent["capture_method"] == "manual"
    copied = {name: intent[name] for name in _COPIED if intent.get(name)} | {"currency": intent["currency"]}
    made = charge(act, intent["amount"], (method, card), not manual, payment_intent=id, **copied)
    own |= {"latest_charge": made["id"], "next_action": None}
    if made["status"] == "failed":
        error = cards.declined(card, charge=made["id"], payment_method=method)
        shown = {
            "code": card.code,
            "decline_code": card.declines,
            "message": error.message,
            "type": "card_error",
        }
        failed: Json = {"payment_method": None, "last_payment_error": shown | {"charge": made["id"]}}
        if intent["status"] == "requires_payment_method":
            act.tell("payment_intent.payment_failed", "payment_intent", id)
        intent = act.change("payment_intent", id, status="requires_payment_method", **own | failed)
        raise cards.declined(card, charge=made["id"], payment_intent=intent)
    if made["status"] == "pending":
        return act.change("payment_intent", id, status="processing", **own)
    if manual:
        own |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        return act.change("payment_intent", id, **own)
    _save(act, intent, method)
    act.change("payment_intent", id, status="succeeded", amount_received=intent["amount"], **own)
    follow(act, made, method)
    return act.get("payment_intent", id)


def _save(act: Act, intent: Json, method: Mapping[str, Any]) -> None:
    """A payment method that is set up for later belongs to the customer from then on."""
    if intent["setup_future_usage"] and intent["customer"] and method.get("customer") is None:
        act.change("payment_method", method["id"], customer=intent["customer"])


def confirm_own_intent(write: Write) -> Json:
    act, old = write.act, write.old
    if write.fields:
        act.change("payment_intent", write.id, **write.fields)
    named = dict(write.given)
    if not named.get("payment_method_data"):
        named.setdefault("payment_method", old["payment_method"])
    return confirm(act, write.id, method_of(act, named), write.given)


def capture_payment_intent(write: Write) -> Json:
    old, amount = write.old, write.given.get("amount_to_capture")
    if old["status"] != "requires_capture":
        raise _unexpected(old, "captured", "requires_capture")
    taken = amount or old["amount"]
    capture(write.act, old["latest_charge"], taken)
    done: Json = {"status": "succeeded", "amount_received": taken, "amount_capturable": 0}
    return write.act.change("payment_intent", write.id, **write.fields, **done)


def increment_authorization_payment_intent(write: Write) -> Json:
    act, old, amount = write.act, write.old, write.given["amount"]
    if old["status"] != "requires_capture":
        raise _unexpected(old, "incremented", "requires_capture")
    act.change("charge", old["latest_charge"], amount=amount)
    return act.change("payment_intent", write.id, **write.fields, amount_capturable=amount)


def cancel_payment_intent(write: Write) -> Json:
    act, old, reason = write.act, write.old, write.given.get("cancellation_reason")
    if old["status"] in ("succeeded", "canceled", "processing"):
        raise _unexpected(
            old,
            "canceled",
            "requires_payment_method, requires_capture, requires_confirmation, requires_action",
        )
    if old["status"] == "requires_capture":
        refund(act, act.get("charge", old["latest_charge"]))
    fields: Json = {"canceled_at": act.at, "cancellation_reason": reason, "amount_capturable": 0}
    return act.change("payment_intent", write.id, status="canceled", **fields)


def _unexpected(intent: Json, done: str, wanted: str) -> StripeError:
    return StripeError(
        400,
        f"This PaymentIntent could not be {done} because it has a status of {intent['status']}. Only a "
        f"PaymentIntent with one of the following statuses may be {done}: {wanted}.",
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )


# Setup intents


def create_setup_intent(write: Write) -> Json:
    act, given = write.act, write.given
    method = method_of(act, given)
    status = "requires_confirmation" if method else "requires_payment_method"
    fields: Json = write.fields | {"payment_method": method and method["id"], "status": status}
    made = act.make("setup_intent", **fields)
    return set_up(act, made["id"], method) if given.get("confirm") else made


def set_up(act: Act, id: str, method: Mapping[str, Any] | None) -> Json:
    """Tries to save a payment method. Raises StripeError if the card is declined."""
    if method is None:
        raise errors.missing_parameter("payment_method")
    card, intent = cards.card_of(method), act.get("setup_intent", id)
    status = "requires_action" if card.asks else "failed" if card.declines and card.verified else "succeeded"
    error = cards.declined(card) if status == "failed" else None
    shown = error and {
        "code": card.code,
        "decline_code": card.declines,
        "message": error.message,
        "type": "card_error",
    }
    if status == "succeeded" and intent["customer"] and method["customer"] is None:
        act.change("payment_method", method["id"], customer=intent["customer"])
    act.change("setup_intent", id, payment_method=method["id"])
    act.make("setup_attempt", setup_intent=id, status=status, payment_method=method["id"], setup_error=shown)
    if error:
        raise cards.declined(card, setup_intent=act.get("setup_intent", id))
    return act.get("setup_intent", id)


def confirm_setup_intent(write: Write) -> Json:
    named = {"payment_method": write.old["payment_method"]} | dict(write.given)
    return set_up(write.act, write.id, method_of(write.act, named))


# Payment methods


def new_method(act: Act, given: Mapping[str, Any]) -> Json:
    """A payment method that a form describes. Raises StripeError for a test card that cannot be saved."""
    type, fields = given["type"], {"allow_redisplay", "billing_details", "metadata"}
    kept = {name: value for name, value in given.items() if name in fields and value is not None}
    if type != "card":
        return act.make(
            "payment_method", type=type, card=ABSENT, customer=None, event=False, **kept | _bank(type, given)
        )
    described = given.get("card") or {}
    card = cards.named(described.get("token") or "") or cards.BY_NUMBER.get(described.get("number") or "")
    if card is None and described.get("token"):
        raise errors.missing("token", described["token"], "card[token]", status=400)
    return cards.make_method(act, card or cards.CARDS["visa"], card=card_expiry(described), **kept)


def card_expiry(described: Mapping[str, Any]) -> Json:
    shown = {name: str(described[name]) for name in ("exp_month", "exp_year") if name in described}
    if not all(map(str.isdigit, shown.values())):
        words, code = "Your card's expiration date is invalid.", "invalid_expiry_month"
        raise StripeError(402, words, code=code, type="card_error")
    return {name: int(each) for name, each in shown.items()}


def _bank(type: str, given: Mapping[str, Any]) -> Json:
    described = given.get(type) or {}
    number = next((described[name] for name in ("iban", "account_number") if described.get(name)), None)
    if type == "sepa_debit":
        if number and number.startswith("IT"):
            raise StripeError(400, "The IBAN you provided is invalid.", code="invalid_bank_account_iban")
        shown = {"country": (number or "DE")[:2], "last4": (number or "3000")[-4:], "fingerprint": None}
        return {type: shown | dict.fromkeys(("bank_code", "branch_code", "generated_from"))}
    return {type: {"last4": number[-4:]} if number else {}}


def create_payment_method(write: Write) -> Json:
    given = write.given
    if id := given.get("payment_method"):
        old = write.act.get("payment_method", id)
        return cards.make_method(write.act, cards.card_of(old))
    write.need("type")
    return new_method(write.act, given)


def attach_payment_method(write: Write) -> Json:
    cards.verify(cards.card_of(write.old))
    return write.act.change("payment_method", write.id, customer=write.need("customer"))


def detach_payment_method(write: Write) -> Json:
    if write.old["customer"] is None:
        raise StripeError(
            400, "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    return write.act.change("payment_method", write.id, customer=None)


# Money that comes and goes


def create_payout(write: Write) -> Json:
    """A payout that is asked for pays no particular transactions."""
    act, id = write.act, _new_id(write.act, "payout")
    amount, currency = write.given["amount"], write.given["currency"].lower()
    fields = write.fields | {"currency": currency, "automatic": False, "balance_transactions": 0}
    fields["balance_transaction"] = book(act, "payout", id, -amount, currency)
    return act.make("payout", id=id, reconciliation_status="not_applicable", **fields)


def reverse_payout(write: Write) -> Json:
    """What was paid out comes back by a payout of its own."""
    act, old, id = write.act, write.old, _new_id(write.act, "payout")
    booked = book(act, "payout", id, old["amount"], old["currency"])
    of: Json = {"amount": -old["amount"], "currency": old["currency"], "balance_transaction": booked}
    of |= {"automatic": False, "balance_transactions": 0, "original_payout": write.id}
    made = act.make("payout", id=id, reconciliation_status="not_applicable", **of, **write.fields)
    act.change("payout", write.id, reversed_by=id)
    return made


def pay_out(act: Act, currency: str, **fields: Any) -> Json | None:
    """An automatic payout of all that is in the balance, and available, in a currency. What it pays is in the
    list of its transactions, which ends with its own."""
    table = act.world.table("balance_transaction", act.home)
    waiting = [entry.data() for entry in table.order]
    due = [each for each in waiting if each["currency"] == currency and each["available_on"] <= act.at]
    amount = sum(each["net"] for each in due)
    if amount <= 0:
        return None
    id = _new_id(act, "payout")
    own = book(act, "payout", id, -amount, currency, available_on=act.at)
    shown = {"amount": amount, "currency": currency, "balance_transaction": own}
    shown["reconciliation_status"] = "in_progress"
    made = act.make("payout", id=id, balance_transactions=0, **shown, **fields)
    for each in [*due, act.get("balance_transaction", own)]:
        table.remove(each["id"])
        paid = {name: value for name, value in each.items() if name != "object"} | {"status": "available"}
        act.make("paid_balance_transaction", payout=id, event=False, **paid)
    return made


def create_transfer(write: Write) -> Json:
    """The destination gets a payment of its own."""
    act, id, to = write.act, _new_id(write.act, "transfer"), write.given["destination"]
    if to not in act.world.accounts:
        raise errors.missing("destination", to, "destination", status=400)
    amount, currency = write.need("amount"), write.given["currency"].lower()

    theirs = replace(act, home=to)
    payment = f"py_{_new_id(act, 'charge').removeprefix('ch_')}"
    theirs_booked = book(theirs, "payment", payment, amount, currency, reporting_category="transfer")
    shown: Json = {"amount": amount, "currency": currency, "source_transfer": id}
    shown |= {"balance_transaction": theirs_booked, "captured": True, "status": "succeeded"}
    theirs.make("charge", id=payment, **shown)
    fields = write.fields | {"currency": currency, "destination_payment": payment}
    return act.make(
        "transfer", id=id, balance_transaction=book(act, "transfer", id, -amount, currency), **fields
    )


def create_transfer_reversal(write: Write) -> Json:
    act, transfer = write.act, write.act.get("transfer", write.parent or "")
    left = transfer["amount"] - transfer["amount_reversed"]
    amount, id = write.given.get("amount") or left, _new_id(act, "transfer_reversal")
    if amount > left:
        raise StripeError(
            400, f"Reversal amount ({amount}) is greater than unreversed amount ({left})", param="amount"
        )
    booked = book(
        act, "transfer_refund", id, amount, transfer["currency"], reporting_category="transfer_reversal"
    )
    fields = write.fields | {
        "amount": amount,
        "currency": transfer["currency"],
        "balance_transaction": booked,
    }
    return act.make("transfer_reversal", id=id, transfer=transfer["id"], **fields)


# Cash balances


def fund_cash_balance_customer(write: Write) -> Json:
    """A bank transfer of a customer, which pays what waits for one."""
    act, id, currency = write.act, write.id, write.given["currency"].lower()
    left = _deposit(act, id, write.given["amount"], currency, type="funded")
    for intent in act.world.list_all("payment_intent", act.home)[::-1]:
        action = intent["next_action"] or {}
        if (
            intent["customer"] != id
            or intent["currency"] != currency
            or intent["status"] != "requires_action"
        ):
            continue
        if owed := (action.get("display_bank_transfer_instructions") or {}).get("amount_remaining"):
            left = _apply(act, intent, owed, left)
    if left:
        data = {"object": "cash_balance", "available": {currency: left}, "customer": id, "livemode": False}
        act.world.announce("cash_balance.funds_available", data, act.home, at=act.at)
    return act.world.list_all("customer_cash_balance_transaction", act.home)[-1]


def _deposit(act: Act, customer: str, amount: int, currency: str, **fields: Any) -> int:
    """A change of a cash balance. Gives what is then in it."""
    whole = act.world.whole("customer", customer, act.home)
    before = ((whole["cash_balance"] or {}).get("available") or {}).get(currency, 0)
    settings = {"reconciliation_mode": "automatic", "using_merchant_default": True}
    balance: Json = {"object": "cash_balance", "customer": customer, "settings": settings}
    balance |= {
        "available": {currency: before + amount},
        "customer_account": None,
        "livemode": act.world.livemode,
    }
    act.change("customer", customer, cash_balance=balance, event=False)
    more: Json = {"ending_balance": before + amount, "net_amount": amount, "currency": currency}
    act.make("customer_cash_balance_transaction", customer=customer, **more, **fields)
    return int(before + amount)


def _apply(act: Act, intent: Json, owed: int, available: int) -> int:
    """Pays an intent from a cash balance, as far as that goes. Gives what is left."""
    paid, id = min(owed, available), intent["id"]
    action = intent["next_action"] | {
        "display_bank_transfer_instructions": {
            "amount_remaining": owed - paid,
            "currency": intent["currency"],
        }
    }
    if paid < owed:
        act.change("payment_intent", id, next_action=action)
        act.tell("payment_intent.partially_funded", "payment_intent", id)
    else:
        method = act.get("payment_method", intent["payment_method"])
        _attempt(act, intent, method, cards.CARDS["visa"], {})
    return _deposit(act, intent["customer"], -paid, intent["currency"], type="applied_to_payment")
