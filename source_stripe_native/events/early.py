"""What a binding captured of events before its cursor came to them.

    read before |- overlap -|------ window ------|-- lag --| now
              cursor               next cursor
                                            E captured early, after a notice

A notice (notices/) has the newest events read at once, without the lag. The cursor stays where it is: its
windows are read later with lag and overlap, as ever, and find what was not visible yet. Rule: what was
captured early is not captured again, and nothing older is captured after it. The events are remembered until
the binding's cursor has passed them. With `Settings.early_events` of them nothing more is captured early:
nothing is forgotten."""

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class CapturedEarly:
    """Of one stream and account. Made by the feed; `newest_changes` asks it and fills a new one, which is
    added once its documents are in a checkpoint."""

    events: dict[str, int] = field(default_factory=dict)
    """When each event was created, by id."""
    subjects: dict[Hashable, tuple[int, bool]] = field(default_factory=dict)
    """The subjects of changes: the second of the newest event, and whether that event carried the subject."""

    def add(self, other: "CapturedEarly") -> None:
        self.events |= other.events
        self.subjects |= other.subjects

    def after(self, second: int) -> "dict[Hashable, tuple[int, bool]]":
        """The subjects that were captured in a version from `second` or later."""
        return {subject: at for subject, at in self.subjects.items() if at[0] >= second}

    def forget_before(self, second: int) -> None:
        """Forgets what the cursor has passed."""
        if self.events:
            self.events = {event: at for event, at in self.events.items() if at >= second}
            self.subjects = self.after(second)
