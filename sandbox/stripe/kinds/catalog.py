"""What is sold, for how much, and what is taken off: products, prices, plans, coupons."""

from typing import Any

from sandbox.stripe.filters import (
    Asked,
    Filter,
    Match,
    any_of,
    created,
    equals,
    flag,
    one_of,
    only,
    part_of,
)
from sandbox.stripe.kind import Draft, Events, Kind
from sandbox.stripe.kinds import fields as f


def _price_type(draft: Draft) -> str:
    return "recurring" if draft.built.get("recurring") else "one_time"


def _recurring(draft: Draft) -> Any:
    if draft.built["type"] != "recurring":
        return None
    return {
        "interval": "month",
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _decimal(draft: Draft) -> str | None:
    amount = draft.built["unit_amount"]
    return None if amount is None else str(amount)


def _active_only(asked: Asked) -> Match | None:
    return only(True) if asked.bare_prices == "active" else None


_active = flag("active")

PRODUCT = Kind(
    name="product",
    prefix="prod",
    path="/v1/products",
    ops="LCRUD",
    filters=(created, flag("active"), any_of("ids", "id"), flag("shippable"), equals("url")),
    needs=("name",),
    events=Events("product.created", "product.updated", "product.deleted"),
    fields={
        "active": True,
        "created": f.now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": f.livemode,
        "marketing_features": [],
        "metadata": {},
        "name": f.text("Product ????"),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": f.now,
        "url": None,
    },
    derive=lambda data, now: data.update(updated=now),
)

PRICE = Kind(
    name="price",
    prefix="price",
    path="/v1/prices",
    ops="LCRU",
    filters=(
        created,
        Filter("active", _active.read, _active.parse, unasked=_active_only, groups=True),
        equals("currency"),
        any_of("lookup_keys", "lookup_key", at_most=10),
        equals("product"),
        part_of("recurring", None, "interval", "meter", "usage_type"),
        one_of("type", "one_time", "recurring"),
    ),
    needs=("currency",),
    events=Events("price.created", "price.updated", "price.deleted"),
    fields={
        "active": True,
        "billing_scheme": "per_unit",
        "created": f.now,
        "currency": "usd",
        "custom_unit_amount": None,
        "livemode": f.livemode,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": f.ref("product"),
        "type": _price_type,
        "recurring": _recurring,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "unit_amount": f.number(100, 99_900),
        "unit_amount_decimal": _decimal,
    },
)

PLAN = Kind(
    name="plan",
    prefix="plan",
    path="/v1/plans",
    ops="LCRUD",
    filters=(created, flag("active"), equals("product")),
    needs=("currency", "interval"),
    events=Events("plan.created", "plan.updated", "plan.deleted"),
    fields={
        "active": True,
        "amount": f.number(100, 99_900),
        "amount_decimal": f.words("{amount}"),
        "billing_scheme": "per_unit",
        "created": f.now,
        "currency": "usd",
        "interval": "month",
        "interval_count": 1,
        "livemode": f.livemode,
        "metadata": {},
        "meter": None,
        "nickname": None,
        "product": f.ref("product"),
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    },
)

COUPON = Kind(
    name="coupon",
    prefix="coupon",
    path="/v1/coupons",
    ops="LCRUD",
    filters=(created,),
    events=Events("coupon.created", "coupon.updated", "coupon.deleted"),
    fields={
        "amount_off": None,
        "created": f.now,
        "currency": None,
        "duration": "once",
        "duration_in_months": None,
        "livemode": f.livemode,
        "max_redemptions": None,
        "metadata": {},
        "name": f.text("Coupon ????"),
        "percent_off": f.number(5, 50),
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    },
)

PROMOTION_CODE = Kind(
    name="promotion_code",
    prefix="promo",
    path="/v1/promotion_codes",
    ops="LCRU",
    filters=(
        created,
        flag("active"),
        equals("code"),
        equals("coupon", "promotion.coupon"),
        equals("customer"),
        equals("customer_account"),
    ),
    needs=("promotion",),
    events=Events("promotion_code.created", "promotion_code.updated"),
    fields={
        "active": True,
        "code": f.text("CODE????????"),
        "created": f.now,
        "customer": None,
        "customer_account": None,
        "expires_at": None,
        "livemode": f.livemode,
        "max_redemptions": None,
        "metadata": {},
        "promotion": {"coupon": f.ref("coupon"), "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
    },
)

ROWS = (PRODUCT, PRICE, PLAN, COUPON, PROMOTION_CODE)
