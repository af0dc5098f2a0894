"""Steps of the purge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import SecretStr

from schemas.clock import day_number, moment
from schemas.errors import NotReady
from schemas.retention import DELETED_RUNS, LOG_FILES, Aged, Rule
from schemas.settings import Settings
from tasks.opening import opened, registry_of
from tasks.policies import io_task
from warehouse import clock_witness, months, old_files, residue, retention
from warehouse.engine import connect
from warehouse.leases import Lease

if TYPE_CHECKING:
    from sqlalchemy import Engine

_PAGE = 200


@io_task
def check_clock(url: SecretStr, now: int) -> None:
    """Refuse to go on by a clock that has jumped ahead."""
    clock_witness.check_clock(connect(url), now)


@io_task
def make_months(url: SecretStr, kept_days: int, now: int, lease: Lease) -> list[str]:
    """Make the months of events and matches that are missing, and some ahead."""
    engine, today = connect(url), day_number(moment(now))
    alive = partial(lease.renew, engine)
    return months.make_months(engine, today - kept_days, today, meanwhile=alive)


@io_task
def count(url: SecretStr, rule: Rule) -> int:
    """Count what a purge would delete of one class."""
    return retention.count_expired(connect(url), rule)


@io_task
def begin_evidence(url: SecretStr, run: str, rules: tuple[Aged, ...], now: int) -> None:
    """Open the evidence: it grows with every chunk deleted."""
    retention.begin_evidence(connect(url), run, rules, moment(now))


@io_task
def delete(url: SecretStr, rule: Rule, lease: Lease, run: str) -> int:
    """Delete what is past its retention of one class, in chunks."""
    return retention.delete_expired(connect(url), rule, lease, run)


@io_task
def evidence(url: SecretStr, run: str) -> dict[str, int]:
    """Read what went by class; of a step that was tried again, what went in all its tries."""
    return retention.evidence(connect(url), run)


@io_task
def forget(url: SecretStr, lease: Lease) -> bool:
    """Overwrite the deleted bytes."""
    with opened(url) as engine:
        lease.renew(engine)
        return residue.forget_bytes(engine)


@io_task
def count_beside(rule: Aged) -> int:
    """Count what a purge would delete of one class beside the database."""
    settings, before = Settings(), moment(rule.cutoff)
    if rule.data_class == LOG_FILES:
        return len(old_files.old_files(settings.data / "logs", before))
    if rule.data_class == DELETED_RUNS:
        return len(registry_of(settings).deleted_runs(before)) if _has_registry(settings) else 0
    return _count_flow_runs(before)


@io_task
def delete_beside(rule: Aged, lease: Lease) -> int:
    """Delete one class beside the database, and return how much of it went."""
    settings, before = Settings(), moment(rule.cutoff)
    engine = connect(settings.url)
    lease.renew(engine)
    if rule.data_class == LOG_FILES:
        deleted = old_files.delete_old_files(settings.data / "logs", before)
    elif rule.data_class == DELETED_RUNS:
        known = _has_registry(settings)
        deleted = registry_of(settings).forget_deleted_runs(before) if known else 0
    else:
        deleted = _delete_flow_runs(before, partial(_stay, engine, lease))
    return deleted


@io_task
def note_beside(rule: Aged, run: str, deleted: int) -> None:
    """Note in the evidence what went beside the database.

    Apart from its deletion, which finds nothing any more where it is tried again.
    """
    retention.note_deleted(connect(Settings().url), run, rule.data_class, deleted)


def delete_each_beside(rules: Iterable[Aged], lease: Lease, run: str) -> None:
    """Delete every class beside the database; one that cannot go now keeps no other."""
    failed: list[Exception] = []
    for rule in rules:
        try:
            _delete_one_beside(rule, lease, run)
        except Exception as error:  # noqa: BLE001  # a failed task of its own; raised after the others
            failed.append(error)
    if failed:
        raise failed[0]


def _delete_one_beside(rule: Aged, lease: Lease, run: str) -> None:
    due = count_beside(rule)
    try:
        deleted = delete_beside(rule, lease)
    except Exception:
        # Some of it may have gone all the same.
        note_beside(rule, run, due - count_beside(rule))
        raise
    note_beside(rule, run, deleted)


def _stay(engine: Engine, lease: Lease) -> None:
    """Renew a lease between deletions, which a database that is busy now does not end."""
    with suppress(NotReady):
        lease.renew(engine)


def _has_registry(settings: Settings) -> bool:
    return (settings.mlruns / "mlflow.db").exists()


def _older(before: datetime) -> FlowRunFilter:
    """Choose the runs that were to start before a time, those too that were killed."""
    return FlowRunFilter.model_validate({"expected_start_time": {"before_": before}})


def _page(client: SyncPrefectClient, before: datetime) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=_older(before), limit=_PAGE, sort=FlowRunSort.EXPECTED_START_TIME_ASC
    )


def _count_flow_runs(before: datetime) -> int:
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(flow_run_filter=_older(before))


def _delete_flow_runs(before: datetime, meanwhile: Callable[[], object]) -> int:
    """Delete old flow runs with their artifacts, page by page; their logs go with them.

    Prefect's own cleaning takes artifacts without a run, but not where its server runs for the
    time of a command alone.
    """
    deleted = 0
    with get_client(sync_client=True) as client:
        while page := _page(client, before):
            _delete_artifacts(client, page)
            for run in page:
                client.delete_flow_run(run.id)
            deleted += len(page)
            meanwhile()
    return deleted


def _delete_artifacts(client: SyncPrefectClient, runs: list[FlowRun]) -> None:
    # Its own method sends nulls for whatever is not asked by, which its server refuses.
    theirs = {"artifacts": {"flow_run_id": {"any_": [str(run.id) for run in runs]}}}
    while page := client.request("POST", "/artifacts/filter", json=theirs).json():
        for artifact in page:
            client.delete_artifact(UUID(artifact["id"]))
