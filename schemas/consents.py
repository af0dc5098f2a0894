"""What a person answers to the notice, as sent and as returned.

A call states every purpose: one that it does not name is refused. Granting and withdrawing are
the same call.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.events import Identifier

Channel = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_-]*\Z")]
NoticeVersion = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[\w.-]+\Z")]


class ConsentRequest(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A person's answer to the notice.

    ``notice_version`` is the version that they were shown, the server's own when absent;
    ``channel`` says where they answered, such as ``web``.
    """

    user_id: Identifier
    analytics: bool = False
    preferences: bool = False
    improvement: bool = False
    notice_version: NoticeVersion | None = None
    channel: Channel = "api"


class PersonRequest(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Names the person whom an erasure or an export is about."""

    user_id: Identifier


class ExportRequest(PersonRequest, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Names the person whose copy is asked for, and its form."""

    format: Literal["json", "csv"] = "json"


class Options(Struct, frozen=True):
    """What a person allows, by purpose."""

    analytics: bool
    preferences: bool
    improvement: bool


class ConsentReply(Struct, frozen=True, kw_only=True):
    """A consent that was recorded."""

    status: str = "success"
    consent_id: str
    options: Options
    notice_version: str
    recorded_at: str


class ConsentState(Struct, frozen=True, kw_only=True):
    """What a person allows now."""

    status: str = "success"
    options: Options
    notice_version: str
    updated_at: str
