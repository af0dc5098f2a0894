"""What must hold for events after anonymising, before they are stored.

Nothing but numbers, a kind, figures and redacted texts; and in the texts nothing left that
looks like an address, a link or a telephone number. These patterns are a second look with
other eyes, not the redaction itself.
"""

from __future__ import annotations

import great_expectations.expectations as gxe
from great_expectations.core import ExpectationSuite

from expectations.validation import RULE

CARRIED = ("kind", "subject", "match_key", "occurred_at")
"""What the frame holds of an event beside its texts."""

COLUMNS = (*CARRIED, "texts")
"""What the frame holds, and nothing else."""

SUITE = ExpectationSuite(
    name="anonymised_events",
    expectations=[
        gxe.ExpectTableColumnsToMatchSet(
            column_set=list(COLUMNS),
            exact_match=True,
            meta={RULE: "events: must hold no further column"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="subject",
            min_value=1,
            meta={RULE: "subject: must be a number above 0"},
        ),
        gxe.ExpectColumnValuesToNotMatchRegexList(
            column="texts",
            regex_list=[
                r"[\w.+-]+@[\w-]+\.\w",
                r"(?i)\b(?:https?://|www\.)\S",
                r"(?:\+|\b00|\b0)[1-9](?:[ .-]?\d){7,}",
            ],
            meta={RULE: "texts: must hold no address, link or telephone number"},
        ),
    ],
)
"""Expectations of the accepted events that carry a text."""
