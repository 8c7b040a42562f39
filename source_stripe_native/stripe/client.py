"""The way to Stripe: base address, key, version pin, rate limits, retries, clock.

Rule: every request passes here and goes to the base address only. Redirects are not followed, and no URL that
a response contains is ever requested. A body is read and parsed whole before any of it is used: a page that
was cut off is asked for again and never half captured.

Retries follow Stripe's own clients: what `Stripe-Should-Retry` says, else 409, 429, 5xx and a broken
connection, and 408, 424 and 425, which pass too, with jittered exponential backoff and for a bounded time. A
key that worked before is being replaced, perhaps: a 401 then counts only after a while.
"""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from logging import Logger
from typing import Final, Self

import aiohttp
import stamina
import stamina.instrumentation
from yarl import URL

from source_stripe_native.errors import (
    MAX_BODY,
    PERMISSION_MISSING,
    ConnectorError,
    StripeError,
    excerpt,
)
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.clock import StripeClock
from source_stripe_native.stripe.json_body import json_object
from source_stripe_native.stripe.lookups import Lookups
from source_stripe_native.stripe.rate_limit import RateLimiter, endpoint_of
from source_stripe_native.stripe.refused_params import RefusedParams
from source_stripe_native.stripe.wire import Json as Json
from source_stripe_native.stripe.wire import Params as Params

API_BASE_VARIABLE: Final = "STRIPE_API_BASE"
DEFAULT_API_BASE: Final = "https://api.stripe.com"
CLOCK_PATH: Final = "/v1/account"
"""What is asked for the time alone: one small object, which every key that captures can read."""
CLOCK_ATTEMPTS: Final = 3
"""Answers that are asked for at once, until two of them agree on the time."""

MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured. A server that asks for more is asked again sooner."""

LATENCY_WEIGHT: Final = 0.2
"""The weight of the last answer in the latency of its endpoint."""

MOST_PER_ENDPOINT: Final = 25
"""Requests a second that Stripe allows to one endpoint ("Rate limits")."""

PASSING: Final = frozenset({408, 409, 424, 425, 429})
"""Statuses below 500 with which a request fails only for now."""

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>\d{1,5}))?/*",
    re.ASCII | re.IGNORECASE,
)
_HEADER_VALUE: Final = re.compile(r"[!-~]+")

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

    `patience` is how long one request is retried, `key_patience` how long a key is that Stripe has accepted
    before and now refuses.

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
        key_patience: timedelta = timedelta(),
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
        self._key_patience = key_patience.total_seconds()
        self._key_accepted = False
        self._rate_limiter = rate_limiter or rate_limiter_for(key, settings=settings)
        self._clock = StripeClock()
        self._answer_time = -math.inf
        """The monotonic time of the last answer."""
        self._latencies: dict[str, float] = {}
        self.lookups = Lookups(settings)
        self.refused_params = RefusedParams()

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
        """The current time in UTC by Stripe's clock (see `stripe.clock`), and by the machine's while Stripe
        has not shown its own: a machine whose clock is wrong must neither move a cursor past events that are
        still to come nor keep it behind."""
        server_time = self._clock.time(time.monotonic())
        return datetime.now(tz=UTC) if server_time is None else datetime.fromtimestamp(server_time, tz=UTC)

    def seconds_since_answer(self) -> float:
        """Seconds since Stripe's last answer, refusals included; infinite before the first one."""
        return time.monotonic() - self._answer_time

    async def refresh_clock(self, log: Logger, longest_silence: timedelta | None = None) -> None:
        """Makes `now` current where it may be late or wrong: asks Stripe for one small object if no answer
        came for `longest_silence` (by default `Settings.longest_silence`), and again while the last answer's
        time is not confirmed by the answer before it, three times in all at most. Without need no request is
        made.

        For a loop that decides by `now` whether to read: it may make no other request, and would wait for
        ever for a clock that only an answer can correct. Raises as `get` does."""
        longest = self.settings.longest_silence if longest_silence is None else longest_silence
        silent = self.seconds_since_answer() >= longest.total_seconds()
        for _ in range(CLOCK_ATTEMPTS):
            if not silent and not self._clock.is_doubtful:
                return
            await self.get(log, CLOCK_PATH)
            silent = False

    def latency(self, path: str) -> float:
        """Seconds that Stripe's recent answers from this endpoint took; zero where there was none yet."""
        return self._latencies.get(endpoint_of(path), 0.0)

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
        log.debug("requesting", {"request": request, "limit": self._rate_limiter.ceiling})
        key_deadline = math.inf

        def worth_retrying(error: Exception) -> bool | float:
            nonlocal key_deadline
            if not self._may_be_replaced(error):
                return _worth_retrying(error)
            key_deadline = min(key_deadline, time.monotonic() + self._key_patience)
            return time.monotonic() < key_deadline

        try:
            async for attempt in stamina.retry_context(
                on=worth_retrying, attempts=None, timeout=self._patience, wait_initial=0.5, wait_max=30
            ):
                with attempt:
                    if attempt.num > 1:
                        await self._rate_limiter.acquire(endpoint, background=background)
                    try:
                        return await self._attempt(path, params, account_id, endpoint, request)
                    except Exception as error:
                        if worth_retrying(error) is not False:
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

    def _may_be_replaced(self, error: Exception) -> bool:
        """Whether Stripe refuses a key that it has accepted before. What a key may do is another matter."""
        return (
            self._key_accepted
            and isinstance(error, StripeError)
            and error.status == 401
            and not PERMISSION_MISSING.matches(error)
        )

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
            self._answer_time = time.monotonic()
            self._read_clock(response.headers.get("Date"), self._answer_time)
            body = await response.read()
            took = time.monotonic() - asked_time
            before = self._latencies.get(endpoint, took)
            self._latencies[endpoint] = before + LATENCY_WEIGHT * (took - before)
            parsed = json_object(body)
            if response.status != 200 or parsed is None:
                refusal = self._refusal(response, body, parsed or {}, request)
                # A lock timeout is a 429 too, but about one object.
                if response.status == 429 and refusal.code != "lock_timeout":
                    self._rate_limiter.refused(endpoint, response.headers.get("Stripe-Rate-Limited-Reason"))
                raise refusal
            self._key_accepted = True
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

    def _read_clock(self, date: str | None, read_time: float) -> None:
        if date is None:
            return
        try:
            server = parsedate_to_datetime(date)
        except ValueError:
            return
        if server.tzinfo is not None:
            self._clock.read(server.timestamp(), read_time)


def _should_retry(status: int, header: str | None) -> bool:
    if header in ("true", "false"):
        return header == "true"
    # A 200 that came here has a body that is none of Stripe's: something stands in between.
    return status == 200 or status in PASSING or status >= 500


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
