"""Customers and how they pay: cards, bank accounts, payment methods, their balance, and test clocks."""

from dataclasses import replace
from random import Random

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json, equals, one_of, only
from sandbox.stripe.kind import ANY, Events, Kind, Move, Nested, Parent, View
from sandbox.stripe.kinds import derived
from sandbox.stripe.kinds import fields as f

_OF_CUSTOMER = Parent("customer", "customer")
_SOURCE_EVENTS = Events("customer.source")

CARD_FIELDS: Json = {
    "brand": f.one_of("Visa", "MasterCard", "American Express"),
    "country": "US",
    "cvc_check": "pass",
    "fingerprint": f.text("????????????????"),
    "funding": f.one_of("credit", "debit"),
    "regulated_status": "unregulated",
}

BANK_FIELDS: Json = {
    "account_holder_name": "Ada Byron",
    "account_holder_type": "individual",
    "bank_name": "SANDBOX BANK",
    "fingerprint": f.text("????????????????"),
    "routing_number": "110000000",
    "status": "new",
}


def _tax_edits(customer: Json, rng: Random) -> list[Json]:
    """Changes that a reader sees in no field that Stripe shows by default."""
    funds = {"available": {"eur": rng.randint(1, 9_900)}}
    return [
        {"tax": {"automatic_tax": "supported", "ip_address": f"192.0.2.{rng.randint(1, 254)}"}},
        *([{"cash_balance": funds}] if customer["cash_balance"] else []),
    ]


TEST_CLOCK = Kind(
    "test_helpers.test_clock",
    "clock",
    events=Events(updated=""),
    flow={"ready": ("advancing",), "advancing": ("ready",)},
    fields={"deletes_after": f.later(f.MONTH), "status": "ready"},
)

CUSTOMER = Kind(
    "customer",
    "cus",
    filters=(replace(equals("test_clock"), unasked=lambda _asked: only(None)),),
    nested=(
        Nested(("card", "bank_account", "source"), "sources", shown=False),
        Nested(("customer_balance_transaction",), "balance_transactions", shown=False, totals=("balance",)),
        Nested(("tax_id",), "tax_ids", shown=False),
        Nested(("subscription",), "subscriptions", shown=False, narrowed=("status",)),
    ),
    stub=True,
    includes=("cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"),
    variants=(
        {
            "cash_balance": {
                "object": "cash_balance",
                "available": {"eur": f.number(1, 9_900)},
                "customer": lambda draft: draft.id,
                "customer_account": None,
                "livemode": f.livemode,
                "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True},
            },
            "invoice_credit_balance": {"usd": f.number(-9_900, -1)},
        },
        {"tax": {"automatic_tax": "supported", "location": {"country": "DE", "source": "ip_address"}}},
        {"discount": 1},
    ),
    tweaks=_tax_edits,
    fields={
        "balance": 0,
        "delinquent": False,
        "email": f.text("????????@example.com"),
        "invoice_credit_balance": {},
        "invoice_prefix": f.text("????????"),
        "invoice_settings": f.nulls("custom_fields", "default_payment_method", "footer", "rendering_options"),
        "name": f.text("Customer ????"),
        "next_invoice_sequence": 1,
        "tax": derived.templates("customer_tax")
        | {"automatic_tax": "unrecognized_location", "provider": "stripe"},
        "tax_exempt": "none",
    },
)

CARD = Kind(
    "card", "card", permission="source", parent=_OF_CUSTOMER, events=_SOURCE_EVENTS, fields=CARD_FIELDS
)

BANK_ACCOUNT = Kind(
    "bank_account",
    "ba",
    permission="source",
    parent=_OF_CUSTOMER,
    events=_SOURCE_EVENTS,
    flow={"new": ("validated", "verified"), "validated": ("verified", "verification_failed")},
    fields=BANK_FIELDS,
)

SOURCE = Kind(
    "source",
    "src",
    path="/v1/sources",
    parent=_OF_CUSTOMER,
    events=_SOURCE_EVENTS,
    flow={"pending": ("chargeable", "failed"), "chargeable": ("canceled",)},
    fields={
        "client_secret": f.text("src_client_secret_????????????????"),
        "currency": "eur",
        "flow": "receiver",
        "owner": derived.templates("source_owner"),
        "type": "sepa_debit",
        "usage": "reusable",
    },
)

BALANCE_TRANSACTION = Kind(
    "customer_balance_transaction",
    "cbtxn",
    permission="customer_balance_transaction",
    parent=_OF_CUSTOMER,
    fields={
        "amount": f.number(-5000, 5000),
        "ending_balance": lambda draft: (
            draft.show("customer", draft.built["customer"])["balance"] + draft.built["amount"]
        ),
    },
)


TAX_ID = Kind(
    "tax_id",
    "txi",
    path="/v1/customers/{customer}/tax_ids",
    permission="tax_id",
    parent=_OF_CUSTOMER,
    events=Events("customer.tax_id"),
    fields={
        "country": "DE",
        "owner": {"customer": f.same("customer"), "type": "customer"},
        "type": "eu_vat",
        "value": f.digits(9),
        "verification": {"status": "pending", "verified_address": None, "verified_name": None},
    },
)


def _detached_source(method: Json) -> StripeError | None:
    """A legacy source is a payment method as long as it has a customer."""
    legacy = method["id"].startswith("src_") and method["customer"] is None
    return errors.source_not_attached() if legacy else None


PAYMENT_METHOD = Kind(
    "payment_method",
    "pm",
    filters=(
        redisplay := one_of("allow_redisplay", "always", "limited", "unspecified"),
        replace(equals("customer"), unasked=lambda _asked: only(None)),
        of_type := equals("type"),
    ),
    parent=_OF_CUSTOMER,
    events=Events(moves=(Move("customer", ANY, "attached"), Move("customer", None, "detached"))),
    cancels={"customer": None},
    unreadable=_detached_source,
    fields={
        "allow_redisplay": "unspecified",
        "card": {
            "brand": f.one_of("visa", "mastercard"),
            "checks": f.nulls("address_line1_check", "address_postal_code_check", "cvc_check"),
            "country": "US",
            "exp_month": f.number(1, 12),
            "exp_year": f.number(2031, 2036),
            "fingerprint": f.text("????????????????"),
            "funding": "credit",
            "generated_from": None,
            "last4": f.digits(4),
            "networks": {"available": ["visa"], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "type": "card",
    },
)

SOURCE_TRANSACTION = Kind(
    "source_transaction", "srctxn", parent=Parent("source", "source"), events=Events("source.transaction")
)

CASH_TRANSACTION = Kind(
    "customer_cash_balance_transaction",
    "ccsbtxn",
    parent=_OF_CUSTOMER,
    fields={"ending_balance": 1, "net_amount": f.number(1, 9_900)},
)
SOURCES = View(
    "/v1/customers/{customer}/sources",
    ("card", "bank_account", "source"),
    (equals("object"),),
    parent="customer",
)

OF_CUSTOMER = View(
    "/v1/customers/{customer}/payment_methods", ("payment_method",), (redisplay, of_type), parent="customer"
)
