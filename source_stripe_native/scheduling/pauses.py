"""Pauses: what is not read for a while because of a failure, until when, and what Stripe said.

Rule: a failure changes nothing outside its scope. The table in errors.py says what a failure concerns. Where
its words leave that open, the key's own account is asked for: its answer parts a refused key from an account
that refuses the key, and a list that fails from a Stripe that is silent to everybody.

    failure      a minute      two minutes            four                       ... an hour at most
       |-- pause --|-- fails --- pause ---|-- fails --- pause --------|-- read ---> forgotten

A request for a connected account has few attempts, so that the account does not hold up others for long. Its
pauses therefore begin with a few seconds, unless Stripe's answer is final.

What is paused keeps its state and is tried again by itself, also after a restart. One line reports a pause
that lasts a minute or longer, and the capture's summary counts every pause. Only a refused key, a wrong
config, and a Stripe that is silent to everybody for `Settings.outage_patience` end a capture.
"""

import asyncio
import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from logging import Logger
from typing import Final, NamedTuple

from source_stripe_native.errors import (
    ABSENT,
    PERMISSION_MISSING,
    ConnectorError,
    Scope,
    StripeError,
    is_passing,
    is_refusal,
    scope_of,
)
from source_stripe_native.flow.log_lines import report
from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.stripe.client import OWN_ACCOUNT, StripeSession
from source_stripe_native.stripe.rate_limit import Priority, Urgency
from source_stripe_native.stripe.readings import Readings

OWN_ANSWERS: Final = 100
"""Answers of the key's own account that are remembered."""
CHANGES: Final = "their changes"
"""What the account poller reads: the events of an account, for all streams."""
KEPT_OUT: Final = (
    "The account does not let the key read this, though the key is good: ask the account's owner to connect "
    "it again, or look at the key's permissions for connected accounts in Stripe's dashboard."
)
SHOWN: Final = 3
"""Streams that the summary names. A single further one is named too: to count it would be no shorter."""


class Unit(NamedTuple):
    """A stream of an account. Without a `stream` it is the account as a whole, and without an `account_id`
    the stream of all accounts. `part` names a part that is paused by itself: a single account's changes and
    each part of its backfill have loops of their own."""

    stream: str
    account_id: str
    part: str = ""

    def __str__(self) -> str:
        if not self.account_id:
            return self.stream
        return f"{self.stream} of account {self.account_id}" if self.stream else f"Account {self.account_id}"

    @property
    def with_wider(self) -> "tuple[Unit, Unit, Unit]":
        """The unit, its account and its stream."""
        return self, Unit("", self.account_id), Unit(self.stream, "")


@dataclass
class Pause:
    """A pause of this `length`, which ends when the loop's clock shows `until_time`."""

    until_time: float = -math.inf
    length: timedelta = timedelta()


@dataclass(frozen=True)
class Paused:
    """How many accounts are paused, in all and for what: for each stream, and for `CHANGES`."""

    accounts: int = 0
    whats: Counter[str] = field(default_factory=Counter)

    def words(self) -> str:
        named = SHOWN if len(self.whats) > SHOWN + 1 else len(self.whats)
        shown = [f"{number:,} for {what}" for what, number in self.whats.most_common(named)]
        if more := len(self.whats) - named:
            shown.append(f"and others for {more} more streams")
        accounts = "1 account is" if self.accounts == 1 else f"{self.accounts:,} accounts are"
        return f"{accounts} paused after failures: {', '.join(shown)}"


class PausedAccounts(frozenset[str]):
    """The accounts that are paused for one stream. With "", all of them are."""

    def __contains__(self, account_id: object) -> bool:
        return super().__contains__(account_id) or super().__contains__("")


