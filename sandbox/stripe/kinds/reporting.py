"""Reports that users ran, what can be reported, and scheduled queries."""

from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import fields as f

REPORT_RUN = Kind(
    "reporting.report_run",
    "frr",
    flow={"pending": ("succeeded", "failed")},
    fields={"status": "pending", "report_type": f.ref("reporting.report_type")},
)

REPORT_TYPE = Kind(
    "reporting.report_type",
    "balance.summary",
    permission="reporting_report_run",
    paged=False,
    events=Events(created="updated"),
    fields={"data_available_end": f.now, "version": 1},
)

QUERY_RUN = Kind(
    "scheduled_query_run",
    "sqr",
    product="sigma",
    events=Events("sigma.scheduled_query_run"),
    fields={"result_available_until": 1},
)
