"""The way to Stripe: base address, key, version pin, request budget, retries, clock.

Every request passes here and goes to the base address only: redirects are not followed, and no URL found in a
response is ever requested. A body is read and parsed whole before anything of it is used, so a page that was
cut off is asked for again and never half captured. Retries follow Stripe's own clients: what
`Stripe-Should-Retry` says, else 409, 429, 5xx and a broken connection, with jittered exponential backoff and
for a bounded time.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from logging import Logger
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
import stamina
import stamina.instrumentation
from aiolimiter import AsyncLimiter

from source_stripe_native.errors import MAX_BODY, ConnectorError, StripeError

API_BASE_VARIABLE: Final = "STRIPE_API_BASE"
DEFAULT_API_BASE: Final = "https://api.stripe.com"

PATIENCE: Final = timedelta(minutes=5)
"""How long a capture goes on retrying one request."""
UNARY_PATIENCE: Final = timedelta(seconds=10)
"""The same where a person waits for the answer: discover and validate."""

MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured; a server that asks for more is asked again sooner."""

REQUESTS_PER_ENDPOINT: Final = 20
"""Requests a second to one endpoint; Stripe allows 25 ("Rate limits")."""
REQUESTS_LIVE: Final = 80
"""Requests a second in all with a live key; Stripe allows 100, the rest is the user's own."""
REQUESTS_TEST: Final = 20
"""Requests a second in all with a test key; Stripe allows 25."""
BURST: Final = 0.25
"""Seconds' worth of requests that may go out at once."""

Params = Sequence[tuple[str, str]]
Json = dict[str, Any]

# Retries are logged here, with the request they belong to.
stamina.instrumentation.set_on_retry_hooks([])


