"""Where objects hold other objects: what a path of `expand` can lead through, and to.

A row is about one object, by its name. It gives the paths at which other objects are, by the names of these,
with blanks between. A path has its names with dots. It goes through arrays without a word, and ends at the
next object, which has a row of its own. Paths of more than four names are left out: no request expands them.

Source: the schemas of Stripe's OpenAPI document. A test compares both tables with them.
"""

from collections.abc import Mapping
from typing import Final

from sandbox.stripe import expandable_more as more

IDS: Final[Mapping[str, Mapping[str, str]]] = {
    **more.IDS,
    "account": {
        "file": (
            "company.verification.document.back company.verification.document.front "
            "settings.branding.icon settings.branding.logo"
        ),
        "tax_id": "settings.invoices.default_account_tax_ids",
    },
    "application_fee": {
        "account": "account",
        "application": "application",
        "balance_transaction": "balance_transaction",
        "charge": "charge originating_transaction",
    },
    "balance_transaction": {
        (
            "application_fee charge connect_collection_transfer customer_cash_balance_transaction "
            "dispute fee_refund issuing.authorization issuing.dispute issuing.transaction payout "
            "refund reserve_transaction tax_deducted_at_source topup transfer transfer_reversal"
        ): "source"
    },
    "bank_account": {"account": "account", "customer": "customer"},
    "card": {"account": "account", "customer": "customer"},
    "charge": {
        "application": "application",
        "application_fee": "application_fee",
        "balance_transaction": "balance_transaction failure_balance_transaction",
        "customer": "customer",
        "account": "on_behalf_of transfer_data.destination",
        "rule": "outcome.rule",
        "payment_intent": "payment_intent",
        "payment_method": (
            "payment_method_details.bancontact.generated_sepa_debit "
            "payment_method_details.ideal.generated_sepa_debit "
            "payment_method_details.sofort.generated_sepa_debit"
        ),
        "mandate": (
            "payment_method_details.bancontact.generated_sepa_debit_mandate "
            "payment_method_details.card.mandate "
            "payment_method_details.ideal.generated_sepa_debit_mandate "
            "payment_method_details.sofort.generated_sepa_debit_mandate "
            "payment_method_details.us_bank_account.mandate"
        ),
        "review": "review",
        "transfer": "source_transfer transfer",
    },
    "checkout.session": {
        "account": ("automatic_tax.liability.account invoice_creation.invoice_data.issuer.account"),
        "customer": "customer",
        "coupon": "discounts.coupon",
        "promotion_code": "discounts.promotion_code",
        "invoice": "invoice",
        "tax_id": "invoice_creation.invoice_data.account_tax_ids",
        "payment_intent": "payment_intent",
        "payment_link": "payment_link",
        "setup_intent": "setup_intent",
        "shipping_rate": "shipping_cost.shipping_rate shipping_options.shipping_rate",
        "subscription": "subscription",
    },
    "credit_note": {
        "customer": "customer",
        "customer_balance_transaction": "customer_balance_transaction",
        "discount": "discount_amounts.discount pretax_credit_amounts.discount",
        "invoice": "invoice",
        "billing.credit_balance_transaction": "pretax_credit_amounts.credit_balance_transaction",
        "refund": "refunds.refund",
        "shipping_rate": "shipping_cost.shipping_rate",
        "tax_rate": "total_taxes.tax_rate_details.tax_rate",
    },
    "credit_note_line_item": {
        "discount": "discount_amounts.discount pretax_credit_amounts.discount",
        "billing.credit_balance_transaction": "pretax_credit_amounts.credit_balance_transaction",
        "tax_rate": "taxes.tax_rate_details.tax_rate",
    },
    "customer": {
        "bank_account card source": "default_source",
        "payment_method": "invoice_settings.default_payment_method",
        "test_helpers.test_clock": "test_clock",
    },
    "customer_balance_transaction": {
        "checkout.session": "checkout_session",
        "credit_note": "credit_note",
        "customer": "customer",
        "invoice": "invoice",
    },
    "discount": {"customer": "customer", "promotion_code": "promotion_code", "coupon": "source.coupon"},
    "dispute": {
        "charge": "charge",
        "file": (
            "evidence.cancellation_policy evidence.customer_communication "
            "evidence.customer_signature evidence.duplicate_charge_documentation evidence.receipt "
            "evidence.refund_policy evidence.service_documentation evidence.shipping_documentation "
            "evidence.uncategorized_file"
        ),
        "payment_intent": "payment_intent",
    },
    "fee_refund": {"balance_transaction": "balance_transaction", "application_fee": "fee"},
    "file_link": {"file": "file"},
    "invoice": {
        "tax_id": "account_tax_ids",
        "application": "application",
        "account": "automatic_tax.liability.account issuer.account on_behalf_of",
        "customer": "customer",
        "payment_method": "default_payment_method",
        "bank_account card source": "default_source",
        "discount": ("discounts total_discount_amounts.discount total_pretax_credit_amounts.discount"),
        "invoice": "from_invoice.invoice latest_revision",
        "subscription": "parent.subscription_details.subscription",
        "shipping_rate": "shipping_cost.shipping_rate",
        "test_helpers.test_clock": "test_clock",
        "billing.credit_balance_transaction": "total_pretax_credit_amounts.credit_balance_transaction",
        "tax_rate": "total_taxes.tax_rate_details.tax_rate",
    },
    "invoice_payment": {
        "invoice": "invoice",
        "charge": "payment.charge",
        "payment_intent": "payment.payment_intent",
        "payment_record": "payment.payment_record",
    },
    "invoiceitem": {
        "customer": "customer",
        "discount": "discounts proration_details.discount_amounts.discount",
        "invoice": "invoice",
        "price": "pricing.price_details.price",
        "test_helpers.test_clock": "test_clock",
    },
    "issuing.authorization": {"issuing.cardholder": "cardholder", "issuing.token": "token"},
    "issuing.card": {
        "issuing.personalization_design": "personalization_design",
        "issuing.card": "replaced_by replacement_for",
    },
    "issuing.cardholder": {
        "file": ("individual.verification.document.back individual.verification.document.front")
    },
    "issuing.transaction": {
        "issuing.authorization": "authorization",
        "balance_transaction": "balance_transaction",
        "issuing.card": "card",
        "issuing.cardholder": "cardholder",
        "issuing.dispute": "dispute",
        "issuing.token": "token",
    },
    "line_item": {
        "discount": ("discount_amounts.discount discounts pretax_credit_amounts.discount"),
        "billing.credit_balance_transaction": "pretax_credit_amounts.credit_balance_transaction",
        "price": "pricing.price_details.price",
        "subscription": "subscription",
        "tax_rate": "taxes.tax_rate_details.tax_rate",
    },
    "payment_intent": {
        "application": "application",
        "customer": "customer",
        "charge": "latest_charge",
        "account": "on_behalf_of transfer_data.destination",
        "payment_method": "payment_method",
        "payment_record": "payment_record",
        "review": "review",
    },
    "payment_method": {
        "setup_attempt": ("card.generated_from.setup_attempt sepa_debit.generated_from.setup_attempt"),
        "customer": "customer",
        "charge": "sepa_debit.generated_from.charge",
    },
    "payout": {
        "application_fee": "application_fee",
        "balance_transaction": "balance_transaction failure_balance_transaction",
        "bank_account card": "destination",
        "payout": "original_payout reversed_by",
    },
    "person": {
        "file": (
            "verification.additional_document.back verification.additional_document.front "
            "verification.document.back verification.document.front"
        )
    },
    "plan": {"product": "product"},
    "price": {"product": "product"},
    "product": {"price": "default_price", "tax_code": "tax_code"},
    "promotion_code": {"customer": "customer", "coupon": "promotion.coupon"},
    "radar.early_fraud_warning": {"charge": "charge", "payment_intent": "payment_intent"},
    "refund": {
        "balance_transaction": "balance_transaction failure_balance_transaction",
        "charge": "charge",
        "customer": "customer",
        "payment_intent": "payment_intent",
        "payment_method": "payment_method",
        "transfer_reversal": "source_transfer_reversal transfer_reversal",
    },
    "review": {"charge": "charge", "payment_intent": "payment_intent"},
    "setup_attempt": {
        "application": "application",
        "customer": "customer",
        "account": "on_behalf_of",
        "payment_method": (
            "payment_method payment_method_details.bancontact.generated_sepa_debit "
            "payment_method_details.card_present.generated_card "
            "payment_method_details.ideal.generated_sepa_debit "
            "payment_method_details.sofort.generated_sepa_debit"
        ),
        "mandate": (
            "payment_method_details.bancontact.generated_sepa_debit_mandate "
            "payment_method_details.ideal.generated_sepa_debit_mandate "
            "payment_method_details.sofort.generated_sepa_debit_mandate"
        ),
        "setup_intent": "setup_intent",
    },
    "setup_intent": {
        "application": "application",
        "customer": "customer",
        "setup_attempt": "latest_attempt",
        "mandate": "mandate single_use_mandate",
        "account": "on_behalf_of",
        "payment_method": "payment_method",
    },
    "subscription": {
        "application": "application",
        "account": (
            "automatic_tax.liability.account invoice_settings.issuer.account on_behalf_of "
            "transfer_data.destination"
        ),
        "price": "billing_schedules.applies_to.price",
        "billing.feedback_option": "cancellation_details.feedback_option",
        "customer": "customer",
        "payment_method": "default_payment_method",
        "bank_account card source": "default_source",
        "discount": "discounts pending_update.discounts",
        "tax_id": "invoice_settings.account_tax_ids",
        "invoice": "latest_invoice",
        "setup_intent": "pending_setup_intent",
        "subscription_schedule": "schedule",
        "test_helpers.test_clock": "test_clock",
    },
    "subscription_item": {"discount": "discounts"},
    "subscription_schedule": {
        "application": "application",
        "customer": "customer",
        "account": (
            "default_settings.automatic_tax.liability.account "
            "default_settings.invoice_settings.issuer.account default_settings.on_behalf_of "
            "default_settings.transfer_data.destination phases.automatic_tax.liability.account "
            "phases.invoice_settings.issuer.account phases.on_behalf_of "
            "phases.transfer_data.destination"
        ),
        "payment_method": ("default_settings.default_payment_method phases.default_payment_method"),
        "tax_id": (
            "default_settings.invoice_settings.account_tax_ids phases.invoice_settings.account_tax_ids"
        ),
        "coupon": (
            "phases.add_invoice_items.discounts.coupon phases.discounts.coupon phases.items.discounts.coupon"
        ),
        "discount": (
            "phases.add_invoice_items.discounts.discount phases.discounts.discount "
            "phases.items.discounts.discount"
        ),
        "promotion_code": (
            "phases.add_invoice_items.discounts.promotion_code phases.discounts.promotion_code "
            "phases.items.discounts.promotion_code"
        ),
        "price": "phases.add_invoice_items.price phases.items.price",
        "subscription": "subscription",
        "test_helpers.test_clock": "test_clock",
    },
    "tax_id": {
        "customer": "customer owner.customer",
        "account": "owner.account",
        "application": "owner.application",
    },
    "topup": {"balance_transaction": "balance_transaction", "payment_method": "payment_method"},
    "transfer": {
        "balance_transaction": "balance_transaction",
        "account": "destination",
        "charge": "destination_payment source_transaction",
    },
    "transfer_reversal": {
        "balance_transaction": "balance_transaction",
        "refund": "destination_payment_refund source_refund",
        "transfer": "transfer",
    },
}
"""Paths at which an object has the id of another one, which becomes the object itself when expanded."""

