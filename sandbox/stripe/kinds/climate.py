"""Climate: orders, products and suppliers."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

ORDER = Kind(
    name="climate.order",
    prefix="climorder",
    path="/v1/climate/orders",
    product="climate",
    flow={"open": ("canceled", "delivered")},
    fields={
        "amount_fees": f.number(1, 9_900),
        "amount_subtotal": f.number(1, 9_900),
        "amount_total": f.number(1, 9_900),
        "expected_delivery_year": 1,
        "metric_tons": f.words("{amount_total}.5"),
        "product": f.ref("climate.product"),
        "status": "open",
    },
)

PRODUCT = Kind(
    name="climate.product",
    prefix="climsku",
    path="/v1/climate/products",
    product="climate",
    events=Events(
        created="climate.product.created",
        moves=(Move("current_prices_per_metric_ton", ANY, "climate.product.pricing_updated"),),
    ),
    fields={"metric_tons_available": "1000.25"},
)

SUPPLIER = Kind(
    name="climate.supplier",
    prefix="climsup",
    path="/v1/climate/suppliers",
    created="",
    product="climate",
    fields={"info_url": "https://example.com"},
)

ROWS = (ORDER, PRODUCT, SUPPLIER)
