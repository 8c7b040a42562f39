"""Reports that users ran, what can be reported, and scheduled queries."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

REPORT_RUN = Kind(
    name="reporting.report_run",
    prefix="frr",
    path="/v1/reporting/report_runs",
    flow={"pending": ("succeeded", "failed")},
    fields={"status": "pending", "report_type": f.ref("reporting.report_type")},
)

REPORT_TYPE = Kind(
    name="reporting.report_type",
    prefix="balance.summary",
    path="/v1/reporting/report_types",
    permission="reporting_report_run",
    paged=False,
    created="",
    events=Events(moves=(Move("data_available_end", ANY, "reporting.report_type.updated"),)),
    fields={"data_available_end": f.now, "version": 1},
)

QUERY_RUN = Kind(
    name="scheduled_query_run",
    prefix="sqr",
    path="/v1/sigma/scheduled_query_runs",
    product="sigma",
    events=Events(created="sigma.scheduled_query_run.created"),
    fields={"result_available_until": 1},
)

ROWS = (REPORT_RUN, REPORT_TYPE, QUERY_RUN)
