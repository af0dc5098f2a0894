"""The consent notices: files under version control, named ``VERSION.LANGUAGE.md``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import SmartMatchError
from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

NOTICES = CHECKOUT / "docs" / "notices"


class NoticeMissing(SmartMatchError):
    """No file holds the text of the notice that people are said to be shown."""


class Notice(NamedTuple):
    """A version of the notice and what identifies its text."""

    version: str
    sha256: bytes


def read_notice(version: str, directory: Path = NOTICES) -> Notice:
    """Read a version of the notice.

    Its digest is the SHA-256 of every language's name, length and bytes, in order of the
    name, so that it changes with any of them.

    Raises:
        NoticeMissing: There is no file of that version.
    """
    digest = hashlib.sha256()
    files = sorted(directory.glob(f"{version}.??.md"))
    if not files:
        raise NoticeMissing("the consent notice of the configured version is missing")
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return Notice(version, digest.digest())


def read_notices(current: str, directory: Path = NOTICES) -> dict[str, Notice]:
    """Read every version of the notice, by version; the current one must be there."""
    read_notice(current, directory)
    versions = {path.name[: -len(".fr.md")] for path in directory.glob("*.??.md")}
    return {version: read_notice(version, directory) for version in sorted(versions)}
