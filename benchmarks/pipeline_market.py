"""Events of a market, laid into staging as the server would have lain them.

A proposal is made to both parties of a match; each looks, decides, rates and completes with
delays of minutes to days. All lie in order of arrival, so that the events of one match lie in
several partitions.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from schemas.clock import MICROS_PER_DAY
from schemas.events import EventKind
from schemas.tables import subjects as subjects_table
from warehouse import accounts, bulk
from warehouse.engine import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import NDArray
    from sqlalchemy import Engine

    _Row = tuple[Any, ...]

NAMES = (
    "event_id", "kind", "subject", "match_key", "session_key", "occurred_at", "received_at",
    "payload",
)  # fmt: skip
_KINDS = (
    EventKind.PROPOSED,
    EventKind.VIEWED,
    EventKind.ACCEPTED,
    EventKind.REJECTED,
    EventKind.FEEDBACK,
    EventKind.COMPLETED,
)
_CHUNK_MATCHES = 20_000
_OCCURRED_AT = itemgetter(NAMES.index("occurred_at"))
_DELAYS_US = np.array([0, 0.002, 0.02, 0.2, 1.0]) * MICROS_PER_DAY


def fill(
    engine: Engine, events: int, now: int, *, days: int = 30, versions: int = 0, seed: int = 7
) -> None:
    """Stage about so many events of ten thousand to a million subjects who consent.

    Args:
        engine: An empty database.
        events: Number of events: five a party, two parties a match.
        now: The time of the run, microseconds since 1970.
        days: How far the proposals lie apart.
        versions: Of how many versions of the model the proposals are; none names one when 0.
        seed: Of everything random.
    """
    draw = np.random.default_rng(seed)
    matches = events // 10
    subjects = max(200, matches // 5)
    _admit(engine, subjects, now)
    later: list[_Row] = []
    for first in range(0, matches, _CHUNK_MATCHES):
        until = min(first + _CHUNK_MATCHES, matches)
        step = (days - 2) * MICROS_PER_DAY / matches
        begin, end = (now - days * MICROS_PER_DAY + int(n * step) for n in (first, until))
        made = _rows(draw, until - first, subjects, (begin, end), versions=versions)
        ready, later = _until(end if until < matches else now, [*later, *made])
        with writing(engine) as connection:
            bulk.append_rows(connection, "staged", NAMES, ready)
            accounts.add(connection, {(accounts.STORED, ""): len(ready)})


def _until(end: int, rows: list[_Row]) -> tuple[list[_Row], list[_Row]]:
    """Part rows in two, each in order of arrival: those from before a time, and the later ones."""
    rows.sort(key=_OCCURRED_AT)
    cut = bisect_left(rows, end, key=_OCCURRED_AT)
    return rows[:cut], rows[cut:]


def _admit(engine: Engine, count: int, now: int) -> None:
    names = (
        "subject", "pseudonym", "key_id", "ledger_id", "analytics", "notice_version", "updated_at",
    )  # fmt: skip
    rows = (
        (number, number.to_bytes(32, "big"), "key", number.to_bytes(16, "big"), True, "1", now)
        for number in range(1, count + 1)
    )
    with writing(engine) as connection:
        bulk.append_rows(connection, subjects_table.name, names, rows)


def _rows(
    draw: np.random.Generator,
    matches: int,
    subjects: int,
    span: tuple[int, int],
    *,
    versions: int,
) -> Iterator[_Row]:
    """Yield the events of some matches that are proposed between two times."""
    key = np.repeat(draw.integers(1, 2**62, matches), 2)
    subject = draw.integers(1, subjects + 1, matches * 2)
    start = np.repeat(draw.uniform(*span, matches), 2)
    score = draw.beta(4, 3, (matches * 2, 5)).round(4)
    accepted = draw.uniform(size=matches * 2) < score.mean(axis=1)
    delay = _DELAYS_US * draw.uniform(0.5, 1.5, (matches * 2, 5))
    at = (start[:, None] + delay).astype(np.int64)
    texts = _payloads(draw, score, versions)
    ids = draw.bytes(16 * at.size)
    kinds: NDArray[np.int64] = np.tile([0, 1, 3, 4, 5], (matches * 2, 1))
    kinds[accepted, 2] = 2
    for place in range(at.size):
        row, step = divmod(place, 5)
        moment = int(at[row, step])
        yield (
            ids[16 * place : 16 * place + 16],
            _KINDS[kinds[row, step]],
            int(subject[row]),
            int(key[row]),
            None,
            moment,
            moment + 40_000,
            texts(row, step),
        )


def _payloads(
    draw: np.random.Generator, score: NDArray[np.float64], versions: int
) -> Callable[[int, int], bytes]:
    numbers = draw.integers(0, 1_000, len(score)).tolist()
    scores = score.tolist()

    def payload(row: int, step: int) -> bytes:
        number = numbers[row]
        match step:
            case 0:
                a, b, c, d, e = scores[row]
                version = f',"model_version":"{row % versions}"' if versions else ""
                text = (
                    f'{{"match_score":{a},"match_parameters":{{"side":{row % 2}}},'
                    f'"alternatives_count":{number % 20},"constraint_satisfaction":'
                    f'{{"distance":{b},"hours":{c},"language":{d},"level":{e}}}{version}}}'
                )
            case 1:
                text = f'{{"view_duration_seconds":{number / 10},"view_complete":true}}'
            case 2:
                text = f'{{"decision_time_seconds":{number / 10}}}'
            case 3:
                text = (
                    f'{{"rating":{1 + number % 5},"specific_aspects":{{"fit":{1 + number % 5}}}}}'
                )
            case _:
                text = f'{{"duration_days":{number / 10},"completion_rate":1.0}}'
        return text.encode()

    return payload
