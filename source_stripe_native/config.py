"""The endpoint config and the resource config: what a user sets, with the descriptions that the user
reads."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final, Literal

from estuary_cdk.capture.common import ResourceConfigWithSchedule
from estuary_cdk.feature_flags import FeatureFlagsConfig
from estuary_cdk.flow import AccessToken
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

DEFAULT_HISTORY: Final = timedelta(days=30)
DEFAULT_INTERVAL: Final = timedelta(minutes=5)
DEFAULT_WINDOW: Final = timedelta(days=1)
MIN_INTERVAL: Final = timedelta(seconds=1)
"""An interval of zero must not keep the processor busy: Stripe's clock has whole seconds."""

ResourceConfig = ResourceConfigWithSchedule
Redaction = Literal["none", "hash", "block"]
"""What becomes of personal data."""


def interval_of(resource: ResourceConfig) -> timedelta:
    """The interval of a binding: what discover proposes where its config leaves it out. The schema's default
    is zero, with which Stripe would be asked every second. It stays, since the schema is a contract."""
    given = resource.interval if "interval" in resource.model_fields_set else DEFAULT_INTERVAL
    return max(given, MIN_INTERVAL)


PATTERNS: Final = {
    # A date, since 2024-09-30 with a name ("Versioning" in Stripe's API reference).
    "api_version": r"\d{4}-\d{2}-\d{2}(\.[a-z][a-z0-9_]*)?",
    # An account, or the path of accounts that leads to it ("Stripe-Context header" in Stripe's docs).
    "stripe_context": r"acct_\w+(/acct_\w+)*",
    "webhook_signing_secret": r"(whsec_[!-+\--~]{8,}([\s,]+|$))+",
}
"""The form of a field, which `flow.requests.FORMS` has in words."""


def default_start_date() -> datetime:
    """Thirty days ago: the start date of a capture whose config names none."""
    return datetime.now(tz=UTC) - DEFAULT_HISTORY


ObjectId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
AccountRule = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^(acct_\w+|metadata\.[^=\[\]]{1,40}(=.*)?)$")
]
"""An account's id, or a key of its metadata with or without a value ("Metadata" in Stripe's docs)."""


class ConnectedAccounts(BaseModel, extra="forbid"):
    include: list[AccountRule] = Field(
        title="Include",
        description="The connected accounts to capture, each an id such as acct_123, a key of the accounts' "
        "metadata such as metadata.team, or a key with a value such as metadata.team=blue. Left blank, all "
        "are captured.",
        default_factory=list,
        json_schema_extra={"nonsensitive": True},
    )
    exclude: list[AccountRule] = Field(
        title="Exclude",
        description="The connected accounts that are not captured, in the same form, whatever includes them.",
        default_factory=list,
        json_schema_extra={"nonsensitive": True},
    )


class Refresh(BaseModel, extra="forbid"):
    """A part of a stream that is to be captured again: objects, or what was created in a range of time."""

    stream: str = Field(title="Stream", description="The stream to capture a part of again.")
    ids: list[ObjectId] = Field(
        title="IDs",
        description="The ids of the objects to capture again; those of their parents where Stripe returns "
        "such objects by their parents alone.",
        default_factory=list,
        max_length=1000,
    )
    since: AwareDatetime | None = Field(
        title="Since",
        description="In place of ids: what was created at this UTC time or later is captured again.",
        default=None,
    )
    until: AwareDatetime | None = Field(
        title="Until", description="What was created before this UTC time.", default=None
    )
    account: str | None = Field(
        title="Account",
        description="The account that the objects are of, where connected accounts are captured. Left blank, "
        "a range is captured again of all accounts.",
        default=None,
        pattern=r"^acct_\w+$",
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "Refresh":
        times = [at for at in (self.since, self.until) if at is not None]
        if len(times) != (0 if self.ids else 2) or (times and times[0] >= times[1]):
            raise ValueError("it has neither ids nor a range of time, or both")
        return self

    @property
    def digest(self) -> str:
        """What tells this refresh from others."""
        return sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]


