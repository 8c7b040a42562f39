"""Billing: subscriptions and their schedules, invoices and their lines, credit notes, checkout sessions."""

from dataclasses import replace
from typing import Any

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Asked, Filter, Given, Json, Match, at, between, equals, only, single, where
from sandbox.stripe.kind import ABSENT, Draft, Effect, Events, Kind, Move, Nested, Parent, Pull, View
from sandbox.stripe.kinds import fields as f
from sandbox.stripe.kinds.discounts import SHIPPING_COST, taken_off, taxed

_ENDED = ("canceled", "incomplete_expired")


def _subscription_status(param: str, given: Given) -> Match | None:
    status = single(param, given)
    if status == "all":
        return None
    if status == "ended":
        return Match(lambda facet: facet in _ENDED, _ENDED)
    return only(status)


def _not_canceled(_asked: Asked) -> Match:
    return Match(lambda status: status != "canceled")


def no_test_clock(asked: Asked) -> Match | None:
    return None if "customer" in asked.names else only(None)


def _prices(subscription: Json) -> Any:
    """The prices of the items that the subscription shows of itself: ten at most."""
    return tuple(item["price"]["id"] for item in subscription["items"]["data"])


def _period(name: str) -> Filter:
    def read(subscription: Json) -> Any:
        return max((item[name] for item in subscription["items"]["data"]), default=None)

    test = between(name)
    return Filter(name, read, test.parse)


def _end_subscription(subscription: Json, now: int) -> None:
    if subscription["status"] == "canceled":
        for name in ("canceled_at", "ended_at"):
            subscription[name] = subscription[name] or now


def _date_invoice(invoice: Json, now: int) -> None:
    """Note when the invoice got its status, and what there is left to pay."""
    status, dates = invoice["status"], dict(invoice["status_transitions"])
    name = {
        "open": "finalized_at",
        "paid": "paid_at",
        "void": "voided_at",
        "uncollectible": "marked_uncollectible_at",
    }.get(status)
    if name:
        dates[name] = dates[name] or now
    invoice["status_transitions"] = dates
    before, after = invoice["starting_balance"], invoice["ending_balance"]
    from_balance = before - (before if after is None else after)
    owed = invoice["total"] - invoice["pre_payment_credit_notes_amount"] + from_balance
    invoice["amount_due"] = max(owed, 0)
    invoice["amount_paid"] = invoice["amount_due"] if status == "paid" else 0
    invoice["amount_remaining"] = invoice["amount_due"] - invoice["amount_paid"]


def _credited(_invoice: Json, notes: list[Json]) -> Json:
    """What an invoice's credit notes take off it, before or after it was paid."""
    return {
        f"{type}_credit_notes_amount": sum(
            note["amount"] for note in notes if note["type"] == type and note["status"] != "void"
        )
        for type in ("pre_payment", "post_payment")
    }


def _note_type(draft: Draft) -> str:
    paid = draft.show("invoice", draft.built["invoice"])["status"] == "paid"
    return "post_payment" if paid else "pre_payment"


