"""Reports: the runs that users asked for, what can be reported, and scheduled queries. None is run here."""

from source_stripe_native.streams.row import AccountObject, DatedAccountObject, ops


class ReportingReportRuns(DatedAccountObject):
    NAME = "ReportingReportRuns"
    SEARCH_NAME = "reporting/report_runs"
    PERMISSION = "Report Runs and Report Types"
    EVENT_TYPES = ops(u="reporting.report_run.failed reporting.report_run.succeeded")
    # A run that has begun has no event.
    POLLS = True


class ReportingReportTypes(AccountObject):
    NAME = "ReportingReportTypes"
    SEARCH_NAME = "reporting/report_types"
    PERMISSION = "Report Runs and Report Types"
    CREATED = ""
    LISTS_BY_CREATED = False
    PAGED = False
    EVENT_TYPES = ops(u="reporting.report_type.updated")


class SigmaScheduledQueryRuns(DatedAccountObject):
    NAME = "SigmaScheduledQueryRuns"
    SEARCH_NAME = "sigma/scheduled_query_runs"
    PERMISSION = "Sigma"
    PRODUCT = "sigma"
    LISTS_BY_CREATED = False
    # A run is shown once it has ended.
    EVENT_TYPES = ops("sigma.scheduled_query_run.created")
