"""Take versions out of use that somebody has left, and delete their artefacts for good.

MLflow deletes softly: a deleted version keeps its tags, a deleted run its figures and files.
Here both are deleted for good, with the bytes that SQLite keeps of them, so that nothing of a
version is left but its number and when it was made and deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mlflow

from matching import garbage
from matching.registry import CHAMPION
from schemas.errors import NotRegistered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mlflow.entities import LoggedModel

    from matching.registry import Registry
    from matching.versions import Version


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

    What a retrain left that was killed before it registered a version goes with them. Safe to run
    again after a failure at any step.

    Args:
        registry: Of the model.
        versions: Versions that are not in use.

    Returns:
        Those that were there; what is gone already is left out.

    Raises:
        ValueError: One of them is the champion.
    """
    client, gone, runs = _client(registry), [], []
    # Before the versions: whoever registers one meanwhile has it among them.
    logged, listed = list(_logged(registry)), registry.versions()
    for entry in listed:
        if entry.version not in versions:
            continue
        if CHAMPION in entry.aliases:
            raise ValueError("the champion is in use and cannot be deleted")
        runs.append(entry.run_id)
        gone.append(entry.version)
    runs += [
        run
        for model in logged
        if (run := model.source_run_id) is not None and _is_left_over(model, listed)
    ]
    models = [model.model_id for model in logged if model.source_run_id in runs]
    if not runs:
        return []
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
        with garbage.gone_already():
            client.delete_run(run)
    for model in models:
        with garbage.gone_already():
            client.delete_logged_model(model)


def _logged(registry: Registry) -> Iterator[LoggedModel]:
    """List what was logged of any model, page by page."""
    client = _client(registry)
    experiment = client.get_experiment_by_name(registry.model_name)
    token = None
    while experiment is not None:
        page = client.search_logged_models([experiment.experiment_id], page_token=token)
        yield from page
        if not (token := page.token):
            return


def _is_left_over(model: LoggedModel, listed: list[Version]) -> bool:
    """Tell whether no version is of a model, though one was registered since it was logged."""
    if any(entry.run_id == model.source_run_id for entry in listed):
        return False
    logged_at = datetime.fromtimestamp(model.creation_timestamp / 1_000, UTC)
    return any(entry.created_at > logged_at for entry in listed)


def _client(registry: Registry) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(registry.tracking_uri, registry.tracking_uri)
