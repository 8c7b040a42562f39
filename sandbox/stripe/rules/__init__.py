"""What a POST or a DELETE does, by its path. A path that has no rule does what `defaults` says."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.stripe.rules import billing, checkout, customers, invoices, payments, selling
from sandbox.stripe.rules.act import Act, Rule, Write
from sandbox.stripe.rules.defaults import DEFAULTS, update

__all__ = ["DEFAULTS", "RULES", "UNDOCUMENTED", "Act", "Rule", "Write"]

_PAYMENTS: Final[Mapping[str, Rule]] = {
    "POST /v1/charges": payments.create_charge,
    "POST /v1/charges/{charge}/capture": payments.capture_charge,
    "POST /v1/charges/{charge}/refunds": payments.create_refund,
    "POST /v1/disputes/{dispute}": payments.update_dispute,
    "POST /v1/disputes/{dispute}/close": payments.close_dispute,
    "POST /v1/payment_intents": payments.create_intent,
    "POST /v1/payment_intents/{payment_intent}/cancel": payments.cancel_intent,
    "POST /v1/payment_intents/{payment_intent}/capture": payments.capture_intent,
    "POST /v1/payment_intents/{payment_intent}/confirm": billing.confirm_intent,
    "POST /v1/payment_methods": payments.create_method,
    "POST /v1/payment_methods/{payment_method}/attach": payments.attach_method,
    "POST /v1/payment_methods/{payment_method}/detach": payments.detach_method,
    "POST /v1/payouts": payments.create_payout,
    "POST /v1/refunds": payments.create_refund,
    "POST /v1/setup_intents": payments.create_setup,
    "POST /v1/setup_intents/{setup_intent}/cancel": payments.cancel_setup,
    "POST /v1/setup_intents/{setup_intent}/confirm": payments.confirm_setup,
    "POST /v1/test_helpers/customers/{customer}/fund_cash_balance": payments.fund_cash_balance,
    "POST /v1/transfers": payments.create_transfer,
    "POST /v1/transfers/{transfer}/reversals": payments.create_reversal,
}

_CUSTOMERS: Final[Mapping[str, Rule]] = {
    "DELETE /v1/customers/{customer}/discount": customers.end_discount,
    "POST /v1/billing_portal/sessions billing_portal.configuration": checkout.open_portal,
    "POST /v1/customers": customers.create,
    "POST /v1/customers/{customer}": customers.update,
    "POST /v1/customers/{customer}/bank_accounts": customers.create_source,
    "POST /v1/customers/{customer}/cards": customers.create_source,
    "POST /v1/customers/{customer}/sources": customers.create_source,
    "POST /v1/customers/{customer}/sources/{bank_account}/verify": customers.verify_source,
}

_BILLING: Final[Mapping[str, Rule]] = {
    "DELETE /v1/subscriptions/{subscription}": billing.cancel_it,
    "POST /v1/credit_notes": invoices.create_note,
    "POST /v1/customers/{customer}/subscriptions": billing.create,
    "POST /v1/invoiceitems": invoices.create_item,
    "POST /v1/invoices": invoices.create,
    "POST /v1/invoices/{invoice}/finalize": invoices.finalize_it,
    "POST /v1/invoices/{invoice}/mark_uncollectible": invoices.mark_uncollectible,
    "POST /v1/invoices/{invoice}/pay": billing.pay_invoice,
    "POST /v1/invoices/{invoice}/send": invoices.send,
    "POST /v1/invoices/{invoice}/void": invoices.void,
    "POST /v1/subscription_schedules": billing.schedule,
    "POST /v1/subscription_schedules/{subscription_schedule}/cancel": billing.cancel_schedule,
    "POST /v1/subscription_schedules/{subscription_schedule}/release": billing.release_it,
    "POST /v1/subscriptions": billing.create,
    "POST /v1/subscriptions/{subscription}": billing.update,
    "POST /v1/subscriptions/{subscription}/resume": billing.resume,
    "POST /v1/test_helpers/test_clocks/{test_helpers.test_clock}/advance": billing.advance,
}

_SELLING: Final[Mapping[str, Rule]] = {
    "GET /v1/payment_pages/{checkout.session}": update,
    "POST /v1/checkout/sessions": checkout.open_session,
    "POST /v1/issuing/cards/{issuing.card}/test/authorizations": checkout.authorize_card,
    "POST /v1/payment_links": checkout.create_link,
    "POST /v1/payment_pages/{checkout.session}/confirm": checkout.confirm_page,
    "POST /v1/plans": selling.create_plan,
    "POST /v1/prices": selling.create_price,
    "POST /v1/quotes": checkout.create_quote,
    "POST /v1/quotes/{quote}/accept": checkout.accept_quote,
    "POST /v1/quotes/{quote}/cancel": checkout.cancel_quote,
    "POST /v1/quotes/{quote}/finalize": checkout.finalize_quote,
    "POST /v1/reporting/report_runs": checkout.run_report,
    "POST /v1/test_helpers/issuing/transactions/create_force_capture issuing.transaction": (
        checkout.force_capture
    ),
}

RULES: Final[Mapping[str, Rule]] = {**_PAYMENTS, **_CUSTOMERS, **_BILLING, **_SELLING}
"""By method and path. A name in braces is the kind of an object; the last is the one that is written. A path
that names none, and that no kind has, is followed by its kind."""

UNDOCUMENTED: Final[Mapping[str, Any]] = {
    "POST /v1/issuing/cards/{issuing.card}/test/authorizations": {
        "authorization_method": "string",
        "held_amount": "integer",
        "held_currency": "string",
    },
    "POST /v1/payment_pages/{checkout.session}/confirm": {
        "expected_amount": "integer",
        "payment_method!": "string",
    },
}
"""The forms of paths that Stripe's document lacks and its command line uses."""
