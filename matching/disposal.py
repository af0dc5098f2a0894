"""Take versions out of use that somebody has left, and delete their artefacts for good.

MLflow deletes softly: a deleted version keeps its tags, a deleted run its figures and files.
Here both are deleted for good, with the bytes that SQLite keeps of them, so that nothing of a
version is left but its number and when it was made and deleted.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import mlflow

from matching import garbage
from matching.registry import CHAMPION
from schemas.errors import NotRegistered

if TYPE_CHECKING:
    from collections.abc import Collection

    from matching.registry import Registry


def earlier(registry: Registry, marked: Collection[str], published: Collection[str]) -> str | None:
    """Find the champion before that nobody has left, if somebody has left the present one.

    Version 1 learned from nobody, so there always is one.

    Args:
        registry: Of the model.
        marked: Versions that learned from somebody who has withdrawn or was erased since.
        published: Versions that were in use and are not about to be deleted.

    Returns:
        The version that is to be champion, or None where the present one may stay.

    Raises:
        NotRegistered: There is no champion.
    """
    listed = registry.versions()
    champion = next((entry.version for entry in listed if CHAMPION in entry.aliases), None)
    if champion is None:
        raise NotRegistered(f"{registry.model_name} has no {CHAMPION}")
    if champion not in marked:
        return None
    return next(
        entry.version
        for entry in listed
        if entry.promoted
        and entry.version not in marked
        and int(entry.version) < int(champion)
        and (entry.version in published or not entry.learned)
    )


def dispose(registry: Registry, versions: Collection[str]) -> list[str]:
    """Delete versions with their runs, models, figures and files for good.

    Safe to run again after a failure at any step.

    Args:
        registry: Of the model.
        versions: Versions that are not in use.

    Returns:
        Those that were there; what is gone already is left out.

    Raises:
        ValueError: One of them is the champion.
    """
    client, gone, runs, models = _client(registry), [], [], []
    for entry in registry.versions():
        if entry.version not in versions:
            continue
        if CHAMPION in entry.aliases:
            raise ValueError("the champion is in use and cannot be deleted")
        runs.append(entry.run_id)
        gone.append(entry.version)
    if not gone:
        return []
    experiment = client.get_experiment_by_name(registry.model_name)
    for model in client.search_logged_models([experiment.experiment_id] if experiment else []):
        models += [model.model_id] if model.source_run_id in runs else []
    # What is deleted softly is listed nowhere any more: the version goes last, so that a run
    # of this that was killed is found again.
    _delete_softly(registry, runs, models)
    garbage.collect(registry.tracking_uri, registry.artifact_root, runs, models)
    for version in gone:
        details = client.get_model_version(registry.model_name, version)
        for tag in details.tags:
            client.delete_model_version_tag(registry.model_name, version, tag)
        client.delete_model_version(registry.model_name, version)
    garbage.sweep(registry.tracking_uri)
    return gone


def _delete_softly(registry: Registry, runs: list[str], models: list[str]) -> None:
    client = _client(registry)
    for run in runs:
        with suppress(mlflow.MlflowException):  # gone already
            client.delete_run(run)
    for model in models:
        with suppress(mlflow.MlflowException):
            client.delete_logged_model(model)


def _client(registry: Registry) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(registry.tracking_uri, registry.tracking_uri)
