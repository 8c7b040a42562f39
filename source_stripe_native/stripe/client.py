"""The way to Stripe: base address, key, version pin, rate limits, retries, clock.

Rule: every request passes here and goes to the base address only. Redirects are not followed, and no URL that
a response contains is ever requested. A body is read and parsed whole before any of it is used: a page that
was cut off is asked for again and never half captured.

A failure that may pass is asked again with growing pauses and for a bounded time (see `attempts`). While
Stripe is silent to everybody, requests go on asking, all for one and the same time. A refusal for rate is the
limiter's affair alone: the request queues again. A key that worked before is being replaced, perhaps: a 401
then counts only after a while.
"""

import asyncio
import contextlib
import math
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from logging import Logger
from typing import Final, Self

import aiohttp
import orjson
from yarl import URL

from source_stripe_native.errors import (
    KEY_REFUSED,
    MAX_BODY,
    PERMISSION_MISSING,
    RATE_LIMITED,
    ConnectorError,
    StripeError,
    UnreachableError,
    duration,
    is_passing,
)
from source_stripe_native.flow.byte_budget import ByteBudget
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.stripe import attempts
from source_stripe_native.stripe.attempts import Attempt, Outage, Request, Traffic
from source_stripe_native.stripe.clock import StripeClock
from source_stripe_native.stripe.expansions import RefusedParams
from source_stripe_native.stripe.rate_limit import (
    LIMITS,
    Priority,
    RateLimiter,
    Turn,
    Urgency,
    rate_limiter_for,
)
from source_stripe_native.stripe.readings import Readings
from source_stripe_native.stripe.wire import Json as Json
from source_stripe_native.stripe.wire import Params as Params
from source_stripe_native.stripe.wire import json_object

ORGANIZATION: Final = "sk_org_"
"""How the key of an organization begins, whatever it may read ("Organization API keys")."""
OWN_ACCOUNT: Final = "/v1/account"
"""One small object that every key may read. It is asked for the time, and for whether the key is good."""
CLOCK_ATTEMPTS: Final = 3
"""Answers that are asked for at once, until two of them agree on the time."""
LATENCY_WEIGHT: Final = 0.2
"""The weight of the last answer in the latency of its endpoint."""
_LOCAL: Final = "_Sandbox0"
"""What the keys of the local Stripe spell. Stripe's own have nothing like it."""
_HEADER_VALUE: Final = re.compile(r"[!-~]+")


