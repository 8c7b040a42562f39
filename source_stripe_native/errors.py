"""What can go wrong, as a table: from a failure to its scope, and to the line that a person reads.

Rule: a failure changes nothing outside its scope. A response is tolerated or explained only where it matches
one known row exactly (status, code and message). No message ever carries an API key.

What may pass is asked again by the client, for as long as it has patience. What is left is raised, and pauses
its scope (see `scheduling.pauses`). Only a failure of the key or of everything ends a capture.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from estuary_cdk.flow import ValidationError

MAX_BODY: Final = 500
"""Characters of an error body that are worth showing."""
SHOWN: Final = 10
"""Names that one line shows."""

_KEY: Final = re.compile(r"((?:sk|rk|pk)_(?:org_)?(?:live|test)_|sk_org_)[A-Za-z0-9*_]+")
_LOGIN: Final = re.compile(r"(?<=//)[^/\s@]+(?=@)")


def scrub(text: str) -> str:
    """`text` on one line, with anything that looks like an API key or an address's login blanked out."""
    return " ".join(_LOGIN.sub("...", _KEY.sub(r"\1...", text)).split())


def excerpt(text: str) -> str:
    """`scrub`, and no more of it than is worth showing."""
    line = scrub(text)
    return line if len(line) <= MAX_BODY else f"{line[:MAX_BODY]}..."


def duration(seconds: float) -> str:
    """A length of time in its largest unit that is at least two: "90 seconds", "12 minutes"."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


def shown(names: Sequence[str]) -> str:
    """`names` in a line: some of them, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")


class Scope(IntEnum):
    """What a failure concerns, the narrowest first."""

    OBJECT = 0
    """One object: the others of its stream are read."""
    UNIT = 1
    """A stream of an account."""
    ACCOUNT = 2
    """An account, all its streams."""
    BINDING = 3
    """A stream, of all accounts."""
    KEY = 4
    """The key or the config: no account can be read."""
    EVERYTHING = 5
    """The process or the machine."""


class ConnectorError(ValidationError):
    """An error whose message says what to do: printed as one line, without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__([scrub(message)])

    def __str__(self) -> str:
        return self.errors[0]

    @property
    def answer(self) -> str:
        """What happened, for the log where the error is tolerated."""
        return str(self)

    # The CDK's base is a dataclass with value equality, which would leave the exception unhashable.
    __hash__ = Exception.__hash__


class UnreachableError(ConnectorError):
    """Stripe, or the way to it, did not answer a request in any of its attempts."""


class AccountsLeftError(ConnectorError):
    """Accounts that are captured are no longer selected by the config."""

    def __init__(self, account_ids: Sequence[str]) -> None:
        super().__init__(
            "Accounts are no longer selected by advanced.connected_accounts, and the capture starts again "
            f"without them: {shown(account_ids)}."
        )


@dataclass(eq=False, repr=False)
class StripeError(ConnectorError):
    """A response of Stripe other than 2xx, or a 2xx that is not what was asked for.

    `status` is the HTTP status, and `path` the request's path as it was sent. `code`, `param` and
    `stripe_message` come from Stripe's error body ("Errors" in its API reference) and are empty where it sent
    none. `retry_after` is in seconds.
    """

    errors: list[str] = field(init=False)
    status: int
    stripe_message: str
    code: str = ""
    param: str = ""
    request: str = ""
    path: str = ""
    request_id: str = ""
    should_retry: bool = False
    retry_after: float | None = None

    def __post_init__(self) -> None:
        self.stripe_message = excerpt(self.stripe_message)
        super().__init__(f"{self._row.advice} {self.answer}")

    @property
    def answer(self) -> str:
        """What Stripe answered to what. Advice is for an error that ends the capture."""
        where = f" (request {self.request_id})" if self.request_id else ""
        return f"Stripe answered {self.status} to {self.request}: {self.stripe_message}{where}"

    @property
    def specific(self) -> str:
        """As `str`, without advice that knows of nothing but the status: for a log line about a pause."""
        return self.answer if self._row in OF_STATUS else str(self)

    @property
    def scope(self) -> Scope:
        """What the error concerns, as far as its own words tell."""
        return self._row.scope

    @property
    def _row(self) -> "KnownError":
        return next(known for known in EXPLAINED if known.matches(self))

    def explain(self, message: str) -> None:
        """Says what is wrong, and what to do about it, where the caller knows more than the table."""
        self.errors = [scrub(message)]

    def named(self, stream: str) -> "StripeError":
        """The same error with the stream's name in front, for the log of a capture of many streams."""
        self.errors = [scrub(f"{stream}: {self.errors[0]}")]
        return self


