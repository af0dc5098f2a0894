"""Take versions out of use that somebody has left, and delete their artefacts for good.

MLflow deletes softly: a deleted version keeps its tags, a deleted run its figures and files.
Here both are deleted for good, with the bytes that SQLite keeps of them, so that nothing of a
version is left but its number and when it was made and deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow

from matching import garbage
from matching.registry import CHAMPION
from schemas.errors import NotRegistered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mlflow.entities import LoggedModel, Run

    from matching.registry import Registry

_PAGE = 1_000
"""Runs that are listed at once."""


def earlier(registry: Registry, marked: Collection[str], published: Collection[str]) -> str | None:
    """Find the champion before that nobody has left, if somebody has left the present one.

    The first one learned from nobody; where it was deleted meanwhile, it is registered anew.

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
    before = (
        entry.version
        for entry in listed
        if entry.promoted
        and entry.version not in marked
        and int(entry.version) < int(champion)
        and (entry.version in published or not entry.learned)
    )
    return next(before, None) or registry.register_first()


def abandoned(registry: Registry) -> list[str]:
    """List the runs of retrains that came to no version, those under way among them.

    What they learned is in no books, so that nobody would ask for its end. So are runs whose
    version somebody deleted in MLflow's pages: there its number goes, and its files stay.
    """
    client = _client(registry)
    experiment = client.get_experiment_by_name(registry.model_name)
    if experiment is None:
        return []
    registered = {entry.run_id for entry in registry.versions()}
    logged = {str(model.source_run_id) for model in _logged(registry) if model.source_run_id}
    runs = {
        run.info.run_id
        for run in _unfinished(client, experiment.experiment_id)
        if "training_digest" in run.data.tags
    }
    runs |= {run for run in logged - registered if _learned(client, run)}
    return sorted(runs - registered)


def dispose(
    registry: Registry, versions: Collection[str], abandoned: Collection[str] = ()
) -> list[str]:
    """Delete versions with their runs, models, figures and files for good.

    Safe to run again after a failure at any step; it then also overwrites what is gone already.

    Args:
        registry: Of the model.
        versions: Versions that are not in use.
        abandoned: Runs that came to no version and are not under way.

    Returns:
        Those that were there; what is gone already is left out.

    Raises:
        ValueError: One of them is the champion.
        NotReady: The store is busy or full, and keeps bytes of them until this is run again.
    """
    client, gone, runs = _client(registry), [], [*abandoned]
    for entry in registry.versions():
        if entry.version not in versions:
            continue
        if CHAMPION in entry.aliases:
            raise ValueError("the champion is in use and cannot be deleted")
        runs.append(entry.run_id)
        gone.append(entry.version)
    if not runs and not versions:
        return []
    models = [model.model_id for model in _logged(registry) if model.source_run_id in runs]
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


def _learned(client: mlflow.MlflowClient, run: str) -> bool:
    """Tell whether a run is a retrain's; one that is gone for good is taken for one."""
    tags = {"training_digest": ""}
    with garbage.gone_already():
        tags = client.get_run(run).data.tags
    return "training_digest" in tags


def _unfinished(client: mlflow.MlflowClient, experiment: str) -> Iterator[Run]:
    """List the runs that have not ended well, page by page."""
    token = None
    while True:
        page = client.search_runs(
            [experiment],
            "attributes.status != 'FINISHED'",
            max_results=_PAGE,
            page_token=token,
        )
        yield from page
        if not (token := page.token):
            return


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


def _client(registry: Registry) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(registry.tracking_uri, registry.tracking_uri)
