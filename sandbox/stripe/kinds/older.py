"""How objects looked in older API versions: what a reader gets who pins one, or whose event was made under
one.

Only the shapes that differ most are kept, newest change first. Source: Stripe's API changelog. Which fields
are newer than Stripe's document is what the facts about its SDK say.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox.stripe import facts
from sandbox.stripe.filters import Json

Look = Callable[[str, str], Json | None]
"""Gives another object of the account by its kind and id, or, of the kind "kept", what is kept of one."""


@dataclass(frozen=True)
class Older:
    """Before version `until`, an object of `kind` was what `rewrite` makes of its present self, in place.
    `ids` are the fields that could then be expanded, by the objects' names."""

    until: str
    kind: str
    rewrite: Callable[[Json, Look], None]
    ids: Mapping[str, str] = field(default_factory=dict)


def _period_of_subscription(subscription: Json, _look: Look) -> None:
    """The billing period was the subscription's, not each item's."""
    for name in ("current_period_start", "current_period_end"):
        periods = [item.pop(name) for item in subscription["items"]["data"]]
        subscription[name] = max(periods, default=subscription["start_date"])


def _links_of_invoice(invoice: Json, look: Look) -> None:
    """The subscription and the payment stood in the invoice itself, and `paid` beside `status`."""
    parent = invoice.pop("parent") or {}
    intent = (look("kept", invoice["id"]) or {}).get("payment_intent")
    invoice["subscription"] = (parent.get("subscription_details") or {}).get("subscription")
    invoice["payment_intent"] = intent
    invoice["charge"] = (look("payment_intent", intent) or {}).get("latest_charge") if intent else None
    invoice["paid"] = invoice["status"] == "paid"
    invoice["tax"] = sum(each["amount"] for each in invoice.pop("total_taxes", None) or ()) or None
    for line in invoice["lines"]["data"]:
        _links_of_line(line, look)


def _links_of_line(line: Json, look: Look) -> None:
    """What a line is for, and its price, stood in the line itself."""
    parent = line.pop("parent") or {}
    details = parent.get(parent.get("type") or "") or {}
    priced = ((line.pop("pricing") or {}).get("price_details") or {}).get("price")
    line["type"] = "subscription" if details.get("subscription_item") else "invoiceitem"
    line["price"] = look("price", priced) if priced else None
    for name in ("invoice_item", "subscription_item"):
        line[name] = details.get(name)
    line["proration"] = bool(details.get("proration"))


def _links_of_item(item: Json, look: Look) -> None:
    details = (item.pop("parent") or {}).get("subscription_details") or {}
    priced = ((item.pop("pricing") or {}).get("price_details") or {}).get("price")
    item["price"] = look("price", priced) if priced else None
    item["subscription"] = details.get("subscription")
    item["unit_amount"] = item["amount"] // (item["quantity"] or 1)


def _invoice_of_payment(payment: Json, look: Look) -> None:
    """A payment named the invoice that it is for."""
    intent = payment["id"] if payment["object"] == "payment_intent" else payment["payment_intent"]
    payment["invoice"] = (look("kept", intent) or {}).get("invoice") if intent else None


def _id_of_line(line: Json, _look: Look) -> None:
    """A line had the id of what it was made of, which several lines can share: the item's, or else the
    subscription's, here one for all lines of an invoice."""
    line["unique_id"] = line["id"]
    line["id"] = line["invoice_item"] or f"sub_{line['invoice'].partition('_')[2]}"


def _ids_of_lines(invoice: Json, look: Look) -> None:
    for line in invoice["lines"]["data"]:
        _id_of_line(line, look)


def _features_of_product(product: Json, _look: Look) -> None:
    product["features"] = product.pop("marketing_features")


def _no_id_of_discount(discount: Json, _look: Look) -> None:
    del discount["id"]


_PRICED = {"plan": "plan", "price": "price"}
_PAID = {
    "charge": "charge",
    "payment_intent": "payment_intent",
    "quote": "quote",
    "subscription": "subscription",
    "total_tax_amounts.tax_rate": "tax_rate",
}
_OLDER = (
    Older(
        "2025-03-31.basil", "subscription", _period_of_subscription, {"discount": "discount", "plan": "plan"}
    ),
    Older("2025-03-31.basil", "subscription_item", lambda _item, _look: None, {"plan": "plan"}),
    Older("2025-03-31.basil", "invoice", _links_of_invoice, _PAID),
    Older("2025-03-31.basil", "line_item", _links_of_line, _PRICED),
    Older("2025-03-31.basil", "invoiceitem", _links_of_item, _PRICED | {"subscription": "subscription"}),
    Older("2025-03-31.basil", "charge", _invoice_of_payment, {"invoice": "invoice"}),
    Older("2025-03-31.basil", "payment_intent", _invoice_of_payment, {"invoice": "invoice"}),
    Older("2024-04-10", "product", _features_of_product),
    Older("2020-08-27", "discount", _no_id_of_discount),
    Older("2019-12-03", "line_item", _id_of_line),
    Older("2019-12-03", "invoice", _ids_of_lines),
)


_ONCE_SHOWN = (
    ("charge", "refunds", "2022-11-15"),
    ("customer", "sources", "2020-08-27"),
    ("customer", "subscriptions", "2020-08-27"),
    ("customer", "tax_ids", "2020-08-27"),
)
"""Lists that an object showed before a version, and shows only when expanded since."""


def shown(kind: str, version: str) -> tuple[str, ...]:
    """The fields that a version shows, while later ones only do when they are expanded."""
    return tuple(field for name, field, until in _ONCE_SHOWN if name == kind and version < until)


def differs(kind: str, version: str) -> bool:
    """Whether objects of a kind looked different in a version."""
    is_other = any(older.kind == kind and version < older.until for older in _OLDER)
    return is_other or bool(facts.added(kind, version))


def ids(object_name: str, version: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The names of the objects whose ids an object's fields held in a version, and hold no more."""
    rows = [older for older in _OLDER if older.kind == object_name and version < older.until]
    return {tuple(name.split(".")): (target,) for older in rows for name, target in older.ids.items()}


def rendered(kind: str, data: Json, version: str, look: Look = lambda _kind, _id: None) -> Json:
    """An object as a version shows it."""
    data = copy.deepcopy(data)
    for older in _OLDER:
        if older.kind == kind and version < older.until:
            older.rewrite(data, look)
    for name in facts.added(kind, version):
        data.pop(name, None)
    return data
