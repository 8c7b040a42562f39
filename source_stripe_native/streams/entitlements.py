"""Entitlements: features, which products have them, and which customers."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.customers import Customers
from source_stripe_native.streams.products import Products
from source_stripe_native.streams.row import AccountObject, RelatedEvents


class EntitlementsFeatures(AccountObject):
    NAME = "EntitlementsFeatures"
    SEARCH_NAME = "entitlements/features"
    PERMISSION = "Entitlements"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_active": {"archived": "false"},
        "_archived": {"archived": "true"},
    }
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class EntitlementsActiveEntitlements(AccountObject):
    NAME = "EntitlementsActiveEntitlements"
    SEARCH_NAME = "entitlements/active_entitlements"
    PERMISSION = "Entitlements"
    CREATED = ""
    LISTS_BY_CREATED = False
    # The event carries a summary, which has no id.
    RELATED_EVENTS = (
        RelatedEvents(
            ("entitlements.active_entitlement_summary.updated",),
            ids=("customer",),
            list_by="customer",
            removed_from="entitlements",
        ),
    )
    PARENT = Customers
    PARENT_PARAM = "customer"
    PARENT_FIELD = "customer"


class ProductFeatures(AccountObject):
    NAME = "ProductFeatures"
    SEARCH_NAME = "products/{parent}/features"
    PERMISSION = "Products"
    CREATED = ""
    LISTS_BY_CREATED = False
    # Features are attached and detached without an event.
    SNAPSHOTS = True
    SHOWS_DELETIONS = True
    PARENT = Products
    PARENT_FIELD = "product"
    PARENT_EVENT_TYPES = ("product.created", "product.updated")
