"""Sets of streams by what they are for: `check --for` and `permissions --for` take them, and docs/streams.md
shows them.

Rule: a set has what its questions take, whatever discover enables by default.
"""

from collections.abc import Collection, Mapping
from typing import Final

from source_stripe_native.streams import STREAMS

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


def names_for(names: Collection[str], purposes: Collection[str]) -> tuple[str, ...]:
    """The names of the streams that are named, and of those of the sets. Empty for all that there are, as if
    none was named."""
    wanted = frozenset(names).union(*(PURPOSES[each] for each in purposes))
    return tuple(each.NAME for each in STREAMS if each.NAME in wanted and len(wanted) < len(STREAMS))
