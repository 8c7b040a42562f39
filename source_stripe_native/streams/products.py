"""What is sold and for how much: products, prices, discounts."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.row import BaseStripeObjectWithEvents, Expansion, RelatedEvents, ops

DISCOUNTED = ("customer.discount.created", "customer.discount.updated")
"""They report a redemption of a coupon or of a promotion code."""


class Coupons(BaseStripeObjectWithEvents):
    NAME = "Coupons"
    SEARCH_NAME = "coupons"
    PERMISSION = "Coupons"
    EVENT_TYPES = ops("coupon.created", "coupon.updated", "coupon.deleted")
    # A redemption changes `times_redeemed` and may make the coupon invalid. The coupon's place in a discount
    # depends on the API version.
    RELATED_EVENTS = (RelatedEvents(DISCOUNTED, ids=("coupon", "source.coupon")),)
    EXPANSIONS = (Expansion("applies_to"), Expansion("currency_options"))
    # Then it is no longer valid.
    CHANGES_AT = ("redeem_by",)


class Plans(BaseStripeObjectWithEvents):
    NAME = "Plans"
    SEARCH_NAME = "plans"
    PERMISSION = "Prices"
    EVENT_TYPES = ops("plan.created", "plan.updated", "plan.deleted")
    EXPANSIONS = (Expansion("tiers", ("billing_scheme",), "tiered"),)


class Products(BaseStripeObjectWithEvents):
    NAME = "Products"
    SEARCH_NAME = "products"
    PERMISSION = "Products"
    EVENT_TYPES = ops("product.created", "product.updated", "product.deleted")


class Prices(BaseStripeObjectWithEvents):
    NAME = "Prices"
    SEARCH_NAME = "prices"
    PERMISSION = "Prices"
    EVENT_TYPES = ops("price.created", "price.updated", "price.deleted")
    # Whether the bare list holds the archived prices is documented one way and observed the other: asking for
    # each half is right either way.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_active": {"active": "true"},
        "_inactive": {"active": "false"},
    }
    EXPANSIONS = (
        Expansion("tiers", ("billing_scheme",), "tiered"),
        Expansion("currency_options"),
        Expansion("currency_options.*.tiers", ("billing_scheme",), "tiered"),
    )


class PromotionCode(BaseStripeObjectWithEvents):
    NAME = "PromotionCode"
    SEARCH_NAME = "promotion_codes"
    PERMISSION = "Promotion Codes"
    EVENT_TYPES = ops("promotion_code.created", "promotion_code.updated", "promotion_code.deleted")
    RELATED_EVENTS = (RelatedEvents(DISCOUNTED, ids=("promotion_code",)),)
    # Then it is no longer active. Until API version 2025-09-30 it shows its coupon.
    CHANGES_AT = ("expires_at", "coupon.redeem_by", "promotion.coupon.redeem_by")
    # Without a condition: the options can be set where there is no `minimum_amount`.
    EXPANSIONS = (Expansion("restrictions.currency_options"),)