def api_base(environment: Mapping[str, str]) -> str:
    """The base address without a trailing slash. Plain http is for this machine only: the key travels with
    every request. Raises ConnectorError for any other address."""
    address = environment.get(API_BASE_VARIABLE) or DEFAULT_API_BASE
    problem = (
        f"{API_BASE_VARIABLE} must be an https address, or http to this machine (127.0.0.1 or localhost)"
    )
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConnectorError(f"{problem}, not {address!r}: {error}.") from None
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        raise ConnectorError(f"{problem}, without credentials or a query, not {address!r}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConnectorError(f"{problem}, not {address!r}.")
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Budget:
    """Requests a second, for each endpoint (method and path shape, ids left out) and in all."""

    def __init__(self, total: float, per_endpoint: float) -> None:
        self._per_endpoint = per_endpoint
        self._total = _limiter(total)
        self._endpoints: dict[str, AsyncLimiter] = {}

    async def acquire(self, endpoint: str) -> None:
        limiter = self._endpoints.get(endpoint)
        if limiter is None:
            limiter = self._endpoints[endpoint] = _limiter(self._per_endpoint)
        await limiter.acquire()
        await self._total.acquire()

    @classmethod
    def for_key(cls, key: str) -> Self:
        return cls(REQUESTS_LIVE if "_live_" in key else REQUESTS_TEST, REQUESTS_PER_ENDPOINT)


def _limiter(rate: float) -> AsyncLimiter:
    burst = max(1.0, rate * BURST)
    return AsyncLimiter(burst, burst / rate)


class StripeSession:
    """A session with Stripe under one key, to be used as an async context manager.

    `version` is sent as `Stripe-Version` with every request once it is set; `account_version` is what Stripe
    last reported of the account's own default, in the `stripe-version` response header.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str,
        version: str | None = None,
        patience: timedelta = PATIENCE,
        budget: Budget | None = None,
    ) -> None:
        self.version = version
        self.account_version: str | None = None
        self._key = key
        self._base = base
        self._patience = patience
        self._budget = budget or Budget.for_key(key)
        self._server_time: tuple[datetime, float] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}", "User-Agent": "estuary-source-stripe-native"},
            timeout=aiohttp.ClientTimeout(total=300, sock_connect=10, sock_read=60),
            connector=aiohttp.TCPConnector(limit=64),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def now(self) -> datetime:
        """The current time in UTC, never later than Stripe's own clock as far as it is known: a local clock
        that runs ahead must not move a cursor past events that are still to come."""
        local = datetime.now(tz=UTC)
        if self._server_time is None:
            return local
        server, read_at = self._server_time
        return min(local, server + timedelta(seconds=time.monotonic() - read_at))

    async def get(
        self,
        log: Logger,
        path: str,
        params: Params = (),
        *,
        account_id: str | None = None,
        endpoint: str | None = None,
    ) -> Json:
        """GET `path` ("/v1/...") and return the parsed JSON object.

        `account_id` is the connected account to act as (`Stripe-Account`); `endpoint` is the path's shape
        where it carries ids, as requests of one shape share a budget. Raises StripeError for a refusal, and
        ConnectorError when Stripe could not be reached for as long as the session has patience.
        """
        request = f"GET {path}" + (f" for account {account_id}" if account_id else "")
        try:
            async for attempt in stamina.retry_context(
                on=_worth_retrying, attempts=None, timeout=self._patience, wait_initial=0.5, wait_max=30
            ):
                with attempt:
                    await self._budget.acquire(endpoint or path)
                    try:
                        return await self._attempt(path, params, account_id, request)
                    except Exception as error:
                        if _worth_retrying(error) is not False:
                            log.warning(
                                "request failed, to be retried",
                                {"request": request, "attempt": attempt.num, "error": _reason(error)},
                            )
                        raise
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise ConnectorError(
                f"Stripe could not be reached at {self._base} ({request}) for "
                f"{self._patience.total_seconds():.0f} seconds: {_reason(error)}. "
                "Check the network and Stripe's status page, then start the capture again."
            ) from error
        raise AssertionError("the retry context returns or raises")

    async def _attempt(self, path: str, params: Params, account_id: str | None, request: str) -> Json:
        headers: dict[str, str] = {}
        if account_id is not None:
            headers["Stripe-Account"] = account_id
        if self.version is not None:
            headers["Stripe-Version"] = self.version
        async with self._session.get(
            f"{self._base}{path}", params=params, headers=headers, allow_redirects=False
        ) as response:
            self._read_clock(response.headers.get("Date"))
            body = await response.read()
            if response.status != 200:
                raise _refusal(response, body, request)
            if self.version is None:
                self.account_version = response.headers.get("Stripe-Version") or self.account_version
            parsed = orjson.loads(body)
        if not isinstance(parsed, dict):
            raise StripeError(200, "the body is not a JSON object", request=request)
        return parsed

    def _read_clock(self, date: str | None) -> None:
        if date is None:
            return
        try:
            server = parsedate_to_datetime(date)
        except ValueError:
            return
        if server.tzinfo is not None:
            self._server_time = (server.astimezone(UTC), time.monotonic())


def _refusal(response: aiohttp.ClientResponse, body: bytes, request: str) -> StripeError:
    text = body[: 4 * MAX_BODY].decode("utf-8", errors="replace")
    try:
        parsed = orjson.loads(body)
        error = parsed["error"]
        message, code, param = error.get("message") or text, error.get("code") or "", error.get("param") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        message, code, param = text or response.reason or "no body", "", ""
    return StripeError(
        response.status,
        str(message),
        code=str(code),
        param=str(param),
        request=request,
        request_id=response.headers.get("Request-Id", ""),
        should_retry=_should_retry(response.status, response.headers.get("Stripe-Should-Retry")),
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _should_retry(status: int, header: str | None) -> bool:
    if header in ("true", "false"):
        return header == "true"
    return status in (409, 429) or status >= 500


def _seconds(header: str | None) -> float | None:
    try:
        return min(float(header), MAX_RETRY_AFTER) if header else None
    except ValueError:
        return None


def _worth_retrying(error: Exception) -> bool | float:
    """Whether to try again, or the seconds to wait before it where Stripe names them."""
    if isinstance(error, StripeError):
        return (error.retry_after or True) if error.should_retry else False
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError | orjson.JSONDecodeError)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
