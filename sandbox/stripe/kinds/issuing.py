"""Stripe Issuing: cardholders, their cards, authorizations and transactions."""

from sandbox.stripe.filters import Json, any_of, equals
from sandbox.stripe.kind import Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f

_REQUIREMENTS: Json = {"disabled_reason": None, "past_due": []}
_CONTROLS = f.nulls("allowed_categories", "allowed_merchant_countries", "blocked_categories")

CARDHOLDER = Kind(
    name="issuing.cardholder",
    prefix="ich",
    path="/v1/issuing/cardholders",
    product="issuing",
    flow={"active": ("inactive", "blocked"), "inactive": ("active",)},
    fields={
        "billing": {"address": f.ADDRESS | {"city": "Paris", "country": "FR", "line1": "1 rue"}},
        "email": f.text("????????@example.com"),
        "name": f.text("Holder ????"),
        "preferred_locales": [],
        "requirements": _REQUIREMENTS,
        "type": "individual",
    },
)

CARD = Kind(
    name="issuing.card",
    prefix="ic",
    path="/v1/issuing/cards",
    product="issuing",
    filters=(equals("cardholder", "cardholder.id"), equals("exp_month"), equals("exp_year")),
    flow={"inactive": ("active", "canceled"), "active": ("inactive", "canceled")},
    fields={
        "brand": "Visa",
        "cardholder": f.whole("issuing.cardholder"),
        "currency": "eur",
        "exp_month": f.number(1, 12),
        "exp_year": f.number(2031, 2036),
        "last4": f.digits(4),
        "spending_controls": _CONTROLS | f.nulls("spending_limits", "spending_limits_currency"),
        "type": "virtual",
    },
)

AUTHORIZATION = Kind(
    name="issuing.authorization",
    prefix="iauth",
    path="/v1/issuing/authorizations",
    product="issuing",
    filters=(equals("card", "card.id"),),
    flow={"pending": ("closed", "reversed", "expired")},
    actions={"approve": {"approved": True}, "decline": {"approved": False}},
    fields={
        "amount": f.number(100, 50_000),
        "approved": True,
        "authorization_method": "online",
        "card": f.whole("issuing.card"),
        "cardholder": lambda draft: draft.built["card"]["cardholder"]["id"],
        "currency": "eur",
        "merchant_amount": f.same("amount"),
        "merchant_currency": "eur",
        "merchant_data": f.MERCHANT,
        "status": "pending",
        "verification_data": {
            "address_line1_check": "not_provided",
            "address_postal_code_check": "not_provided",
        },
    },
)

TRANSACTION = Kind(
    name="issuing.transaction",
    prefix="ipi",
    path="/v1/issuing/transactions",
    product="issuing",
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
        "card": f.ref("issuing.card"),
        "cardholder": lambda draft: draft.show("issuing.card", draft.built["card"])["cardholder"]["id"],
        "currency": "eur",
        "merchant_amount": f.same("amount"),
        "merchant_currency": "eur",
        "merchant_data": f.MERCHANT,
        "purchase_details": None,
    },
)

DISPUTE = Kind(
    name="issuing.dispute",
    prefix="idp",
    path="/v1/issuing/disputes",
    product="issuing",
    events=Events(
        created="issuing_dispute.created",
        updated="issuing_dispute.updated",
        moves=(
            Move("status", "submitted", "issuing_dispute.submitted"),
            Move("status", "won", "issuing_dispute.closed"),
            Move("status", "lost", "issuing_dispute.closed"),
        ),
    ),
    flow={"unsubmitted": ("submitted",), "submitted": ("won", "lost")},
    includes=("balance_transactions",),
    variants=({"balance_transactions": [f.whole("balance_transaction")]},),
    fields={
        "amount": f.number(1, 9_900),
        "balance_transactions": None,
        "status": "unsubmitted",
        "transaction": f.ref("issuing.transaction"),
    },
)

PHYSICAL_BUNDLE = Kind(
    name="issuing.physical_bundle",
    prefix="ics",
    path="/v1/issuing/physical_bundles",
    created="",
    product="issuing",
    fields={},
)

PERSONALIZATION_DESIGN = Kind(
    name="issuing.personalization_design",
    prefix="icd",
    path="/v1/issuing/personalization_designs",
    product="issuing",
    filters=(any_of("lookup_keys", "lookup_key"),),
    events=Events(
        updated="issuing_personalization_design.updated",
        moves=(
            Move("status", "active", "issuing_personalization_design.activated"),
            Move("status", "inactive", "issuing_personalization_design.deactivated"),
            Move("status", "rejected", "issuing_personalization_design.rejected"),
        ),
    ),
    flow={"review": ("active", "rejected"), "active": ("inactive",)},
    fields={"physical_bundle": f.ref("issuing.physical_bundle"), "status": "review"},
)

TOKEN = Kind(
    name="issuing.token",
    prefix="intok",
    path="/v1/issuing/tokens",
    product="issuing",
    parent=Parent("issuing.card", "card"),
    flow={"requested": ("active", "deleted"), "active": ("suspended",)},
    fields={"status": "requested"},
)

ROWS = (CARDHOLDER, CARD, AUTHORIZATION, TRANSACTION, DISPUTE, PHYSICAL_BUNDLE, PERSONALIZATION_DESIGN, TOKEN)
