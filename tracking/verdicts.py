"""Read what the server says about a batch: each event stored, refused, or to be sent again."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from tracking.errors import Unreachable
from tracking.retrying import is_temporary

if TYPE_CHECKING:
    from tracking.transport import Reply

CONSENT_RULE = "Consent required for tracking"


class _Refused(msgspec.Struct):
    index: int
    field: str = "event"
    rule: str = ""
    status: int = HTTPStatus.UNPROCESSABLE_ENTITY


class _Answer(msgspec.Struct):
    stored: int
    duplicate: int
    refused: list[_Refused]


@dataclass(frozen=True)
class Verdict:
    """What became of a batch, by position in it; what is in no list is at the server."""

    stored: int = 0
    duplicate: int = 0
    rejected: tuple[tuple[int, str, str], ...] = ()
    """Position, field and rule of what will never be stored."""
    without_consent: tuple[int, ...] = ()
    again: tuple[int, ...] = ()
    """Positions of what the server had no room for."""


class TooMuch(Exception):
    """The server refuses the batch as a whole; a smaller one may do."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field
        self.rule = rule


def judge(reply: Reply, size: int) -> Verdict:
    """Read the reply to a batch of ``size`` events.

    A key that is refused, a route that is not there or a reply of another form says nothing
    about the events: they are sent again later.

    Raises:
        TooMuch: The batch is refused as a whole, for its size or for one event in it.
        Unreachable: It is worth sending again as it is.
    """
    if reply.status in {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }:
        raise _too_much(reply)
    if reply.status != HTTPStatus.OK:
        raise Unreachable(f"status {reply.status}", reply.retry_after)
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except msgspec.MsgspecError:
        raise Unreachable("the reply has another form") from None
    positions = {refused.index for refused in answer.refused}
    if not positions <= set(range(size)) or answer.stored + answer.duplicate > size:
        raise Unreachable("the reply is to another batch")
    return _sorted(answer)


def _sorted(answer: _Answer) -> Verdict:
    rejected, without_consent, again = [], [], []
    for refused in answer.refused:
        if is_temporary(refused.status):
            again.append(refused.index)
        elif refused.status == HTTPStatus.FORBIDDEN or refused.rule == CONSENT_RULE:
            without_consent.append(refused.index)
        else:
            rejected.append((refused.index, refused.field, refused.rule))
    return Verdict(
        answer.stored, answer.duplicate, tuple(rejected), tuple(without_consent), tuple(again)
    )


def _too_much(reply: Reply) -> TooMuch:
    try:
        refused = msgspec.json.decode(reply.body, type=_Refused)
    except msgspec.MsgspecError:
        return TooMuch("event", f"status {reply.status}")
    return TooMuch(refused.field, refused.rule or f"status {reply.status}")
