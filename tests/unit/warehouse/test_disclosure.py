"""An attacker adds and subtracts published figures, and finds no group of fewer than k people.

The attacker is given more than the API shows: every published count of a block by model version
and constraint, and which proposals each counts. In whole blocks a combination of a few counts with
signs is a group when it counts some proposals once and all others not at all; in small worlds every
figure is weighed with every whole number from -2 to 2, and what is not zero is a group.
"""

from __future__ import annotations

import random
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from tests.unit.warehouse.test_telling import fewest_of_combinations
from warehouse import disclosure
from warehouse import measures as m
from warehouse.contributions import contributions
from warehouse.disclosure import UNTOLD, Telling
from warehouse.matches import ABSENT, UNKNOWN
from warehouse.publishable import publishable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

K = 10


def history(seed: int, people: int, *, most_names: int = 4) -> pd.DataFrame:
    """Draw the match rows of a block: steps that follow one another, constraints that go together.

    Funnels without detours (only who viewed decides, only who accepted completes) leave the empty
    cells by which differences become exact.
    """
    draw = random.Random(seed)
    strict = draw.random() < 0.5
    shapes = _shapes(draw, most_names)
    rows = []
    for number in range(draw.randrange(people, 2 * people)):
        proposed = draw.random() < 0.95
        viewed = draw.random() < 0.8
        decided = (viewed or not strict) and draw.random() < 0.8
        accepted = decided and draw.random() < 0.6
        finished = (accepted or not strict) and draw.random() < 0.5
        rated = (finished or not strict) and draw.random() < 0.5
        rows.append(
            {
                "match_key": number // 2,
                "subject": draw.randrange(people),
                "day": 0,
                "model_version": draw.choice(["", "1"]) if proposed else "",
                "match_score": 0.5 if proposed else np.nan,
                "constraints": _constraints(draw, shapes) if proposed else "{}",
                "proposed_at": 1 if proposed else ABSENT,
                "views": int(viewed),
                "view_ms": 5 if viewed else 0,
                "viewed_whole": int(viewed and draw.random() < 0.7),
                "accepted": int(accepted) if decided else UNKNOWN,
                "decision_ms": 7 if decided else UNKNOWN,
                "rating": draw.choice([1, 3, 4, 5, 5]) if rated else 0,
                "completed": int(draw.random() < 0.8) if finished else UNKNOWN,
            }
        )
    return with_pairs(pd.DataFrame(rows))


def _shapes(draw: random.Random, most: int) -> list[tuple[str, ...]]:
    names = ["distance", "hours", "language", "level"][:most]
    shapes = [c for size in range(1, most + 1) for c in combinations(names, size)]
    return draw.sample(shapes, min(len(shapes), draw.randrange(2, 6))) + [()] * draw.randrange(2)


def _constraints(draw: random.Random, shapes: list[tuple[str, ...]]) -> str:
    # The last shapes are rare: few people name these constraints together.
    weights = [2.0**-place for place in range(len(shapes))]
    chosen = draw.choices(shapes, weights)[0]
    satisfied = {name: draw.choice([0.1, 0.5, 0.5, 0.9]) for name in chosen}
    return msgspec.json.encode(satisfied).decode()


def with_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    standing = (rows["proposed_at"] != ABSENT) & (rows["accepted"] != UNKNOWN)
    sizes = standing.groupby(rows["match_key"])
    paired = sizes.transform("all") & (sizes.transform("size") == 2)
    accepted = (standing & (rows["accepted"] == 1)).groupby(rows["match_key"]).transform("all")
    return rows.assign(paired=paired, mutual=paired & accepted)


def publish(rows: pd.DataFrame, smallest: int) -> pd.DataFrame:
    sums = contributions({name: rows[name].to_numpy() for name in rows.columns})
    return publishable(rows, sums.drop(columns="day"), smallest)[0]


