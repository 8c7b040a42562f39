"""Rate control: how fast a limit lets requests leave, learned from what Stripe refuses. Pure.

Rule: a reduction stays only where it lowers the share of refusals. Under a true limit the share falls as the
rate does, so that the limit is found and kept. Refusals that do not depend on the rate fall in number alone:
the reduction is taken back, and their share counts as usual until it is checked again.

    watch ---more refusals than usual---> measure ---their share is higher---> try a lower rate ---> watch

A reduced rate recovers slowly at first, while the limit is near, and then ever faster. A limit of which
nothing but refusals come is asked at the lowest rate until something is accepted.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from source_stripe_native.settings import DEFAULTS, Settings

IDLE: Final = 2.0
"""Seconds without a request after which a limit recovers by the time alone."""
FORGOTTEN: Final = 1000.0
"""Seconds without a request after which nothing is known of a limit any more."""


class Phase(Enum):
    WATCH = auto()
    MEASURE = auto()
    """Counts afresh: what raised the suspicion would make the share too high."""
    TRY = auto()


@dataclass(frozen=True)
class Trial:
    """The last reduction: the `share` of refusals at the `rate` before it, and what would restore that."""

    share: float
    rate: float
    reduced: float
    recovered: float

    def explains(self, share: float, rate: float) -> bool:
        """Whether `share` at `rate` is as if the rate was of no matter, rather than a true limit's."""
        return share >= 1 - (1 - self.share) / math.sqrt(rate / self.rate)


@dataclass
class Limit:
    """A number of requests a second, `ceiling` at most. Times are seconds of one monotonic clock."""

    ceiling: float
    settings: Settings = DEFAULTS
    opens_time: float = -math.inf
    """When the next request may leave."""
    accepted_time: float = -math.inf
    """When Stripe last answered without a refusal for rate."""
    _taken_time: float = -math.inf
    """When the last request left."""
    _reduced: float = math.inf
    """The rate right after the last reduction, and for how many seconds it has recovered since."""
    _recovered: float = 0.0
    _usual: float = 0.0
    """The share of refusals that does not depend on the rate."""
    _phase: Phase = Phase.WATCH
    _trial: Trial | None = None
    _counted_from: float = -math.inf
    """Answers to requests that left earlier are about another rate."""
    _answers: int = 0
    _refusals: int = 0
    _unchecked: int = 0
    """Answers since `_usual` was last checked."""
    _in_a_row: int = 0
    """Refusals since the last answer that was none."""

    def rate(self, now: float) -> float:
        if self._in_a_row >= self.settings.refusals_in_a_row:
            return self._floor
        if self._reduced == math.inf:
            return self.ceiling
        idle = now - self._taken_time
        recovered = self._recovered + (idle if idle > IDLE else 0.0)
        growth = min(recovered / self.settings.recovery.total_seconds(), 10.0)
        return min(self.ceiling, self._reduced * math.exp(growth**2))

    def take(self, now: float) -> None:
        """Counts a request that leaves `now`."""
        gap = now - self._taken_time
        # By the requests where they are few, so that a low limit is not met more often than a high one.
        self._recovered += gap if gap > IDLE else min(gap, 1 / self.settings.recovery_rate)
        self._taken_time = now
        gap = 1 / (self.settings.utilisation * self.rate(now))
        self.opens_time = max(self.opens_time, now - self.settings.max_lateness) + gap

    def is_in_use(self, now: float) -> bool:
        """Whether another limit of the same ceiling would not do as well."""
        if self.opens_time > now - self.settings.max_lateness:
            return True
        return self.rate(now) < self.ceiling and now - self._taken_time < FORGOTTEN

    def answered(self, asked_time: float, now: float, *, is_refusal: bool, is_about: bool) -> None:
        """Counts an answer that came `now` to a request that left at `asked_time`. `is_refusal` says that
        Stripe refused it for rate, and `is_about` that this limit was the reason."""
        self._in_a_row = self._in_a_row + 1 if is_refusal else 0
        if not is_refusal:
            self.accepted_time = now
        if asked_time < self._counted_from:
            return
        if self._phase is Phase.WATCH and not self._refusals and not self._usual:
            self._answers = 0
        self._unchecked += 1
        self._answers += 1
        self._refusals += is_refusal and is_about
        {Phase.WATCH: self._watch, Phase.MEASURE: self._measure, Phase.TRY: self._judge}[self._phase](now)

    def _watch(self, now: float) -> None:
        answers, usual = self._answers, self._usual
        spread = math.sqrt(answers * usual * (1 - usual))
        if self._refusals >= 2 and self._refusals > answers * usual + 2 * spread + (usual > 0):
            self._enter(Phase.MEASURE)
        elif answers >= self.settings.watched_answers:
            share = self._refusals / answers
            # A share that grows along with the rate is a limit's.
            if share < usual or self.rate(now) == self.ceiling:
                self._usual += 0.1 * (share - usual)
            if self._usual < 0.01:
                self._usual = 0.0
            self._enter(Phase.WATCH)
            if self._usual and self._unchecked >= self.settings.check_answers:
                self._reduce(self._usual, now)

    def _measure(self, now: float) -> None:
        answers, refusals, few = self._answers, self._refusals, self.settings.few_refusals
        is_clear = refusals >= 6 and answers - refusals >= 4
        if answers * few < 6 and (
            not is_clear or (self._usual and answers < 3 * self.settings.watched_answers)
        ):
            return
        share = max(0.0, refusals - 0.5) / answers
        spread = math.sqrt(self._usual * (1 - self._usual) / answers)
        if share < few or share < self._usual + 1.5 * spread:
            self._enter(Phase.WATCH)
        elif (
            # The rate has not recovered since the last reduction, and yet the share is back.
            self._trial is not None
            and self.rate(now) < 0.8 * self._trial.rate
            and self._trial.explains(share, self.rate(now))
        ):
            self._restore(share, now)
        else:
            self._reduce(share, now)

    def _judge(self, now: float) -> None:
        assert self._trial is not None
        share = self._refusals / self._answers
        if self._answers < max(16, 16 / self._trial.share, 4 / (1 - self._trial.share)):
            return
        if self._trial.explains(share, self._reduced):
            self._restore((self._trial.share + share) / 2, now)
        else:
            self._usual = min(self._usual, share) if share >= 0.02 else 0.0
            self._enter(Phase.WATCH, now)
        self._unchecked = 0

    def _reduce(self, share: float, now: float) -> None:
        share, rate = min(share, 0.98), self.rate(now)
        self._trial = Trial(share, rate, self._reduced, self._recovered)
        accepted = max(1 - share, self.settings.largest_cut)
        self._reduced = max(rate * accepted * self.settings.reduction, self._floor)
        self._recovered = 0.0
        self._enter(Phase.TRY, now)

    def _restore(self, usual: float, now: float) -> None:
        assert self._trial is not None
        self._reduced, self._recovered = self._trial.reduced, self._trial.recovered
        self._usual, self._trial, self._unchecked = usual, None, 0
        self._enter(Phase.WATCH, now)

    def _enter(self, phase: Phase, counted_from: float = -math.inf) -> None:
        self._phase, self._answers, self._refusals = phase, 0, 0
        self._counted_from = max(self._counted_from, counted_from)

    @property
    def _floor(self) -> float:
        return min(self.ceiling, self.settings.min_rate)