class Advanced(FeatureFlagsConfig):
    api_version: str | None = Field(
        title="API Version",
        description="The Stripe API version of every request, such as 2024-06-20. Left blank, it is the "
        "account's own default version. Streams that need a newer version are left out.",
        default=None,
        json_schema_extra={"nonsensitive": True},
    )
    incremental_window_size: timedelta = Field(
        title="Max Incremental Window Size",
        description="The longest stretch of time that one incremental sweep reads, as an ISO 8601 duration "
        "such as PT1H. Where much has happened, a sweep is shorter by itself.",
        default_factory=lambda: DEFAULT_WINDOW,
        gt=timedelta(),
    )
    max_requests_per_second: float | None = Field(
        title="Max Requests Per Second",
        description="How many requests a second the capture may make in all, and at most 25 to each of "
        "Stripe's endpoints. Stripe counts your own requests into the same limits. Left blank, it is 80 with "
        "a live key and 20 with a test key, and at most 20 to each endpoint.",
        default=None,
        gt=0,
        allow_inf_nan=False,
        json_schema_extra={"nonsensitive": True},
    )
    stripe_context: str | None = Field(
        title="Stripe Context",
        description="The account to read with the API key of an organization (sk_org_...), such as acct_123. "
        "Where the organization's account is a platform and one of its connected accounts is to be read, it "
        "is the path of both, acct_123/acct_456. Such a key needs the API version too. Leave it blank with "
        "the key of an account.",
        default=None,
        json_schema_extra={"nonsensitive": True},
    )
    redact_personal_data: Redaction = Field(
        title="Redact Personal Data",
        description="Whether Flow redacts names, addresses, emails, phone numbers, free text and other "
        "personal data before it writes a document: none keeps them, hash replaces each value by a digest, "
        "so that equal values still join, and block removes them. A change takes effect once the streams are "
        "discovered again and published.",
        default="none",
        json_schema_extra={"nonsensitive": True},
    )
    connected_accounts: ConnectedAccounts = Field(
        title="Connected Accounts",
        description="Which of the connected accounts to capture, where not all are to be. The account of the "
        "key is always captured.",
        default_factory=ConnectedAccounts,
    )
    refresh: list[Refresh] = Field(
        title="Refresh",
        description="Parts of streams to capture again, each once, without a backfill of the whole binding.",
        default_factory=list,
        json_schema_extra={"nonsensitive": True},
    )
    webhook_signing_secret: str | None = Field(
        title="Webhook Signing Secret",
        description="The signing secret (whsec_...) of an event destination in Stripe that posts to this "
        "capture's endpoint, so that changes arrive within a second. While it is rolled, or with more than "
        "one destination, the secrets are divided by blanks. Left blank, changes arrive once per interval.",
        default=None,
        repr=False,
        json_schema_extra={"secret": True},
    )

    @property
    def signing_secrets(self) -> list[str]:
        return (self.webhook_signing_secret or "").replace(",", " ").split()

    # Not a pattern of the field, which would change the config's JSON schema.
    @field_validator(*PATTERNS)
    @classmethod
    def _has_form(cls, value: str | None, info: ValidationInfo) -> str | None:
        value = value and value.strip()
        if value and not re.fullmatch(PATTERNS[info.field_name or ""], value, re.ASCII):
            raise ValueError("it has another form")
        return value


class EndpointConfig(BaseModel):
    # An error about the config must not repeat the key that is in it.
    model_config = ConfigDict(hide_input_in_errors=True)

    credentials: AccessToken = Field(title="API Key")
    start_date: AwareDatetime = Field(
        title="Start Date",
        description="Objects created before this UTC time (YYYY-MM-DDTHH:MM:SSZ) are not backfilled; they "
        "are captured once they change. Left blank, it is 30 days before the capture starts, so older "
        "objects are missing until they change: set an early date to capture all of the account's history.",
        default_factory=default_start_date,
        json_schema_extra={"format": "date-time"},
    )
    capture_connected_accounts: bool = Field(
        title="Capture Connected Accounts",
        description="Whether to capture the accounts connected to a Connect platform too.",
        default=False,
        json_schema_extra={"nonsensitive": True},
    )
    advanced: Advanced = Field(
        title="Advanced Config",
        description="Advanced settings for the connector.",
        default_factory=Advanced,
        json_schema_extra={"advanced": True},
    )