def _line_of_item(item: Json) -> Json:
    of = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
    details = {"invoice_item": item["id"], "proration": item["proration"], "proration_details": None}
    return {
        "amount": item["amount"],
        "currency": item["currency"],
        "period": item["period"],
        "subscription": of,
        "parent": {
            "invoice_item_details": details | {"subscription": of},
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
    }


def _unmetered(item: Json, _children: int) -> StripeError | None:
    recurring = item["price"]["recurring"] or {}
    if recurring.get("usage_type") == "metered":
        return None
    return StripeError(
        400,
        f"Cannot list usage record summaries for {item['id']} because it is not on the legacy metered "
        "billing system",
    )


def _without_lines(_session: Json, children: int) -> StripeError | None:
    """Every session that takes money has lines; one without is as old as those that Stripe lost them of."""
    if children:
        return None
    return StripeError(
        404,
        "Could not find line items for this Checkout Session. They may be missing for old testmode Checkout "
        "Sessions.",
    )


SUBSCRIPTION = Kind(
    "subscription",
    "sub",
    filters=(
        _period("current_period_end"),
        _period("current_period_start"),
        where("price", _prices, lambda price, prices: price in prices),
        Filter("status", at("status"), _subscription_status, unasked=_not_canceled, groups=True),
        replace(equals("test_clock"), unasked=no_test_clock),
    ),
    parent=Parent("customer", "customer"),
    nested=(Nested(("subscription_item",), "items", "/v1/subscription_items?subscription={id}", made=1),),
    events=Events(
        "customer.subscription",
        statuses={"canceled": "deleted"},
        moves=(Move("status", "active", "resumed", lambda old, _new: old["status"] == "paused"),),
        deleted="",
    ),
    flow={
        "trialing": ("active", "canceled"),
        "active": ("past_due", "paused", "canceled"),
        "past_due": ("active", "unpaid", "canceled"),
        "unpaid": ("active", "canceled"),
        "paused": ("active", "canceled"),
        "incomplete": ("active", "incomplete_expired"),
    },
    cancels={"status": "canceled"},
    derive=_end_subscription,
    variants=({"discounts": 1}, {"discounts": 2}),
    fields={
        "billing_cycle_anchor": f.now,
        "cancellation_details": f.nulls("comment", "feedback", "reason"),
        "status": "active",
        "invoice_settings": {"issuer": {"type": "self"}},
    },
)

SUBSCRIPTION_ITEM = Kind(
    "subscription_item",
    "si",
    permission="subscription",
    parent=Parent("subscription", "subscription"),
    variants=({"discounts": 1},),
    fields={"current_period_end": f.later(f.MONTH)},
)

USAGE_RECORD_SUMMARY = Kind(
    "usage_record_summary",
    "sis",
    path="/v1/subscription_items/{subscription_item}/usage_record_summaries",
    ops="L",
    permission="usage_record",
    parent=Parent("subscription_item", "subscription_item", refuses=_unmetered),
    gone_in="2025-03-31.basil",
    fields={
        "invoice": None,
        "livemode": f.livemode,
        "period": {"end": f.later(f.MONTH), "start": f.now},
        "total_usage": f.number(0, 500),
    },
)

SCHEDULE = Kind(
    "subscription_schedule",
    "sub_sched",
    filters=(where("scheduled", "status", lambda asked, now: not asked or now == "not_started", "boolean"),),
    flow={"not_started": ("active", "canceled"), "active": ("canceled", "completed", "released")},
    derive=lambda data, now: data.update(
        {
            f"{status}_at": data[f"{status}_at"] or (now if data["status"] == status else None)
            for status in ("canceled", "completed", "released")
        }
    ),
    fields={
        "default_settings": {
            "collection_method": "charge_automatically",
            "invoice_settings": {"issuer": {"type": "self"}},
        },
        "end_behavior": "release",
    },
)

INVOICE = Kind(
    "invoice",
    "in",
    filters=(equals("subscription", "parent.subscription_details.subscription"),),
    nested=(
        Nested(("line_item",), "lines", made=1, totals=("subtotal", "total")),
        Nested(("invoice_payment",), "payments", "/v1/invoice_payments?invoice={id}", shown=False),
    ),
    events=Events(
        statuses={
            "open": "finalized",
            "paid": "paid payment_succeeded",
            "void": "voided",
            "uncollectible": "marked_uncollectible",
        },
        always=True,
    ),
    flow={"draft": ("open",), "open": ("paid", "void", "uncollectible"), "uncollectible": ("paid", "void")},
    deletable={"status": "draft"},
    derive=_date_invoice,
    pulls=Pull("invoiceitem", "invoice", "customer", "line_item", _line_of_item),
    includes=("confirmation_secret", "payments", "shipping_cost.taxes"),
    variants=(
        {"discounts": 1},
        {"amount_shipping": 600, "shipping_cost": SHIPPING_COST},
        {"confirmation_secret": {"client_secret": f.words("{id}_secret_sandbox"), "type": "payment_intent"}},
    ),
    fields={
        "account_country": "US",
        "account_name": "Sandbox",
        "billing_reason": "manual",
        "confirmation_secret": ABSENT,
        "issuer": {"type": "self"},
        "period_end": f.now,
    },
)

INVOICE_PAYMENT = Kind(
    "invoice_payment",
    "inpay",
    permission="invoice",
    parent=Parent("invoice", "invoice"),
    flow={"open": ("paid",)},
    fields={
        "amount_requested": f.number(100, 50_000),
        "payment": {"payment_intent": f.ref("payment_intent"), "type": "payment_intent"},
    },
)

LINE_ITEM = Kind(
    "line_item",
    "il",
    parent=Parent("invoice", "invoice"),
    variants=({"discounts": 1},),
    fields={
        "description": f.text("Line ????"),
        "discount_amounts": [],
        "discountable": True,
        "period": {"end": f.now, "start": f.now},
        "pretax_credit_amounts": [],
        "subtotal": f.same("amount"),
    },
)

INVOICE_ITEM = Kind(
    "invoiceitem",
    "ii",
    created="date",
    filters=(where("pending", "invoice", lambda asked, invoice: (invoice is None) == asked, "boolean"),),
    variants=({"discounts": 1},),
    fields={"discountable": True, "period": {"end": f.now, "start": f.now}, "quantity_decimal": "1"},
)

CREDIT_NOTE = Kind(
    "credit_note",
    "cn",
    nested=(Nested(("credit_note_line_item",), "lines", made=1, totals=("amount", "subtotal", "total")),),
    events=Events(statuses={"void": "voided"}, always=True),
    flow={"issued": ("void",)},
    effects=(Effect("invoice", "invoice", _credited),),
    includes=("shipping_cost.taxes",),
    variants=({"amount_shipping": 600, "shipping_cost": SHIPPING_COST},),
    fields={
        "amount": 0,
        "customer": lambda draft: draft.show("invoice", draft.built["invoice"])["customer"],
        "number": f.text("????????-CN-01"),
        "pdf": f.words("https://pay.stripe.com/credit_notes/{id}/pdf"),
        "type": _note_type,
    },
)

CREDIT_NOTE_LINE = Kind(
    "credit_note_line_item",
    "cnli",
    path="/v1/credit_notes/{credit_note}/lines",
    parent=Parent("credit_note", "credit_note", named=False),
    fields={"unit_amount": f.same("amount"), "unit_amount_decimal": f.words("{amount}")},
)

SESSION = Kind(
    "checkout.session",
    "cs_test",
    nested=(
        Nested(("item",), "line_items", shown=False, made=1, totals=("amount_subtotal", "amount_total")),
    ),
    events=Events(statuses={"complete": "completed"}),
    flow={"open": ("complete", "expired")},
    includes=("line_items", "optional_items", "shipping_cost.taxes", "total_details.breakdown"),
    variants=(
        {
            "optional_items": [{"adjustable_quantity": None, "price": f.ref("price"), "quantity": 1}],
            "shipping_cost": SHIPPING_COST,
            "total_details": {
                "amount_discount": 50,
                "amount_shipping": 600,
                "amount_tax": 100,
                "breakdown": {"discounts": taken_off(50), "taxes": taxed(100)},
            },
        },
    ),
    fields={
        "amount_subtotal": 0,
        "amount_total": 0,
        "currency": "usd",
        "expires_at": f.later(f.DAY),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "success_url": "https://example.com/thanks",
        "url": f.words("https://checkout.stripe.com/c/pay/{id}"),
    },
)

SESSION_LINE = Kind(
    "item",
    "li",
    path="/v1/checkout/sessions/{session}/line_items",
    parent=Parent("checkout.session", "session", named=False, refuses=_without_lines),
    includes=("discounts", "taxes"),
    variants=({"amount_discount": 50, "amount_tax": 20, "discounts": taken_off(50), "taxes": taxed(20)},),
    fields={
        "amount_subtotal": f.number(100, 5000),
        "amount_total": f.same("amount_subtotal"),
        "description": f.text("Item ????"),
        "price": f.whole("price"),
    },
)
OF_CUSTOMER = View(
    "/v1/customers/{customer}/subscriptions",
    ("subscription",),
    (Filter("", at("status"), lambda _param, _given: None, unasked=_not_canceled),),
    parent="customer",
)
