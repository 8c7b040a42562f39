"""Where money goes: balance transactions, payouts, top-ups, transfers, application fees."""

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Filter, Json, Match, at, created, equals, one_of
from sandbox.stripe.kind import ANY, Events, Kind, Move, Nested, Parent, View
from sandbox.stripe.kinds import derived
from sandbox.stripe.kinds import fields as f


def _reversed(transfer: Json, _now: int) -> None:
    transfer["reversed"] = transfer["amount_reversed"] >= transfer["amount"]


def _refunded(fee: Json, _now: int) -> None:
    fee["refunded"] = fee["amount_refunded"] >= fee["amount"]


_TRANSACTION_FILTERS = (
    created,
    equals("currency"),
    Filter("payout", at("payout"), lambda _param, _given: Match(lambda _facet: False)),
    equals("source"),
    equals("type"),
)
_TRANSACTION: Json = {
    "amount": f.number(500, 99_900),
    "available_on": f.later(2 * f.DAY),
    "balance_type": "payments",
    "fee": 30,
    "fee_details": [
        derived.templates("fee")
        | {"amount": 30, "description": "Stripe processing fees", "type": "stripe_fee"}
    ],
    "net": lambda draft: draft.built["amount"] - draft.built["fee"],
    "reporting_category": "charge",
    "source": f.ref("charge"),
    "status": "pending",
    "type": "charge",
}


def _no_transactions(payout: Json, _children: int) -> StripeError | None:
    """Stripe's words for a payout that it still reconciles are not known, their code is."""
    if not payout["automatic"]:
        return StripeError(
            400, "Balance transaction history can only be filtered on automatic transfers, not manual."
        )
    if payout["reconciliation_status"] == "in_progress":
        return StripeError(
            400, "The payout is not reconciled yet: try again later.", code="payout_reconciliation_not_ready"
        )
    return None


BALANCE_TRANSACTION = Kind("balance_transaction", "txn", filters=_TRANSACTION_FILTERS, fields=_TRANSACTION)

PAID_OUT = Kind(
    "paid_balance_transaction",
    "txn",
    object="balance_transaction",
    ops="",
    permission="balance_transaction",
    filters=_TRANSACTION_FILTERS,
    parent=Parent("payout", "payout", named=False, refuses=_no_transactions),
    fields=_TRANSACTION | {"status": "available"},
)
"""A transaction that an automatic payout pays out: it is put into the payout when that is made."""

BALANCE = Kind(
    "balance",
    "balance",
    path="/v1/balance",
    ops="",
    events=Events(updated="available"),
    fields={
        "available": [{"amount": f.number(0, 9_900), "currency": "usd", "source_types": {}}],
        "pending": [{"amount": 0, "currency": "usd", "source_types": {}}],
    },
)
"""An account has one, without an id: `GET /v1/balance` answers with the newest."""

PAYOUT = Kind(
    "payout",
    "po",
    filters=(one_of("status", "pending", "paid", "failed", "canceled", "in_transit"),),
    nested=(
        Nested(
            ("paid_balance_transaction",),
            "balance_transactions",
            "/v1/balance_transactions?payout={id}",
            shown=False,
            made=2,
        ),
    ),
    events=Events(moves=(Move("reconciliation_status", "completed", "reconciliation_completed"),)),
    flow={"pending": ("in_transit", "canceled"), "in_transit": ("paid", "failed")},
    variants=({"reconciliation_status": "in_progress"},),
    fields={
        "arrival_date": f.later(2 * f.DAY),
        "automatic": True,
        "description": "STRIPE PAYOUT",
        "method": "standard",
        "source_type": "card",
    },
)

TOPUP = Kind(
    "topup",
    "tu",
    flow={"pending": ("succeeded", "failed", "canceled"), "succeeded": ("reversed",)},
    fields={"expected_availability_date": f.later(5 * f.DAY)},
)

TRANSFER = Kind(
    "transfer",
    "tr",
    nested=(Nested(("transfer_reversal",), "reversals", quiet=True, totals=("amount_reversed",)),),
    events=Events(moves=(Move("amount_reversed", ANY, "reversed"),)),
    derive=_reversed,
    fields={
        "amount": f.number(10_000, 99_900),
        "destination": f.text("acct_1???????????????"),
        "destination_payment": f.text("py_1???????????????????????"),
        "source_type": "card",
    },
)

TRANSFER_REVERSAL = Kind(
    "transfer_reversal", "trr", parent=Parent("transfer", "transfer"), fields={"amount": f.number(100, 500)}
)

APPLICATION_FEE = Kind(
    "application_fee",
    "fee",
    nested=(Nested(("fee_refund",), "refunds", totals=("amount_refunded",)),),
    events=Events(moves=(Move("amount_refunded", ANY, "refunded"),)),
    derive=_refunded,
    fields={
        "account": f.text("acct_1???????????????"),
        "amount": f.number(10_000, 99_900),
        "application": f.text("ca_????????????????????????????????"),
    },
)

FEE_REFUND = Kind(
    "fee_refund",
    "fr",
    parent=Parent("application_fee", "fee"),
    events=Events("application_fee.refund"),
    fields={"amount": f.number(100, 500)},
)

TRANSACTIONS = View(
    "/v1/balance_transactions", ("balance_transaction", "paid_balance_transaction"), _TRANSACTION_FILTERS
)
