"""Usage-based billing: meters, alerts, credits, and why customers cancel."""

from dataclasses import replace

from sandbox.stripe import errors
from sandbox.stripe.filters import Asked, Match, equals, ignored, where
from sandbox.stripe.kind import Events, Kind, Parent
from sandbox.stripe.kinds import fields as f


def _of_one_customer(_asked: Asked) -> Match | None:
    raise errors.missing_parameter("customer")


METER = Kind(
    "billing.meter",
    "mtr",
    events=Events(statuses={"inactive": "deactivated", "active": "reactivated"}),
    flow={"active": ("inactive",), "inactive": ("active",)},
)

METER_EVENT_SUMMARY = Kind(
    "billing.meter_event_summary",
    "mtrusg",
    filters=(
        # The object does not tell the customer: its id has the customer's in it.
        where("customer", "id", lambda customer, id: customer in id, required=True),
        where("start_time", "start_time", int.__le__, "integer", required=True),
        where("end_time", "end_time", int.__ge__, "integer", required=True),
        ignored("value_grouping_window"),
    ),
    parent=Parent("billing.meter", "meter"),
    fields={"aggregated_value": f.number(1, 500), "end_time": f.later(f.DAY)},
)

ALERT = Kind(
    "billing.alert", "alrt", filters=(equals("meter", "usage_threshold.meter"),), fields={"status": "active"}
)

CREDIT_GRANT = Kind("billing.credit_grant", "credgr")

CREDIT_BALANCE_TRANSACTION = Kind(
    "billing.credit_balance_transaction",
    "cbtxn",
    filters=(replace(equals("customer"), unasked=_of_one_customer),),
    parent=Parent("customer", "customer", named=False),
    fields={"type": "credit"},
)

FEEDBACK_OPTION = Kind("billing.feedback_option", "fdbk")
