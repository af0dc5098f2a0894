"""Every setting, once: name, meaning, unit, default, bounds.

Read from the environment and from a file ``.env`` in the current directory; names carry the
prefix ``SMARTMATCH_``, but for ``HOST`` and ``PORT``. Secrets are not settings: they live in
the key file (``warehouse/keyfile.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.errors import NotReady

CHECKOUT = Path(__file__).resolve().parent.parent
"""Where this code lies: the default home."""

DEMO_MARK = ".demo"
"""A file of this name says that the demo made its directory: a registry, or all the rest."""

RETENTION_CEILINGS = {
    "events_retention_days": 395,
    "metrics_retention_days": 760,
    "rejected_retention_days": 30,
    "staging_retention_days": 7,
    "logs_retention_days": 180,
    "superseded_model_days": 180,
    "run_events_retention_days": 7,
}
"""Longest retention without a reason of the operator's own, days: 13 months of events, 25 of
aggregates and 6 of logs, as the CNIL says of audience measurement and of security logs."""

_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
"""Hangul fillers: letters that show nothing."""


class Settings(BaseSettings):
    """Configuration of one installation; frozen, so that a run cannot change its own rules."""

    model_config = SettingsConfigDict(
        env_prefix="SMARTMATCH_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    # Where things lie
    home: Path = Field(
        default=CHECKOUT,
        description="Directory for everything that is written: data/ and mlruns/ lie in it.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the database; SQLite at data/smartmatch.db when empty.",
    )
    data_directory: Path | None = Field(
        default=None,
        description="Directory of database, keys, spool, reports and logs; data/ when empty.",
    )
    key_directory: Path | None = Field(
        default=None,
        description="Directory of the key file and the day keys; data/keys when empty.",
    )

    # The HTTP server
    host: str = Field(
        default="0.0.0.0",  # noqa: S104  # without keys only direct loopback clients are served
        validation_alias=AliasChoices("HOST", "SMARTMATCH_HOST"),
        description="Address that the ingest server listens on.",
    )
    port: int = Field(
        default=8001,
        ge=0,
        le=65_535,
        validation_alias=AliasChoices("PORT", "SMARTMATCH_PORT"),
        description="Port that the ingest server listens on; 0 takes a free one.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may call the API, separated by commas; none by default.",
    )
    max_body_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1_024,
        description="Largest body with events, bytes; with anything else 16384.",
    )
    max_batch_events: int = Field(
        default=10_000, ge=1, le=100_000, description="Most events in one batch request."
    )
    queue_events: int = Field(
        default=20_000,
        ge=100,
        description="Events that may wait for their commit; beyond it the reply is 503.",
    )
    disk_reserve_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Space on SQLite's disk that events leave for purges, bytes; a quarter at "
        "most.",
    )
    rate_limit_per_second: int = Field(
        default=50_000,
        ge=1,
        description="Requests a second and API key; beyond it the reply is 429.",
    )
    header_timeout_seconds: float = Field(
        default=10.0, gt=0, description="Longest time for the headers of a request, seconds."
    )
    body_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest time for the body of a request, seconds."
    )
    drain_seconds: float = Field(
        default=10.0, gt=0, description="Longest time for open requests after SIGTERM, seconds."
    )

    # Consent
    notice_version: str = Field(
        default="2026-11",
        pattern=r"^[\w.-]{1,32}$",
        description="Version of the consent notice in docs/notices that people are shown.",
    )
    consent_staleness_seconds: float = Field(
        default=0.5,
        ge=0,
        le=5,
        description="Oldest consent that a server acts on, seconds; withdrawals count at once.",
    )

    # Flows
    partition_events: int = Field(
        default=50_000,
        ge=100,
        le=1_000_000,
        description="Events in one partition of process_events; bounds its memory.",
    )
    task_runner: Literal["threads", "dask"] = Field(
        default="threads",
        description="Where partitions run: `threads` of the flow, or `dask` workers.",
    )
    task_workers: int = Field(
        default=2,
        ge=1,
        le=256,
        description="Partitions of events at work at once: threads, or a local Dask cluster's "
        "workers.",
    )
    dask_address: str | None = Field(
        default=None,
        description="Address of a Dask scheduler, tcp://HOST:PORT; a local cluster when empty.",
    )
    lease_seconds: float = Field(
        default=300.0, gt=0, description="A run that is silent for longer loses its lease, seconds."
    )
    run_seconds: float = Field(
        default=3_600.0,
        gt=0,
        description="A run that the HTTP server started is killed after so long, seconds; the next "
        "one has twice that.",
    )
    timezone: str = Field(
        default="Europe/Paris", description="Time zone of the schedules, an IANA name."
    )
    retrain_after_decisions: int = Field(
        default=2_000,
        ge=1,
        description="New decisions after which the model is retrained before the night.",
    )

    # Operation
    ui_host: str = Field(
        default="127.0.0.1",
        description="Address that Prefect and MLflow listen on; neither asks for a password.",
    )
    prefect_port: int = Field(
        default=4200,
        ge=1,
        le=65_535,
        description="Port of the Prefect server and its UI.",
    )
    mlflow_port: int = Field(default=5000, ge=1, le=65_535, description="Port of the MLflow UI.")
    stop_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Longest time for a part to end before `smartmatch up` kills it, seconds.",
    )
    backlog_seconds: float = Field(
        default=1_800.0,
        gt=0,
        description="Age of the oldest unprocessed event beyond which status and alerts complain.",
    )
    key_rotation_days: int = Field(
        default=365,
        ge=1,
        le=3_650,
        description="Age at which the key of new pseudonyms is due for the next one, days.",
    )

    retrain_within_hours: float = Field(
        default=30.0,
        ge=1,
        le=168,
        description="Hours within which a retrain follows who leaves; then status complains.",
    )

    # Retention
    events_retention_days: int = Field(
        default=395, ge=1, le=3_650, description="Events and matches are kept for so long, days."
    )
    metrics_retention_days: int = Field(
        default=760, ge=1, le=3_650, description="Daily sums and published blocks, days."
    )
    rejected_retention_days: int = Field(
        default=30, ge=1, le=3_650, description="Rejected events, days."
    )
    staging_retention_days: int = Field(
        default=7, ge=1, le=3_650, description="Events that no run could process, days."
    )
    logs_retention_days: int = Field(
        default=180, ge=1, le=3_650, description="Logs and records of runs, days."
    )
    superseded_model_days: int = Field(
        default=180,
        ge=1,
        le=395,
        description="Model versions out of use; one that somebody has left goes at once, days.",
    )
    run_events_retention_days: int = Field(
        default=7, ge=1, le=180, description="Events of the Prefect server, days."
    )
    retention_reason: str | None = Field(
        default=None,
        max_length=500,
        description="Why anything is kept longer, k smaller, noise cheaper than by default.",
    )

    # Metrics
    smallest_group: int = Field(
        default=10, ge=2, description="k: fewest subjects behind any published figure."
    )

    # Noisy releases to the outside
    private_epsilon: float = Field(
        default=0.1,
        gt=0.000_001,
        le=10,
        description="Epsilon of a noisy release, unless it is asked for with another, a subject.",
    )
    private_budget_epsilon: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="Most epsilon that the releases of a period may cost a subject in all.",
    )
    private_period_days: int = Field(
        default=365, ge=1, le=3_650, description="Length of that period, the last days."
    )
    private_rows_per_subject: int = Field(
        default=5, ge=1, le=1_000, description="Proposals that a subject counts with, the first."
    )

    # Learning
    model_name: str = Field(
        default="smartmatch",
        pattern=r"^[\w.-]{1,64}$",
        description="Name of the registered model; load it as models:/NAME@champion.",
    )
    training_days: int = Field(
        default=395, ge=1, le=395, description="Age of the oldest proposal to learn from, days."
    )
    training_proposals: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description=(
            "Most proposals to learn from: of more, the newest whole days are read, one at least."
        ),
    )
    seed: int = Field(
        default=20_260_101, ge=0, description="Seed of everything random in training."
    )

    @model_validator(mode="after")
    def _justified(self) -> Settings:
        said = self.retention_reason or ""
        if any(sign.isalpha() and sign not in _BLANK_LETTERS for sign in said):
            return self
        default = {name: field.default for name, field in type(self).model_fields.items()}
        most = RETENTION_CEILINGS | {"private_budget_epsilon": default["private_budget_epsilon"]}
        beyond = [(name, "most", n) for name, n in most.items() if getattr(self, name) > n]
        least = {name: default[name] for name in ("smallest_group", "private_period_days")}
        beyond += [(name, "least", n) for name, n in least.items() if getattr(self, name) < n]
        if beyond:
            name, bound, number = beyond[0]
            raise ValueError(
                f"{name} must be at {bound} {number}, unless retention_reason says why"
            )
        return self

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be the IANA name of a time zone") from None
        return value

    @field_validator("home", "data_directory", "key_directory")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @property
    def data(self) -> Path:
        """Directory of the database, the keys, the spool, the reports and the logs."""
        return self.data_directory or self.home / "data"

    @property
    def mlruns(self) -> Path:
        """Directory of the model registry and its artefacts."""
        return self.home / "mlruns"

    def check_registry(self) -> None:
        """Refuse the registry of a platform to what the demo made.

        Raises:
            NotReady: The registry that the demo used was emptied for a platform since.
        """
        if self.is_of_demo and not (self.mlruns / DEMO_MARK).exists():
            raise NotReady(
                "the registry is the platform's since `smartmatch init`; "
                "run `smartmatch demo` again, and the demo has one of its own"
            )

    @property
    def is_of_demo(self) -> bool:
        """Whether the demo made the database and the keys."""
        return (self.data / DEMO_MARK).exists()

    @property
    def keys(self) -> Path:
        """Directory of the key file and the day keys."""
        return self.key_directory or self.data / "keys"

    @property
    def url(self) -> SecretStr:
        """SQLAlchemy URL of the database; secret, because it may hold a password."""
        return self.database_url or SecretStr(f"sqlite:///{self.data / 'smartmatch.db'}")

    @property
    def artifacts(self) -> Path:
        """Directory of the registry's artefacts."""
        return self.mlruns / "artifacts"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and the registry."""
        return f"sqlite:///{self.mlruns / 'mlflow.db'}"

    def version_page(self, version: str) -> str:
        """Return where the MLflow UI shows a version of the model."""
        return self._model_page(f"/versions/{version}")

    @property
    def model_page(self) -> str:
        """Where the MLflow UI lists the versions of the model."""
        return self._model_page("")

    def _model_page(self, below: str) -> str:
        # Without its last part the UI opens on what language models are traced by.
        at = f"{address(self.ui_host, self.mlflow_port)}/#/models/{self.model_name}"
        return f"{at}{below}?workflowType=machine_learning"

    @property
    def validation_page(self) -> str:
        """Where the server shows validation over time."""
        return f"{self.dashboard_page}/validation"

    @property
    def prefect_page(self) -> str:
        """Where the Prefect UI is, and the server that runs beside the other parts."""
        return address(self.ui_host, self.prefect_port)

    @property
    def dashboard_page(self) -> str:
        """Where the server shows the figures of the last days."""
        return f"{address(self.host, self.port)}/dashboard"


def address(host: str, port: int) -> str:
    """Return where somebody on this machine finds what listens on a host and a port."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared only
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
