"""Open the sealed texts of a partition, redact them, and keep nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from expectations import anonymised_events
from expectations.validation import broken_rules
from privacy.sealing import TextUnreadable, unseal
from schemas.errors import KeyMissing
from warehouse.keyfile import day_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from privacy.redaction import Redacted
    from warehouse.batch_frame import Batch

UNREADABLE = "sealed: must open with the key of its day"

_decode = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True)
class Texts:
    """What became of the sealed texts of a partition.

    Attributes:
        redacted: JSON list of ``{"text", "language", "length"}`` by ``seq``; the text is null
            where its language cannot be redacted.
        broken: Events whose texts did not open, or still held something, ``seq`` by rule.
        rows: How many events had texts.
    """

    redacted: Mapping[int, str] = field(default_factory=dict)
    broken: Mapping[str, Sequence[int] | NDArray[Any]] = field(default_factory=dict)
    rows: int = 0


def redact_texts(
    sealed: Iterable[tuple[int, bytes, bytes, int]], keys: Path, batch: Batch
) -> Texts:
    """Redact the sealed texts of a batch.

    Args:
        sealed: Rows of seq, event id, sealed text, and the day of its key.
        keys: Directory of the keys.
        batch: The events that the texts belong to.
    """
    opened, unreadable = _open(sealed, keys)
    # spaCy and its models take seconds to load: only where there is a text to redact.
    if not any(opened.values()):
        rows = len(opened) + len(unreadable)
        return Texts({}, {UNREADABLE: unreadable} if unreadable else {}, rows)
    from privacy.redaction import redact

    found = iter(redact([text for texts in opened.values() for text in texts]))
    redacted = {seq: _kept([next(found) for _ in texts]) for seq, texts in opened.items()}
    broken: dict[str, Sequence[int] | NDArray[Any]] = {UNREADABLE: unreadable} if unreadable else {}
    rows = len(opened) + len(unreadable)
    return Texts(redacted, broken | _look_again(redacted, batch), rows)


def _open(
    sealed: Iterable[tuple[int, bytes, bytes, int]], keys: Path
) -> tuple[dict[int, list[str]], list[int]]:
    opened: dict[int, list[str]] = {}
    unreadable: list[int] = []
    known: dict[int, bytes] = {}
    for seq, event_id, text, day in sealed:
        try:
            if day not in known:
                known[day] = day_key(keys, day)
            opened[seq] = _decode(unseal(known[day], text, event_id))
        except (KeyMissing, TextUnreadable, msgspec.MsgspecError, TypeError, UnicodeDecodeError):
            unreadable.append(seq)
    return opened, unreadable


def _kept(results: Sequence[Redacted]) -> str:
    return msgspec.json.encode(
        [{"text": one.text, "language": one.language, "length": one.length} for one in results]
    ).decode()


def _look_again(redacted: Mapping[int, str], batch: Batch) -> dict[str, NDArray[Any]]:
    """Check the redacted events with other eyes."""
    seqs = np.fromiter(redacted, np.int64, len(redacted))
    place = np.searchsorted(batch.seq, seqs)
    columns = {name: batch.columns[name][place] for name in anonymised_events.CARRIED}
    frame = pd.DataFrame(columns | {"texts": list(redacted.values())}, index=pd.Index(seqs))
    return broken_rules(frame, anonymised_events.SUITE)
