"""Entitlements: features, the products that have them, and the customers."""

from sandbox.stripe.filters import Filter, Given, Match, at, boolean, only, single
from sandbox.stripe.kind import Kind, Parent


def _archived(param: str, given: Given) -> Match:
    return only(not boolean(param, single(param, given, "boolean")))


FEATURE = Kind(
    "entitlements.feature",
    "feat",
    filters=(Filter("archived", at("active"), _archived, groups=True),),
    fields={"active": True},
)

PRODUCT_FEATURE = Kind(
    "product_feature",
    "prodft",
    path="/v1/products/{product}/features",
    permission="product",
    parent=Parent("product", "product", named=False),
    fields={},
)

ACTIVE_ENTITLEMENT = Kind(
    "entitlements.active_entitlement",
    "ent",
    permission="entitlements_feature",
    parent=Parent("customer", "customer", named=False),
    fields={},
)
