"""Climate: orders, products and suppliers."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

ORDER = Kind(
    "climate.order",
    "climorder",
    flow={"open": ("canceled", "delivered")},
    fields={
        "amount_fees": f.number(1, 9_900),
        "amount_subtotal": f.number(1, 9_900),
        "amount_total": f.number(1, 9_900),
        "expected_delivery_year": 1,
        "metric_tons": f.words("{amount_total}.5"),
    },
)

PRODUCT = Kind(
    "climate.product",
    "climsku",
    events=Events(moves=(Move("current_prices_per_metric_ton", ANY, "pricing_updated"),)),
    fields={"metric_tons_available": "1000.25"},
)

SUPPLIER = Kind("climate.supplier", "climsup", fields={"info_url": "https://example.com"})
