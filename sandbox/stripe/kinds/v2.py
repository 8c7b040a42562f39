"""What /v2/ lists. The objects have what a capture looks at, and little else."""

from typing import Any

from sandbox.stripe.filters import Filter, any_of, at, equals, flag, one_of
from sandbox.stripe.kind import Events, Kind, Parent
from sandbox.stripe.kinds import fields as f

_ACCOUNT = "v2.money_management.financial_account"
_DATED = {"created": f.now, "livemode": f.livemode}
_TEXT = f.text("description ????")


def _any(param: str) -> Filter:
    """A parameter that hides nothing here."""
    return Filter(param, at(param), lambda _param, _given: None)


def _row(
    name: str, prefix: str, path: str, product: str, permission: str, *filters: Filter, **more: Any
) -> Kind:
    return Kind(
        name=f"v2.{name}",
        prefix=prefix,
        path=f"/v2/{path}",
        ops="LR",
        product=product,
        permission=f"v2_{permission}",
        filters=filters,
        fields=_DATED | more.pop("fields"),
        **more,
    )


def _core(
    name: str, prefix: str, path: str, product: str, permission: str, *filters: Filter, **more: Any
) -> Kind:
    return _row(f"core.{name}", prefix, f"core/{path}", product, f"core_{permission}", *filters, **more)


def _money(name: str, prefix: str, *filters: Filter, **more: Any) -> Kind:
    path = f"money_management/{more.pop('path', f'{name}s')}"
    full = f"money_management.{name}"
    return _row(full, prefix, path, "money management", "money_management", *filters, **more)


def _bank_account(country: str, *filters: Filter, **fields: Any) -> Kind:
    return _core(
        f"vault.{country}_bank_account",
        f"{country}ba",
        f"vault/{country}_bank_accounts",
        "money management",
        "vault",
        *filters,
        fields={"archived": False, "bank_name": f.text("bank ????"), "last4": f.digits(4), **fields},
    )


ACCOUNT = _core(
    "account",
    "acct",
    "accounts",
    "v2 accounts",
    "account",
    _any("applied_configurations"),
    flag("closed"),
    includes=(
        "configuration.customer",
        "configuration.merchant",
        "configuration.recipient",
        "defaults",
        "future_requirements",
        "identity",
        "requirements",
    ),
    fields={
        "applied_configurations": ["merchant"],
        "closed": False,
        "configuration": {"customer": None, "merchant": {"applied": True}, "recipient": None},
        "defaults": {"currency": "usd"},
        "display_name": f.text("name ????"),
        "future_requirements": {"entries": []},
        "identity": {"country": "us"},
        "metadata": {},
        "requirements": {"entries": []},
    },
)

PERSON = _core(
    "account_person",
    "person",
    "accounts/{account}/persons",
    "v2 accounts",
    "account",
    parent=Parent("v2.core.account", "account", alias="owner"),
    fields={"given_name": f.text("name ????"), "metadata": {}},
)

EVENT = Kind(
    name="v2.core.event",
    prefix="evt",
    path="/v2/core/events",
    ops="LR",
    permission="event",
    filters=(equals("object_id", "related_object.id"), any_of("types", "type", at_most=20)),
    fields=_DATED | {"context": None, "reason": None, "type": "v2.core.account.updated"},
)

DESTINATION = _core(
    "event_destination",
    "ed",
    "event_destinations",
    "",
    "event_destination",
    includes=("webhook_endpoint.signing_secret", "webhook_endpoint.url"),
    fields={
        "description": _TEXT,
        "enabled_events": ["*"],
        "event_payload": "thin",
        "metadata": {},
        "name": f.text("name ????"),
        "status": "enabled",
        "type": "webhook_endpoint",
        "webhook_endpoint": {"signing_secret": f.text("whsec_????????"), "url": "https://example.com"},
    },
)

CATALOG_IMPORT = _row(
    "commerce.product_catalog_import",
    "pcimprt",
    "commerce/product_catalog/imports",
    "product catalog imports",
    "commerce",
    *(_any(f"created_{sign}") for sign in ("gt", "gte", "lt", "lte")),
    fields={"feed_type": "product", "metadata": {}, "status": "processing"},
)

_STATUSES = ("awaiting_verification", "unverified", "verification_failed", "verified")

GB_BANK_ACCOUNT = _bank_account("gb")

US_BANK_ACCOUNT = _bank_account(
    "us",
    one_of("verification_status", *_STATUSES, path="verification.status"),
    verification={"status": "verified"},
)

ADJUSTMENT = _money("adjustment", "adj", fields={"description": _TEXT})

FINANCIAL_ACCOUNT = _money(
    "financial_account",
    "fa",
    any_of("statuses", "status"),
    includes=("storage.deposit_insurance_eligibility",),
    fields={
        "country": "US",
        "display_name": f.text("name ????"),
        "metadata": {},
        "status": "open",
        "storage": {"deposit_insurance_eligibility": {"applied": True}, "holds_currencies": ["usd"]},
        "type": "storage",
    },
)

FINANCIAL_ADDRESS = _money(
    "financial_address",
    "finaddr",
    path="financial_addresses",
    fields={"financial_account": f.ref(_ACCOUNT), "status": "active"},
)

INBOUND_TRANSFER = _money(
    "inbound_transfer",
    "ibt",
    events=Events(created="bank_debit_processing", updated="available"),
    fields={"description": _TEXT},
)

OUTBOUND_PAYMENT = _money(
    "outbound_payment",
    "obp",
    any_of("status", "status"),
    flow={"processing": ("posted", "failed")},
    fields={"description": _TEXT, "metadata": {}, "status": "processing"},
)

OUTBOUND_SETUP_INTENT = _money("outbound_setup_intent", "obsi", fields={"status": "requires_action"})

PAYOUT_INTENT = _money("payout_intent", "pi", fields={"description": _TEXT, "metadata": {}})

PAYOUT_METHOD = _money("payout_method", "pm", _any("usage_status"), fields={"archived": False})

RECEIVED_CREDIT = _money(
    "received_credit",
    "rc",
    events=Events(created="available", updated="succeeded"),
    fields={"description": _TEXT, "financial_account": f.ref(_ACCOUNT)},
)

TRANSACTION = _money(
    "transaction",
    "trxn",
    equals("flow", "flow.id"),
    fields={"description": _TEXT, "financial_account": f.ref(_ACCOUNT), "metadata": {}},
)

TRANSACTION_ENTRY = _money(
    "transaction_entry",
    "trxne",
    path="transaction_entries",
    fields={"transaction": f.ref("v2.money_management.transaction")},
)