class StripeSession:
    """A session with Stripe under one key, to be used as an async context manager.

    `patience` is how long a request is asked again, whatever fails, where a person waits. Without it that is
    `Settings.patience`, and `Settings.outage_patience` where nobody is answered, and for
    `Settings.key_patience` a key is tried again that Stripe has accepted before and now refuses. `context` is
    the account, or the path of accounts, that every request is made for (`Stripe-Context`), by default the
    key's own account. An organization's key has none, and needs both `context` and `version`.

    `version` is sent as `Stripe-Version` with every request once it is set; `account_version` is what Stripe
    last reported of the account's own default. Raises ConnectorError for a key that cannot be sent, and for
    an organization's key without what it needs.
    """

    def __init__(
        self,
        key: str,
        *,
        base: str,
        version: str | None = None,
        context: str | None = None,
        patience: timedelta | None = None,
        rate_limiter: RateLimiter | None = None,
        settings: Settings = DEFAULTS,
    ) -> None:
        if not _HEADER_VALUE.fullmatch(key):
            raise ConnectorError(
                "credentials.access_token is empty or has a space, a line break or another character that "
                "does not belong there: copy it anew."
            )
        is_organizations = key.startswith(ORGANIZATION)
        if is_organizations and (context is None or version is None):
            raise ConnectorError(
                "credentials.access_token is the key of an organization, which needs an account and a "
                "version with every request: set advanced.stripe_context to the account to read (acct_...) "
                "and advanced.api_version to a version such as 2024-06-20, or use the account's own key."
            )
        self.settings = settings
        self.version = version
        self.context = context
        # An organization's key does not tell by its name whether it is restricted.
        self.is_restricted = is_organizations or not key.startswith("sk_")
        self.is_test = "_test_" in key
        self.account_version: str | None = None
        self._key = key
        self._base = base
        self._base_url = URL(base)
        self._patience = (patience or settings.patience).total_seconds()
        self._outage_patience = (patience or settings.outage_patience).total_seconds()
        self._key_patience = 0.0 if patience else settings.key_patience.total_seconds()
        self._key_accepted = False
        self._rate_limiter = rate_limiter or rate_limiter_for(key, settings=settings)
        self.traffic = Traffic()
        self.noticed: set[tuple[str, str]] = set()
        """The kinds of notices that were written, by stream (see `notices`)."""
        self._clock = StripeClock()
        self._answer_time = -math.inf
        """The monotonic time of the last answer."""
        self._outage = Outage(settings.outage_gap.total_seconds(), settings.warning_gap.total_seconds())
        self._failing: dict[Request, float] = {}
        """When requests first failed that are asked again."""
        self._latencies: dict[str, float] = {}
        self.lookups = Readings[Json](
            settings.lookup_retention, settings.lookup_bytes, lambda answer: len(orjson.dumps(answer))
        )
        self.map_keys: dict[str, dict[str, None]] = {}
        """Fields inside maps that objects of a list have, by the list's path (see `listings`)."""
        self.refused_params = RefusedParams(settings.refusal_retention.total_seconds())
        self.page_sizes: dict[tuple[str | None, str], int] = {}
        """The sizes of pages that are small for now, by account and path (see `pages`)."""
        self.page_budget = ByteBudget(settings.unwritten_bytes - settings.change_bytes)
        self.change_budget = ByteBudget(settings.change_bytes)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}", "User-Agent": "estuary-source-stripe-native"},
            timeout=aiohttp.ClientTimeout(total=self._patience, sock_connect=10, sock_read=60),
            connector=aiohttp.TCPConnector(limit=0),  # the rate limiter bounds what is in flight
        )
        # aiohttp would ask once more, at once and past the rate limiter, where a connection was cut. It has
        # no public switch.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def now(self) -> datetime:
        """The current time in UTC by Stripe's clock, and by the machine's while Stripe has not shown its own.
        A machine's wrong clock must neither move a cursor past events still to come nor keep it behind."""
        server_time = self._clock.time(time.monotonic())
        return datetime.now(tz=UTC) if server_time is None else datetime.fromtimestamp(server_time, tz=UTC)

    def failing_since(self) -> datetime | None:
        """Since when requests fail in a way that may pass, but for their rate. None where none fails."""
        now = self._time()
        oldest = min(self._failing.values(), default=now)
        seconds = max(now - oldest, self._outage.duration(now))
        return self.now() - timedelta(seconds=seconds) if seconds > 0 else None

    @property
    def silence(self) -> timedelta:
        """How long Stripe has not answered any request; zero if none has failed since its last answer."""
        return timedelta(seconds=self._outage.duration(self._time()))

    async def is_answering(self, log: Logger) -> bool:
        """Whether Stripe answers anybody. Where a request failed after the last answer, asks for the own
        account."""
        try:
            if self.silence:
                await self.get(log, OWN_ACCOUNT)
        except ConnectorError as error:
            return not is_passing(error)
        return True

    async def refresh_clock(self, log: Logger) -> None:
        """Makes `now` current where it may be late or wrong: asks Stripe for one small object if no answer
        came for `Settings.longest_silence`, and again while the answer before does not confirm the last one's
        time. Otherwise no request is made. Raises as `get` does.

        For a loop that decides by `now` whether to read: it may make no other request, and would wait for
        ever for a clock that only an answer can correct."""
        is_late = time.monotonic() - self._answer_time >= self.settings.longest_silence.total_seconds()
        for _ in range(CLOCK_ATTEMPTS):
            if not is_late and not self._clock.is_doubtful:
                return
            await self.get(log, OWN_ACCOUNT)
            is_late = False

    @property
    def requests_per_second(self) -> float:
        """Requests a second that the session allows itself."""
        return self._rate_limiter.ceiling

    def latency(self, path: str) -> float:
        """Seconds that Stripe's recent answers from this endpoint took; zero where there was none yet."""
        return self._latencies.get(endpoint_of(path), 0.0)

    async def get(
        self,
        log: Logger,
        path: str,
        params: Params = (),
        account_id: str | None = None,
        priority: Priority | Urgency = Priority.CHANGES,
    ) -> Json:
        """GET `path` ("/v1/...") and return the parsed JSON object, as `ask` does. `account_id` is the
        connected account to act as."""
        return await self.ask(log, Request(path, account_id, params, priority))

    async def ask(self, log: Logger, request: Request) -> Json:
        """The parsed JSON object that answers a request. Attempts that were refused for rate do not count.
        Raises StripeError for a refusal, and UnreachableError where there is no answer."""
        queued_time = self._time()
        try:
            while True:
                turn = await self._rate_limiter.acquire(
                    endpoint_of(request.path), request.priority, request.account_id
                )
                request.left(queued_time, self._time(), self._patience)
                attempt = Attempt(request, self._time())
                try:
                    return await self._ask(attempt, turn)
                except Exception as error:
                    pause = self._pause(attempt, turn, error)
                    attempt.failed(error, self._outage, self._time(), is_retried=pause is not None)
                    if attempt.refused_by is None:
                        self._failing.setdefault(request, attempt.asked_time)
                    if pause is None:
                        raise
                finally:
                    self._rate_limiter.release(turn)
                    attempt.write(log, self._rate_limiter.ceiling, self._time())
                queued_time = self._time()
                await asyncio.sleep(pause)
                # What the rate limiter makes it wait costs no patience, nor does the pause that Stripe names.
                if attempt.refused_by is None:
                    request.number += 1
                    queued_time = self._time()
        except attempts.NETWORK as error:
            asked_for = duration(max(self._patience, self._outage.duration(self._time())))
            silence = f" for {asked_for}" if request.most_attempts == math.inf else ""
            raise UnreachableError(
                f"Stripe could not be reached at {self._base}{silence}: "
                "check the network and Stripe's status page. "
                f"{request} failed: {attempts.reason(error)}"
            ) from error
        finally:
            self._failing.pop(request, None)

    def _pause(self, attempt: Attempt, turn: Turn, error: Exception) -> float | None:
        """The seconds to wait before asking again, None where the request is given up."""
        request, now = attempt.request, self._time()
        is_passing, named = isinstance(error, attempts.NETWORK), None
        if isinstance(error, StripeError):
            is_passing, named = error.should_retry, error.retry_after
        if attempt.refused_by is not None:
            request.refused_time = min(request.refused_time, now)
            refused_since = max(request.refused_time, turn.own.accepted_time)
            is_over = now - refused_since >= self._outage_patience
            # No pause of its own: the request waits for its turn.
            return (named or 0.0) if is_passing and not is_over else None
        is_no_answer = is_passing and attempts.is_no_answer(error)
        if is_no_answer:
            self._outage.failed(attempt.asked_time, now)
        if request.number >= request.most_attempts:
            return None
        pause = named or attempts.backoff(request.number)
        is_refused = isinstance(error, StripeError) and error.status == 401
        # What a key may do is another matter than whether it is good.
        if is_refused and self._key_accepted and not PERMISSION_MISSING.matches(error):
            request.key_deadline = min(request.key_deadline, now + self._key_patience)
            return pause if now < request.key_deadline else None
        if not is_passing:
            return None
        if is_no_answer:
            others = self._outage.answered_time > attempt.asked_time
            if request.is_divisible and (others or request.number > 1):
                return None
            if self._outage.duration(now) >= self._outage_patience:
                return None
            if self._outage.answered_time < request.start_time:
                return pause
        return pause if now < request.deadline else None

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _ask(self, attempt: Attempt, turn: Turn) -> Json:
        request, account_id = attempt.request, attempt.request.account_id
        headers: dict[str, str] = {}
        if self.context is not None:
            # It takes the place of Stripe-Account: a connected account is one step further down the path.
            headers["Stripe-Context"] = f"{self.context}/{account_id}" if account_id else self.context
        elif account_id is not None:
            headers["Stripe-Account"] = account_id
        if self.version is not None:
            headers["Stripe-Version"] = self.version
        async with self._session.get(
            # The path is sent as it is: escaped once, where it was made (see `streams.row`).
            self._base_url.with_path(request.path, encoded=True),
            params=request.params,
            headers=headers,
            allow_redirects=False,
        ) as response:
            attempt.status = response.status
            attempt.request_id = response.headers.get("Request-Id", "")
            self._answer_time = time.monotonic()
            self._read_clock(response.headers.get("Date"), self._answer_time)
            body = await response.read()
            self.traffic.requests += 1
            took = self._time() - attempt.asked_time
            before = self._latencies.get(turn.endpoint, took)
            self._latencies[turn.endpoint] = before + LATENCY_WEIGHT * (took - before)
            parsed = json_object(body)
            if response.status < 500 and parsed is not None:
                self._outage.answered(self._time())
            if response.status != 200 or parsed is None:
                refusal = self._refusal(response, body, parsed or {}, attempt)
                if RATE_LIMITED.matches(refusal) and refusal.code != "lock_timeout":
                    self.traffic.refused_for_rate += 1
                    limit = response.headers.get("Stripe-Rate-Limited-Reason", "")
                    # What is about one object alone is asked again as any other failure.
                    attempt.refused_by = limit if limit.partition("-")[0] in LIMITS else None
                self._rate_limiter.answered(turn, attempt.refused_by)
                raise refusal
            self._rate_limiter.answered(turn)
            attempt.error = ""
            self._key_accepted = True
            request.count(len(body))
            if self.version is None:
                self.account_version = response.headers.get("Stripe-Version") or self.account_version
            return parsed

    def _refusal(
        self, response: aiohttp.ClientResponse, body: bytes, parsed: Json, attempt: Attempt
    ) -> StripeError:
        detail = parsed.get("error")
        detail = detail if isinstance(detail, dict) else {}
        text = body[: 4 * MAX_BODY].decode("utf-8", errors="replace") or "an empty body"
        if response.status == 200:
            text = f"not a JSON object but {text}"
        code = str(detail.get("code") or "")
        error = StripeError(
            response.status,
            str(detail.get("message") or text),
            code=code,
            param=str(detail.get("param") or ""),
            request=str(attempt.request),
            path=response.url.raw_path,
            request_id=attempt.request_id,
            should_retry=attempts.should_retry(response.status, code, response.headers),
            retry_after=attempts.retry_after(response.headers, self._patience),
        )
        if _LOCAL in self._key and KEY_REFUSED.matches(error):
            error.explain(
                f"The API key is one of the local Stripe, which {self._base} does not know: set "
                "STRIPE_API_BASE to the address that `make stripe` prints, or put a key of your account into "
                f"credentials.access_token. {error.answer}"
            )
        return error

    def _read_clock(self, date: str | None, read_time: float) -> None:
        with contextlib.suppress(ValueError):
            server = parsedate_to_datetime(date or "")
            if server.tzinfo is not None:
                self._clock.read(server.timestamp(), read_time)
