"""Delete for good what MLflow deletes softly, and what its own garbage collection leaves.

That keeps the rows which tie a run to its data set, the data set's row with its digest, where the
files of a deleted version lay, and folders that are empty. On SQLite all of it goes; another store
keeps those rows.
"""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import mlflow

from schemas.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_SQLITE = "sqlite:///"
_PATIENCE_SECONDS = 10.0
_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_LEFT = (
    (
        "DELETE FROM inputs WHERE destination_type = 'RUN'"
        " AND destination_id NOT IN (SELECT run_uuid FROM runs)"
    ),
    (
        "DELETE FROM inputs WHERE source_type = 'RUN_OUTPUT'"
        " AND source_id NOT IN (SELECT run_uuid FROM runs)"
    ),
    "DELETE FROM input_tags WHERE input_uuid NOT IN (SELECT input_uuid FROM inputs)",
    (
        "DELETE FROM datasets WHERE dataset_uuid NOT IN"
        " (SELECT source_id FROM inputs WHERE source_type = 'DATASET')"
    ),
    "UPDATE model_versions SET storage_location = NULL WHERE current_stage = 'Deleted_Internal'",
)


def collect(
    tracking_uri: str, artifact_root: str, runs: Collection[str], models: Collection[str] = ()
) -> None:
    """Delete runs and logged models for good that are deleted softly; safe to run again.

    Args:
        tracking_uri: MLflow's store.
        artifact_root: Directory or URI under which their files lie.
        runs: Numbers of runs.
        models: Numbers of logged models.

    Raises:
        NotReady: The store is busy or full, and keeps bytes of them until ``sweep`` is called.
    """
    from mlflow.cli import gc  # its command line: only where there is something to delete

    for option, ids in (("--logged-model-ids", models), ("--run-ids", runs)):
        for one in ids:
            arguments = ["--backend-store-uri", tracking_uri, option, one]
            with redirect_stdout(io.StringIO()), gone_already():
                gc.main(args=arguments, standalone_mode=False)
    if "://" not in artifact_root.removeprefix("file://"):
        local = artifact_root.startswith("file:")
        root = Path(unquote(urlsplit(artifact_root).path) if local else artifact_root)
        for folder in [*(root / one for one in runs), *(root / "models" / one for one in models)]:
            _remove_empty(folder)
    sweep(tracking_uri)


@contextmanager
def gone_already() -> Iterator[None]:
    """Let what is to be deleted be gone; a store that is locked or full is no such answer."""
    try:
        yield
    except mlflow.MlflowException as error:
        if error.error_code not in _GONE:
            raise


def sweep(tracking_uri: str) -> None:
    """Delete the rows that are left, and overwrite what SQLite keeps of deleted ones.

    Raises:
        NotReady: The store is busy or its disk is full: deleted bytes are left, until this is
            called again.
    """
    if not tracking_uri.startswith(_SQLITE):
        return
    path = tracking_uri.removeprefix(_SQLITE)
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS)) as store:
            with store:
                for statement in _LEFT:
                    store.execute(statement)
            store.execute("VACUUM")
    except sqlite3.OperationalError as error:
        raise NotReady(
            f"deleted bytes are left in the model registry ({error.sqlite_errorname}): it is busy,"
            " or its disk is full"
        ) from None


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it; one that holds a file stays."""
    inner = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in (*inner, folder):
        with suppress(OSError):
            path.rmdir()
