"""docs/ says of each stream what its row says, and each list of Stripe is read or left out for a reason."""

import pytest

from source_stripe_native.models import STREAMS
from tools import describe_streams
from tools.other_tools import NAMES


def test_the_pages_are_fresh_and_no_list_is_forgotten() -> None:
    assert describe_streams.problems() == []


def test_a_permission_or_stream_that_a_page_lacks_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    (rates,) = [each for each in STREAMS if each.NAME == "TaxRates"]
    monkeypatch.setattr(rates, "PERMISSION", "Rates")
    stale = "is stale: run tools/describe_streams.py"
    assert describe_streams.problems() == [f"docs/streams.md {stale}", f"docs/create-a-key.md {stale}"]


def test_a_list_that_nobody_reads_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = [each for each in STREAMS if each.NAME != "TaxRates"]
    monkeypatch.setattr(describe_streams, "STREAMS", rest)
    assert describe_streams.unread() == ["/v1/tax_rates is neither a stream's nor left out"]
    monkeypatch.setitem(describe_streams.LEFT_OUT, "/v1/tax_rates", "nobody wants them")
    assert describe_streams.unread() == []
    monkeypatch.setitem(describe_streams.LEFT_OUT, "/v1/none", "there is none")
    assert describe_streams.unread() == ["/v1/none is left out and does not exist"]
    monkeypatch.setattr(describe_streams, "STREAMS", STREAMS)
    assert "/v1/tax_rates is left out and a stream's" in describe_streams.unread()


def test_a_stream_that_other_tools_names_lack_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_streams.unnamed() == []
    names = {each: names for each, names in NAMES.items() if each != "Prices"}
    monkeypatch.setattr(describe_streams, "NAMES", names | {"Orders": NAMES["Prices"]})
    assert describe_streams.unnamed() == [
        "Prices has no row in tools/other_tools.py",
        "tools/other_tools.py names Orders, which is no stream",
    ]


def test_every_stream_has_a_line() -> None:
    lines = describe_streams.page().partition("## What joins")[0].splitlines()
    for stream in STREAMS:
        (line,) = [each for each in lines if each.startswith(f"| {stream.NAME} |")]
        assert line.count(" | ") == len(describe_streams.COLUMNS) - 1
        added = [each for each in (stream.PARENT_FIELD, *stream.PARENT_QUERY) if each]
        assert all(f"`{each}`" in line for each in added), "what joins it to its parent is documented"
