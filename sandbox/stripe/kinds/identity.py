"""Identity: verification sessions and their reports."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

SESSION = Kind(
    "identity.verification_session",
    "vs",
    events=Events(moves=(Move("redaction", ANY, "redacted"),)),
    flow={"requires_input": ("processing", "canceled"), "processing": ("verified", "requires_input")},
    actions={"redact": {"redaction": {"status": "processing"}}},
    fields={"client_secret": f.text("vs_secret_????????????????"), "url": "https://verify.stripe.com/start"},
)

REPORT = Kind(
    "identity.verification_report",
    "vr",
    fields={"verification_session": f.ref("identity.verification_session")},
)
