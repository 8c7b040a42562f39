"""Financial Connections: linked bank accounts, their owners and transactions."""

from sandbox.stripe.filters import Filter, at, between, equals, part_of
from sandbox.stripe.kind import Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f

ACCOUNT = Kind(
    name="financial_connections.account",
    prefix="fca",
    path="/v1/financial_connections/accounts",
    ops="LR",
    product="financial_connections",
    filters=(
        part_of("account_holder", None, "account", "customer"),
        equals("session"),
    ),
    events=Events(
        created="financial_connections.account.created",
        moves=(
            Move("status", "disconnected", "financial_connections.account.disconnected"),
            Move("status", "inactive", "financial_connections.account.deactivated"),
            Move("status", "active", "financial_connections.account.reactivated"),
        ),
    ),
    flow={"active": ("inactive", "disconnected"), "inactive": ("active",)},
    fields={
        "category": "cash",
        "created": f.now,
        "institution_name": f.text("institution_ ????"),
        "livemode": f.livemode,
        "ownership": f.text("fcaowns_????????"),
        "status": "active",
        "subcategory": "checking",
        "supported_payment_method_types": [],
    },
)

TRANSACTION = Kind(
    name="financial_connections.transaction",
    prefix="fctxn",
    path="/v1/financial_connections/transactions",
    ops="LR",
    created="",
    product="financial_connections",
    filters=(
        equals("account", required=True),
        between("transacted_at"),
        part_of("transaction_refresh", None, "after"),
    ),
    parent=Parent("financial_connections.account", "account", alias="linked"),
    fields={
        "amount": f.number(1, 9_900),
        "currency": "usd",
        "description": f.text("description ????"),
        "livemode": f.livemode,
        "status": "pending",
        "status_transitions": {},
        "transacted_at": f.now,
        "transaction_refresh": f.text("transaction_ ????"),
        "updated": f.now,
    },
)

OWNER = Kind(
    name="financial_connections.account_owner",
    prefix="fcaown",
    path="/v1/financial_connections/accounts/{account}/owners",
    ops="L",
    permission="financial_connections_account",
    created="",
    product="financial_connections",
    # An account has one ownership here, whichever is asked for.
    filters=(Filter("ownership", at("ownership"), lambda _param, _given: None, required=True),),
    parent=Parent("financial_connections.account", "account", named=False, alias="linked"),
    fields={
        "name": f.text("name ????"),
        "ownership": lambda draft: draft.show(
            "financial_connections.account", draft.find("financial_connections.account")
        )["ownership"],
    },
)

ROWS = (
    ACCOUNT,
    TRANSACTION,
    OWNER,
)
