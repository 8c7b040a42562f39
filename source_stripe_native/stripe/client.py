"""The way to Stripe: base address, key, version pin, rate limits, retries, clock.

Rule: every request passes here and goes to the base address only. Redirects are not followed, and no URL that
a response contains is ever requested. A body is read and parsed whole before any of it is used: a page that
was cut off is asked for again and never half captured.

Retries follow Stripe's own clients: what `Stripe-Should-Retry` says, else 409, 429, 5xx and a broken
connection, with jittered exponential backoff and for a bounded time.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from logging import Logger
from typing import Any, Final, Self

import aiohttp
import orjson
import stamina
import stamina.instrumentation
from yarl import URL

from source_stripe_native.errors import MAX_BODY, ConnectorError, StripeError, excerpt
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.rate_limit import RateLimiter, endpoint_of

API_BASE_VARIABLE: Final = "STRIPE_API_BASE"
DEFAULT_API_BASE: Final = "https://api.stripe.com"

MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured. A server that asks for more is asked again sooner."""

LATENCY_WEIGHT: Final = 0.2
"""The weight of the last answer in the latency of its endpoint."""

MOST_PER_ENDPOINT: Final = 25
"""Requests a second that Stripe allows to one endpoint ("Rate limits")."""

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>\d{1,5}))?/*",
    re.ASCII | re.IGNORECASE,
)
_HEADER_VALUE: Final = re.compile(r"[!-~]+")

Params = Sequence[tuple[str, str]]
Json = dict[str, Any]

# Retries are logged here, with the request they belong to.
stamina.instrumentation.set_on_retry_hooks([])


def api_base(environment: Mapping[str, str]) -> str:
    """The base address without a trailing slash. Plain http is for this machine only: the key travels with
    every request. Raises ConnectorError for any other address."""
    address = environment.get(API_BASE_VARIABLE, "").strip() or DEFAULT_API_BASE
    if parts := _ADDRESS.fullmatch(address):
        secure = parts["scheme"].lower() == "https"
        if int(parts["port"] or 0) < 1 << 16 and (secure or _is_loopback(parts["host"])):
            return address.rstrip("/")
    raise ConnectorError(
        f"{API_BASE_VARIABLE} must be https://HOST, or http://HOST for this machine (127.0.0.1, localhost), "
        f"with at most a port after it, not {address!r}: set it to that, or leave it out."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def rate_limiter_for(key: str, total: float | None = None, settings: Settings = DEFAULTS) -> RateLimiter:
    """The rate limits of a key, where the config allows `total` requests a second or leaves that open."""
    if total is None:
        total = settings.requests_live if "_live_" in key else settings.requests_test
        return RateLimiter(total, settings.requests_per_endpoint, settings)
    return RateLimiter(total, min(total, MOST_PER_ENDPOINT), settings)


class StripeSession:
    """A session with Stripe under one key, to be used as an async context manager.

    `version` is sent as `Stripe-Version` with every request once it is set; `account_version` is what Stripe
    last reported of the account's own default, in the `stripe-version` response header. Raises ConnectorError
    for a key or a version that cannot be sent.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str,
        version: str | None = None,
        patience: timedelta | None = None,
        rate_limiter: RateLimiter | None = None,
        settings: Settings = DEFAULTS,
    ) -> None:
        for name, value in (("credentials.access_token", key), ("advanced.api_version", version)):
            if value is not None and not _HEADER_VALUE.fullmatch(value):
                raise ConnectorError(
                    f"{name} is empty or has a space, a line break or another character that does not belong "
                    "there: copy it anew."
                )
        self.settings = settings
        self.version = version
        self.is_restricted = not key.startswith("sk_")
        self.account_version: str | None = None
        self._key = key
        self._base = base
        self._base_url = URL(base)
        self._patience = patience or settings.patience
        self._rate_limiter = rate_limiter or rate_limiter_for(key, settings=settings)
        self._server_clock: tuple[datetime, float] | None = None
        """Stripe's last `Date`, and the monotonic time at which it was read."""
        self._latencies: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        patience = self._patience.total_seconds()
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}", "User-Agent": "estuary-source-stripe-native"},
            timeout=aiohttp.ClientTimeout(total=patience, sock_connect=10, sock_read=60),
            connector=aiohttp.TCPConnector(limit=0),  # the rate limiter bounds what is in flight
        )
        # aiohttp would ask once more, at once and past the rate limiter, where a connection was cut. It has
        # no public switch.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def now(self) -> datetime:
        """The current time in UTC, never later than Stripe's own clock as far as it is known: a local clock
        that runs ahead must not move a cursor past events that are still to come."""
        local = datetime.now(tz=UTC)
        if self._server_clock is None:
            return local
        server, read_time = self._server_clock
        return min(local, server + timedelta(seconds=time.monotonic() - read_time))

    def latency(self, path: str) -> float:
        """Seconds that Stripe's recent answers from this endpoint took; zero where there was none yet."""
        return self._latencies.get(endpoint_of(path), 0.0)

    def seconds_since_answer(self) -> float:
        """Seconds since Stripe last told its time; zero where it never did."""
        return time.monotonic() - self._server_clock[1] if self._server_clock else 0.0

    async def get(
        self,
        log: Logger,
        path: str,
        params: Params = (),
        *,
        account_id: str | None = None,
        background: bool = False,
    ) -> Json:
        """GET `path` ("/v1/...") and return the parsed JSON object.

        `account_id` is the connected account to act as (`Stripe-Account`). `background` requests have the
        lowest priority. Raises StripeError for a refusal, and ConnectorError when Stripe could not be reached
        for as long as the session has patience, counted from when the first attempt leaves.
        """
        endpoint = endpoint_of(path)
        request = f"GET {path}" + (f" for account {account_id}" if account_id else "")
        await self._rate_limiter.acquire(endpoint, background=background)
        try:
            async for attempt in stamina.retry_context(
                on=_worth_retrying, attempts=None, timeout=self._patience, wait_initial=0.5, wait_max=30
            ):
                with attempt:
                    if attempt.num > 1:
                        await self._rate_limiter.acquire(endpoint, background=background)
                    try:
                        return await self._attempt(path, params, account_id, endpoint, request)
                    except Exception as error:
                        if _worth_retrying(error) is not False:
                            log.warning(
                                "a request failed in a way that may pass",
                                {"request": request, "attempt": attempt.num, "error": _reason(error)},
                            )
                        raise
                    finally:
                        self._rate_limiter.release()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectorError(
                f"Stripe could not be reached at {self._base} for {self._patience.total_seconds():.0f} "
                "seconds: check the network and Stripe's status page. The capture goes on where it was once "
                f"it starts again. {request} failed: {_reason(error)}"
            ) from error
        raise AssertionError("the retry context returns or raises")

    async def _attempt(
        self, path: str, params: Params, account_id: str | None, endpoint: str, request: str
    ) -> Json:
        headers: dict[str, str] = {}
        if account_id is not None:
            headers["Stripe-Account"] = account_id
        if self.version is not None:
            headers["Stripe-Version"] = self.version
        asked_time = time.monotonic()
        async with self._session.get(
            # The path is sent as it is: escaped once, where it was made (see `streams.row`).
            self._base_url.with_path(path, encoded=True),
            params=params,
            headers=headers,
            allow_redirects=False,
        ) as response:
            self._read_clock(response.headers.get("Date"))
            body = await response.read()
            took = time.monotonic() - asked_time
            before = self._latencies.get(endpoint, took)
            self._latencies[endpoint] = before + LATENCY_WEIGHT * (took - before)
            parsed = _parsed(body)
            if response.status != 200 or parsed is None:
                refusal = self._refusal(response, body, parsed or {}, request)
                # A lock timeout is a 429 too, but about one object.
                if response.status == 429 and refusal.code != "lock_timeout":
                    self._rate_limiter.refused(endpoint, response.headers.get("Stripe-Rate-Limited-Reason"))
                raise refusal
            if self.version is None:
                self.account_version = response.headers.get("Stripe-Version") or self.account_version
            return parsed

    def _refusal(
        self, response: aiohttp.ClientResponse, body: bytes, parsed: Json, request: str
    ) -> StripeError:
        detail = parsed.get("error")
        detail = detail if isinstance(detail, dict) else {}
        text = body[: 4 * MAX_BODY].decode("utf-8", errors="replace") or "an empty body"
        if response.status == 200:
            text = f"not a JSON object but {text}"
        return StripeError(
            response.status,
            str(detail.get("message") or text),
            code=str(detail.get("code") or ""),
            param=str(detail.get("param") or ""),
            request=request,
            request_id=response.headers.get("Request-Id", ""),
            should_retry=_should_retry(response.status, response.headers.get("Stripe-Should-Retry")),
            retry_after=_seconds(response.headers.get("Retry-After"), self._patience),
        )

    def _read_clock(self, date: str | None) -> None:
        if date is None:
            return
        try:
            server = parsedate_to_datetime(date)
        except ValueError:
            return
        if server.tzinfo is not None:
            self._server_clock = (server.astimezone(UTC), time.monotonic())


def _parsed(body: bytes) -> Json | None:
    """The JSON object that `body` is, if it is one."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _should_retry(status: int, header: str | None) -> bool:
    if header in ("true", "false"):
        return header == "true"
    # A 200 that came here has a body that is none of Stripe's: something stands in between.
    return status in (200, 409, 429) or status >= 500


def _seconds(header: str | None, patience: timedelta) -> float | None:
    if header is None or not header.isdecimal():
        return None
    return min(float(header), MAX_RETRY_AFTER, patience.total_seconds())


def _worth_retrying(error: Exception) -> bool | float:
    """Whether to try again, or the seconds to wait before it where Stripe names them."""
    if isinstance(error, StripeError):
        return (error.retry_after or True) if error.should_retry else False
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError)


def _reason(error: Exception) -> str:
    if isinstance(error, StripeError):
        return f"{error.status} {error.stripe_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return excerpt(str(error) or type(error).__name__)
