"""Where versions of the model live; the only home of MLflow.

A version is a directory with the model's JSON and MLflow's description of it. Reading one
runs no code that was stored: the loader is this module, and the JSON is data. Which version
is in use is said by aliases alone, so a promotion and a rollback move a name and nothing
else. The aliases follow what was published in the database, where a run that was overtaken
cannot publish.

NotRegistered
└── raised when a version or alias is asked for that is not there
ModelDiffers
└── raised when a stored model is not the one that was registered
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_DB_POOLING_WARNING", "true")

import mlflow
import mlflow.pyfunc
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from matching import card, garbage, story
from matching.model import Model, first_champion, score
from matching.signature import signature
from matching.versions import Recorded, Version, listed
from schemas.errors import InvalidInput, NotRegistered, SmartMatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

    from matching.training import Retraining

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
PACKAGES = ("mlflow", "numpy", "pandas", "scipy")
"""What a version needs beside this project to be loaded and to score."""
_MOST_RUNS = 1_000
_MOST_BYTES = 1 << 26
"""A model of ours has some kilobytes."""


for chatty in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(chatty).setLevel(logging.WARNING)
# It misses pip in an environment that another tool made; what a version needs is said below.
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


class ModelDiffers(SmartMatchError):
    """A stored model is not the one that was registered under its version."""


class Registry:
    """The versions of one model in one MLflow store.

    Making one points this process's MLflow at the store, so that afterwards
    ``mlflow.pyfunc.load_model("models:/smartmatch@champion")`` reads from it.

    Args:
        tracking_uri: MLflow store, such as ``sqlite:////home/mlruns/mlflow.db``.
        artifact_root: Directory or URI under which artefacts are written.
        model_name: Name of the registered model.
    """

    def __init__(
        self, tracking_uri: str, artifact_root: str, model_name: str = "smartmatch"
    ) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.model_name = model_name
        self._client = mlflow.MlflowClient(tracking_uri, tracking_uri)
        self._here()

    def register_first_champion(self) -> str:
        """Register version 1, the matcher's own score calibrated by belief, as champion.

        Returns:
            Version of the champion; where there is one already, nothing is changed.
        """
        try:
            return str(self._version(CHAMPION).version)
        except NotRegistered:
            pass
        version = self.register_first()
        self._point(CHAMPION, version)
        return version

    def register_first(self) -> str:
        """Register the matcher's own score, calibrated by belief; no alias points to it.

        Returns:
            Its version; where somebody was stopped who had registered it and not named it, theirs.
        """
        model = first_champion()
        for left in reversed(self.versions()):
            if (left.digest, left.learned, left.aliases) == (model.digest, False, ()):
                return left.version
        sentence = "The matcher's own score, calibrated by belief: no decision was learned from."
        return self.register_model(model, sentence, {"promoted": "true"})

    def register_model(
        self, model: Model, sentence: str, tags: Mapping[str, str] | None = None
    ) -> str:
        """Register a model that no retraining made; no alias points to it.

        Returns:
            Its version.
        """
        with self._run(f"{model.kind}: made by no retraining") as run_id:
            mlflow.log_params(story.parameters(model))
            mlflow.set_tags({"kind": model.kind, "model_digest": model.digest})
            return self._register(model, run_id, sentence, {"sentence": sentence, **(tags or {})})

    def champion(self) -> tuple[Model, str]:
        """Read the model in use and its version.

        Raises:
            NotRegistered: There is none.
            ModelDiffers: The stored model is not the registered one.
        """
        return self.load(CHAMPION)

    def load(self, version_or_alias: str) -> tuple[Model, str]:
        """Read a model by version or alias, checked against its digest.

        Raises:
            NotRegistered: There is no such version or alias.
            ModelDiffers: The stored model is not the registered one.
        """
        entry = self._version(version_or_alias)
        self._here()
        path = Path(mlflow.artifacts.download_artifacts(_uri(entry))) / _DATA
        try:
            # Neither a pipe, which would be waited for, nor what fills the memory.
            plain = path.is_file() and path.stat().st_size <= _MOST_BYTES
            model = Model.from_json(path.read_text(encoding="utf-8")) if plain else None
        except (OSError, InvalidInput, UnicodeDecodeError):
            model = None
        if model is None or model.digest != entry.tags.get("model_digest"):
            raise ModelDiffers(f"version {entry.version} is not the model that was registered")
        return model, str(entry.version)

    def scorer(self, version_or_alias: str = CHAMPION) -> Scorer:
        """Read a model as ``load`` does, for whoever scores by it."""
        return Scorer(self.load(version_or_alias)[0])

    def record(
        self,
        retraining: Retraining,
        *,
        training_digest: str,
        consent_digest: str,
        as_of: datetime,
        extra: Mapping[str, str | float] | None = None,
    ) -> Recorded:
        """Register a candidate with its evidence; no alias points to it yet.

        Apart from coming into use, so that what it learned from is kept in the books before.

        Args:
            retraining: What was found.
            training_digest: Digest of the rows learned from.
            consent_digest: Digest of the consents that stood.
            as_of: Aware time of the reading.
            extra: Further tags (text) and metrics (numbers) of the run.

        Raises:
            NotRegistered: There is no champion to compare with.
        """
        old = str(self._version(CHAMPION).version)
        verdict = retraining.verdict
        digests = {"training_digest": training_digest, "consent_digest": consent_digest}
        name = f"{as_of:%Y-%m-%d %H:%M} {retraining.model.kind}"
        with self._run(name, digests | {"as_of": as_of.isoformat()}) as run_id:
            mlflow.log_params(story.parameters(retraining.model) | {"compared_with": old})
            story.log_evidence(retraining, extra or {})
            story.log_training_set(training_digest)
            text = card.model_card(retraining, as_of=as_of, **digests)
            mlflow.log_text(text, "model_card.md")
            tags = digests | story.gate_tags(verdict) | {"compared_with": old}
            version = self._register(retraining.model, run_id, card.as_description(text), tags)
            mlflow.set_tag("mlflow.runName", story.run_name(retraining, version, as_of))
        return Recorded(version, run_id, verdict.promote, version if verdict.promote else old)

    def follow(self, told: Callable[[], Mapping[str, str]]) -> None:
        """Give the aliases to the versions that are told, until nothing else is told.

        Whoever was held up between being told and writing, however long, is told again after
        each write, so that what is told last holds. A version that is not there gets none.

        Args:
            told: Tells the version of each alias as of now; of an alias that it leaves out, that
                there is none.
        """
        while self._name(told()):
            pass

    def record_refusal(
        self,
        reason: str,
        *,
        training_digest: str,
        consent_digest: str,
        as_of: datetime,
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """Record that a retraining made no model, and why.

        Args:
            reason: A sentence.
            training_digest: Digest of the rows that were read.
            consent_digest: Digest of the consents that stood.
            as_of: Aware time of the reading.
            metrics: What was measured, if anything.

        Returns:
            The MLflow run.
        """
        tags = {
            "training_digest": training_digest,
            "consent_digest": consent_digest,
            "as_of": as_of.isoformat(),
            "promoted": "false",
            "gate": "not asked",
            "sentence": reason[: story.TAG_CHARACTERS],
        }
        with self._run(f"nothing learned, {as_of:%Y-%m-%d %H:%M}", tags) as run_id:
            mlflow.log_metrics(dict(metrics or {}))
            story.log_training_set(training_digest)
        return run_id

    def versions(self) -> list[Version]:
        """List all versions, newest first."""
        named = self._client.search_registered_models(f"name = '{self.model_name}'")
        if not named:
            return []
        aliases: dict[str, list[str]] = {}
        for alias, version in named[0].aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        found = self._client.search_model_versions(f"name = '{self.model_name}'")
        entries = [listed(entry, aliases.get(str(entry.version), [])) for entry in found]
        return sorted(entries, key=lambda entry: int(entry.version), reverse=True)

    def deleted_runs(self, before: datetime) -> list[str]:
        """List the runs that were deleted, softly, and had ended before a time."""
        limit, experiment = before.timestamp() * 1_000, self._experiment()
        listed: list[str] = []
        page: str | None = ""
        while page is not None:
            found = self._client.search_runs(
                [experiment],
                run_view_type=ViewType.DELETED_ONLY,
                max_results=_MOST_RUNS,
                page_token=page or None,
            )
            listed += [
                run.info.run_id
                for run in found
                if (run.info.end_time or run.info.start_time) < limit
            ]
            page = found.token or None
        return listed

    def forget_deleted_runs(self, before: datetime) -> int:
        """Delete those runs for good, with their files, and say how many there were.

        Raises:
            NotReady: The store is busy or full, and keeps bytes of them until this is called again.
        """
        found = self.deleted_runs(before)
        if found:
            garbage.collect(self.tracking_uri, self.artifact_root, found)
        else:
            garbage.sweep(self.tracking_uri)  # what it kept of others, when it was busy
        return len(found)

    def _name(self, told: Mapping[str, str]) -> bool:
        """Give each alias to the version that is told, and say whether another one had it."""
        listed = self.versions()
        registered = {entry.version for entry in listed}
        has = {alias: entry.version for entry in listed for alias in entry.aliases}
        wanted = {alias: version for alias, version in told.items() if version in registered}
        moved = {alias: version for alias, version in wanted.items() if has.get(alias) != version}
        lost = {PREVIOUS, CHALLENGER} & set(has) - set(wanted)
        for alias, version in moved.items():
            self._point(alias, version)
        for alias in lost:
            self._client.delete_registered_model_alias(self.model_name, alias)
        return bool(moved or lost)

    def _point(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(self.model_name, alias, str(version))

    def _version(self, version_or_alias: str) -> ModelVersion:
        try:
            if version_or_alias.isdigit():
                return self._client.get_model_version(self.model_name, version_or_alias)
            return self._client.get_model_version_by_alias(self.model_name, version_or_alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                if version_or_alias in (CHAMPION, CHALLENGER, PREVIOUS):
                    hint = "; `smartmatch init` makes the first" * (version_or_alias == CHAMPION)
                    raise NotRegistered(
                        f"{self.model_name} has no {version_or_alias}{hint}"
                    ) from None
                raise NotRegistered(f"version: must be one of {self.model_name}") from None
            raise

    def _register(
        self, model: Model, run_id: str, description: str, tags: Mapping[str, str]
    ) -> str:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # An input example would store rows of real people.
            warnings.filterwarnings("ignore", ".*An input example was not provided")
            path = Path(folder) / _FILE
            path.write_text(model.to_json(), encoding="utf-8")
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="matching.registry",
                data_path=str(path),
                signature=signature(model),
                pip_requirements=[f"{name}=={installed(name)}" for name in PACKAGES],
            )
        if not self._client.search_registered_models(f"name = '{self.model_name}'"):
            self._client.create_registered_model(self.model_name, description=story.MODEL)
        entry = self._client.create_model_version(
            self.model_name,
            logged.model_uri,
            run_id,
            tags={"model_digest": model.digest, "kind": model.kind} | dict(tags),
            description=description,
            model_id=logged.model_id,
        )
        return str(entry.version)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.model_name)
        if found is not None:
            return str(found.experiment_id)
        # The list of experiments shows the kind; without it the page asks what it is.
        described = {
            "mlflow.note.content": story.EXPERIMENT,
            "mlflow.experimentKind": "custom_model_development",
        }
        return str(
            self._client.create_experiment(self.model_name, self.artifact_root, tags=described)
        )

    @contextmanager
    def _run(self, name: str, tags: dict[str, str] | None = None) -> Iterator[str]:
        """Begin a run with tags: one that is stopped anywhere is known by them."""
        self._here()
        experiment = self._experiment()
        with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as run:
            yield run.info.run_id

    def _here(self) -> None:
        """Point MLflow's process-wide setting at this store; another registry may have moved it."""
        if mlflow.get_tracking_uri() != self.tracking_uri:
            mlflow.set_tracking_uri(self.tracking_uri)


class Scorer:
    """A model in use, as ``mlflow.pyfunc.load_model`` gives it, too: a frame in, scores out."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> Any:
        """Score proposals; see ``matching.model.score``."""
        del params  # there are none; MLflow asks for the argument
        return score(self.model, model_input)


def _load_pyfunc(path: str) -> Scorer:
    """Load a version, unchecked; MLflow calls this with the path of the JSON."""
    return Scorer(Model.from_json(Path(path).read_text(encoding="utf-8")))


_FILE = "smartmatch.json"
_DATA = Path("data") / _FILE


def _uri(entry: ModelVersion) -> str:
    return f"models:/{entry.name}/{entry.version}"
