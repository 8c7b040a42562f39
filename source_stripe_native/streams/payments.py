"""Payments, payouts and the balance."""

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from pydantic import ConfigDict

from source_stripe_native.errors import (
    OLD_SESSION_WITHOUT_LINES,
    PARENT_GONE,
    PAYOUT_NOT_AUTOMATIC,
    PAYOUT_NOT_READY,
)
from source_stripe_native.streams.row import (
    AccountObject,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    DatedAccountObject,
    Expansion,
    NotYet,
    RelatedEvents,
    ops,
)


class BalanceTransactions(BaseStripeObjectWithEvents):
    NAME = "BalanceTransactions"
    SEARCH_NAME = "balance_transactions"
    PERMISSION = "Balance transaction sources"
    POLLS = True
    # From pending to available at `available_on`, without an event.
    RELIST = timedelta(days=30)
    CHANGES_AT = ("available_on",)
    ONLY_BY_CLOCK = True


class Balances(DatedAccountObject):
    # A document is a day's: its id is the day.
    NAME = "Balances"
    SEARCH_NAME = "balance"
    PERMISSION = "Balance"
    LISTS_BY_CREATED = False
    RETRIEVE = "balance"
    SINGLE = True
    PAGED = False
    EVENT_TYPES = ops(u="balance.available")
    SNAPSHOTS = True


class Charges(BaseStripeObjectWithEvents):
    NAME = "Charges"
    SEARCH_NAME = "charges"
    PERMISSION = "Charges"
    EVENT_TYPES = ops(
        u="charge.pending charge.succeeded charge.captured charge.updated charge.failed charge.refunded "
        "charge.expired"
    )
    # charge.updated reports the description, the metadata and a late capture, and nothing else.
    RELATED_EVENTS = (
        RelatedEvents(
            (
                "charge.dispute.created",
                "charge.dispute.updated",
                "charge.dispute.closed",
                "charge.dispute.funds_reinstated",
                "charge.dispute.funds_withdrawn",
            ),
            ids=("charge",),
        ),
        RelatedEvents(("review.opened", "review.closed"), ids=("charge",)),
        # A refund that comes to nothing gives its amount back to the charge.
        RelatedEvents(("refund.failed",), ids=("charge",)),
        RelatedEvents(
            ("refund.updated", "charge.refund.updated"),
            ids=("charge",),
            when={"status": ("failed", "canceled")},
        ),
        # Until this version a charge shows its refunds.
        RelatedEvents(
            ("refund.updated", "charge.refund.updated"), ids=("charge",), shown_before="2022-11-15"
        ),
    )
    NESTED = ("refunds",)


class CheckoutSessions(BaseStripeObjectWithEvents):
    NAME = "CheckoutSessions"
    SEARCH_NAME = "checkout/sessions"
    PERMISSION = "Checkout Sessions"
    EVENT_TYPES = ops(
        u="checkout.session.completed checkout.session.expired checkout.session.async_payment_succeeded "
        "checkout.session.async_payment_failed"
    )
    # No event tells that a session was opened.
    POLLS = True
    NESTED = ("line_items",)
    EXPANSIONS = (
        Expansion("total_details.breakdown", ("total_details",)),
        Expansion("shipping_cost.taxes", ("shipping_cost",)),
        Expansion("optional_items"),
    )


class CheckoutSessionsLine(BaseStripeObject):
    NAME = "CheckoutSessionsLine"
    SEARCH_NAME = "checkout/sessions/{parent}/line_items"
    PERMISSION = "Checkout Sessions"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = CheckoutSessions
    PARENT_FIELD = "checkout_session"
    PARENT_EVENT_TYPES = tuple(CheckoutSessions.EVENT_TYPES)
    POLLS = True
    EMBEDDED = "line_items"
    EMBEDDED_EXPANDED = True
    CREATED_WITH_PARENT = True
    TOLERATED = (PARENT_GONE, OLD_SESSION_WITHOUT_LINES)
    EXPANSIONS = (
        Expansion("discounts"),
        Expansion("taxes"),
        # A price that is not active is inline, or archived: Prices has its currencies.
        Expansion("price.tiers", ("price.billing_scheme",), "tiered", "price", "prices"),
        Expansion("price.currency_options", ("price.active",), "", "price", "prices"),
    )


class Disputes(BaseStripeObjectWithEvents):
    NAME = "Disputes"
    SEARCH_NAME = "disputes"
    PERMISSION = "Disputes"
    EVENT_TYPES = ops(
        "charge.dispute.created",
        "charge.dispute.updated charge.dispute.closed charge.dispute.funds_reinstated "
        "charge.dispute.funds_withdrawn",
    )


class PaymentIntents(BaseStripeObjectWithEvents):
    model_config = ConfigDict(title="PaymentIntent")

    NAME = "PaymentIntents"
    SEARCH_NAME = "payment_intents"
    PERMISSION = "Payment Intents"
    EVENT_TYPES = ops(
        "payment_intent.created",
        "payment_intent.updated payment_intent.canceled payment_intent.amount_capturable_updated "
        "payment_intent.partially_funded payment_intent.payment_failed payment_intent.processing "
        "payment_intent.requires_action payment_intent.succeeded",
    )
    RELATED_EVENTS = (RelatedEvents(("review.opened", "review.closed"), ids=("payment_intent",)),)
    NESTED = ("amount_details.line_items",)
    # Without a condition: lines may have the only tax and discount, so that a payment intent with lines may
    # look like one without.
    EXPANSIONS = (Expansion("amount_details.line_items"),)


