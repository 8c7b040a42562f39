"""The endpoint config and the resource config: what a user sets, with the descriptions that the user
reads."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from estuary_cdk.capture.common import ResourceConfigWithSchedule
from estuary_cdk.feature_flags import FeatureFlagsConfig
from estuary_cdk.flow import AccessToken
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

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
    "api_version": (
        re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z][a-z0-9_]*)?", re.ASCII),
        "it is not an API version: set it to one such as 2024-06-20",
    ),
    # An account, or the path of accounts that leads to it ("Stripe-Context header" in Stripe's docs).
    "stripe_context": (
        re.compile(r"acct_\w+(/acct_\w+)*", re.ASCII),
        "it is not an account: set it to an id such as acct_123, or to a path of ids",
    ),
}
"""The form of a field, and what to do about another one."""


def default_start_date() -> datetime:
    """Thirty days ago: the start date of a capture whose config names none."""
    return datetime.now(tz=UTC) - DEFAULT_HISTORY


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

    # Not a pattern of the field, which would change the config's JSON schema.
    @field_validator(*PATTERNS)
    @classmethod
    def _has_form(cls, value: str | None, info: ValidationInfo) -> str | None:
        value = value and value.strip()
        pattern, advice = PATTERNS[info.field_name or ""]
        if value and not pattern.fullmatch(value):
            raise ValueError(advice)
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