def counted(rows: pd.DataFrame) -> dict[str, Mask]:
    """Say which rows each count is of, by measure; those of constraints are functions of theirs."""
    proposed = (rows["proposed_at"] != ABSENT).to_numpy()
    decided = proposed & (rows["accepted"] != UNKNOWN).to_numpy()
    accepted = decided & (rows["accepted"] == 1).to_numpy()
    viewed = (rows["views"] > 0).to_numpy()
    rated = (rows["rating"] > 0).to_numpy()
    finished = (rows["completed"] != UNKNOWN).to_numpy()
    found = {
        m.PROPOSED: proposed,
        m.DECIDED: decided,
        m.ACCEPTED: accepted,
        m.REJECTED: decided & ~accepted,
        m.VIEWED: proposed & viewed,
        m.VIEWED_WHOLE: proposed & viewed & (rows["viewed_whole"] == 1).to_numpy(),
        m.COMPLETED: proposed & (rows["completed"] == 1).to_numpy(),
        m.ABANDONED: proposed & (rows["completed"] == 0).to_numpy(),
        m.PAIRED: rows["paired"].to_numpy(),
        m.MUTUAL: rows["mutual"].to_numpy(),
        m.RATED: rated,
        m.RATED_PROPOSED: rated & proposed,
        m.ORPHAN_VIEWED: ~proposed & viewed,
        m.ORPHAN_DECIDED: ~proposed & (rows["accepted"] != UNKNOWN).to_numpy(),
        m.ORPHAN_RATED: ~proposed & rated,
        m.ORPHAN_COMPLETED: ~proposed & finished,
    }
    stars = {m.RATING[s - 1]: (rows["rating"] == s).to_numpy() for s in m.RATINGS}
    return found | stars


def counted_of(rows: pd.DataFrame, facet: str) -> dict[str, Mask]:
    whole = counted(rows)
    decoded = [msgspec.json.decode(text) for text in rows["constraints"]]
    band = np.array([min(int(row[facet] * 5), 4) if facet in row else -1 for row in decoded])
    found = {
        m.SATISFACTION_PROPOSED: whole[m.PROPOSED] & (band >= 0),
        m.CONSTRAINT_DECIDED: whole[m.DECIDED] & (band >= 0),
        m.CONSTRAINT_ACCEPTED: whole[m.ACCEPTED] & (band >= 0),
    }
    for number in range(m.BANDS):
        found[m.BAND_DECIDED[number]] = whole[m.DECIDED] & (band == number)
        found[m.BAND_ACCEPTED[number]] = whole[m.ACCEPTED] & (band == number)
    return found


def figures(rows: pd.DataFrame, published: pd.DataFrame) -> dict[tuple[str, str], Mask]:
    """Return which rows each published count is of, and check that it counts them."""
    whole = counted(rows)
    of = {facet: counted_of(rows, facet) for facet in set(published["facet"]) - {m.WHOLE}}
    found = {}
    for measure, facet, value in published[["measure", "facet", "value"]].itertuples(index=False):
        mask = (whole if facet == m.WHOLE else of[facet]).get(measure)
        if mask is not None:
            assert mask.sum() == value, (measure, facet)
            found[measure, facet] = mask
    return found


def smallest_group(rows: pd.DataFrame, told: dict[Any, Mask], terms: int) -> int:
    """Try every combination of so many figures with signs; return the fewest people of a group."""
    if not told:
        return K
    kinds, row_kind = np.unique(np.array(list(told.values())).T, axis=0, return_inverse=True)
    table = kinds.T.astype(np.int8)
    people = [set(rows["subject"][row_kind.ravel() == kind]) for kind in range(len(kinds))]
    fewest = len(rows)
    for size in range(1, terms + 1):
        chosen = np.array(list(combinations(range(len(table)), size)), np.int64).reshape(-1, size)
        for signs in product([1, -1], repeat=size - 1):
            total = table[chosen[:, 0]].copy()
            for place, sign in enumerate(signs, 1):
                total += np.int8(sign) * table[chosen[:, place]]
            for direction in (total, -total):
                group = (direction.min(axis=1) >= 0) & (direction.max(axis=1) == 1)
                for one in np.unique(direction[group], axis=0):
                    fewest = min(
                        fewest, len(set().union(*(people[at] for at in np.flatnonzero(one))))
                    )
    return fewest


