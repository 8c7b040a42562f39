"""Discounts, which no endpoint lists: whose they are is where they are found. And what they take off."""

from random import Random
from typing import Any

from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Draft, Effect, Events, Holder, Kind
from sandbox.stripe.kinds import fields as f


def _invoice(draft: Draft) -> Any:
    line = str(draft.built["invoice_item"])
    return draft.show("line_item", line)["invoice"] if line.startswith("il_") else None


def _subscription(draft: Draft) -> Any:
    item = draft.built["subscription_item"]
    return draft.show("subscription_item", item)["subscription"] if item else None


def _customer(draft: Draft) -> Any:
    for field, kind in (
        ("subscription", "subscription"),
        ("invoice", "invoice"),
        ("invoice_item", "invoiceitem"),
    ):
        if id := draft.built[field]:
            return draft.show(kind, id)["customer"]
    return draft.find("customer")


def _coupon(draft: Draft) -> Any:
    code = draft.built["promotion_code"]
    return draft.show("promotion_code", code)["promotion"]["coupon"] if code else draft.find("coupon")


def _told_by_holder(discount: Json, _version: str) -> bool:
    """Only a customer's and a subscription's discounts have events of their own."""
    return bool(discount["invoice"] or discount["invoice_item"] or discount["subscription_item"])


def _redeemed(other: Json, discounts: list[Json]) -> Json:
    """A redemption counts for ever, also when the discount has ended."""
    return {"times_redeemed": max(other["times_redeemed"], len(discounts))}


def _prolonged(discount: Json, rng: Random) -> list[Json]:
    return [{"end": discount["start"] + rng.randint(1, 99) * f.DAY}]


DISCOUNT = Kind(
    "discount",
    "di",
    ops="",
    created="start",
    holders=(
        Holder(("invoiceitem", "line_item"), "invoice_item", "discounts"),
        Holder(("subscription_item",), "subscription_item", "discounts"),
        Holder(("invoice",), "invoice", "discounts"),
        Holder(("subscription",), "subscription", "discounts", announced=True),
        # Whether customer.updated comes too is not known: a reader must do with the discount's own event.
        Holder(("customer",), "customer", "discount", inline=True, quiet=True),
    ),
    events=Events("customer.discount"),
    muted=_told_by_holder,
    effects=(
        Effect("coupon", "source.coupon", _redeemed),
        Effect("promotion_code", "promotion_code", _redeemed),
    ),
    deletable={"invoice_item": None},  # an invoice item's change has no event
    variants=(
        {"subscription": f.ref("subscription")},
        {"subscription_item": f.ref("subscription_item")},
        {"invoice": f.ref("invoice")},
        {"promotion_code": f.ref("promotion_code")},
    ),
    tweaks=_prolonged,
    fields={
        "invoice": _invoice,
        "subscription": _subscription,
        "customer": _customer,
        "source": {"coupon": _coupon},
    },
)


def taken_off(amount: int) -> list[Json]:
    """The part of an amount that a discount took off."""
    return [{"amount": amount, "discount": lambda draft: draft.show("discount", draft.find("discount"))}]


def taxed(amount: int) -> list[Json]:
    """The part of an amount that is tax."""
    rate: Json = {
        "id": f.text("txr_1???????????????????????"),
        "object": "tax_rate",
        "active": True,
        "created": f.now,
        "description": None,
        "display_name": "VAT",
        "inclusive": False,
        "livemode": f.livemode,
        "metadata": {},
        "percentage": 20.0,
    }
    return [{"amount": amount, "rate": rate, "taxability_reason": None, "taxable_amount": amount * 5}]


SHIPPING_COST: Json = {
    "amount_subtotal": 500,
    "amount_tax": 100,
    "amount_total": 600,
    "shipping_rate": None,
    "taxes": taxed(100),
}