class Pauses:
    """The pauses of one capture. `platform_id` is the key's own account.

    Made when a capture opens. The loops report failures (`pause`) and successes (`end`), and ask until when
    they have to wait (`until_time`)."""

    def __init__(self, http: StripeSession, log: Logger, platform_id: str) -> None:
        self._http = http
        self._log = log
        self.platform_id = platform_id
        self._pauses: dict[Unit, Pause] = {}
        self._reported: dict[Unit, float] = {}
        """The loop's time of each recent report."""
        self._own_answers = Readings[ConnectorError | None](
            http.settings.key_answer_retention, OWN_ANSWERS, lambda _: 1
        )
        """What the key's own account was answered, for all failures that leave open what they concern."""

    async def pause(self, unit: Unit, error: Exception) -> float:
        """Pauses what `error`, which the unit met, concerns. Returns the seconds until the unit is tried
        again. Raises what ends the capture."""
        error, settings = widest(error), self._http.settings
        is_outage = await self._is_outage(error)
        scope = await self._scope(unit, error)
        if scope > Scope.BINDING:
            raise error
        concerned = unit.with_wider[max(0, scope - Scope.UNIT)]
        now, pause = asyncio.get_running_loop().time(), self._pauses.setdefault(concerned, Pause())
        if pause.until_time <= now:
            before, reported = pause.length, settings.shortest_pause
            # Requests for the key's own account were made for a minute.
            is_brief = unit.account_id != self.platform_id and not is_refusal(error, Scope.BINDING)
            first = min(settings.brief_pause, reported) if is_brief else reported
            pause.length = min(settings.longest_pause, max(first, before if is_outage else 2 * before))
            pause.until_time = now + pause.length.total_seconds()
            # In an outage, one warning a minute stands for everything that fails.
            if before < reported <= pause.length and not is_outage:
                self._report(concerned, error)
        return self.until_time(unit) - now

    def end(self, unit: Unit) -> None:
        """Reports that the unit was read: neither it nor its account is paused any more."""
        for concerned in unit.with_wider if self._pauses else ():
            pause = self._pauses.get(concerned)
            # What was under way when the pause began says nothing of its reason.
            if pause is not None and pause.until_time <= asyncio.get_running_loop().time():
                del self._pauses[concerned]
                level = logging.INFO if unit.account_id == self.platform_id else logging.DEBUG
                self._log.log(level, f"{concerned} is read again")

    def until_time(self, unit: Unit) -> float:
        """The loop's time until which the unit is paused, by itself or with its account; in the past where
        it is not."""
        pauses = self._pauses
        concerned = [pauses[wider] for wider in unit.with_wider if wider in pauses] if pauses else []
        return max((pause.until_time for pause in concerned), default=-math.inf)

    def rest(self, unit: Unit) -> timedelta:
        """How long the unit is paused for."""
        return timedelta(seconds=max(0.0, self.until_time(unit) - asyncio.get_running_loop().time()))

    def paused_for(self, what: str) -> PausedAccounts:
        """The accounts that are paused for a stream, or for `CHANGES`."""
        return PausedAccounts(unit.account_id for unit in self._pauses if unit.stream in (what, ""))

    def status(self) -> Paused:
        """What is paused, in numbers."""
        units = {(unit.stream or "all streams", unit.account_id or "all") for unit in self._pauses}
        return Paused(len({account_id for _, account_id in units}), Counter(stream for stream, _ in units))

    async def _is_outage(self, error: Exception) -> bool:
        """Whether the request failed because Stripe answers nobody. Once that has lasted for
        `Settings.outage_patience`, raises the failure of the key's own account."""
        if not (is_passing(error) and self._http.silence):
            return False
        answer = await self._own_answer(OWN_ACCOUNT)
        if answer is not None and self._http.silence >= self._http.settings.outage_patience:
            raise answer
        return answer is not None

    async def _scope(self, unit: Unit, error: Exception) -> Scope:
        """What `error` concerns, once the key's own account was asked for where that is open."""
        scope = scope_of(error)
        if scope is Scope.KEY and unit.account_id != self.platform_id:
            answer = await self._own_answer(OWN_ACCOUNT)
            if answer is None or is_passing(answer):
                return Scope.ACCOUNT if answer is None else Scope.UNIT
        if scope is Scope.BINDING and unit.account_id != self.platform_id:
            assert isinstance(error, StripeError), "only Stripe's answers concern a binding"
            return scope if await self._lacks_permission(unit, error) else Scope.UNIT
        return scope

    async def _lacks_permission(self, unit: Unit, error: StripeError) -> bool:
        """Whether the key lacks for its own account what it lacks for the unit's. Stripe looks at the
        permission first: what else it says of the path does not matter."""
        path = error.path.replace(f"/v1/accounts/{unit.account_id}", f"/v1/accounts/{self.platform_id}")
        answer = await self._own_answer(path)
        return answer is not None and PERMISSION_MISSING.matches(answer)

    async def _own_answer(self, path: str) -> ConnectorError | None:
        """What the key's own account is refused at `path`, None where it is answered."""

        async def ask(urgency: Urgency) -> ConnectorError | None:
            try:
                await self._http.get(self._log, path, priority=urgency)
            except ConnectorError as error:
                return error
            return None

        return await self._own_answers.get(endpoint_of(path), ask, Urgency(Priority.CHANGES))

    def _report(self, unit: Unit, error: Exception) -> None:
        now, gap = asyncio.get_running_loop().time(), self._http.settings.pause_report_gap.total_seconds()
        self._reported = {name: at for name, at in self._reported.items() if at > now - gap}
        if unit in self._reported:
            return
        self._reported[unit] = now
        reason = error.specific if isinstance(error, StripeError) else report(self._log, error)
        is_kept_out = not unit.stream and isinstance(error, StripeError) and error.scope is Scope.KEY
        # That an account lacks a product is how most accounts are: nobody has to do anything.
        is_common = ABSENT.matches(error)
        self._log.log(
            logging.DEBUG if is_common else logging.WARNING,
            f"{unit} is paused. It is tried again in a minute, and then ever more rarely, once an hour at "
            f"least. {KEPT_OUT + ' ' if is_kept_out else ''}{reason}",
        )


@dataclass(frozen=True)
class UnitFailures:
    """The failures of one unit, as the loop of a single account sees them (`protocols.Failures`)."""

    pauses: Pauses
    unit: Unit

    async def pause(self, error: Exception) -> timedelta:
        return timedelta(seconds=await self.pauses.pause(self.unit, error))

    def end(self) -> None:
        self.pauses.end(self.unit)


def widest(error: Exception) -> Exception:
    """Of a group of errors the one with the widest scope."""
    if isinstance(error, ExceptionGroup):
        return max(map(widest, error.exceptions), key=scope_of)
    return error
