"""Identity: verification sessions and their reports."""

from sandbox.stripe.kind import ANY, Events, Kind, Move
from sandbox.stripe.kinds import fields as f

SESSION = Kind(
    name="identity.verification_session",
    prefix="vs",
    path="/v1/identity/verification_sessions",
    product="identity",
    events=Events(
        created="identity.verification_session.created",
        moves=(
            Move("status", "canceled", "identity.verification_session.canceled"),
            Move("status", "processing", "identity.verification_session.processing"),
            Move("status", "requires_input", "identity.verification_session.requires_input"),
            Move("status", "verified", "identity.verification_session.verified"),
            Move("redaction", ANY, "identity.verification_session.redacted"),
        ),
    ),
    flow={"requires_input": ("processing", "canceled"), "processing": ("verified", "requires_input")},
    actions={"redact": {"redaction": {"status": "processing"}}},
    fields={
        "client_secret": f.text("vs_secret_????????????????"),
        "status": "requires_input",
        "url": "https://verify.stripe.com/start",
    },
)

REPORT = Kind(
    name="identity.verification_report",
    prefix="vr",
    path="/v1/identity/verification_reports",
    product="identity",
    fields={"verification_session": f.ref("identity.verification_session")},
)

ROWS = (SESSION, REPORT)
