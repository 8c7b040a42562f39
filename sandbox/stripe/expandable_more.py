"""The tables of `expandable.py` for the families of Stripe's API beyond payments and billing.

Source: the schemas of Stripe's OpenAPI document. A test compares both tables with them.
"""

from collections.abc import Mapping
from typing import Final

IDS: Final[Mapping[str, Mapping[str, str]]] = {
    "billing.alert": {
        "billing.meter": "usage_threshold.meter",
        "customer": "usage_threshold.filters.customer",
    },
    "billing.credit_balance_transaction": {
        "billing.credit_grant": "credit_grant",
        "invoice": ("credit.credits_application_invoice_voided.invoice debit.credits_applied.invoice"),
        "test_helpers.test_clock": "test_clock",
    },
    "billing.credit_grant": {
        "customer": "customer",
        "test_helpers.test_clock": "test_clock",
    },
    "billing_portal.configuration": {
        "application": "application",
        "billing.feedback_option": ("features.subscription_cancel.cancellation_reason.feedback_options"),
    },
    "capability": {
        "account": "account",
    },
    "climate.order": {
        "climate.product": "product",
    },
    "customer_cash_balance_transaction": {
        "balance_transaction": (
            "adjusted_for_overdraft.balance_transaction transferred_to_balance.balance_transaction"
        ),
        "customer": "customer",
        "customer_cash_balance_transaction": "adjusted_for_overdraft.linked_transaction",
        "payment_intent": ("applied_to_payment.payment_intent unapplied_from_payment.payment_intent"),
        "refund": "refunded_from_payment.refund",
    },
    "entitlements.active_entitlement": {
        "entitlements.feature": "feature",
    },
    "financial_connections.account": {
        "account": "account_holder.account",
        "customer": "account_holder.customer",
        "financial_connections.account_ownership": "ownership",
    },
    "identity.verification_session": {
        "identity.verification_report": "last_verification_report",
    },
    "issuing.dispute": {
        "file": (
            "evidence.canceled.additional_documentation "
            "evidence.duplicate.additional_documentation evidence.duplicate.card_statement "
            "evidence.duplicate.cash_receipt evidence.duplicate.check_image "
            "evidence.fraudulent.additional_documentation "
            "evidence.merchandise_not_as_described.additional_documentation "
            "evidence.no_valid_authorization.additional_documentation "
            "evidence.not_received.additional_documentation "
            "evidence.other.additional_documentation "
            "evidence.service_not_as_described.additional_documentation"
        ),
        "issuing.transaction": "transaction",
    },
    "issuing.personalization_design": {
        "file": "card_logo",
        "issuing.physical_bundle": "physical_bundle",
    },
    "issuing.token": {
        "issuing.card": "card",
    },
    "payment_attempt_record": {
        "mandate": (
            "payment_method_details.bancontact.generated_sepa_debit_mandate "
            "payment_method_details.ideal.generated_sepa_debit_mandate "
            "payment_method_details.sofort.generated_sepa_debit_mandate "
            "payment_method_details.us_bank_account.mandate"
        ),
        "payment_method": (
            "payment_method_details.bancontact.generated_sepa_debit "
            "payment_method_details.ideal.generated_sepa_debit "
            "payment_method_details.sofort.generated_sepa_debit"
        ),
    },
    "payment_link": {
        "account": (
            "automatic_tax.liability.account invoice_creation.invoice_data.issuer.account "
            "on_behalf_of subscription_data.invoice_settings.issuer.account "
            "transfer_data.destination"
        ),
        "application": "application",
        "shipping_rate": "shipping_options.shipping_rate",
        "tax_id": (
            "invoice_creation.invoice_data.account_tax_ids subscription_data.invoice_settings.account_tax_ids"
        ),
    },
    "payment_record": {
        "mandate": (
            "payment_method_details.bancontact.generated_sepa_debit_mandate "
            "payment_method_details.ideal.generated_sepa_debit_mandate "
            "payment_method_details.sofort.generated_sepa_debit_mandate "
            "payment_method_details.us_bank_account.mandate"
        ),
        "payment_method": (
            "payment_method_details.bancontact.generated_sepa_debit "
            "payment_method_details.ideal.generated_sepa_debit "
            "payment_method_details.sofort.generated_sepa_debit"
        ),
    },
    "quote": {
        "account": (
            "automatic_tax.liability.account invoice_settings.issuer.account on_behalf_of "
            "transfer_data.destination"
        ),
        "application": "application",
        "customer": "customer",
        "discount": "discounts",
        "invoice": "invoice",
        "quote": "from_quote.quote",
        "subscription": "subscription",
        "subscription_schedule": "subscription_schedule",
        "tax_rate": "default_tax_rates",
        "test_helpers.test_clock": "test_clock",
    },
    "product_catalog.trial_offer": {
        "price": "end_behavior.transition.price price",
    },
    "shipping_rate": {
        "tax_code": "tax_code",
    },
    "terminal.configuration": {
        "file": (
            "bbpos_wisepad3.splashscreen bbpos_wisepos_e.splashscreen "
            "stripe_s700.splashscreen stripe_s710.splashscreen stripe_t600.splashscreen "
            "verifone_m425.splashscreen verifone_p400.splashscreen verifone_p630.splashscreen "
            "verifone_ux700.splashscreen verifone_v660p.splashscreen"
        ),
    },
    "three_d_secure.authentication": {
        "payment_method": "payment_method",
    },
    "terminal.reader": {
        "charge": "action.refund_payment.charge",
        "payment_intent": (
            "action.collect_payment_method.payment_intent "
            "action.confirm_payment_intent.payment_intent "
            "action.process_payment_intent.payment_intent "
            "action.refund_payment.payment_intent"
        ),
        "refund": "action.refund_payment.refund",
        "setup_intent": "action.process_setup_intent.setup_intent",
        "terminal.location": "location",
    },
    "treasury.credit_reversal": {
        "treasury.transaction": "transaction",
    },
    "treasury.debit_reversal": {
        "treasury.transaction": "transaction",
    },
    "treasury.inbound_transfer": {
        "mandate": "origin_payment_method_details.us_bank_account.mandate",
        "treasury.transaction": "transaction",
    },
    "treasury.outbound_payment": {
        "mandate": "destination_payment_method_details.us_bank_account.mandate",
        "treasury.transaction": "returned_details.transaction transaction",
    },
    "treasury.outbound_transfer": {
        "mandate": "destination_payment_method_details.us_bank_account.mandate",
        "treasury.transaction": "returned_details.transaction transaction",
    },
    "treasury.received_credit": {
        "treasury.transaction": "transaction",
    },
    "treasury.received_debit": {
        "treasury.transaction": "transaction",
    },
    "treasury.transaction_entry": {
        "treasury.transaction": "transaction",
    },
}

