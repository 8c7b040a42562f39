"""Usage-based billing: meters, alerts, credits, and why customers cancel."""

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from source_stripe_native.streams.billing import Subscriptions
from source_stripe_native.streams.customers import Customers
from source_stripe_native.streams.row import AccountObject, DatedAccountObject, ops

BY_STATUS: Mapping[str, Mapping[str, str]] = {
    "_active": {"status": "active"},
    "_inactive": {"status": "inactive"},
}


class BillingMeters(DatedAccountObject):
    NAME = "BillingMeters"
    SEARCH_NAME = "billing/meters"
    DISABLED = False
    PERMISSION = "Billing meters"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = BY_STATUS
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops(
        "billing.meter.created",
        "billing.meter.updated billing.meter.deactivated billing.meter.reactivated",
    )


class BillingMeterEventSummaries(AccountObject):
    # One for each meter, customer and day. Whether Stripe keeps the ids is not documented.
    NAME = "BillingMeterEventSummaries"
    SEARCH_NAME = "billing/meters/{parent}/event_summaries"
    KEY: ClassVar[list[str]] = ["/account_id", "/meter", "/customer", "/start_time", "/end_time"]
    PERMISSION = "Billing meters"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"value_grouping_window": "day"}}
    CREATED = ""
    LISTS_BY_CREATED = False
    RANGED = True
    # A meter event may be reported 35 days late, and Stripe computes its summary late.
    RELIST = timedelta(days=38)
    PARENT = Subscriptions
    PARENT_ITEMS = "items"
    PARENT_ITEM_ID = "price.recurring.meter"
    PARENT_QUERY: ClassVar[Mapping[str, str]] = {"customer": "customer"}

    meter: str
    customer: str
    start_time: int
    end_time: int


class BillingAlerts(AccountObject):
    NAME = "BillingAlerts"
    SEARCH_NAME = "billing/alerts"
    PERMISSION = "Billing alerts"
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    # An alert that is archived can be neither listed nor read.
    SHOWS_DELETIONS = True


class BillingCreditGrants(DatedAccountObject):
    NAME = "BillingCreditGrants"
    SEARCH_NAME = "billing/credit_grants"
    PERMISSION = "Billing credits"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("billing.credit_grant.created", "billing.credit_grant.updated")


class BillingCreditBalanceTransactions(DatedAccountObject):
    # Its credit grant names the customer.
    NAME = "BillingCreditBalanceTransactions"
    SEARCH_NAME = "billing/credit_balance_transactions"
    PERMISSION = "Billing credits"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("billing.credit_balance_transaction.created")
    PARENT = Customers
    PARENT_PARAM = "customer"


class BillingFeedbackOptions(AccountObject):
    NAME = "BillingFeedbackOptions"
    SEARCH_NAME = "billing/feedback_options"
    PERMISSION = "Billing feedback options"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = BY_STATUS
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
