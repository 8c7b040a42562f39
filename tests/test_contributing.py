"""What CONTRIBUTING.md says of the code: its excerpts, its examples, and what a new row is told."""

import re
from pathlib import Path
from typing import Final

import pytest

from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from source_stripe_native.streams import row
from source_stripe_native.streams.row import (
    AccountObject,
    BaseStripeObject,
    BaseStripeObjectWithEvents,
    DatedAccountObject,
)
from tests.tables import missing_entries
from tests.test_streams import HELD, ROWS

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "CONTRIBUTING.md").read_text()
DEFAULTS: Final = vars(BaseStripeObject)


def excerpts() -> list[str]:
    """The Python in the text, without the indentation of a list that it stands in."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def shapes() -> list[list[str]]:
    """The table of shapes, line by line: the case, the row's value for it, and a stream that has it."""
    table = TEXT.partition("| shape | value of the row | look at |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_an_excerpt_is_the_code() -> None:
    code = [
        file.read_text()
        for part in ("source_stripe_native", "sandbox")
        for file in (ROOT / part).rglob("*.py")
    ]
    assert excerpts()
    assert [each for each in excerpts() if not any(each in text for text in code)] == []


@pytest.mark.parametrize(("value", "stream"), [each[1:] for each in shapes()])
def test_a_stream_to_look_at_has_the_shape(value: str, stream: str) -> None:
    assert getattr(ROWS[stream], value) != DEFAULTS[value]


def test_the_base_classes_are_for_what_the_table_says() -> None:
    table = TEXT.partition("| base class | for |\n|---|---|\n")[2].partition("\n\n")[0]
    named = {vars(row)[name] for name in re.findall(r"`([A-Z]\w+)`", table)}
    assert named == {DatedAccountObject, AccountObject, BaseStripeObjectWithEvents, BaseStripeObject}
    assert AccountObject.DISABLED
    assert [each for each in STREAMS if issubclass(each, AccountObject) != (len(each.KEY) > 1)] == []
    dated = (DatedAccountObject, BaseStripeObjectWithEvents)
    assert [each for each in STREAMS if issubclass(each, dated) and "created" not in each.model_fields] == []


def test_every_value_of_a_row_that_is_named_exists() -> None:
    recipe = TEXT.partition("## Add a stream")[2].partition("**2.")[0]
    named = {*re.findall(r"`([A-Z]{4}[A-Z_]*)`", recipe)} - {"STREAMS"}
    assert named
    assert [each for each in named if not hasattr(BaseStripeObject, each)] == []


def test_what_the_tests_say_of_a_new_row_is_as_shown() -> None:
    shown = re.findall(r"^ERROR: (.*)", TEXT, re.MULTILINE)
    held = {name: each for name, each in HELD.items() if name != "TaxRates"}
    kinds = {name: each for name, each in KINDS.items() if name != HELD["TaxRates"].kind}
    assert shown == missing_entries(STREAMS, held, kinds)