@dataclass(frozen=True)
class KnownError:
    """One known error of Stripe. `message` is a pattern for the beginning of Stripe's message; what is empty
    matches any. `scope` and `advice` count where nobody tolerates the error. `other` is another form."""

    statuses: Collection[int] = ()
    message: str = ""
    code: str = ""
    param: str = ""
    advice: str = ""
    scope: Scope = Scope.UNIT
    other: "KnownError | None" = None

    def advise(self, advice: str) -> "KnownError":
        return replace(self, advice=advice)

    def matches(self, error: Exception) -> bool:
        if self.other is not None and self.other.matches(error):
            return True
        return (
            isinstance(error, StripeError)
            and (not self.statuses or error.status in self.statuses)
            and (not self.code or error.code == self.code)
            and (not self.param or error.param == self.param)
            and re.match(self.message, error.stripe_message) is not None
        )


KEY_EXPIRED = KnownError((401,), code="api_key_expired", scope=Scope.KEY).advise(
    "The API key was revoked or has expired: create a new key in Stripe's dashboard (Developers > API keys) "
    "and put it into credentials.access_token."
)
PLATFORM_KEY_EXPIRED = KnownError((401,), code="platform_api_key_expired", scope=Scope.KEY).advise(
    "The platform has a new API key, or is no longer connected to the account: put the account's own key "
    "into credentials.access_token."
)
KEY_REFUSED = KnownError(
    (401,), "Invalid API Key provided|You did not provide an API key", scope=Scope.KEY
).advise(
    "Stripe does not know the API key: put a secret key (sk_...) or a restricted key (rk_...) of your "
    "account into credentials.access_token."
)
KEY_NOT_SECRET = KnownError((401, 403), code="secret_key_required", scope=Scope.KEY).advise(
    "This API key is for browsers: put a secret key (sk_...) or a restricted key (rk_...) into "
    "credentials.access_token."
)
PERMISSION_MISSING = KnownError(
    (401, 403), "The provided key '[^']*' does not have the required permissions", scope=Scope.BINDING
).advise("The API key lacks a read permission: edit the key in Stripe's dashboard (Developers > API keys).")
NOT_FOR_RESTRICTED_KEYS = KnownError(
    (401, 403),
    "This is a restricted API key, but the required permissions are not available",
    scope=Scope.BINDING,
).advise(
    "No restricted API key can read this: put a secret key (sk_...) into credentials.access_token, or "
    "disable the binding."
)
ADDRESS_NOT_ALLOWED = KnownError(
    (401, 403), "The API key provided does not allow requests from your IP address", scope=Scope.KEY
).advise(
    "The API key may be used from some IP addresses only: edit the key in Stripe's dashboard (Developers > "
    "API keys), and add the addresses that the connector runs at."
)
ADDRESS_BLOCKED = KnownError(
    (401, 403), "We.re sorry, but we.re unable to serve your request", scope=Scope.KEY
).advise(
    "Stripe serves nobody at the connector's IP address: start the capture at another one, or let Stripe's "
    "support lift the block."
)
ACCOUNT_NOT_ACTIVATED = KnownError(
    (400, 401, 402, 403), code="testmode_charges_only", scope=Scope.ACCOUNT
).advise(
    "The account is not activated for live mode: let its owner activate it in Stripe's dashboard, or put a "
    "key of test mode into credentials.access_token."
)
VERSION_UNKNOWN = KnownError((400,), "Invalid Stripe API version", scope=Scope.KEY).advise(
    "Set advanced.api_version to a version that Stripe knows, or leave it blank."
)
PARAMETER_UNKNOWN = KnownError((400,), code="parameter_unknown").advise(
    "The API version does not know a parameter of this request: set advanced.api_version to a newer version."
)
ACCOUNT_CLOSED = KnownError((403,), code="account_invalid", scope=Scope.ACCOUNT).advise(
    "The account is not connected (any more): see it in Stripe's dashboard. The next start of the capture "
    "leaves it out."
)
KEY_OF_OTHER_MODE = KnownError((400, 401, 403, 404), code="livemode_mismatch").advise(
    "The API key is of test mode and the object of live mode, or the other way round: put a key of the right "
    "mode into credentials.access_token."
)
NOT_A_PLATFORM = KnownError((400, 401, 403), code="platform_account_required").advise(
    "Only a Connect platform can read this, and the account is none: turn capture_connected_accounts off "
    "where it is on, or disable the binding."
)
TLS_TOO_OLD = KnownError(code="tls_version_unsupported", scope=Scope.KEY).advise(
    "Stripe refuses the connection's TLS version: let the connector reach Stripe directly, or replace the "
    "proxy in between."
)
PATH_UNKNOWN = KnownError((404,), "Unrecognized request URL").advise(
    "The API version does not have this list: set advanced.api_version to a version that has it, or disable "
    "the binding. If STRIPE_API_BASE is set, make sure that Stripe answers there."
)
REDIRECTED = KnownError((301, 302, 303, 307, 308)).advise(
    "Redirects are not followed, as the API key would go along: set STRIPE_API_BASE to the address that "
    "answers itself, or leave it out."
)
RATE_LIMITED = KnownError((429,), other=KnownError((400,), code="rate_limit")).advise(
    "Stripe's limits for the account are used up: spread its other traffic."
)
"""The status is 400 in API versions before 2015-09-08."""
STRIPE_FAILED = KnownError((200, 408, 409, 424, 425, *range(500, 600))).advise(
    "Stripe fails to answer: see its status page."
)
# Any other answer of a status.
REQUEST_REFUSED = KnownError((400,)).advise(
    "Stripe does not accept the request, which may be made for another API version: leave "
    "advanced.api_version blank or set it to a newer version, disable the binding if that does not help, and "
    "report this line."
)
UNAUTHORIZED = KnownError((401,), scope=Scope.KEY).advise(
    "Stripe refuses the API key: look at the key in Stripe's dashboard (Developers > API keys), and put one "
    "that may be used into credentials.access_token."
)
REQUEST_FAILED = KnownError((402,)).advise(
    "Stripe cannot carry out the request for this account: see the account's status and open invoices in "
    "Stripe's dashboard, and disable the binding until that is mended."
)
FORBIDDEN = KnownError((403,)).advise(
    "The API key or its account may not read this: let the owner of the account allow it in Stripe's "
    "dashboard, or disable the binding."
)
NOT_FOUND = KnownError((404,)).advise(
    "What was asked for does not exist (any more): disable the binding if that lasts."
)
UNKNOWN = KnownError().advise("This should not happen: report this line if it lasts.")
EXPLAINED: Final[tuple[KnownError, ...]] = tuple(
    row for row in list(vars().values()) if isinstance(row, KnownError)
)
"""The rows above, which have advice: the first that matches counts, and the last matches every answer.
Statuses and codes are those of "Errors" and "Error codes" in Stripe's documentation."""

