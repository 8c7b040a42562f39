"""Identity: verification sessions and reports. Only accounts with the product have these.

Numbers of documents and dates of birth are shown only when asked for, and nobody asks for them.
"""

from datetime import timedelta

from source_stripe_native.streams.row import DatedAccountObject, RelatedEvents, ops


class IdentityVerificationSessions(DatedAccountObject):
    NAME = "IdentityVerificationSessions"
    SEARCH_NAME = "identity/verification_sessions"
    PERMISSION = "Identity: Verification sessions"
    PRODUCT = "identity"
    EVENT_TYPES = ops(
        "identity.verification_session.created",
        "identity.verification_session.canceled identity.verification_session.processing "
        "identity.verification_session.redacted identity.verification_session.requires_input "
        "identity.verification_session.verified",
    )
    # Metadata and options change without an event.
    RELIST = timedelta(days=30)


class IdentityVerificationReports(DatedAccountObject):
    NAME = "IdentityVerificationReports"
    SEARCH_NAME = "identity/verification_reports"
    PERMISSION = "Identity: Verification reports"
    PRODUCT = "identity"
    # A report is blanked when its session is redacted.
    RELATED_EVENTS = (
        RelatedEvents(tuple(IdentityVerificationSessions.EVENT_TYPES), ids=("last_verification_report",)),
    )
    POLLS = True
