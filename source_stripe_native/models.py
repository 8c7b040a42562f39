"""The public names of config, catalogue and state, for whoever imports the connector as a library.

This module defines nothing. Inside the connector, a module imports a name from where it is defined.
"""

from source_stripe_native.config import (
    DEFAULT_INTERVAL,
    DEFAULT_WINDOW,
    Advanced,
    EndpointConfig,
    ResourceConfig,
    default_start_date,
)
from source_stripe_native.state.shapes import ConnectorState
from source_stripe_native.streams import STREAMS
from source_stripe_native.streams.billing import (
    CreditNotes,
    CreditNotesLines,
    InvoiceItems,
    InvoiceLineItems,
    Invoices,
    SubscriptionItems,
    Subscriptions,
    SubscriptionSchedule,
    UsageRecords,
)
from source_stripe_native.streams.connect import (
    Accounts,
    ApplicationFees,
    ApplicationFeesRefunds,
    ExternalAccountCards,
    ExternalBankAccount,
    Persons,
)
from source_stripe_native.streams.core import Events, Files, FilesLink
from source_stripe_native.streams.customers import (
    BankAccounts,
    Cards,
    CustomerBalanceTransaction,
    Customers,
    PaymentMethods,
)
from source_stripe_native.streams.issuing import Authorizations, CardHolders, Transactions
from source_stripe_native.streams.payments import (
    BalanceTransactions,
    Charges,
    CheckoutSessions,
    CheckoutSessionsLine,
    Disputes,
    PaymentIntents,
    Payouts,
    Refunds,
    SetupAttempts,
    SetupIntents,
    TopUps,
    TransferReversals,
    Transfers,
)
from source_stripe_native.streams.products import Coupons, Plans, Prices, Products, PromotionCode
from source_stripe_native.streams.radar import EarlyFraudWarning, Reviews, ValueListItems, ValueLists
from source_stripe_native.streams.row import (
    DAILY,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    Document,
    Op,
    ops,
)
from source_stripe_native.stripe.pages import EVENTS_PATH, ListEnvelope

__all__ = [
    "DAILY",
    "DEFAULT_INTERVAL",
    "DEFAULT_WINDOW",
    "EVENTS_PATH",
    "STREAMS",
    "Accounts",
    "Advanced",
    "ApplicationFees",
    "ApplicationFeesRefunds",
    "Authorizations",
    "BalanceTransactions",
    "BankAccounts",
    "BaseStripeObject",
    "BaseStripeObjectWithEvents",
    "CardHolders",
    "Cards",
    "Charges",
    "CheckoutSessions",
    "CheckoutSessionsLine",
    "ConnectorState",
    "Coupons",
    "CreditNotes",
    "CreditNotesLines",
    "CustomerBalanceTransaction",
    "Customers",
    "Disputes",
    "Document",
    "EarlyFraudWarning",
    "EndpointConfig",
    "Events",
    "ExternalAccountCards",
    "ExternalBankAccount",
    "Files",
    "FilesLink",
    "InvoiceItems",
    "InvoiceLineItems",
    "Invoices",
    "ListEnvelope",
    "Op",
    "PaymentIntents",
    "PaymentMethods",
    "Payouts",
    "Persons",
    "Plans",
    "Prices",
    "Products",
    "PromotionCode",
    "Refunds",
    "ResourceConfig",
    "Reviews",
    "SetupAttempts",
    "SetupIntents",
    "SubscriptionItems",
    "SubscriptionSchedule",
    "Subscriptions",
    "TopUps",
    "Transactions",
    "TransferReversals",
    "Transfers",
    "UsageRecords",
    "ValueListItems",
    "ValueLists",
    "default_start_date",
    "ops",
]
