"""Records of payments, by Stripe and by other processors, and requests that were forwarded."""

from sandbox.stripe.filters import Filter, Given, Match, at, integer, single
from sandbox.stripe.kind import Draft, Kind, Parent
from sandbox.stripe.kinds import fields as f


def _bound(param: str, sign: str) -> Filter:
    """Payments recorded before or after a time."""

    def parse(param: str, given: Given) -> Match:
        at = integer(param, single(param, given))
        return Match(lambda created: created > at if sign == ">" else created < at)

    return Filter(param, at("created"), parse)


def _reporter(draft: Draft) -> str:
    """Half of the payments are Stripe's own."""
    return "stripe" if draft.id[-1] < "V" else "self"


PAYMENT_RECORD = Kind(
    "payment_record",
    "pr",
    filters=(_bound("created_after", ">"), _bound("created_before", "<")),
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