def attack(rows: pd.DataFrame, published: pd.DataFrame, terms: int = 3) -> int:
    """Attack each model version; what mixes them isolates at most what one of them does."""
    fewest = K
    for version, group in rows.groupby("model_version"):
        here = published[published["model_version"] == version]
        reset = group.reset_index(drop=True)
        fewest = min(fewest, smallest_group(reset, figures(reset, here), terms))
    return fewest


@pytest.mark.parametrize("seed", range(12))
def test_no_combination_of_published_figures_isolates_fewer_than_k(seed: int) -> None:
    rows = history(seed, people=(30, 60, 150, 400)[seed % 4])

    published = publish(rows, K)

    assert attack(rows, published) >= K


@pytest.mark.parametrize("seed", range(4))
def test_four_figures_isolate_nobody_either(seed: int) -> None:
    rows = history(100 + seed, people=120, most_names=2)

    published = publish(rows, K)

    assert attack(rows, published[~published["measure"].isin(m.BAND_ACCEPTED)], terms=4) >= K


def categories(seed: int, *, without: int, both: int = 0) -> pd.DataFrame:
    """Draw a block in which each proposal names one of four trades, but those of few people."""
    rows = history(seed, people=200).assign(model_version="")
    trades = ["carer", "clerk", "cook", "driver"]
    named = [
        ()
        if subject < without
        else (trades[0], trades[1])
        if subject < without + both
        else (trades[subject % 4],)
        for subject in rows["subject"]
    ]
    texts = [msgspec.json.encode(dict.fromkeys(names, 0.5)).decode() for names in named]
    return rows.assign(constraints=np.where(rows["proposed_at"] != ABSENT, texts, "{}"))


_SUMMED = (m.PROPOSED, m.ACCEPTED, m.SATISFACTION_PROPOSED, m.CONSTRAINT_ACCEPTED)


@pytest.mark.parametrize(("without", "both"), [(3, 0), (9, 0), (0, 4), (4, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_what_categories_leave_of_their_whole_is_nobody_or_many(
    seed: int, without: int, both: int
) -> None:
    rows = categories(seed, without=without, both=both)

    published = publish(rows, K)

    assert attack(rows, published[published["measure"].isin(_SUMMED)], terms=5) >= K
    assert set(published["facet"]) > {m.WHOLE}


@pytest.mark.parametrize("without", [0, 60])
def test_categories_that_leave_nobody_or_many_are_all_told(without: int) -> None:
    published = publish(categories(1, without=without), K)

    assert set(published["facet"]) == {m.WHOLE, "carer", "clerk", "cook", "driver"}


@pytest.mark.parametrize(("people", "told"), [(1, False), (9, False), (60, True)])
@pytest.mark.parametrize("others", [(0.0,), (0.0, 0.5)])
def test_sums_of_few_values_are_told_only_where_their_counts_may_be(
    people: int, told: bool, others: tuple[float, ...]
) -> None:
    rows = history(3, people=200).assign(model_version="")
    satisfied = [1.0 if who < people else others[who % len(others)] for who in rows["subject"]]
    texts = [msgspec.json.encode({"lift": one}).decode() for one in satisfied]
    rows = rows.assign(constraints=np.where(rows["proposed_at"] != ABSENT, texts, "{}"))

    published = publish(rows, K)

    # The sum of 0 and 1 counts the ones, and with the sum of squares there may be a third value.
    assert ("lift" in set(published["facet"])) is told
    assert attack(rows, published[published["measure"].isin(_SUMMED)]) >= K


def test_the_attacker_finds_groups_where_everything_is_told() -> None:
    found = [
        attack(history(seed, people=60), publish(history(seed, people=60), 1)) for seed in (0, 1)
    ]

    assert max(found) < K


def test_the_attacker_needs_the_crossings_to_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telling, "_isolates", lambda *_: False)

    found = [
        attack(history(seed, people=150), publish(history(seed, people=150), K))
        for seed in range(4)
    ]

    assert min(found) < K


def test_a_large_block_tells_every_step() -> None:
    rows = history(3, people=2_000, most_names=2)

    told = set(publish(rows, K)["measure"])

    assert told >= {m.PROPOSED, m.DECIDED, m.ACCEPTED, m.VIEWED, m.RATED, m.COMPLETED, m.PAIRED}
    assert told >= {m.SATISFACTION_PROPOSED, m.CONSTRAINT_DECIDED, m.BAND_DECIDED[2]}


def test_what_is_left_of_a_whole_must_be_large_or_nobody() -> None:
    people = np.arange(40)
    whole = np.zeros(40, np.int64)
    for inside, told in ((9, False), (10, True), (30, True), (31, False), (40, True)):
        telling = Telling(people, K)
        assert telling.tell(whole)
        assert telling.tell(np.where(people < inside, 0, UNTOLD)) is told, inside


def test_three_that_go_in_pairs_are_not_all_told() -> None:
    # Whoever names two of three: half of a + b - c is how many name a and b.
    pairs = [(0, 1)] * 3 + [(0, 2)] * 30 + [(1, 2)] * 30 + [()] * 30
    telling = Telling(np.arange(len(pairs)), K)
    assert telling.tell(np.zeros(len(pairs)))
    told = [telling.tell(np.array([0 if c in p else UNTOLD for p in pairs])) for c in range(3)]
    assert told == [True, True, False]


_PAIRS = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "b", "c", "d"), ()]


