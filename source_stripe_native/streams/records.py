"""Records of payments, by Stripe and by other processors, and of their attempts; and forwarded requests."""

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from source_stripe_native.streams.payments import PaymentIntents
from source_stripe_native.streams.row import DatedAccountObject, RelatedEvents, TimeRange


class _Records(DatedAccountObject):
    PERMISSION = "Payment records"
    # Neither a new record nor a change has an event of its own. Where Stripe made the payment, the events of
    # its payment intent report a change.
    POLLS = True
    # Records of payments by others change without any event.
    RELIST = timedelta(days=7)
    RELIST_IF: ClassVar[Mapping[str, str]] = {"reported_by": "self"}


class PaymentRecords(_Records):
    NAME = "PaymentRecords"
    SEARCH_NAME = "payment_records"
    CREATED_IN = TimeRange("created_after", "created_before", since_is_exclusive=True)
    RELATED_EVENTS = (RelatedEvents(tuple(PaymentIntents.EVENT_TYPES), ids=("payment_record",)),)


class PaymentAttemptRecords(_Records):
    NAME = "PaymentAttemptRecords"
    SEARCH_NAME = "payment_attempt_records"
    LISTS_BY_CREATED = False
    PARENT = PaymentRecords
    PARENT_PARAM = "payment_record"
    CREATED_WITH_PARENT = True
    RELATED_EVENTS = (
        RelatedEvents(tuple(PaymentIntents.EVENT_TYPES), ids=("payment_record",), list_by=PARENT_PARAM),
    )


class ForwardingRequests(DatedAccountObject):
    NAME = "ForwardingRequests"
    SEARCH_NAME = "forwarding/requests"
    PERMISSION = "Forwarding"
    PRODUCT = "forwarding"
    # A request never changes.
    POLLS = True
