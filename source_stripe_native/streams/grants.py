"""What Stripe itself calls the read permissions that a restricted key can have, and how sure that is.

The dashboard's names are in the rows of the catalogue. Stripe documents its own names in two places: the
"API permissions reference" and the "Permissions reference" of Stripe Apps. Where neither has one, the
dashboard's name is an assumption, made of the name of the API's resource.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

NEW_KEY: Final = "https://dashboard.stripe.com/apikeys/create"
"""Where the dashboard makes a restricted key. It takes a name and permissions in the query, which Stripe does
not document, but whose use by others is public."""


class Sureness(StrEnum):
    DOCUMENTED = "documented"
    """One of Stripe's references has the permission."""
    SEEN = "seen"
    """Public code names the permission to Stripe."""
    ASSUMED = "assumed"


_DOCUMENTED: Final[Mapping[str, str]] = {
    "Apple Pay Domains": "apple_pay_domain_read",
    "Application Fees": "application_fee_read",
    "Balance": "balance_read",
    "Balance transaction sources": "balance_transaction_source_read",
    "Billing meters": "billing_meter_read",
    "Charges": "charge_read",
    "Checkout Sessions": "checkout_session_read",
    "Connect: Accounts": "connected_account_read",
    "Coupons": "coupon_read",
    "Credit notes": "credit_note_read",
    "Customer portal": "customer_portal_read",
    "Customers": "customer_read",
    "Disputes": "dispute_read",
    "Entitlements": "entitlement_read",
    "Events": "event_read",
    "Files": "file_read",
    "Invoices": "invoice_read",
    "Issuing: Authorizations": "issuing_authorization_read",
    "Issuing: Cardholders": "issuing_cardholder_read",
    "Issuing: Cards": "issuing_card_read",
    "Issuing: Disputes": "issuing_dispute_read",
    "Issuing: Transactions": "issuing_transaction_read",
    "Payment Intents": "payment_intent_read",
    "Payment Links": "payment_links_read",
    "Payment Methods": "payment_method_read",
    "Payouts": "payout_read",
    "Prices": "plan_read",
    "Products": "product_read",
    "Promotion Codes": "promotion_code_read",
    "Quotes": "quote_read",
    "Radar: Reviews": "review_read",
    "Report Runs and Report Types": "report_runs_and_report_types_read",
    "Setup Intents": "setup_intent_read",
    "Shipping Rates": "shipping_rate_read",
    "Subscriptions": "subscription_read",
    "Tax Rates": "tax_rate_read",
    "Terminal: Configurations": "terminal_configuration_read",
    "Terminal: Locations": "terminal_location_read",
    "Terminal: Readers": "terminal_reader_read",
    "Test clocks": "billing_clock_read",
    "Top-ups": "top_up_read",
    "Transfers": "transfer_read",
    "Usage Records": "usage_record_read",
    "Webhook Endpoints": "webhook_read",
}
_SEEN: Final[Mapping[str, str]] = {
    "Apps: Secrets": "secret_read",
    "Issuing: Tokens": "issuing_token_read",
    "Payment Method Configurations": "payment_method_configurations_read",
    "Payment Method Domains": "payment_method_domain_read",
    "Payment records": "payment_records_read",
}
KNOWN: Final[Mapping[str, str]] = {**_DOCUMENTED, **_SEEN}
"""What Stripe calls a permission, by the name in its dashboard."""


def sureness(permission: str) -> Sureness:
    """How sure the name of a permission, as the dashboard has it, is."""
    if permission in _DOCUMENTED:
        return Sureness.DOCUMENTED
    return Sureness.SEEN if permission in _SEEN else Sureness.ASSUMED


def new_key_address(permissions: Iterable[str], name: str = "Estuary Flow") -> str:
    """The page that makes a key, with those of the `permissions` (the dashboard's names) chosen in advance
    whose names at Stripe are known."""
    chosen = [f"rak_{KNOWN[each]}" for each in permissions if each in KNOWN]
    return f"{NEW_KEY}?{urlencode([('name', name), *(('permissions[]', each) for each in chosen)])}"
