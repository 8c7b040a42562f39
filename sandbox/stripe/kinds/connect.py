"""Accounts: the platform's own and those connected to it, with their persons and where they are paid."""

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json, equals, part_of
from sandbox.stripe.kind import Events, Kind, Nested, Parent, View
from sandbox.stripe.kinds import fields as f
from sandbox.stripe.kinds.customers import BANK_FIELDS, CARD_FIELDS


def _uncontrolled(account: Json, _children: int) -> StripeError | None:
    """The platform sees into an account only where it, and not Stripe, collects what Stripe must know."""
    controller = account.get("controller") or {}
    if controller.get("type") == "account" or controller.get("requirement_collection") == "stripe":
        return errors.no_platform_controls()
    return None


_OF_ACCOUNT = Parent("account", "account", refuses=_uncontrolled)
_ROLES = ("authorizer", "director", "executive", "legal_guardian", "owner", "representative")
_EXTERNAL = ("external_bank_account", "external_card")

ACCOUNT = Kind(
    "account",
    "acct",
    nested=(Nested(_EXTERNAL, "external_accounts", announced=True),),
    fields={
        "business_profile": f.nulls("annual_revenue", "estimated_worker_count", "mcc", "support_address")
        | f.nulls("support_email", "support_phone", "support_url", "url")
        | {"name": f.text("Shop ????")},
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
        "default_currency": "usd",
        "details_submitted": True,
        "email": f.words("{id}@example.com"),
        "payouts_enabled": True,
        "tos_acceptance": {"date": f.now, "ip": None, "user_agent": None},
        "type": "none",
    },
)

PERSON = Kind(
    "person",
    "person",
    permission="person",
    filters=(part_of("relationship", None, *_ROLES),),
    parent=_OF_ACCOUNT,
    fields={
        "dob": f.nulls("day", "month", "year"),
        "email": f.text("????????@example.com"),
        "first_name": f.text("Ada ????"),
        "id_number_provided": False,
        "last_name": "Byron",
        "relationship": dict.fromkeys(_ROLES, False)
        | {"owner": True, "percent_ownership": None, "title": None},
        "ssn_last_4_provided": False,
    },
)

EXTERNAL_BANK_ACCOUNT = Kind(
    "external_bank_account",
    "ba",
    object="bank_account",
    permission="external_account",
    parent=_OF_ACCOUNT,
    events=Events("account.external_account"),
    fields=BANK_FIELDS | {"available_payout_methods": ["standard"], "default_for_currency": True},
)

EXTERNAL_CARD = Kind(
    "external_card",
    "card",
    object="card",
    permission="external_account",
    parent=_OF_ACCOUNT,
    events=Events("account.external_account"),
    fields=CARD_FIELDS
    | {"available_payout_methods": ["standard"], "currency": "usd", "default_for_currency": False},
)

CAPABILITY = Kind(
    "capability",
    "capability",
    permission="account_capability",
    paged=False,
    parent=_OF_ACCOUNT,
    events=Events(created="updated"),
    flow={"pending": ("active",), "active": ("inactive",), "inactive": ("pending",)},
    fields={"requested": True, "requested_at": f.now, "status": "pending"},
)
PEOPLE = View("/v1/accounts/{account}/people", ("person",), PERSON.filters, parent="account")
EXTERNAL_ACCOUNTS = View(
    "/v1/accounts/{account}/external_accounts", _EXTERNAL, (equals("object"),), parent="account"
)
OWN_EXTERNAL_ACCOUNTS = View("/v1/external_accounts", _EXTERNAL)
