"""What is offered: payment links, quotes, their lines, and shipping rates."""

from dataclasses import replace

from sandbox.stripe.filters import Json, equals
from sandbox.stripe.kind import Events, Kind, Nested, Parent
from sandbox.stripe.kinds import fields as f
from sandbox.stripe.kinds.billing import no_test_clock
from sandbox.stripe.kinds.discounts import taken_off, taxed

_LINE: Json = {
    "amount_subtotal": f.number(100, 5000),
    "amount_total": f.same("amount_subtotal"),
    "description": f.text("Offer ????"),
    "price": f.whole("price"),
}


PAYMENT_LINK = Kind(
    "payment_link",
    "plink",
    nested=(Nested(("payment_link_item",), "line_items", shown=False, made=1),),
    includes=("line_items", "optional_items"),
    variants=({"optional_items": [{"adjustable_quantity": None, "price": f.ref("price"), "quantity": 1}]},),
)

PAYMENT_LINK_ITEM = Kind(
    "payment_link_item",
    "li",
    object="item",
    path="/v1/payment_links/{payment_link}/line_items",
    ops="L",
    parent=Parent("payment_link", "payment_link", named=False),
    includes=("discounts", "taxes"),
    fields=_LINE,
)

QUOTE = Kind(
    "quote",
    "qt",
    filters=(replace(equals("test_clock"), unasked=no_test_clock),),
    events=Events(statuses={"open": "finalized"}),
    flow={"draft": ("open", "canceled"), "open": ("accepted", "canceled")},
    nested=(
        Nested(("quote_item",), "line_items", shown=False, made=1),
        Nested(
            ("quote_upfront_item",),
            "computed.upfront.line_items",
            "/v1/quotes/{id}/computed_upfront_line_items",
            shown=False,
            made=1,
        ),
    ),
    includes=("line_items", "computed.upfront.line_items", "total_details.breakdown"),
    variants=(
        {
            "total_details": {
                "amount_discount": 50,
                "amount_shipping": None,
                "amount_tax": 100,
                "breakdown": {"discounts": taken_off(50), "taxes": taxed(100)},
            }
        },
    ),
    fields={
        "amount_subtotal": f.number(1, 9_900),
        "amount_total": f.number(1, 9_900),
        "customer": f.ref("customer"),
        "expires_at": f.later(f.MONTH),
    },
)

QUOTE_ITEM = Kind(
    "quote_item",
    "li",
    object="item",
    path="/v1/quotes/{quote}/line_items",
    ops="L",
    parent=Parent("quote", "quote", named=False),
    includes=("discounts", "taxes"),
    fields=_LINE,
)

QUOTE_UPFRONT_ITEM = Kind(
    "quote_upfront_item",
    "li",
    object="item",
    path="/v1/quotes/{quote}/computed_upfront_line_items",
    ops="L",
    parent=Parent("quote", "quote", named=False),
    includes=("discounts", "taxes"),
    fields=_LINE,
)

SHIPPING_RATE = Kind(
    "shipping_rate",
    "shr",
    filters=(equals("currency", "fixed_amount.currency"),),
    includes=("fixed_amount.currency_options",),
    variants=(
        {"fixed_amount": {"currency_options": {"eur": {"amount": 400, "tax_behavior": "unspecified"}}}},
    ),
    fields={
        "display_name": f.text("Rate ????"),
        "fixed_amount": {"amount": f.number(100, 900), "currency": "usd"},
    },
)