OF_STATUS: Final = (REQUEST_REFUSED, NOT_FOUND, UNKNOWN)
"""The rows that know of nothing but a status. Their advice is for an error that ends the capture."""

PAGE_CURSOR_GONE = KnownError((400,), code="resource_missing", param="starting_after")
"""The object that a list was to go on after has been deleted since."""
GONE_IN_V2 = KnownError((404,), code="not_found")
"""How /v2/ says either of the next two."""
OBJECT_GONE = KnownError((404,), code="resource_missing", other=GONE_IN_V2)
"""The object asked for by its id no longer exists."""
PARENT_GONE = KnownError((404,), "No such ", code="resource_missing", other=GONE_IN_V2)
"""The parent of a child list no longer exists."""
NO_PLATFORM_CONTROLS = KnownError(
    (403,),
    "You cannot perform this request as you do not have Platform Controls for the Stripe Dashboard "
    "on the account",
)
"""The account keeps its persons and external accounts from the platform."""
OLD_SESSION_WITHOUT_LINES = KnownError(
    (404,),
    "Could not find line items for this Checkout Session. They may be missing for old testmode "
    "Checkout Sessions.",
)
"""Stripe did not keep the lines of the first Checkout sessions in test mode."""
NOT_LEGACY_METERED = KnownError(
    (400,), "Cannot list usage record summaries for .* because it is not on the legacy metered billing system"
)
"""The subscription item is not metered, or by a meter."""
EVENTS_AGED_OUT = KnownError(
    (400,), ".* is no longer available because it's aged out of our retention policy"
)
"""The event that a list was to go on after is older than Stripe keeps events."""
ABSENT = KnownError(
    (400, 401, 403, 404),
    "Your account is not set up to use "
    # Stripe may add "Have you onboarded to Treasury".
    r"|Unrecognized request URL \(GET: /v1/treasury/"
    # The product, such as Sigma, has no test mode.
    "|This API surface is not enabled for testmode usage"
    # The objects, such as test clocks, exist in test mode only.
    "|This endpoint is only available in testmode"
    "|Your account is not authorized to send Forwarding requests in livemode"
    # The platform has none of the accounts that the list is about.
    "|Accounts v2 is not enabled",
)
"""The account lacks a product, or the mode of the key lacks it."""
PARAMETER_MISSING = KnownError((400,), "Missing required param: ", code="parameter_missing")
"""In older API versions some lists are of one customer or of one type only."""
PAYOUT_NOT_AUTOMATIC = KnownError(
    (400,), "Balance transaction history can only be filtered on automatic transfers, not manual"
)
"""The user chose the amount of the payout: no transactions make it up."""
PAYOUT_NOT_READY = KnownError((400,), code="payout_reconciliation_not_ready")
"""Stripe still reconciles the payout: what makes it up can be listed later."""
NOTHING_REFRESHED = KnownError((400,), code="financial_connections_no_successful_transaction_refresh")
"""The bank has not yet shown the account's transactions: they can be listed after the first refresh."""

REFUSALS: Final = frozenset({400, 402, 403, 404, 405, 410, 422})
"""Statuses with which Stripe refuses a request for good."""


def is_refusal(error: Exception, widest: Scope = Scope.UNIT) -> bool:
    """Whether Stripe refuses what was asked for, for good: asking again does not help, and the reason is
    nothing wider than `widest`."""
    return (
        isinstance(error, StripeError)
        and error.status in REFUSALS
        and not error.should_retry
        and error.scope <= widest
    )


def is_passing(error: Exception) -> bool:
    """Whether the request failed in a way that may pass: it may be answered later."""
    return error.should_retry if isinstance(error, StripeError) else isinstance(error, UnreachableError)


def scope_of(error: Exception) -> Scope:
    """What `error` concerns, as far as the error alone shows. What nobody foresaw concerns the unit that met
    it: the others go on. What the machine refuses, such as room on a disk, concerns everything."""
    if isinstance(error, StripeError):
        return error.scope
    return Scope.EVERYTHING if isinstance(error, OSError | MemoryError) else Scope.UNIT
