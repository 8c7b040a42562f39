"""docs/operate.md shows summaries as the connector writes them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from source_stripe_native.backfill.progress import BackfillStatus
from source_stripe_native.capture.summary import Facts, Late, OldestCursor, Posts
from source_stripe_native.models import STREAMS
from source_stripe_native.scheduling.pauses import Paused
from source_stripe_native.stripe.pages import Workload
from tests.documentation import blocks, rows, text_of

ALL = len(STREAMS)
PAGE = "docs/operate.md"
QUIET = Facts(ALL, oldest=OldestCursor("Files", None, timedelta(minutes=5)), requests=0.4, limit=20.0)
CHARGES = BackfillStatus(120_000, 0.43, 720)
BACKFILLING = Facts(
    ALL,
    backfilling={
        "Charges": CHARGES,
        "Events": BackfillStatus(9_000),
        "Invoices": BackfillStatus(12_000, 0.8, 180),
        "Payouts": BackfillStatus(0),
        "Refunds": BackfillStatus(0),
    },
    oldest=OldestCursor("Accounts", None, timedelta(seconds=70)),
    requests=19.1,
    limit=20.0,
)
TROUBLE = Facts(
    ALL,
    backfilling={"Charges": CHARGES},
    oldest=OldestCursor("Files", None, timedelta(minutes=14)),
    requests=19.1,
    limit=20.0,
    refused_for_rate=3,
    failing_since=datetime(2026, 1, 1, 12, 3, 10, tzinfo=UTC),
    posts=Posts(2_345, 3, 0.98, 0.8),
    paused=Paused(3, Counter({"Files": 2, "their changes": 1})),
    late=[
        Late("Prices", timedelta(minutes=14), Workload(90, Counter({"objects whose events lack fields": 80})))
    ],
)


@pytest.mark.parametrize("facts", [QUIET, BACKFILLING])
def test_the_page_shows_a_summary_as_it_is_written(facts: Facts) -> None:
    assert facts.words() in [each.text for each in blocks(PAGE) if each.language == "text"]


def test_the_page_shows_the_fields_as_they_are_written() -> None:
    (shown,) = [json.loads(each.text) for each in blocks(PAGE) if each.language == "json"]
    assert shown == {"eventType": "connectorStatus", **TROUBLE.fields()}


def paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields inside a value, with `*` for what is named after a stream or a reason."""
    if not isinstance(value, dict):
        yield ".".join(path)
        return
    is_map = path[-1:] in (("backfilling",), ("late",), ("streams",), ("read_again",))
    for name, inner in value.items():
        yield from paths(inner, (*path, "*" if is_map else name))


def test_the_page_documents_each_field() -> None:
    table = [field for field, _ in rows(PAGE, "| field | what it has |")]
    documented = [each for cell in table for each in re.findall(r"`(.*?)`", cell)]
    written = list(paths({"eventType": "connectorStatus", **TROUBLE.fields()}))
    assert sorted(documented) == sorted(set(written))


@pytest.mark.parametrize(
    "part",
    [
        "2,345 posts, 3 of them refused; 98% of the events announced, read 0.8 seconds after they happened",
        "3 accounts are paused after failures: ",
        "requests have failed since 2026-01-01 12:03:10 UTC",
        "Prices is 14 minutes behind (",
        " done, about 12 minutes left",
    ],
)
def test_the_page_explains_a_part_as_it_is_written(part: str) -> None:
    assert part in TROUBLE.words()
    assert part in text_of(PAGE)
