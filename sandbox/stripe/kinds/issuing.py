"""Stripe Issuing: cardholders, their cards, authorizations and transactions."""

from sandbox.stripe.filters import any_of, equals
from sandbox.stripe.kind import Events, Kind, Parent
from sandbox.stripe.kinds import fields as f

CARDHOLDER = Kind(
    "issuing.cardholder",
    "ich",
    flow={"active": ("inactive", "blocked"), "inactive": ("active",)},
    fields={
        "billing": {"address": f.ADDRESS | {"city": "Paris", "country": "FR", "line1": "1 rue"}},
        "email": f.text("????????@example.com"),
        "name": f.text("Holder ????"),
        "type": "individual",
    },
)

CARD = Kind(
    "issuing.card",
    "ic",
    filters=(equals("cardholder", "cardholder.id"), equals("exp_month"), equals("exp_year")),
    flow={"inactive": ("active", "canceled"), "active": ("inactive", "canceled")},
    fields={"brand": "Visa", "currency": "eur", "status": "active", "type": "virtual"},
)

AUTHORIZATION = Kind(
    "issuing.authorization",
    "iauth",
    filters=(equals("card", "card.id"),),
    flow={"pending": ("closed", "reversed", "expired")},
    actions={"approve": {"approved": True}, "decline": {"approved": False}},
    fields={
        "approved": True,
        "authorization_method": "online",
        "cardholder": lambda draft: draft.built["card"]["cardholder"]["id"],
        "currency": "eur",
        "merchant_amount": f.same("amount"),
        "merchant_currency": "eur",
        "merchant_data": f.MERCHANT,
        "verification_data": {
            "address_line1_check": "not_provided",
            "address_postal_code_check": "not_provided",
        },
    },
)

TRANSACTION = Kind(
    "issuing.transaction",
    "ipi",
    includes=(
        "purchase_details",
        *(f"purchase_details.{part}" for part in ("fleet", "flight", "fuel", "lodging", "receipt")),
    ),
    variants=(
        {
            "purchase_details": {
                "fleet": None,
                "flight": None,
                "fuel": None,
                "lodging": {"check_in_at": f.now, "nights": f.number(1, 9)},
                "receipt": [
                    {"description": "Bread", "quantity": 2.0, "total": 400, "unit_cost": f.number(1, 300)}
                ],
                "reference": f.text("????????"),
            }
        },
    ),
    fields={
        "amount": f.number(-50_000, -100),
        "cardholder": lambda draft: draft.show("issuing.card", draft.built["card"])["cardholder"]["id"],
        "currency": "eur",
        "merchant_amount": f.same("amount"),
        "merchant_currency": "eur",
        "merchant_data": f.MERCHANT,
    },
)

DISPUTE = Kind(
    "issuing.dispute",
    "idp",
    events=Events(statuses={"won": "closed", "lost": "closed"}),
    flow={"unsubmitted": ("submitted",), "submitted": ("won", "lost")},
    includes=("balance_transactions",),
    variants=({"balance_transactions": [f.whole("balance_transaction")]},),
)

PHYSICAL_BUNDLE = Kind("issuing.physical_bundle", "ics")

PERSONALIZATION_DESIGN = Kind(
    "issuing.personalization_design",
    "icd",
    filters=(any_of("lookup_keys", "lookup_key"),),
    events=Events(statuses={"active": "activated", "inactive": "deactivated"}),
    flow={"review": ("active", "rejected"), "active": ("inactive",)},
)

TOKEN = Kind(
    "issuing.token",
    "intok",
    parent=Parent("issuing.card", "card"),
    flow={"requested": ("active", "deleted"), "active": ("suspended",)},
)
