"""What was asked of the server: the last requests, oldest first."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Visit:
    """One request. `query` joins the values of a repeated parameter by commas; `account` is the one acted
    for; `version` is the `Stripe-Version` sent, "" if none; `status` is 0 when the connection was dropped.
    Times are seconds of `time.monotonic`."""

    method: str
    path: str
    query: Mapping[str, str]
    account: str
    version: str
    status: int
    started_at: float
    finished_at: float


class Journal:
    def __init__(self, size: int = 100_000) -> None:
        self._visits: deque[Visit] = deque(maxlen=size)

    def add(self, visit: Visit) -> None:
        self._visits.append(visit)

    def __iter__(self) -> Iterator[Visit]:
        return iter(self._visits)

    def __len__(self) -> int:
        return len(self._visits)

    def visits(
        self, path: str = "*", *, account: str | None = None, status: int | None = None, **query: str
    ) -> list[Visit]:
        """Those to a path (a glob), for an account, answered with a status, with these query parameters."""
        return [
            visit
            for visit in self._visits
            if fnmatchcase(visit.path, path)
            and account in (None, visit.account)
            and status in (None, visit.status)
            and all(visit.query.get(name) == value for name, value in query.items())
        ]

    def by_path(self) -> Counter[str]:
        """How many requests each path had."""
        return Counter(visit.path for visit in self._visits)

    def clear(self) -> None:
        self._visits.clear()
