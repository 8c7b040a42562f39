"""How objects looked in older API versions: what a reader gets who pins one, or whose event was made under
one.

Only the shapes that differ most are kept, newest change first. Source: Stripe's API changelog.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.stripe.filters import Json


@dataclass(frozen=True)
class Older:
    """Before version `until`, an object of `kind` was what `rewrite` makes of its present self, in place."""

    until: str
    kind: str
    rewrite: Callable[[Json], None]


def _period_of_subscription(subscription: Json) -> None:
    """The billing period was the subscription's, not each item's."""
    for name in ("current_period_start", "current_period_end"):
        periods = [item.pop(name) for item in subscription["items"]["data"]]
        subscription[name] = max(periods, default=subscription["start_date"])


def _links_of_invoice(invoice: Json) -> None:
    """The subscription stood in the invoice itself, and `paid` beside `status`."""
    parent = invoice.pop("parent") or {}
    invoice["subscription"] = (parent.get("subscription_details") or {}).get("subscription")
    invoice["paid"] = invoice["status"] == "paid"


def _id_of_line(line: Json) -> None:
    """A line had the id of what it was made of, which several lines can share: the item's, or else the
    subscription's, here one for all lines of an invoice."""
    details = (line["parent"] or {}).get("invoice_item_details") or {}
    line["unique_id"] = line["id"]
    line["id"] = details.get("invoice_item") or f"sub_{line['invoice'].partition('_')[2]}"


def _ids_of_lines(invoice: Json) -> None:
    for line in invoice["lines"]["data"]:
        _id_of_line(line)


def _features_of_product(product: Json) -> None:
    product["features"] = product.pop("marketing_features")


def _no_id_of_discount(discount: Json) -> None:
    del discount["id"]


_OLDER = (
    Older("2025-03-31.basil", "subscription", _period_of_subscription),
    Older("2025-03-31.basil", "invoice", _links_of_invoice),
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


_ADDED = (("payment_intent", "payment_record", "2026-09-30"),)
"""Fields that an object has from a version on: the outermost ones."""


def shown(kind: str, version: str) -> tuple[str, ...]:
    """The fields that a version shows, while later ones only do when they are expanded."""
    return tuple(field for name, field, until in _ONCE_SHOWN if name == kind and version < until)


def differs(kind: str, version: str) -> bool:
    """Whether objects of a kind looked different in a version."""
    return any(older.kind == kind and version < older.until for older in _OLDER) or any(
        name == kind and version < since for name, _, since in _ADDED
    )


def rendered(kind: str, data: Json, version: str) -> Json:
    """An object as a version shows it."""
    data = copy.deepcopy(data)
    for older in _OLDER:
        if older.kind == kind and version < older.until:
            older.rewrite(data)
    for name, field, since in _ADDED:
        if name == kind and version < since:
            data.pop(field, None)
    return data
