"""The corpus is what it claims, and the measurement notices what is missed."""

import pytest

from benchmarks.redaction import RECALL_TARGETS, measure, shortfalls
from benchmarks.redaction_corpus import Example, make_corpus
from benchmarks.redaction_held_out import HELD_OUT
from benchmarks.redaction_tuning import TUNING
from privacy.redaction import Redacted, redact
from privacy.spans import Span


@pytest.mark.parametrize(
    "values",
    [
        "templates",
        "english",
        "plain",
        "given",
        "family",
        "towns",
        "streets",
        "companies",
        "domains",
    ],
)
def test_what_tuned_the_rules_is_not_what_is_measured(values: str) -> None:
    assert not set(getattr(TUNING, values)) & set(getattr(HELD_OUT, values))
    assert not set(TUNING.styles) & set(HELD_OUT.styles)


def test_the_corpus_holds_two_thousand_spans_and_every_type() -> None:
    examples = make_corpus(HELD_OUT, 2_000, seed=1)

    assert sum(len(example.spans) for example in examples) >= 2_000
    assert {s.type for example in examples for s in example.spans} >= set(RECALL_TARGETS)
    assert examples == make_corpus(HELD_OUT, 2_000, seed=1)


def test_redaction_reaches_its_targets_on_the_held_out_part() -> None:
    examples = make_corpus(HELD_OUT, 500, seed=2)

    assert shortfalls(measure(examples, redact([example.text for example in examples]))) == []


def test_a_span_of_which_a_letter_is_left_counts_as_missed() -> None:
    text = "appelez Jean Dupont"
    example = Example(text, (Span(8, 19, "PERSON"),), "fr")

    partly = measure([example], [Redacted(None, "fr", 19, (Span(8, 12, "PERSON"),))])
    wholly = measure([example], [Redacted(None, "fr", 19, (Span(8, 19, "PERSON"),))])

    assert (partly["PERSON"].found, wholly["PERSON"].found) == (0, 1)


def test_missed_targets_are_named() -> None:
    example = Example("a@b.fr", (Span(0, 6, "EMAIL"),), "fr")
    wrong = (Span(0, 6, "PERSON"),)

    blind = shortfalls(measure([example], [Redacted("a@b.fr", "fr", 6, ())]))
    confused = shortfalls(measure([example], [Redacted("<PERSON>", "fr", 6, wrong)]))

    assert blind == ["recall of EMAIL is below 0.995"]
    assert confused == ["precision is below 0.8"]
