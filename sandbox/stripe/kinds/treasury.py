"""Treasury: financial accounts and the money that moves in and out."""

from sandbox.stripe.filters import ignored
from sandbox.stripe.kind import Events, Kind, Parent
from sandbox.stripe.kinds import fields as f

FINANCIAL_ACCOUNT = Kind("treasury.financial_account", "fa", flow={"open": ("closed",)})

TRANSACTION = Kind(
    "treasury.transaction",
    "trxn",
    filters=(ignored("order_by"),),
    parent=Parent("treasury.financial_account", "financial_account"),
)

ENTRY = Kind(
    "treasury.transaction_entry",
    "trxne",
    permission="treasury_transaction",
    filters=(ignored("order_by"),),
    parent=Parent("treasury.financial_account", "financial_account"),
)

RECEIVED_CREDIT = Kind(
    "treasury.received_credit",
    "rc",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"succeeded": ("failed",)},
)

RECEIVED_DEBIT = Kind(
    "treasury.received_debit",
    "rd",
    parent=Parent("treasury.financial_account", "financial_account"),
    fields={"status": "succeeded"},
)

CREDIT_REVERSAL = Kind(
    "treasury.credit_reversal",
    "credrev",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("posted",)},
    fields={"received_credit": f.ref("treasury.received_credit")},
)

DEBIT_REVERSAL = Kind(
    "treasury.debit_reversal",
    "debrev",
    parent=Parent("treasury.financial_account", "financial_account"),
    events=Events(statuses={"succeeded": "completed"}),
    flow={"processing": ("succeeded",)},
    fields={"received_debit": f.ref("treasury.received_debit")},
)

INBOUND_TRANSFER = Kind(
    "treasury.inbound_transfer",
    "ibt",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "succeeded")},
)

OUTBOUND_PAYMENT = Kind(
    "treasury.outbound_payment",
    "obp",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "posted"), "posted": ("returned",)},
)

OUTBOUND_TRANSFER = Kind(
    "treasury.outbound_transfer",
    "obt",
    parent=Parent("treasury.financial_account", "financial_account"),
    flow={"processing": ("canceled", "failed", "posted"), "posted": ("returned",)},
)