INLINE: Final[Mapping[str, Mapping[str, str]]] = {
    **more.INLINE,
    "account": {"bank_account card": "external_accounts.data", "person": "individual"},
    "application_fee": {"fee_refund": "refunds.data"},
    "charge": {"refund": "refunds.data"},
    "checkout.session": {
        "item": "line_items.data",
        "tax_rate": "shipping_cost.taxes.rate total_details.breakdown.taxes.rate",
        "discount": "total_details.breakdown.discounts.discount",
    },
    "credit_note": {"credit_note_line_item": "lines.data", "tax_rate": "shipping_cost.taxes.rate"},
    "credit_note_line_item": {"tax_rate": "tax_rates"},
    "customer": {
        "cash_balance": "cash_balance",
        "discount": "discount",
        "bank_account card source": "sources.data",
        "subscription": "subscriptions.data",
        "tax_id": "tax_ids.data",
    },
    "dispute": {"balance_transaction": "balance_transactions"},
    "file": {"file_link": "links.data"},
    "invoice": {
        "tax_rate": "default_tax_rates shipping_cost.taxes.rate",
        "payment_intent": "last_finalization_error.payment_intent",
        "payment_method": "last_finalization_error.payment_method",
        "setup_intent": "last_finalization_error.setup_intent",
        "bank_account card source": "last_finalization_error.source",
        "line_item": "lines.data",
        "invoice_payment": "payments.data",
    },
    "invoiceitem": {"tax_rate": "tax_rates"},
    "issuing.authorization": {
        "balance_transaction": "balance_transactions",
        "issuing.card": "card",
        "issuing.transaction": "transactions",
    },
    "issuing.card": {"issuing.cardholder": "cardholder"},
    "item": {"discount": "discounts.discount", "price": "price", "tax_rate": "taxes.rate"},
    "payment_intent": {
        "payment_intent_amount_details_line_item": "amount_details.line_items.data",
        "payment_intent": "last_payment_error.payment_intent",
        "payment_method": "last_payment_error.payment_method",
        "setup_intent": "last_payment_error.setup_intent",
        "bank_account card source": "last_payment_error.source",
    },
    "radar.value_list": {"radar.value_list_item": "list_items.data"},
    "setup_attempt": {
        "payment_intent": "setup_error.payment_intent",
        "payment_method": "setup_error.payment_method",
        "setup_intent": "setup_error.setup_intent",
        "bank_account card source": "setup_error.source",
    },
    "setup_intent": {
        "payment_intent": "last_setup_error.payment_intent",
        "payment_method": "last_setup_error.payment_method",
        "setup_intent": "last_setup_error.setup_intent",
        "bank_account card source": "last_setup_error.source",
    },
    "subscription": {
        "tax_rate": "default_tax_rates",
        "subscription_item": "items.data pending_update.subscription_items",
        "discount": "pending_update.discount",
    },
    "subscription_item": {"price": "price", "tax_rate": "tax_rates"},
    "subscription_schedule": {
        "tax_rate": ("phases.add_invoice_items.tax_rates phases.default_tax_rates phases.items.tax_rates")
    },
    "topup": {"source": "source"},
    "transfer": {"transfer_reversal": "reversals.data"},
}
"""Paths at which an object has another one whole. A path that ends in `data` leads through a list object."""
