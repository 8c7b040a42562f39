"""Records of payments, by Stripe and by other processors, and requests that were forwarded."""

from sandbox.stripe.filters import where
from sandbox.stripe.kind import Draft, Kind, Parent
from sandbox.stripe.kinds import fields as f


def _reporter(draft: Draft) -> str:
    """Half of the payments are Stripe's own."""
    return "stripe" if draft.id[-1] < "V" else "self"


PAYMENT_RECORD = Kind(
    "payment_record",
    "pr",
    filters=(
        where("created_after", "created", int.__lt__, "integer"),
        where("created_before", "created", int.__gt__, "integer"),
    ),
    fields={"reported_by": _reporter},
)

ATTEMPT = Kind(
    "payment_attempt_record",
    "par",
    permission="payment_record",
    parent=Parent("payment_record", "payment_record"),
    fields={"reported_by": _reporter},
)

FORWARDING_REQUEST = Kind("forwarding.request", "fwdreq", fields={"payment_method": f.ref("payment_method")})
