"""What there is to capture: the endpoint config, the list envelope and the catalogue of streams.

A stream is a row of data: a document class whose class values say where its objects are listed, how a
backfill divides into variants and which events change it. A quirk is a value in the row, never a branch on a
name.

Documents themselves pass through as Stripe sent them, plus `_meta` and `account_id`: the classes give the
collection's schema and the names of things, and no instance is made per document.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from estuary_cdk.capture.common import (
    BaseDocument,
    ResourceConfigWithSchedule,
    ResourceState,
)
from estuary_cdk.capture.common import (
    ConnectorState as GenericConnectorState,
)
from estuary_cdk.flow import AccessToken
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool

DEFAULT_HISTORY: Final = timedelta(days=30)
DEFAULT_INTERVAL: Final = timedelta(minutes=5)
DEFAULT_WINDOW: Final = timedelta(days=1)

Op = Literal["c", "u", "d"]
Document = dict[str, Any]
"""An object as Stripe sent it, plus `_meta` (`{"op": ...}`) and `account_id`."""

ResourceConfig = ResourceConfigWithSchedule
ConnectorState = GenericConnectorState[ResourceState]


def default_start_date() -> datetime:
    """Thirty days ago: the start date of a capture whose config names none."""
    return datetime.now(tz=UTC) - DEFAULT_HISTORY


class Advanced(BaseModel):
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
        "such as PT1H. A smaller window checkpoints more often while a capture catches up.",
        default_factory=lambda: DEFAULT_WINDOW,
        gt=timedelta(),
    )


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


class ListEnvelope(BaseModel):
    """A page of any Stripe list. Fields it does not know are welcome: Stripe adds some without notice."""

    data: list[dict[str, Any]]
    has_more: StrictBool


class BaseStripeObject(BaseDocument, extra="allow"):
    """A stream's document, and as class values the stream's row in the catalogue."""

    NAME: ClassVar[str]
    """The resource's name in Flow."""
    SEARCH_NAME: ClassVar[str]
    """Where the objects are listed, and one of them by its id: the path below /v1/."""
    PERMISSION: ClassVar[str]
    """What Stripe's dashboard calls the read permission that a restricted key needs for it."""
    EVENT_TYPES: ClassVar[dict[str, Op]]
    """The event types whose `data.object` is the stream's document, each with the operation it stands for."""
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {}}
    """The backfill's variants: the suffix of the state key, and the query parameters that select the part."""

    id: str
    object: str
    account_id: str | None = Field(
        default_factory=lambda: None,
        description="The account ID associated with the resource.",
    )


class BaseStripeObjectWithEvents(BaseStripeObject):
    created: int


class Prices(BaseStripeObjectWithEvents):
    NAME: ClassVar[str] = "Prices"
    SEARCH_NAME: ClassVar[str] = "prices"
    PERMISSION: ClassVar[str] = "Prices"
    EVENT_TYPES: ClassVar[dict[str, Op]] = {
        "price.created": "c",
        "price.updated": "u",
        "price.deleted": "d",
    }
    # Whether the bare list holds the archived prices is documented one way and observed the other: asking for
    # each half is right either way.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_active": {"active": "true"},
        "_inactive": {"active": "false"},
    }


EVENTS_PATH: Final = "/v1/events"
EVENTS_PERMISSION: Final = "Events"

STREAMS: Final[list[type[BaseStripeObject]]] = [Prices]
"""The catalogue. A new stream is a class above and its name here."""
