"""3D Secure authentications, for payments that another processor authorizes."""

from sandbox.stripe.filters import created, one_of
from sandbox.stripe.kind import Events, Kind, Move
from sandbox.stripe.kinds import fields as f

_ENDS = ("canceled", "error", "failed", "succeeded")

AUTHENTICATION = Kind(
    name="three_d_secure.authentication",
    prefix="tdsauth",
    path="/v1/three_d_secure/authentications",
    ops="LCR",
    actions={"cancel": {"status": "canceled"}, "submit": {"status": "succeeded"}},
    product="three_d_secure",
    filters=(
        created,
        one_of("status", *_ENDS, "requires_challenge", "requires_submission"),
    ),
    needs=("channel", "directory_server", "message_category", "payment_method"),
    events=Events(
        moves=tuple(
            Move(
                "status",
                status,
                f"three_d_secure.authentication.{'errored' if status == 'error' else status}",
                lambda old, _: "status" in old,
            )
            for status in (*_ENDS, "requires_challenge", "requires_submission")
        ),
    ),
    flow={
        "requires_submission": ("requires_challenge", "succeeded", "canceled"),
        "requires_challenge": _ENDS,
    },
    fields={
        "amount": f.number(100, 99_999),
        "channel": {"browser": None, "three_r_i": None, "type": "browser"},
        "created": f.now,
        "currency": "usd",
        "directory_server": "visa",
        "livemode": f.livemode,
        "message_category": "payment_authentication",
        "metadata": {},
        "fingerprinting_url": f.words("https://hooks.stripe.com/3d_secure/{amount}"),
        "outcome_details": {"cryptogram": f.text("????????"), "eci": "05", "protocol_version": "2.2.0"},
        "payment_method": f.ref("payment_method"),
        "status": "requires_submission",
    },
)

ROWS = (AUTHENTICATION,)
