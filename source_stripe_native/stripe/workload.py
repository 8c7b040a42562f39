"""Workload: the requests that following a binding's changes takes, for the line that says why it is late."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Workload:
    """What was done since the start: `requests` that were answered, and `rereads`, the changes for which
    something was read again, by the reason."""

    requests: int = 0
    rereads: Counter[str] = field(default_factory=Counter)

    def since(self, before: "Workload") -> "Workload":
        """What was done after `before`."""
        return Workload(self.requests - before.requests, self.rereads - before.rereads)