INLINE: Final[Mapping[str, Mapping[str, str]]] = {
    "climate.order": {
        "climate.supplier": "delivery_details.supplier",
    },
    "climate.product": {
        "climate.supplier": "suppliers",
    },
    "issuing.dispute": {
        "balance_transaction": "balance_transactions",
    },
    "payment_link": {
        "item": "line_items.data",
    },
    "product_feature": {
        "entitlements.feature": "entitlement_feature",
    },
    "quote": {
        "discount": "total_details.breakdown.discounts.discount",
        "item": "computed.upfront.line_items.data line_items.data",
        "tax_rate": "total_details.breakdown.taxes.rate",
    },
    "reporting.report_run": {
        "file": "result",
    },
    "scheduled_query_run": {
        "file": "file",
    },
    "terminal.reader": {
        "bank_account card source": "action.api_error.source",
        "payment_intent": "action.api_error.payment_intent",
        "payment_method": ("action.api_error.payment_method action.collect_payment_method.payment_method"),
        "setup_intent": "action.api_error.setup_intent",
    },
    "treasury.financial_account": {
        "treasury.financial_account_features": "features",
    },
    "treasury.received_credit": {
        "payout": "linked_flows.source_flow_details.payout",
        "treasury.credit_reversal": "linked_flows.source_flow_details.credit_reversal",
        "treasury.outbound_payment": "linked_flows.source_flow_details.outbound_payment",
        "treasury.outbound_transfer": "linked_flows.source_flow_details.outbound_transfer",
    },
    "treasury.transaction": {
        "issuing.authorization": "flow_details.issuing_authorization",
        "treasury.credit_reversal": "flow_details.credit_reversal",
        "treasury.debit_reversal": "flow_details.debit_reversal",
        "treasury.inbound_transfer": "flow_details.inbound_transfer",
        "treasury.outbound_payment": "flow_details.outbound_payment",
        "treasury.outbound_transfer": "flow_details.outbound_transfer",
        "treasury.received_credit": "flow_details.received_credit",
        "treasury.received_debit": "flow_details.received_debit",
        "treasury.transaction_entry": "entries.data",
    },
    "treasury.transaction_entry": {
        "issuing.authorization": "flow_details.issuing_authorization",
        "treasury.credit_reversal": "flow_details.credit_reversal",
        "treasury.debit_reversal": "flow_details.debit_reversal",
        "treasury.inbound_transfer": "flow_details.inbound_transfer",
        "treasury.outbound_payment": "flow_details.outbound_payment",
        "treasury.outbound_transfer": "flow_details.outbound_transfer",
        "treasury.received_credit": "flow_details.received_credit",
        "treasury.received_debit": "flow_details.received_debit",
    },
}
