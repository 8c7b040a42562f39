"""Financial Connections: linked bank accounts, their owners and transactions."""

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Filter, Json, at, part_of
from sandbox.stripe.kind import Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f


def _not_refreshed(account: Json, _children: int) -> StripeError | None:
    """Stripe's words for an account that its bank has not shown yet are not known, their code is."""
    if account["transaction_refresh"]["status"] == "succeeded":
        return None
    code = "financial_connections_no_successful_transaction_refresh"
    return StripeError(400, "The account has no successful transaction refresh yet.", code=code)


ACCOUNT = Kind(
    "financial_connections.account",
    "fca",
    filters=(part_of("account_holder", None, "account", "customer"),),
    events=Events(moves=(Move("status", "inactive", "deactivated"), Move("status", "active", "reactivated"))),
    flow={"active": ("inactive", "disconnected"), "inactive": ("active",)},
    fields={
        "institution_name": f.text("institution_ ????"),
        "ownership": f.text("fcaowns_????????"),
        "transaction_refresh": {
            "id": f.text("fctxnref_????????"),
            "last_attempted_at": f.now,
            "next_refresh_available_at": None,
            "status": "succeeded",
        },
    },
)

TRANSACTION = Kind(
    "financial_connections.transaction",
    "fctxn",
    parent=Parent("financial_connections.account", "account", alias="linked", refuses=_not_refreshed),
    fields={"amount": f.number(1, 9_900), "transaction_refresh": f.text("transaction_ ????")},
)

OWNER = Kind(
    "financial_connections.account_owner",
    "fcaown",
    path="/v1/financial_connections/accounts/{account}/owners",
    permission="financial_connections_account",
    # An account has one ownership here, whichever is asked for.
    filters=(Filter("ownership", at("ownership"), lambda _param, _given: None, required=True),),
    parent=Parent("financial_connections.account", "account", named=False, alias="linked"),
    fields={
        "ownership": lambda draft: draft.show(
            "financial_connections.account", draft.find("financial_connections.account")
        )["ownership"]
    },
)
