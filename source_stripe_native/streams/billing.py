"""Invoices, credit notes and subscriptions."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from source_stripe_native.errors import NOT_LEGACY_METERED, PARENT_GONE
from source_stripe_native.streams.row import (
    DISCOUNT_EVENTS,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    DatedAccountObject,
    Expansion,
    RelatedEvents,
    ops,
    preview_events,
)


class CreditNotes(BaseStripeObjectWithEvents):
    NAME = "CreditNotes"
    SEARCH_NAME = "credit_notes"
    PERMISSION = "Credit notes"
    EVENT_TYPES = ops("credit_note.created", "credit_note.updated credit_note.voided")
    NESTED = ("lines",)
    EXPANSIONS = (Expansion("shipping_cost.taxes", ("shipping_cost",)),)


class CreditNotesLines(BaseStripeObject):
    NAME = "CreditNotesLines"
    SEARCH_NAME = "credit_notes/{parent}/lines"
    PERMISSION = "Credit notes"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = CreditNotes
    PARENT_FIELD = "credit_note"
    PARENT_EVENT_TYPES = tuple(CreditNotes.EVENT_TYPES)
    EMBEDDED = "lines"
    CREATED_WITH_PARENT = True


_ITEMS_OF_LINES = ("lines.data.*.parent.invoice_item_details.invoice_item", "lines.data.*.invoice_item")


class InvoiceItems(BaseStripeObjectWithEvents):
    NAME = "InvoiceItems"
    SEARCH_NAME = "invoiceitems"
    PERMISSION = "Invoices"
    CREATED = "date"
    EVENT_TYPES = ops("invoiceitem.created", "invoiceitem.updated", "invoiceitem.deleted")
    # A pending item that is put on an invoice, or taken off a deleted one, has no event of its own. An item's
    # place in an invoice's line depends on the API version.
    RELATED_EVENTS = (
        RelatedEvents(
            ("invoice.created", "invoice.finalized"), ids=("id",), list_by="invoice", shown_by=_ITEMS_OF_LINES
        ),
        RelatedEvents(("invoice.deleted",), ids=_ITEMS_OF_LINES),
        RelatedEvents(
            ("invoice.deleted",),
            ids=("customer",),
            list_by="customer",
            shown_by=_ITEMS_OF_LINES,
            when_cut=True,
        ),
    )
    # A pending item is edited without an event.
    SNAPSHOTS = True
    SNAPSHOT_OF: ClassVar[Mapping[str, str]] = {"pending": "true"}


class Invoices(BaseStripeObjectWithEvents):
    NAME = "Invoices"
    SEARCH_NAME = "invoices"
    PERMISSION = "Invoices"
    EVENT_TYPES = ops(
        "invoice.created",
        "invoice.updated invoice.finalized invoice.marked_uncollectible invoice.voided invoice.sent "
        "invoice.finalization_failed invoice.overdue invoice.overpaid invoice.paid invoice.payment_succeeded "
        "invoice.payment_failed invoice.payment_action_required invoice.payment_attempt_required "
        "invoice.will_be_due",
        "invoice.deleted",
    )
    RELATED_EVENTS = (
        RelatedEvents(("credit_note.created", "credit_note.updated", "credit_note.voided"), ids=("invoice",)),
    )
    NESTED = ("lines", "payments")
    EXPANSIONS = (Expansion("shipping_cost.taxes", ("shipping_cost",)),)


class InvoiceLineItems(BaseStripeObject):
    NAME = "InvoiceLineItems"
    SEARCH_NAME = "invoices/{parent}/lines"
    PERMISSION = "Invoices"
    # Before, several lines may share one id.
    SINCE_VERSION = "2019-12-03"
    OLDER_ID = "unique_id"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = Invoices
    PARENT_EVENT_TYPES = (
        "invoice.created",
        "invoice.updated",
        "invoice.finalized",
        "invoice.paid",
        "invoice.voided",
        "invoice.deleted",
    )
    EMBEDDED = "lines"
    CREATED_WITH_PARENT = True


class InvoicePayments(DatedAccountObject):
    NAME = "InvoicePayments"
    SEARCH_NAME = "invoice_payments"
    DISABLED = False
    PERMISSION = "Invoices"
    SINCE_VERSION = "2025-03-31"
    EVENT_TYPES = ops(u="invoice_payment.paid")
    # A payment is opened, and canceled along with its invoice, without an event of its own.
    RELATED_EVENTS = (
        RelatedEvents(
            (
                "invoice.finalized",
                "invoice.marked_uncollectible",
                "invoice.overpaid",
                "invoice.payment_failed",
                "invoice.voided",
            ),
            ids=("id",),
            list_by="invoice",
        ),
    )
    POLLS = True


class Subscriptions(BaseStripeObjectWithEvents):
    NAME = "Subscriptions"
    SEARCH_NAME = "subscriptions"
    BY_TEST_CLOCK = True
    PERMISSION = "Subscriptions"
    SINCE_VERSION = "2016-07-06"
    # The bare list hides canceled subscriptions.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"status": "all"}}
    # A canceled subscription still exists: the event named "deleted" is its last update.
    EVENT_TYPES = ops(
        "customer.subscription.created",
        "customer.subscription.updated customer.subscription.paused customer.subscription.resumed "
        "customer.subscription.pending_update_applied customer.subscription.pending_update_expired "
        "customer.subscription.trial_will_end customer.subscription.deleted",
    )
    RELATED_EVENTS = (
        RelatedEvents(DISCOUNT_EVENTS, ids=("subscription",)),
        RelatedEvents(
            (
                "subscription_schedule.created",
                "subscription_schedule.released",
                "subscription_schedule.canceled",
                "subscription_schedule.completed",
                "subscription_schedule.aborted",
            ),
            ids=("subscription", "released_subscription"),
        ),
        preview_events("customer.subscription."),
    )
    NESTED = ("items",)


class Values(BaseModel, extra="allow"):
    id: str


class Items(BaseModel, extra="allow"):
    data: list[Values]


class SubscriptionItems(BaseStripeObjectWithEvents):
    # Whole subscriptions, by what the reference catalogue calls their items: its users key on that.
    NAME = "SubscriptionItems"
    SEARCH_NAME = Subscriptions.SEARCH_NAME
    BY_TEST_CLOCK = True
    PERMISSION = Subscriptions.PERMISSION
    SINCE_VERSION = Subscriptions.SINCE_VERSION
    VARIANTS = Subscriptions.VARIANTS
    EVENT_TYPES = Subscriptions.EVENT_TYPES
    RELATED_EVENTS = Subscriptions.RELATED_EVENTS
    NESTED = Subscriptions.NESTED

    items: Items


class SubscriptionLineItems(DatedAccountObject):
    NAME = "SubscriptionLineItems"
    SEARCH_NAME = "subscription_items"
    DISABLED = False
    PERMISSION = Subscriptions.PERMISSION
    SINCE_VERSION = Subscriptions.SINCE_VERSION
    LISTS_BY_CREATED = False
    RELATED_EVENTS = (RelatedEvents(tuple(Subscriptions.EVENT_TYPES), removed_from="items"),)
    PARENT = Subscriptions
    PARENT_PARAM = "subscription"
    PARENT_EVENT_TYPES = tuple(Subscriptions.EVENT_TYPES)
    EMBEDDED = "items"


class SubscriptionSchedule(BaseStripeObjectWithEvents):
    model_config = ConfigDict(title="SubscriptionsSchedule")

    NAME = "SubscriptionSchedule"
    SEARCH_NAME = "subscription_schedules"
    PERMISSION = "Subscriptions"
    EVENT_TYPES = ops(
        "subscription_schedule.created",
        "subscription_schedule.updated subscription_schedule.released subscription_schedule.aborted "
        "subscription_schedule.canceled subscription_schedule.completed subscription_schedule.expiring",
    )
    RELATED_EVENTS = (preview_events("subscription_schedule."),)


class UsageRecords(BaseStripeObject):
    NAME = "UsageRecords"
    SEARCH_NAME = "subscription_items/{parent}/usage_record_summaries"
    KEY: ClassVar[list[str]] = ["/subscription_item"]
    PERMISSION = "Usage Records"
    UNTIL_VERSION = "2025-03-31"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = SubscriptionItems
    PARENT_ITEMS = "items"
    PARENT_EVENT_TYPES = tuple(Subscriptions.EVENT_TYPES)
    NEWEST_LAST = True
    TOLERATED = (PARENT_GONE, NOT_LEGACY_METERED)

    subscription_item: str
