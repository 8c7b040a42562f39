"""Payments that others processed: payment records and their attempts, and forwarded requests."""

from source_stripe_native.streams.row import DatedAccountObject


class PaymentRecords(DatedAccountObject):
    NAME = "PaymentRecords"
    SEARCH_NAME = "payment_records"
    PERMISSION = "Payment records"
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class PaymentAttemptRecords(DatedAccountObject):
    NAME = "PaymentAttemptRecords"
    SEARCH_NAME = "payment_attempt_records"
    PERMISSION = "Payment records"
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    PARENT = PaymentRecords
    PARENT_PARAM = "payment_record"


class ForwardingRequests(DatedAccountObject):
    NAME = "ForwardingRequests"
    SEARCH_NAME = "forwarding/requests"
    PERMISSION = "Forwarding"
    PRODUCT = "forwarding"
    # A request never changes.
    POLLS = True
