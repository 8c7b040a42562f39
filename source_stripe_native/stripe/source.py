"""Sources: what is read for one stream of one account, and what is done where Stripe refuses some of it."""

import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from logging import Logger
from typing import Any, TypeVar

from source_stripe_native.errors import (
    PARAMETER_UNKNOWN,
    PERMISSION_MISSING,
    ConnectorError,
    Scope,
    StripeError,
    is_passing,
    is_refusal,
)
from source_stripe_native.flow.byte_budget import Reservation
from source_stripe_native.settings import Settings
from source_stripe_native.state.shards import ALL_ACCOUNTS, Selection
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.attempts import Request
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.expansions import PARAM, RefusedParams, base_of
from source_stripe_native.stripe.permissions import missing_permission
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.rate_limit import Priority, Urgency
from source_stripe_native.stripe.readings import Readings
from source_stripe_native.stripe.wire import Json, Params

Result = TypeVar("Result")


@dataclass
class Workload:
    """What following a binding's changes took, for the line that says why it is late: `requests` that were
    answered, and `rereads`, the changes for which something was read again, by the reason."""

    requests: int = 0
    rereads: Counter[str] = field(default_factory=Counter)

    def since(self, before: "Workload") -> "Workload":
        """What was done after `before`."""
        return Workload(self.requests - before.requests, self.rereads - before.rereads)


