"""docs/operate.md shows summaries as the connector writes them."""

import json
from collections import Counter
from datetime import timedelta

import pytest

from source_stripe_native.backfill.progress import BackfillStatus
from source_stripe_native.capture.summary import Facts, Late, OldestCursor
from source_stripe_native.models import STREAMS
from source_stripe_native.scheduling.pauses import Paused
from source_stripe_native.stripe.pages import Workload
from tests.documentation import blocks, text_of

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


@pytest.mark.parametrize(
    "part",
    [
        "3 accounts are paused after failures: ",
        "Prices is 14 minutes behind (",
        " done, about 12 minutes left",
    ],
)
def test_the_page_explains_a_part_as_it_is_written(part: str) -> None:
    assert part in TROUBLE.words()
    assert part in text_of(PAGE)
