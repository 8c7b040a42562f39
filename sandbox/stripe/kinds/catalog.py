"""What is sold, for how much, and what is taken off: products, prices, plans, coupons."""

from collections.abc import Callable
from random import Random
from typing import Any

from sandbox.stripe.filters import Asked, Filter, Json, Match, any_of, equals, flag, only
from sandbox.stripe.kind import ABSENT, Draft, Kind
from sandbox.stripe.kinds import fields as f

TIERS: Json = {
    "tiers": [
        {
            "flat_amount": None,
            "flat_amount_decimal": None,
            "unit_amount": f.number(100, 900),
            "unit_amount_decimal": None,
            "up_to": 10,
        },
        {
            "flat_amount": 500,
            "flat_amount_decimal": "500",
            "unit_amount": f.number(10, 90),
            "unit_amount_decimal": None,
            "up_to": None,
        },
    ]
}
"""Two tiers, of which the last has no end."""
_NO_OPTION: Json = {"custom_unit_amount": None, "tax_behavior": "unspecified"}
_TIERED_OPTION: Json = _NO_OPTION | TIERS | f.nulls("unit_amount", "unit_amount_decimal")


def _tiered(draft: Draft) -> bool:
    return draft.built.get("tiers", ABSENT) is not ABSENT


def _scheme(draft: Draft) -> str:
    return "tiered" if _tiered(draft) else "per_unit"


def _tiers_mode(draft: Draft) -> str | None:
    return "graduated" if _tiered(draft) else None


def _unit_amount(draft: Draft) -> int | None:
    """A price with tiers has its amounts there."""
    return None if _tiered(draft) else draft.rng.randint(100, 99_900)


def _reprice(field: str, *decimal: str) -> Callable[[Json, Random], list[Json]]:
    """Another amount in another currency."""

    def tweaks(data: Json, rng: Random) -> list[Json]:
        options = data.get("currency_options") or {}
        amount = rng.randint(100, 9_900)
        return [
            {"currency_options": {currency: {field: amount} | dict.fromkeys(decimal, str(amount))}}
            for currency, option in options.items()
            if currency != data["currency"] and option[field] is not None
        ]

    return tweaks


def _restrict(code: Json, rng: Random) -> list[Json]:
    options = code["restrictions"].get("currency_options") or {}
    return [
        {"restrictions": {"currency_options": {currency: {"minimum_amount": rng.randint(100, 9_900)}}}}
        for currency in options
    ]


def _price_type(draft: Draft) -> str:
    return "recurring" if draft.built.get("recurring") else "one_time"


def _recurring(draft: Draft) -> Any:
    if draft.built["type"] != "recurring":
        return None
    return {"interval": "month", "interval_count": 1, "meter": None, "usage_type": "licensed"}


def _decimal(draft: Draft) -> str | None:
    amount = draft.built["unit_amount"]
    return None if amount is None else str(amount)


def _active_only(asked: Asked) -> Match | None:
    return only(True) if asked.bare_prices == "active" else None


_active = flag("active")

PRODUCT = Kind(
    "product",
    "prod",
    filters=(any_of("ids", "id"),),
    fields={"active": True, "name": f.text("Product ????")},
    derive=lambda data, now: data.update(updated=now),
)

PRICE = Kind(
    "price",
    "price",
    filters=(
        Filter("active", _active.read, _active.parse, unasked=_active_only, groups=True),
        any_of("lookup_keys", "lookup_key", at_most=10),
    ),
    shown_in=("subscription_item", "item", "payment_link_item", "quote_item", "quote_upfront_item"),
    includes=("tiers", "currency_options", "currency_options.*.tiers"),
    variants=(
        TIERS | {"recurring": {"interval": "month"}},
        {
            "unit_amount": 900,
            "currency_options": {
                "usd": _NO_OPTION | {"unit_amount": 900, "unit_amount_decimal": "900"},
                "eur": _NO_OPTION | {"unit_amount": 800, "unit_amount_decimal": "800"},
            },
        },
        TIERS
        | {
            "recurring": {"interval": "month"},
            "currency_options": {"usd": _TIERED_OPTION, "eur": _TIERED_OPTION},
        },
    ),
    tweaks=_reprice("unit_amount", "unit_amount_decimal"),
    fields={
        "billing_scheme": _scheme,
        "currency_options": ABSENT,
        "type": _price_type,
        "recurring": _recurring,
        "tax_behavior": "unspecified",
        "tiers": ABSENT,
        "tiers_mode": _tiers_mode,
        "unit_amount": _unit_amount,
        "unit_amount_decimal": _decimal,
    },
)

PLAN = Kind(
    "plan",
    "plan",
    includes=("tiers",),
    variants=(TIERS,),
    fields={
        "amount": _unit_amount,
        "amount_decimal": lambda draft: None if draft.built["amount"] is None else str(draft.built["amount"]),
        "billing_scheme": _scheme,
        "interval": "month",
        "interval_count": 1,
        "product": f.ref("product"),
        "tiers": ABSENT,
        "tiers_mode": _tiers_mode,
    },
)

COUPON = Kind(
    "coupon",
    "coupon",
    includes=("applies_to", "currency_options"),
    variants=(
        {"applies_to": {"products": lambda draft: [draft.find("product")]}},
        {
            "amount_off": 500,
            "currency": "usd",
            "percent_off": None,
            "currency_options": {"eur": {"amount_off": 400}},
        },
    ),
    tweaks=_reprice("amount_off"),
    fields={
        "applies_to": ABSENT,
        "currency_options": ABSENT,
        "duration": "once",
        "name": f.text("Coupon ????"),
        "percent_off": f.number(5, 50),
        "valid": True,
    },
)

PROMOTION_CODE = Kind(
    "promotion_code",
    "promo",
    filters=(equals("coupon", "promotion.coupon"),),
    includes=("restrictions.currency_options",),
    variants=(
        {
            "restrictions": {
                "minimum_amount": 500,
                "minimum_amount_currency": "usd",
                "currency_options": {"eur": {"minimum_amount": 400}},
            }
        },
    ),
    tweaks=_restrict,
    fields={"code": f.text("CODE????????"), "promotion": {"coupon": f.ref("coupon")}},
)