@pytest.mark.parametrize(
    "patterns", [_PAIRS, list(combinations("abcd", 2)), list(combinations("abcdef", 3))]
)
def test_a_lone_pattern_is_not_what_many_constraints_make_up(patterns: list[Any]) -> None:
    names = [pattern for pattern in patterns for _ in range(24)]
    alone = [*names, tuple("abcdef"[: len(patterns[0]) + 1])]

    published = {len(rows): publish(named(rows), K) for rows in (names, alone)}

    told = {rows: set(found["facet"]) - {m.WHOLE} for rows, found in published.items()}
    everything = {name for pattern in patterns for name in pattern}
    assert told[len(names)] == everything
    assert everything > told[len(alone)] > set()
    masks = [
        mask
        for (measure, _), mask in figures(named(alone), published[len(alone)]).items()
        if measure in (m.PROPOSED, m.SATISFACTION_PROPOSED)
    ]
    assert fewest_of_combinations(np.arange(len(alone)), masks, 2) >= K


def named(names: list[tuple[str, ...]]) -> pd.DataFrame:
    """Make a block in which person by person these constraints are named; half of each accept."""
    rows = history(0, people=len(names)).iloc[: len(names)]
    texts = [msgspec.json.encode(dict.fromkeys(given, 0.5)).decode() for given in names]
    return with_pairs(
        rows.assign(
            match_key=np.arange(len(names)),
            subject=np.arange(len(names)),
            model_version="",
            match_score=0.5,
            proposed_at=1,
            constraints=texts,
            views=0,
            view_ms=0,
            viewed_whole=0,
            accepted=np.arange(len(names)) % 2,
            decision_ms=7,
            rating=0,
            completed=UNKNOWN,
        )
    )


def test_many_constraints_that_cells_of_one_person_share_are_all_told() -> None:
    draw = random.Random(0)
    rows = named([()] * 600)
    names = ["distance", "hours", "language", "level", "pay", "skills"]
    texts = [
        msgspec.json.encode({name: round(draw.random(), 2) for name in names}).decode()
        for _ in range(600)
    ]

    published = publish(rows.assign(constraints=texts), K)

    assert set(published["facet"]) == {m.WHOLE, *names}
    assert published["measure"].isin(m.BAND_DECIDED).sum() == len(names) * m.BANDS


def test_what_is_not_decided_in_time_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = history(0, people=60)
    searched = publish(rows, K)
    monkeypatch.setattr(disclosure, "_MOST_STEPS", 0)

    told = publish(rows, K)

    assert 0 < len(told) < len(searched)
    assert attack(rows, told) >= K
