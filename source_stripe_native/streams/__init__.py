"""The catalogue: everything there is to capture, a row for each stream.

A stream is a row of data: a document class whose class values say where its objects are listed, how a
backfill is divided into variants and which events change it (row.py documents every value). A quirk is a
value in the row, never a branch on a name. The rows stand in a file for each family of Stripe's API.
"""

from typing import Final

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
from source_stripe_native.streams.discounts import Discounts
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
from source_stripe_native.streams.row import BaseStripeObject

STREAMS: Final[list[type[BaseStripeObject]]] = [
    Accounts,
    Persons,
    ExternalAccountCards,
    ExternalBankAccount,
    ApplicationFees,
    ApplicationFeesRefunds,
    Customers,
    BankAccounts,
    Cards,
    CustomerBalanceTransaction,
    PaymentMethods,
    BalanceTransactions,
    Charges,
    CheckoutSessions,
    CheckoutSessionsLine,
    Disputes,
    EarlyFraudWarning,
    PaymentIntents,
    Payouts,
    Refunds,
    Reviews,
    SetupIntents,
    SetupAttempts,
    TopUps,
    Transfers,
    TransferReversals,
    Coupons,
    CreditNotes,
    CreditNotesLines,
    InvoiceItems,
    Invoices,
    InvoiceLineItems,
    Plans,
    Products,
    Prices,
    PromotionCode,
    Subscriptions,
    SubscriptionItems,
    SubscriptionSchedule,
    UsageRecords,
    Events,
    Files,
    FilesLink,
    ValueLists,
    ValueListItems,
    Authorizations,
    CardHolders,
    Transactions,
    Discounts,
]
"""The catalogue in the order of discovery. A new stream is a class in its family's file and its name here."""
