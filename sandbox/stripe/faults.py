"""What goes wrong, and when: rules that match requests, counted and drawn from a seed, so that a run can be
repeated.

Pure matching; the server does what a rule says. A rule without `times` lasts until it is removed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Any
from urllib.parse import unquote

from sandbox.stripe.odd import ODD


@dataclass(frozen=True)
class Fault:
    """One rule. It matches by `method`, `path` (a glob), `account` (the id in Stripe-Account or else the
    platform's, or the one in the path: /v1/accounts/{id}) and `query` (part of the query string).

    Of the matching requests it lets `after` pass, then fires on every `every`-th, with `probability`, `times`
    times in all (for ever if None). What it does: wait `latency` seconds before the answer; answer `status`
    with an error of `type`, `code`, `message` and `param`, or, without a status, add `headers` to the true
    answer; `odd` replaces the body of a 200 by what it makes of it (a name in `odd.ODD`); `date` shifts the
    answer's Date by so many seconds; `reset` drops the connection without a word; `truncate` breaks it in the
    middle of the body; `slow` spreads the body over as many seconds. Raises ValueError for an odd body that
    there is not."""

    path: str = "*"
    method: str = ""
    account: str = ""
    query: str = ""
    after: int = 0
    times: int | None = None
    every: int = 1
    probability: float = 1.0
    latency: float = 0.0
    status: int | None = None
    type: str = "api_error"
    code: str | None = None
    message: str = "An unknown error occurred"
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    odd: str = ""
    date: float = 0.0
    reset: bool = False
    truncate: bool = False
    slow: float = 0.0

    def __post_init__(self) -> None:
        if self.odd and self.odd not in ODD:
            raise ValueError(f"there is no odd body {self.odd!r}; there are {', '.join(sorted(ODD))}")

    def matches(self, method: str, path: str, query: str, account: str) -> bool:
        return (
            (not self.method or self.method == method)
            and fnmatchcase(path, self.path)
            and (not self.account or self.account in (account, account_in(path)))
            and self.query in query
        )

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> "Fault":
        """Raises ValueError for a field that no rule has."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(rule.keys() - known):
            raise ValueError(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**rule)


def account_in(path: str) -> str:
    """The account that a path is about: /v1/accounts/{id} and what is below. "" if none."""
    parts = path.split("/")
    return unquote(parts[3]) if path.startswith("/v1/accounts/") else ""


class Faults:
    """The rules in force, and how often each has matched and fired."""

    def __init__(self, rules: Iterable[Fault] = (), seed: int = 0) -> None:
        self._rng = Random(seed)
        self.set(*rules)

    def set(self, *rules: Fault) -> None:
        """Put these rules in place of all others; their counts begin at zero."""
        self.rules = list(rules)
        self._seen = [0] * len(rules)
        self._fired = [0] * len(rules)

    def add(self, rule: Fault) -> None:
        self.rules.append(rule)
        self._seen.append(0)
        self._fired.append(0)

    def remove(self, rule: Fault) -> None:
        """Lift a rule; the others keep their counts. Raises ValueError if it is not in force."""
        place = self.rules.index(rule)
        for each in (self.rules, self._seen, self._fired):
            del each[place]

    def fired(self, rule: Fault) -> int:
        """How often a rule has fired. Raises ValueError if it is not in force."""
        return self._fired[self.rules.index(rule)]

    def firing(self, method: str, path: str, query: str, account: str) -> list[Fault]:
        """The rules that fire on this request, in their order. Counts the request."""
        found = []
        for place, rule in enumerate(self.rules):
            if not rule.matches(method, path, query, account):
                continue
            seen = self._seen[place]
            self._seen[place] += 1
            spent = rule.times is not None and self._fired[place] >= rule.times
            if seen < rule.after or spent or (seen - rule.after + 1) % rule.every != 0:
                continue
            if rule.probability < 1 and self._rng.random() >= rule.probability:
                continue
            self._fired[place] += 1
            found.append(rule)
        return found
