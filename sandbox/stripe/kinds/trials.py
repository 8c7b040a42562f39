"""Trial offers, which items of subscriptions name."""

from sandbox.stripe.filters import any_of, created, flag
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f

TRIAL_OFFER = Kind(
    name="product_catalog.trial_offer",
    prefix="toff",
    path="/v1/product_catalog/trial_offers",
    ops="LCRU",
    created="",
    filters=(
        flag("active"),
        created,
        any_of("prices", "price"),
    ),
    needs=("duration", "end_behavior", "price"),
    fields={
        "active": True,
        "duration": {"relative": {"iterations": f.number(1, 6)}, "type": "relative"},
        "end_behavior": {"transition": {"price": f.ref("price")}, "type": "transition"},
        "livemode": f.livemode,
        "nickname": f.text("trial ????"),
        "price": f.ref("price"),
    },
)

ROWS = (TRIAL_OFFER,)
