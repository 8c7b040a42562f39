"""Accounts: the platform's own, and those connected to it."""

from sandbox.stripe.filters import created
from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import fields as f

ACCOUNT = Kind(
    name="account",
    prefix="acct",
    path="/v1/accounts",
    ops="LCRUD",
    filters=(created,),
    events=Events(updated="account.updated"),
    fields={
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "name": f.text("Shop ????"),
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {
            "fees": {"payer": "application"},
            "is_controller": True,
            "losses": {"payments": "application"},
            "requirement_collection": "application",
            "stripe_dashboard": {"type": "none"},
            "type": "application",
        },
        "country": "US",
        "created": f.now,
        "default_currency": "usd",
        "details_submitted": True,
        "email": f.words("{id}@example.com"),
        "metadata": {},
        "payouts_enabled": True,
        "tos_acceptance": {"date": f.now, "ip": None, "user_agent": None},
        "type": "none",
    },
)

ROWS = (ACCOUNT,)