@dataclass(frozen=True)
class Source:
    """One stream of one account, as read over one session. Made by a binding for each of its accounts.

    `account_id` is stamped on the documents; `connected_account_id` is the account to act as, None for the
    key's own. `is_one_of_many` says that each account is read by a task of its own. Where the account holds a
    place that others wait for, a request is made `most_attempts` times at most. `priority` is that of all its
    requests, an urgency where others may raise it. Where the objects are accounts, those of the
    `selection` are read. What is read counts for the `reservation`. What cannot be read for now is
    `postponed`, if that is given.
    """

    http: StripeSession
    log: Logger
    stream: type[BaseStripeObject]
    account_id: str | None
    connected_account_id: str | None
    is_one_of_many: bool = False
    most_attempts: float = math.inf
    priority: Priority | Urgency = Priority.CHANGES
    workload: Workload = field(default_factory=Workload)
    selection: Selection = ALL_ACCOUNTS
    reservation: Reservation | None = None
    postponed: Postponed | None = None

    @property
    def settings(self) -> Settings:
        return self.http.settings

    @property
    def key(self) -> tuple[str, str | None]:
        """The stream's name and the account: what is remembered of a source goes by them."""
        return self.stream.NAME, self.account_id

    async def postpones(self, subject: str, error: Exception) -> bool:
        """Whether what could not be read is read later, so that the others of its stream go on: where asking
        again may help, and Stripe shows others."""
        if self.postponed is None or not is_passing(error) or not await self.http.is_answering(self.log):
            return False
        times = await self.postponed.add(self.account_id, subject, self.http.now())
        if not times:
            return False
        answer = error.answer if isinstance(error, ConnectorError) else error
        self.log.log(
            logging.WARNING if times == 1 else logging.DEBUG,
            f"{self.stream.NAME}: one object cannot be read for now. It is read later, and the others go on. "
            f"{answer}",
            {"account": self.account_id, "subject": subject},
        )
        return True

    def is_refused(self, error: StripeError) -> bool:
        """Whether Stripe refuses for good what was asked for, and that alone. An account that refuses
        everything for a while refuses no object. The platform asks for accounts, which are objects to it."""
        asks_for_accounts = self.stream.ARE_ACCOUNTS and self.connected_account_id is None
        return is_refusal(error, Scope.ACCOUNT if asks_for_accounts else Scope.UNIT)

    async def look_up(self, path: str, params: Params) -> Json:
        """An object that many documents show: read once while it is remembered. An object that Stripe does
        not have, or refuses to show, is empty."""

        async def read(source: Source) -> Json:
            try:
                return await source.get(path, params)
            except StripeError as error:
                if not source.is_refused(error):
                    raise
                about = {"path": path, "error": error.answer}
                source.log.debug("an object that a document shows cannot be read", about)
                return {}

        return await self.shared(self.http.lookups, (self.connected_account_id, path, *params), read)

    async def shared(
        self, readings: Readings[Result], key: Hashable, read: "Callable[[Source], Awaitable[Result]]"
    ) -> Result:
        """What `read` returns, read once for all who ask for `key`. The source that `read` gets has the
        priority of whoever waits, and its bytes count for nobody."""

        def start(urgency: Urgency) -> Awaitable[Result]:
            return read(replace(self, priority=urgency, reservation=None))

        return await readings.get(key, start, Urgency.of(self.priority))

    async def get(self, path: str, params: Params = (), *, is_divisible: bool = False) -> Json:
        """The answer to a GET request. Expansions and filters that Stripe refuses at this endpoint are left
        out, with one warning that names them. `is_divisible` is as in a `Request`. Raises
        StripeError with the stream's name in it."""
        while True:
            params = self.refused.kept(self.connected_account_id, path, params)
            try:
                body = await self._get(path, params, is_divisible=is_divisible)
                self.workload.requests += 1
                return body
            except StripeError as error:
                async with self.refused.lock(path):
                    if len(self.refused.kept(self.connected_account_id, path, params)) < len(params):
                        continue  # Another request has found out meanwhile.
                    blamed = await self._blamed(path, params, error)
                    # What a list is filtered by depends on the version alone.
                    is_of_all = blamed.keys() <= self.stream.filters()
                    account_id = None if is_of_all else self.connected_account_id
                    is_new = bool(blamed) and self.refused.add(account_id, path, blamed)
                if blamed:
                    self.log.log(
                        logging.WARNING if is_new else logging.DEBUG,
                        f"{self.stream.NAME}: Stripe refuses {', '.join(blamed)} and is asked without from "
                        f"now on. Documents lack the fields, or lists are filtered here. {error.answer}",
                    )
                    continue
                if PERMISSION_MISSING.matches(error):
                    error.explain(missing_permission(self._permission(path), error))
                raise error.named(self.stream.NAME) from None

    @property
    def refused(self) -> RefusedParams:
        return self.http.refused_params

    async def _get(self, path: str, params: Params, *, is_divisible: bool = False) -> Json:
        request = Request(
            path,
            self.connected_account_id,
            params,
            self.priority,
            self.count,
            is_divisible,
            self.most_attempts,
        )
        return await self.http.ask(self.log, request)

    def count(self, size: int) -> None:
        """Counts bytes that were read."""
        if self.reservation is not None:
            self.reservation.count(size)

    async def _blamed(self, path: str, params: Params, error: StripeError) -> dict[str, bool]:
        """The filters and expansions that `error` is about, each with whether a permission for it is
        missing."""
        name = base_of(error.param)
        is_sent = any(base_of(param) == name for param, _ in params)
        if PARAMETER_UNKNOWN.matches(error) and name in self.stream.filters() and is_sent:
            return {name: False}
        expansions = [value for param, value in params if param == PARAM]
        if not expansions or not _is_about_expansions(error):
            return {}
        bare, blamed = [pair for pair in params if pair[0] != PARAM], dict[str, bool]()
        # A missing permission may be that for the list itself: it names no expansion.
        if await self._refusal(path, bare) is not None:
            return {}
        for expansion in expansions:
            if (reason := await self._refusal(path, [*bare, (PARAM, expansion)])) is not None:
                if not _is_about_expansions(reason):
                    raise reason
                blamed[expansion] = PERMISSION_MISSING.matches(reason)
        return blamed

    async def _refusal(self, path: str, params: Params) -> StripeError | None:
        try:
            await self._get(path, params)
        except StripeError as error:
            if error.should_retry:
                raise error.named(self.stream.NAME) from None
            return error
        return None

    def _permission(self, path: str) -> str:
        """The permission to read `path`: the stream's own, except for events and for the stream's parents."""
        others: list[type[BaseStripeObject]] = [Events, *self.stream.found_through()]
        paths = {path: row.PERMISSION for row in others for path in (row.list_path(), f"/v1/{row.UNLISTED}")}
        return paths.get(path, self.stream.PERMISSION)


def _is_about_expansions(error: StripeError) -> bool:
    named = "expand" in f"{error.param} {error.stripe_message}".lower()
    return (named and not error.should_retry) or PERMISSION_MISSING.matches(error)


def notice(source: Source, message: str, about: Mapping[str, Any]) -> None:
    """Writes a line about one object of the stream. `message` is its kind, `about` says which object. The
    first of its kind in each stream is at info, the others at debug: there may be as many as objects."""
    kind, level = (source.stream.NAME, message), logging.DEBUG
    if kind not in source.http.noticed:
        source.http.noticed.add(kind)
        message, level = f"{message}. Others of the stream are told at debug", logging.INFO
    source.log.log(level, message, {"stream": source.stream.NAME, **about})


@dataclass
class Asked:
    is_refused: bool = False


@contextmanager
def refusals_noticed(source: Source, message: str, about: Mapping[str, Any]) -> Iterator[Asked]:
    """Ends the block where Stripe refuses for good what it asks, with a notice."""
    asked = Asked()
    try:
        yield asked
    except StripeError as error:
        if not source.is_refused(error):
            raise
        asked.is_refused = True
        notice(source, message, {**about, "error": error.answer})
