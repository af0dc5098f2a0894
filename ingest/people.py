"""Routes about one person: their consent, their erasure, their copy."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from ingest.arrivals import person_of
from ingest.decoding import Form, explain
from ingest.hot import CONSENT_PATH
from ingest.openapi import describe
from ingest.permission import json_response, needs
from ingest.proving import Prover
from ingest.replies import ERASING, NOT_FOUND, OVER_MATCH, SEVERAL, Refused
from privacy.pseudonyms import address_hash, subject_pseudonym
from privacy.sealing import open_texts
from schemas.clock import moment
from schemas.consents import (
    ConsentReply,
    ConsentRequest,
    ConsentState,
    ExportRequest,
    Options,
    PersonRequest,
)
from schemas.errors import ConsentRequired, InvalidInput
from warehouse import access, consents, erasure_requests, persons, tombstones
from warehouse.api_keys import Scope
from warehouse.consents import Entry, NoSuchPerson, Person, State
from warehouse.engine import reading
from warehouse.keyfile import day_key
from warehouse.persons import OverMatch

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.launcher import Launcher
    from ingest.service import Service

ERASURE_PATH = "/api/privacy/erasure"
EXPORT_PATH = "/api/privacy/export"


class ErasureReply(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure that was asked for, and where to follow it.

    ``also`` are the numbers of further requests, where the person is more than one subject.
    """

    status: str = "accepted"
    request: str
    url: str
    also: list[str] | msgspec.UnsetType = msgspec.UNSET


class ErasureState(msgspec.Struct, frozen=True, kw_only=True):
    """How far an erasure is, with its report: rows deleted, models that had seen the person."""

    status: str = "success"
    request: str
    state: str
    requested_at: str
    finished_at: str | None
    report: dict[str, Any]


_consent_form = Form(ConsentRequest)
_person_form = Form(PersonRequest)
_export_form = Form(ExportRequest)


def consent_routes(service: Service) -> APIRouter:
    """Return the routes by which a person allows, looks and withdraws."""
    router = APIRouter(tags=["consent"], dependencies=[needs(Scope.INGEST)])

    @router.post(
        CONSENT_PATH,
        **describe(Scope.INGEST, reply=ConsentReply, request=ConsentRequest, refusals=(409, 422)),
    )
    async def record_consent(request: Request) -> Response:
        """Record what a person answered to the notice.

        Every purpose that is not named is refused; withdrawing is the same call.
        """
        sent = _consent_form.read(request.scope["query_string"], await request.body())
        person = _person(service, sent.user_id)
        entry = _entry(service, sent, request)
        try:
            state: State = await service.write(
                lambda connection: tombstones.record(
                    connection, service.settings.keys, person, entry, service.seals
                )
            )
        except ConsentRequired:
            raise Refused(ERASING) from None
        service.watch.consents.forget(list(person.candidates), 0)
        return json_response(
            ConsentReply(
                consent_id=str(entry.consent_id),
                options=state.options,
                notice_version=state.notice_version,
                recorded_at=moment(state.updated_at).isoformat(),
            )
        )

    @router.get(
        CONSENT_PATH + "/{user_id:path}",
        **describe(Scope.INGEST, reply=ConsentState, refusals=(404, 422)),
    )
    async def read_consent(user_id: str) -> Response:
        """Read what a person allows now; 404 when they never answered."""
        person = _person(service, _checked(user_id))
        state = await run_in_threadpool(_find, service, person)
        return json_response(
            ConsentState(
                options=state.options,
                notice_version=state.notice_version,
                updated_at=moment(state.updated_at).isoformat(),
            )
        )

    return router


