"""What other tools call the tables of the streams: docs/other-tools.md shows it.

Sources, all public: the page "Stripe" of Fivetran's documentation and its dbt package; the entities of
Airbyte's connector; the tables of Stripe Sigma, which Data Pipeline has too, as Stripe's pages and a public
list of the schema name them. They were read in 2026.

Rule: a name that none of these has is left blank, never guessed. Each stream that is enabled by default has a
row, which the page leaves out where all is blank.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Names(NamedTuple):
    fivetran: str = ""
    airbyte: str = ""
    data_pipeline: str = ""


NAMES: Final[Mapping[str, Names]] = {
    "Accounts": Names("account", "accounts", "accounts, connected_accounts"),
    "ApplePayDomains": Names("apple_pay_domain"),
    "ApplicationFees": Names("application_fee", "application_fees", "application_fees"),
    "ApplicationFeesRefunds": Names(
        "application_fee_refund", "application_fees_refunds", "application_fee_refunds"
    ),
    "Authorizations": Names("", "authorizations", "issuing_authorizations"),
    "BalanceTransactions": Names(
        "balance_transaction, fee",
        "balance_transactions",
        "balance_transactions, balance_transaction_fee_details",
    ),
    "BankAccounts": Names("bank_account", "bank_accounts"),
    "BillingMeterEventSummaries": Names("", "", "billing_meter_event_summaries"),
    "BillingMeters": Names("", "", "billing_meters"),
    "CardHolders": Names("", "cardholders", "issuing_cardholders"),
    "Cards": Names("card"),
    "Charges": Names("charge", "charges", "charges"),
    "CheckoutSessions": Names("checkout_session", "checkout_sessions", "checkout_sessions"),
    "CheckoutSessionsLine": Names(
        "checkout_session_line_item", "checkout_sessions_line_items", "checkout_line_items"
    ),
    "Coupons": Names("coupon", "coupons", "coupons"),
    "CreditNotes": Names("credit_note", "credit_notes", "credit_notes"),
    "CreditNotesLines": Names("credit_note_line_item", "", "credit_note_line_items"),
    "CustomerBalanceTransaction": Names(
        "customer_balance_transaction", "customer_balance_transactions", "customer_balance_transactions"
    ),
    "CustomerTaxIds": Names("", "", "customer_tax_ids"),
    "Customers": Names("customer", "customers", "customers"),
    "Discounts": Names("discount", "", "discounts"),
    "Disputes": Names("dispute", "disputes", "disputes"),
    "EarlyFraudWarning": Names("early_fraud_warning", "early_fraud_warnings", "early_fraud_warnings"),
    "Events": Names("", "events"),
    "ExternalAccountCards": Names("", "external_account_cards"),
    "ExternalBankAccount": Names("", "external_account_bank_accounts"),
    "Files": Names("", "files"),
    "FilesLink": Names("", "file_links"),
    "InvoiceItems": Names("invoice_item", "invoice_items", "invoice_items"),
    "InvoiceLineItems": Names("invoice_line_item", "invoice_line_items", "invoice_line_items"),
    "InvoicePayments": Names("", "invoice_payments", "invoice_payments"),
    "Invoices": Names("invoice", "invoices", "invoices"),
    "IssuingCards": Names("", "cards", "issuing_cards"),
    "IssuingDisputes": Names("", "", "issuing_disputes"),
    "PaymentIntents": Names("payment_intent", "payment_intents", "payment_intents"),
    "PaymentLinkLineItems": Names(),
    "PaymentLinks": Names("", "", "payment_links"),
    "PaymentMethods": Names("payment_method, payment_method_card", "payment_methods", "payment_methods"),
    "PaymentRecords": Names("", "", "payment_records"),
    "PayoutBalanceTransactions": Names("", "payout_balance_transactions"),
    "Payouts": Names("payout", "payouts", "transfers"),
    "Persons": Names("person", "persons"),
    "Plans": Names("plan", "plans", "plans"),
    "Prices": Names("price, tier", "prices", "prices, price_tiers"),
    "Products": Names("product", "products", "products"),
    "PromotionCode": Names("", "promotion_codes", "promotion_codes"),
    "QuoteLineItems": Names(),
    "Quotes": Names("", "", "quotes"),
    "Refunds": Names("refund", "refunds", "refunds"),
    "Reviews": Names("", "reviews", "payment_reviews"),
    "SetupAttempts": Names("setup_attempt", "setup_attempts", "setup_attempts"),
    "SetupIntents": Names("", "setup_intents", "setup_intents"),
    "ShippingRates": Names("", "shipping_rates"),
    "Sources": Names("source", "", "sources"),
    "SubscriptionItems": Names(),
    "SubscriptionLineItems": Names("subscription_item", "subscription_items", "subscription_items"),
    "SubscriptionSchedule": Names("", "subscription_schedule", "subscription_schedules"),
    "Subscriptions": Names("subscription_history", "subscriptions", "subscriptions"),
    "TaxRates": Names("", "", "tax_rates"),
    "TopUps": Names("", "top_ups"),
    "Transactions": Names("", "transactions", "issuing_transactions"),
    "TransferReversals": Names("transfer_reversal", "transfer_reversals", "transfer_reversals"),
    "Transfers": Names("transfer", "transfers", "transfers"),
    "UsageRecords": Names("usage_record", "usage_records"),
}
