"""Trial offers, which items of subscriptions name."""

from sandbox.stripe.filters import any_of, flag
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f

TRIAL_OFFER = Kind(
    "product_catalog.trial_offer",
    "toff",
    filters=(flag("active"), any_of("prices", "price")),
    needs=("duration", "end_behavior", "price"),
    fields={
        "duration": {"relative": {"iterations": f.number(1, 6)}, "type": "relative"},
        "end_behavior": {"transition": {"price": f.ref("price")}, "type": "transition"},
        "nickname": f.text("trial ????"),
        "price": f.ref("price"),
    },
)