def privacy_routes(service: Service, launcher: Launcher) -> APIRouter:
    """Return the routes by which a person is forgotten or gets their copy."""
    router = APIRouter(tags=["privacy"], dependencies=[needs(Scope.PRIVACY)])
    prover = Prover(service)

    @router.post(
        ERASURE_PATH,
        **describe(
            Scope.PRIVACY,
            status=202,
            reply=ErasureReply,
            request=PersonRequest,
            refusals=(404, 409, 422),
        ),
    )
    async def erase_person(request: Request) -> Response:
        """Stop collecting about a person at once, and erase them everywhere.

        Asked for twice, it is the same request. Who is more than one subject, because keys were
        apart for a while, has a request for each. 409 when one of these is not as it was written;
        then nothing is erased.
        """
        sent = _person_form.read(request.scope["query_string"], await request.body())
        person = _person(service, sent.user_id)
        known_as = _every_pseudonym(service, sent.user_id)
        numbers = await service.write(
            lambda connection: _begin_erasure(connection, service.settings.keys, known_as)
        )
        service.watch.consents.forget(list(person.candidates), 0)
        for number in numbers:
            await launcher.launch("erase_subject", number)
            # The identifier stays in this process: nobody else can look for it.
            prover.start(number, sent.user_id)
        first, *others = numbers
        reply = ErasureReply(
            request=first, url=f"{ERASURE_PATH}/{first}", also=others or msgspec.UNSET
        )
        return json_response(reply, 202)

    @router.get(
        ERASURE_PATH + "/{request}",
        **describe(Scope.PRIVACY, reply=ErasureState, refusals=(404, 422)),
    )
    def read_erasure(request: str) -> Response:
        """Follow an erasure: requested, deleted, forgotten, done."""
        found = erasure_requests.read(service.engine, request)
        if found is None:
            raise Refused(NOT_FOUND)
        finished = found.finished_at
        return json_response(
            ErasureState(
                request=found.request,
                state=found.state,
                requested_at=moment(found.requested_at).isoformat(),
                finished_at=moment(finished).isoformat() if finished else None,
                report=found.report,
            )
        )

    @router.post(
        EXPORT_PATH,
        **describe(
            Scope.PRIVACY,
            reply=dict[str, Any],
            request=ExportRequest,
            refusals=(404, 409, 422),
            texts=("text/csv",),
        ),
    )
    async def export_person(request: Request) -> Response:
        """Give everything that is held about one person, and about nobody else; JSON or CSV."""
        sent = _export_form.read(request.scope["query_string"], await request.body())
        person = _person(service, sent.user_id)
        people = await run_in_threadpool(_subjects, service, person)
        settings = service.settings
        opened = partial(open_texts, partial(day_key, settings.keys))
        found = await run_in_threadpool(
            access.export_person, service.engine, people, settings, opened
        )
        if sent.format == "csv":
            return Response(access.as_csv(found), media_type="text/csv")
        return json_response(found)

    return router


def _person(service: Service, user_id: str) -> Person:
    return person_of(service.watch.ring, user_id, time.time_ns() // 1_000)


def _checked(user_id: str) -> str:
    try:
        return msgspec.convert({"user_id": user_id}, PersonRequest).user_id
    except ValueError as error:
        raise explain(error) from None


def _entry(service: Service, sent: ConsentRequest, request: Request) -> Entry:
    version = sent.notice_version or service.settings.notice_version
    notice = service.notices.get(version)
    if notice is None:
        raise InvalidInput("notice_version", "must be a version of the notice")
    client = request.scope.get("client")
    key = service.watch.ring.current.secret
    return Entry(
        consent_id=consents.new_consent_id(),
        options=Options(sent.analytics, sent.preferences, sent.improvement),
        notice=notice,
        channel=sent.channel,
        address_hash=address_hash(key, sent.user_id, client[0]) if client else None,
        recorded_at=time.time_ns() // 1_000,
    )


def _find(service: Service, person: Person) -> State:
    with reading(service.engine) as connection:
        state = consents.find(connection, person.candidates)
    if state is None or state.erasing:
        raise Refused(NOT_FOUND)
    return state


def _subjects(service: Service, person: Person) -> list[int]:
    try:
        with reading(service.engine) as connection:
            rows = persons.rows_of_one(connection, person.candidates, service.seals)
    except OverMatch:
        raise Refused(SEVERAL) from None
    if not rows or any(row.erasing for row in rows):
        raise Refused(NOT_FOUND)
    return [row.subject for row in rows]


def _every_pseudonym(service: Service, user_id: str) -> list[bytes]:
    keys = service.watch.ring.pseudonym_keys
    return [subject_pseudonym(key.secret, user_id) for key in keys]


def _begin_erasure(connection: Any, directory: Path, known_as: list[bytes]) -> list[str]:
    try:
        return erasure_requests.begin_each(connection, directory, known_as, datetime.now(UTC))
    except NoSuchPerson:
        raise Refused(NOT_FOUND) from None
    except OverMatch:
        raise Refused(OVER_MATCH) from None
