"""What was measured: figures, each against what it should be, for one table; and what is drawn of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from rich.console import Console
from rich.table import Table

WIDTH: Final = 110
"""Columns of the table where no terminal says how many it has."""
STEP: Final = 0.5
"""Seconds over which a rate is taken at least, and until there are GROWTH times the documents."""
GROWTH: Final = 1.2


@dataclass(frozen=True)
class Figure:
    """`what` was measured `about` something: at most `target`, or, with `at_least`, no less. In `unit`s: MB,
    s, or what the value is a ratio to."""

    about: str
    what: str
    value: float
    target: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def cells(self) -> tuple[str, ...]:
        """Of a count that should be zero there is no ratio to its target."""
        sign = ">=" if self.at_least else "<="
        ratio = f"{self.value / self.target:.2f}" if self.target else "–"
        mark = "[green]ok[/]" if self.met else "[bold red]MISSED[/]"
        return self.what, f"{_short(self.value)} {self.unit}", f"{sign} {_short(self.target)}", ratio, mark


@dataclass(frozen=True)
class Curve:
    """A capture's progress: seconds, and the documents until then."""

    name: str
    progress: Sequence[tuple[float, int]]

    def rates(self) -> list[tuple[int, float]]:
        """The documents captured so far, and how many a second came in the step before."""
        marks = [each for each in self.progress if each[1]][:1]
        for now, new in self.progress:
            if marks and now >= marks[-1][0] + STEP and new >= GROWTH * marks[-1][1]:
                marks.append((now, new))
        return [(new, (new - old) / (now - then)) for (then, old), (now, new) in pairwise(marks)]


@dataclass(frozen=True)
class Cost:
    """What a quiet round over so many connected accounts took: event requests, CPU seconds with the start,
    peak memory in bytes, checkpoints."""

    accounts: int
    requests: int
    cpu: float
    peak: int
    checkpoints: int

    @property
    def requests_per_account(self) -> float:
        """The platform is an account, too."""
        return self.requests / (self.accounts + 1)


@dataclass
class Figures:
    """All that was measured, in its order. `broken` are the parts that came to no end, with why."""

    rows: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        about: str,
        what: str,
        value: float,
        target: float,
        unit: str = "",
        *,
        at_least: bool = False,
    ) -> None:
        self.rows.append(Figure(about, what, value, target, unit, at_least))

    @property
    def missed(self) -> Sequence[str]:
        return [f"{each.about}: {each.what}" for each in self.rows if not each.met] + list(self.broken)

    def show(self) -> None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH)
        table = Table("figure", "measured", "target", "of the target", "")
        for column in table.columns[1:4]:
            column.justify = "right"
        about = ""
        for each in self.rows:
            if each.about != about:
                about = each.about
                table.add_section()
                table.add_row(f"[bold]{about}[/]")
            table.add_row(*each.cells)
        for part, why in self.broken.items():
            table.add_section()
            table.add_row(f"[bold]{part}[/]: {why}", "", "", "", "[bold red]MISSED[/]")
        console.print(table)


def _short(value: float) -> str:
    """Four digits, or all of a whole number."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"
