"""Sets of streams by what they are for: `check --for` and `permissions --for` take them, and docs/streams.md
shows them.

Rule: a set has what its questions take, whatever discover enables by default.
"""

from collections.abc import Collection, Mapping
from typing import Final

from source_stripe_native.streams import STREAMS
from source_stripe_native.streams.row import BaseStripeObject

PURPOSES: Final[Mapping[str, frozenset[str]]] = {
    "finance": frozenset(
        (
            *("BalanceTransactions", "Charges", "CreditNotes", "CreditNotesLines", "Customers", "Disputes"),
            *("CustomerBalanceTransaction", "InvoiceLineItems", "InvoicePayments", "Invoices", "Payouts"),
            *("PaymentIntents", "PayoutBalanceTransactions", "Refunds", "TaxRates", "TopUps"),
        )
    ),
    "subscriptions": frozenset(
        (
            *("BillingMeterEventSummaries", "BillingMeters", "Coupons", "Customers", "Discounts"),
            *("InlinePrices", "InvoiceItems", "InvoiceLineItems", "InvoicePayments", "Invoices", "Prices"),
            *("Products", "PromotionCode", "SubscriptionLineItems", "SubscriptionSchedule", "Subscriptions"),
        )
    ),
    "support": frozenset(
        (
            *("Charges", "CheckoutSessions", "CheckoutSessionsLine", "CreditNotes", "Customers", "Disputes"),
            *("EarlyFraudWarning", "Invoices", "PaymentIntents", "PaymentMethods", "Refunds", "Reviews"),
            *("SetupIntents", "Subscriptions"),
        )
    ),
    "connect": frozenset(
        (
            *("Accounts", "ApplicationFees", "ApplicationFeesRefunds", "BalanceTransactions", "Capabilities"),
            *("Charges", "ExternalAccountCards", "ExternalBankAccount", "Payouts", "Persons", "Refunds"),
            *("TransferReversals", "Transfers"),
        )
    ),
    "everything": frozenset(each.NAME for each in STREAMS),
}


def streams_for(names: Collection[str], purposes: Collection[str]) -> list[type[BaseStripeObject]]:
    """The streams that are named, and those of the sets, in the catalogue's order."""
    wanted = frozenset(names).union(*(PURPOSES[each] for each in purposes))
    return [each for each in STREAMS if each.NAME in wanted]
