"""Entitlements: features, the products that have them, and the customers."""

from sandbox.stripe.filters import Filter, Given, Match, at, boolean, only, single
from sandbox.stripe.kind import Kind, Parent
from sandbox.stripe.kinds import fields as f


def _archived(param: str, given: Given) -> Match:
    return only(not boolean(param, single(param, given, "boolean")))


FEATURE = Kind(
    name="entitlements.feature",
    prefix="feat",
    path="/v1/entitlements/features",
    created="",
    filters=(Filter("archived", at("active"), _archived, groups=True),),
    fields={"active": True},
)

PRODUCT_FEATURE = Kind(
    name="product_feature",
    prefix="prodft",
    path="/v1/products/{product}/features",
    permission="product",
    created="",
    parent=Parent("product", "product", named=False),
    fields={"entitlement_feature": f.whole("entitlements.feature")},
)

ACTIVE_ENTITLEMENT = Kind(
    name="entitlements.active_entitlement",
    prefix="ent",
    path="/v1/entitlements/active_entitlements",
    permission="entitlements_feature",
    created="",
    parent=Parent("customer", "customer", named=False),
    fields={"feature": f.ref("entitlements.feature")},
)

ROWS = (FEATURE, PRODUCT_FEATURE, ACTIVE_ENTITLEMENT)
