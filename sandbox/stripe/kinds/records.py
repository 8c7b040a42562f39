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
    name="payment_record",
    prefix="pr",
    path="/v1/payment_records",
    filters=(_bound("created_after", ">"), _bound("created_before", "<")),
    fields={
        "amount": {"currency": "usd", "value": 1},
        "amount_authorized": {"currency": "usd", "value": 1},
        "amount_canceled": {"currency": "usd", "value": 1},
        "amount_failed": {"currency": "usd", "value": 1},
        "amount_guaranteed": {"currency": "usd", "value": 1},
        "amount_refunded": {"currency": "usd", "value": 1},
        "amount_requested": {"currency": "usd", "value": 1},
        "reported_by": _reporter,
    },
)

ATTEMPT = Kind(
    name="payment_attempt_record",
    prefix="par",
    path="/v1/payment_attempt_records",
    permission="payment_record",
    parent=Parent("payment_record", "payment_record"),
    fields={
        "amount": {"currency": "usd", "value": 1},
        "amount_authorized": {"currency": "usd", "value": 1},
        "amount_canceled": {"currency": "usd", "value": 1},
        "amount_failed": {"currency": "usd", "value": 1},
        "amount_guaranteed": {"currency": "usd", "value": 1},
        "amount_refunded": {"currency": "usd", "value": 1},
        "amount_requested": {"currency": "usd", "value": 1},
        "reported_by": _reporter,
    },
)

FORWARDING_REQUEST = Kind(
    name="forwarding.request",
    prefix="fwdreq",
    path="/v1/forwarding/requests",
    product="forwarding",
    fields={"payment_method": f.ref("payment_method")},
)

ROWS = (PAYMENT_RECORD, ATTEMPT, FORWARDING_REQUEST)
