"""What goes wrong, and when: rules that match requests, counted and drawn from a seed, so that a run can be
repeated.

Pure matching; the server does what a rule says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One rule. It matches by `method`, `path` (a glob), `account` (its id) and `query` (part of the query
    string).

    Of the matching requests it lets `after` pass, then fires on every `every`-th, with `probability`, `times`
    times in all (for ever if None). What it does: wait `latency` seconds before the answer; answer `status`
    with an error of `type`, `code` and `message`, or, without a status, add `headers` to the true answer;
    `reset` drops the connection without a word; `truncate` breaks it in the middle of the body; `slow`
    spreads the body over as many seconds."""

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
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    truncate: bool = False
    slow: float = 0.0

    def matches(self, method: str, path: str, query: str, account: str) -> bool:
        return (
            (not self.method or self.method == method)
            and fnmatchcase(path, self.path)
            and (not self.account or self.account == account)
            and self.query in query
        )

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> "Fault":
        """Raises ValueError for a field that no rule has."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(rule.keys() - known):
            raise ValueError(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**rule)


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