class PaymentIntentAmountDetailsLineItems(AccountObject):
    NAME = "PaymentIntentAmountDetailsLineItems"
    SEARCH_NAME = "payment_intents/{parent}/amount_details_line_items"
    PERMISSION = "Payment Intents"
    CREATED = ""
    LISTS_BY_CREATED = False
    PARENT = PaymentIntents
    PARENT_FIELD = "payment_intent"
    PARENT_EVENT_TYPES = tuple(PaymentIntents.EVENT_TYPES)
    CREATED_WITH_PARENT = True
    EMBEDDED = "amount_details.line_items"
    EMBEDDED_EXPANDED = True


class Payouts(BaseStripeObjectWithEvents):
    NAME = "Payouts"
    SEARCH_NAME = "payouts"
    PERMISSION = "Payouts"
    EVENT_TYPES = ops(
        "payout.created",
        "payout.canceled payout.failed payout.paid payout.reconciliation_completed payout.updated",
    )


class PayoutBalanceTransactions(DatedAccountObject):
    # What an automatic payout pays out. A transaction may be in a payout that failed and in a later one.
    NAME = "PayoutBalanceTransactions"
    SEARCH_NAME = "balance_transactions"
    KEY: ClassVar[list[str]] = ["/payout", "/id"]
    DISABLED = False
    PERMISSION = "Balance transaction sources"
    PARENT = Payouts
    PARENT_PARAM = "payout"
    PARENT_FIELD = "payout"
    PARENT_BARS: ClassVar[Mapping[str, str | bool]] = {"automatic": False}
    PARENT_EVENT_TYPES = ("payout.created", "payout.paid", "payout.reconciliation_completed")
    CREATED_WITH_PARENT = True
    TOLERATED = (PARENT_GONE, PAYOUT_NOT_AUTOMATIC)
    NOT_YET = NotYet(
        PAYOUT_NOT_READY, "reconciliation_status", "completed", "payout.reconciliation_completed"
    )

    payout: str


class Refunds(BaseStripeObjectWithEvents):
    NAME = "Refunds"
    SEARCH_NAME = "refunds"
    PERMISSION = "Charges"
    EVENT_TYPES = ops("refund.created", "charge.refund.updated refund.updated refund.failed")
    # Until this version a card refund has no event of its own.
    RELATED_EVENTS = (
        RelatedEvents(("charge.refunded",), ids=("id",), list_by="charge", before_version="2024-10-28"),
    )


class SetupIntents(BaseStripeObjectWithEvents):
    NAME = "SetupIntents"
    SEARCH_NAME = "setup_intents"
    PERMISSION = "Setup Intents"
    EVENT_TYPES = ops(
        "setup_intent.created",
        "setup_intent.canceled setup_intent.succeeded setup_intent.setup_failed setup_intent.requires_action",
    )


class SetupAttempts(BaseStripeObject):
    NAME = "SetupAttempts"
    SEARCH_NAME = "setup_attempts"
    RETRIEVE = ""
    PERMISSION = "Setup Intents"
    PARENT = SetupIntents
    PARENT_PARAM = "setup_intent"
    CHILDLESS = "latest_attempt"
    PARENT_EVENT_TYPES = tuple(SetupIntents.EVENT_TYPES)


class TopUps(BaseStripeObjectWithEvents):
    NAME = "TopUps"
    SEARCH_NAME = "topups"
    PERMISSION = "Top-ups"
    EVENT_TYPES = ops("topup.created", "topup.canceled topup.failed topup.reversed topup.succeeded")


class Transfers(BaseStripeObjectWithEvents):
    NAME = "Transfers"
    SEARCH_NAME = "transfers"
    PERMISSION = "Transfers"
    EVENT_TYPES = ops("transfer.created", "transfer.reversed transfer.updated")
    NESTED = ("reversals",)


class TransferReversals(BaseStripeObject):
    NAME = "TransferReversals"
    SEARCH_NAME = "transfers/{parent}/reversals"
    PERMISSION = "Transfers"
    LISTS_BY_CREATED = False
    PARENT = Transfers
    PARENT_EVENT_TYPES = ("transfer.reversed",)
    EMBEDDED = "reversals"


class ThreeDSecureAuthentications(DatedAccountObject):
    NAME = "ThreeDSecureAuthentications"
    SEARCH_NAME = "three_d_secure/authentications"
    PERMISSION = "3D Secure authentications"
    PRODUCT = "three_d_secure"
    SINCE_VERSION = "2026-09-30"
    EVENT_TYPES = ops(
        u="three_d_secure.authentication.canceled three_d_secure.authentication.challenge_started "
        "three_d_secure.authentication.errored three_d_secure.authentication.failed "
        "three_d_secure.authentication.requires_challenge three_d_secure.authentication.requires_submission "
        "three_d_secure.authentication.succeeded",
    )
    # A creation has no event.
    POLLS = True
