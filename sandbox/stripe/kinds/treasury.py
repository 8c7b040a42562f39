"""Treasury: financial accounts and the money that moves in and out."""

from sandbox.stripe.filters import Filter, at
from sandbox.stripe.kind import Events, Kind, Move, Parent
from sandbox.stripe.kinds import fields as f

_ORDER = Filter("order_by", at("created"), lambda _param, _given: None)

FINANCIAL_ACCOUNT = Kind(
    name="treasury.financial_account",
    prefix="fa",
    path="/v1/treasury/financial_accounts",
    product="treasury",
    flow={"open": ("closed",)},
    fields={"balance": {"cash": {"usd": f.number(0, 9_900)}}, "metadata": {}, "status": "open"},
)

TRANSACTION = Kind(
    name="treasury.transaction",
    prefix="trxn",
    path="/v1/treasury/transactions",
    product="treasury",
    filters=(_ORDER,),
    parent=Parent("treasury.financial_account", "financial_account"),
    fields={
        "amount": f.number(1, 9_900),
        "balance_impact": {"cash": 1, "inbound_pending": 1, "outbound_pending": 1},
    },
)

ENTRY = Kind(
    name="treasury.transaction_entry",
    prefix="trxne",
    path="/v1/treasury/transaction_entries",
    permission="treasury_transaction",
    product="treasury",
    filters=(_ORDER,),
    parent=Parent("treasury.financial_account", "financial_account"),
    fields={
        "balance_impact": {"cash": 1, "inbound_pending": 1, "outbound_pending": 1},
        "transaction": f.ref("treasury.transaction"),
    },
)

RECEIVED_CREDIT = Kind(
    name="treasury.received_credit",
    prefix="rc",
    path="/v1/treasury/received_credits",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    events=Events(
        created="treasury.received_credit.created",
        moves=(Move("status", "failed", "treasury.received_credit.failed"),),
    ),
    flow={"succeeded": ("failed",)},
    fields={"amount": f.number(1, 9_900), "status": "succeeded"},
)

RECEIVED_DEBIT = Kind(
    name="treasury.received_debit",
    prefix="rd",
    path="/v1/treasury/received_debits",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    fields={"amount": f.number(1, 9_900), "status": "succeeded"},
)

CREDIT_REVERSAL = Kind(
    name="treasury.credit_reversal",
    prefix="credrev",
    path="/v1/treasury/credit_reversals",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("posted",)},
    fields={
        "amount": f.number(1, 9_900),
        "received_credit": f.ref("treasury.received_credit"),
        "status": "processing",
    },
)

DEBIT_REVERSAL = Kind(
    name="treasury.debit_reversal",
    prefix="debrev",
    path="/v1/treasury/debit_reversals",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    events=Events(
        created="treasury.debit_reversal.created",
        moves=(Move("status", "succeeded", "treasury.debit_reversal.completed"),),
    ),
    flow={"processing": ("succeeded",)},
    fields={
        "amount": f.number(1, 9_900),
        "received_debit": f.ref("treasury.received_debit"),
        "status": "processing",
    },
)

INBOUND_TRANSFER = Kind(
    name="treasury.inbound_transfer",
    prefix="ibt",
    path="/v1/treasury/inbound_transfers",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "succeeded")},
    fields={
        "amount": f.number(1, 9_900),
        "statement_descriptor": f.text("statement_de ????"),
        "status": "processing",
    },
)

OUTBOUND_PAYMENT = Kind(
    name="treasury.outbound_payment",
    prefix="obp",
    path="/v1/treasury/outbound_payments",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "posted"), "posted": ("returned",)},
    fields={
        "amount": f.number(1, 9_900),
        "expected_arrival_date": 1,
        "statement_descriptor": f.text("statement_de ????"),
        "status": "processing",
        "transaction": f.ref("treasury.transaction"),
    },
)

OUTBOUND_TRANSFER = Kind(
    name="treasury.outbound_transfer",
    prefix="obt",
    path="/v1/treasury/outbound_transfers",
    product="treasury",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "posted"), "posted": ("returned",)},
    fields={
        "amount": f.number(1, 9_900),
        "expected_arrival_date": 1,
        "statement_descriptor": f.text("statement_de ????"),
        "status": "processing",
        "transaction": f.ref("treasury.transaction"),
    },
)

ROWS = (
    FINANCIAL_ACCOUNT,
    TRANSACTION,
    ENTRY,
    RECEIVED_CREDIT,
    RECEIVED_DEBIT,
    CREDIT_REVERSAL,
    DEBIT_REVERSAL,
    INBOUND_TRANSFER,
    OUTBOUND_PAYMENT,
    OUTBOUND_TRANSFER,
)
