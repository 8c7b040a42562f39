"""Usage-based billing: meters, alerts, credits, and why customers cancel."""

from sandbox.stripe import errors
from sandbox.stripe.filters import Asked, Filter, Given, Match, at, equals, integer, only, single
from sandbox.stripe.kind import Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f


def _part(param: str, given: Given) -> Match:
    value = single(param, given)
    return Match(lambda id: value in id)


def _from(param: str, given: Given) -> Match:
    start = integer(param, single(param, given))
    return Match(lambda time: time >= start)


def _to(param: str, given: Given) -> Match:
    end = integer(param, single(param, given))
    return Match(lambda time: time <= end)


def _of_one_customer(_asked: Asked) -> Match | None:
    raise errors.missing_parameter("customer")


METER = Kind(
    "billing.meter",
    "mtr",
    events=Events(moves=(Move("status", "inactive", "deactivated"), Move("status", "active", "reactivated"))),
    flow={"active": ("inactive",), "inactive": ("active",)},
    fields={
        "customer_mapping": {"event_payload_key": f.text("event_payloa ????")},
        "value_settings": {"event_payload_key": f.text("event_payloa ????")},
    },
)

METER_EVENT_SUMMARY = Kind(
    "billing.meter_event_summary",
    "mtrusg",
    path="/v1/billing/meters/{meter}/event_summaries",
    permission="billing_meter",
    filters=(
        # The object does not tell the customer: its id has the customer's in it.
        Filter("customer", at("id"), _part, required=True),
        Filter("start_time", at("start_time"), _from, required=True),
        Filter("end_time", at("end_time"), _to, required=True),
        Filter("value_grouping_window", at("object"), lambda _param, _given: None),
    ),
    parent=Parent("billing.meter", "meter"),
    fields={"aggregated_value": f.number(1, 500), "end_time": f.later(f.DAY)},
)

ALERT = Kind(
    "billing.alert", "alrt", filters=(equals("meter", "usage_threshold.meter"),), fields={"status": "active"}
)

CREDIT_GRANT = Kind("billing.credit_grant", "credgr", fields={})

CREDIT_BALANCE_TRANSACTION = Kind(
    "billing.credit_balance_transaction",
    "cbtxn",
    filters=(
        Filter(
            "customer",
            at("customer"),
            lambda param, given: only(single(param, given)),
            unasked=_of_one_customer,
        ),
    ),
    parent=Parent("customer", "customer", named=False),
    fields={"type": "credit"},
)

FEEDBACK_OPTION = Kind("billing.feedback_option", "fdbk")
