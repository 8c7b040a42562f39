"""3D Secure authentications, for payments that another processor authorizes."""

from sandbox.stripe.kind import Events, Kind, Move
from sandbox.stripe.kinds import fields as f

_ENDS = ("canceled", "error", "failed", "succeeded")

AUTHENTICATION = Kind(
    "three_d_secure.authentication",
    "tdsauth",
    actions={"cancel": {"status": "canceled"}, "submit": {"status": "succeeded"}},
    needs=("channel", "directory_server", "message_category", "payment_method"),
    events=Events(moves=(Move("status", "error", "errored"),), created=None),
    flow={
        "requires_submission": ("requires_challenge", "succeeded", "canceled"),
        "requires_challenge": _ENDS,
    },
    fields={
        "amount": f.number(100, 99_999),
        "channel": {"browser": None, "three_r_i": None, "type": "browser"},
        "currency": "usd",
        "directory_server": "visa",
        "message_category": "payment_authentication",
        "fingerprinting_url": f.words("https://hooks.stripe.com/3d_secure/{amount}"),
        "outcome_details": {"cryptogram": f.text("????????"), "eci": "05", "protocol_version": "2.2.0"},
        "payment_method": f.ref("payment_method"),
    },
)
