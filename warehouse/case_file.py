"""What an erasure has to remember until its proof is done, beside the keys and never elsewhere.

Once the row of a subject is deleted nobody knows any more what to look for. The case file of a
request keeps the subject's number, pseudonyms and keys of rows until the search has shown that
nothing of them is left; then its bytes are overwritten. The identifier as the platform names the
person is not in it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from warehouse.keyfile import changing, destroy_file, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FOLDER = "erasures"


class CaseFile(msgspec.Struct, frozen=True):
    """Whom an erasure is about.

    Attributes:
        subject: Their number.
        pseudonyms: Theirs under every key there is.
        ledger_id: Names their entries in the consent ledger.
        rows_before: Rows of theirs before the erasure, by table.
        found_before: Places found before the erasure, by store.
        keys: Of their rows alone, as SQLite stores them: events' ids and matches' keys.
    """

    subject: int
    pseudonyms: list[bytes]
    ledger_id: bytes
    rows_before: dict[str, int] = {}
    found_before: dict[str, int] = {}
    keys: list[bytes] = []

    def marks(self) -> set[bytes]:
        """Return what deleted rows of theirs are told by, as SQLite stores it."""
        return {self.subject.to_bytes(8, "big"), *self.pseudonyms, *self.keys}


def read_case(directory: Path, request: str) -> CaseFile | None:
    """Read the case file of a request; None when it was closed, or never opened here."""
    try:
        content = _path(directory, request).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=CaseFile)


def has_case(directory: Path, request: str) -> bool:
    """Tell whether the case file of a request is there, and not being closed."""
    return _path(directory, request).is_file()


def write_case(directory: Path, request: str, case: CaseFile) -> None:
    """Write the case file of a request in one step, durably."""
    with changing(directory):
        replace_file(_path(directory, request), msgspec.json.encode(case))


def close_case(directory: Path, request: str) -> None:
    """Overwrite and delete the case file of a request; closed already, it is closed."""
    path = _path(directory, request)
    with changing(directory):
        # Nobody may read it half overwritten: it gives up its name first.
        with suppress(FileNotFoundError):
            path.replace(path.with_name(f"{path.name}.closed"))
        for left in (directory / _FOLDER).glob(f"*{request}.json*"):
            destroy_file(left)


def open_cases(directory: Path) -> list[str]:
    """List the requests of which a case file, or what a kill left of one, is there."""
    names = (path.name.lstrip(".") for path in (directory / _FOLDER).glob("*"))
    return sorted({name.partition(".json")[0] for name in names})


def merged(pseudonyms: Iterable[bytes], known: CaseFile | None) -> list[bytes]:
    """Return pseudonyms with those that a case file knows already, each once."""
    return sorted({*pseudonyms, *(known.pseudonyms if known else ())})


def _path(directory: Path, request: str) -> Path:
    return directory / _FOLDER / f"{request}.json"
