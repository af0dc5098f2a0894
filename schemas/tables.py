"""The tables, their grain, and what must survive any bug, as constraints.

Times are whole microseconds since 1970 in UTC and days are whole days since 1970: both
engines store, order and partition them alike, to the bit. No table holds an identifier as
sent: subjects carry a random number, matches and sessions a keyed 63-bit pseudonym.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of exactly this type.
Sequence = BigInteger().with_variant(Integer, "sqlite")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


# One row a person who ever answered the notice; deleting it cuts the link for good.
subjects = Table(
    "subjects",
    metadata,
    Column("subject", BigInteger, primary_key=True, autoincrement=False),
    Column("pseudonym", LargeBinary(32), nullable=False, unique=True),
    Column("key_id", String(16), nullable=False),
    # Names the subject's entries in the ledger; random, known here only.
    Column("ledger_id", LargeBinary(16), nullable=False, unique=True),
    _flag("analytics"),
    _flag("preferences"),
    _flag("improvement"),
    Column("notice_version", String(32), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # What the running sums include: follows `analytics` when the flow has settled it.
    _flag("counted"),
    # Set first of all by an erasure, so that nothing more is collected meanwhile.
    _flag("erasing"),
    # Keyed digest of whose row it is (warehouse/seals.py).
    Column("seal", LargeBinary(16)),
    CheckConstraint("subject > 0", name="subject"),
)

# One row a change of consent; append-only, chained by hash.
consents = Table(
    "consents",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("consent_id", LargeBinary(16), nullable=False, unique=True),
    Column("ledger_id", LargeBinary(16), nullable=False, index=True),
    Column("analytics", Boolean, nullable=False),
    Column("preferences", Boolean, nullable=False),
    Column("improvement", Boolean, nullable=False),
    Column("notice_version", String(32), nullable=False),
    Column("notice_sha256", LargeBinary(32), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("address_hash", LargeBinary(16)),
    Column("recorded_at", BigInteger, nullable=False),
    Column("previous_hash", LargeBinary(32), nullable=False),
    Column("entry_hash", LargeBinary(32), nullable=False, unique=True),
    # Keyed digest of the hash; entries of before there were seals have none.
    Column("seal", LargeBinary(16)),
    sqlite_autoincrement=True,
)

# One row, bumped by every change of a consent or a key: what server processes compare.
versions = Table(
    "versions",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One row an event ever stored: an id is never stored twice, whatever became of the event.
receipts = Table(
    "receipts",
    metadata,
    Column("event_id", LargeBinary(16), primary_key=True),
    # Keyed, so that it tells nothing about the content.
    Column("digest", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)


def _event_columns() -> list[Column[Any]]:
    return [
        Column("event_id", LargeBinary(16), nullable=False),
        Column("kind", String(24), nullable=False),
        Column("subject", BigInteger, nullable=False),
        Column("match_key", BigInteger, nullable=False),
        Column("session_key", BigInteger),
        Column("occurred_at", BigInteger, nullable=False),
        Column("received_at", BigInteger, nullable=False),
        # Figures only, JSON of schemas.events.StagedPayload.
        Column("payload", LargeBinary, nullable=False),
    ]


# One row an accepted request that no run has processed yet, in order of arrival.
staged = Table(
    "staged",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    *_event_columns(),
    # Free texts: JSON list, AES-GCM under the key of `sealed_day`.
    Column("sealed", LargeBinary),
    Column("sealed_day", Integer),
    sqlite_autoincrement=True,
)

# One row an event that broke an expectation; sealed as it was staged, with the reasons.
rejected = Table(
    "rejected",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_event_columns(),
    Column("sealed", LargeBinary),
    Column("sealed_day", Integer),
    Column("reasons", Text, nullable=False),
    Column("rejected_at", BigInteger, nullable=False),
    Index("ix_rejected_subject", "subject"),
)

# One row an event, anonymised: what happened, for access requests and recounts.
events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_event_columns(),
    # JSON list of redacted texts, and of the languages and lengths of the dropped ones.
    Column("texts", Text),
    # Not by subject alone: see warehouse/by_subject.py.
    Index("ix_events_stretch_subject", text("(seq >> 17)"), "subject"),
    Index("ix_events_occurred_at", "occurred_at"),
)

# One row a proposal: (match, subject). Facets are filled as their events come, in any order;
# of two events of one facet the later by (occurred_at, event_id) stands.
matches = Table(
    "matches",
    metadata,
    Column("match_key", BigInteger, nullable=False),
    Column("subject", BigInteger, nullable=False),
    # The proposal's day, or the earliest event's until the proposal comes.
    Column("day", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("proposed_at", BigInteger),
    Column("proposed_event", LargeBinary(16)),
    Column("match_score", Float),
    Column("alternatives_count", Integer),
    Column("propensity", Float),
    Column("model_version", String(64), nullable=False, server_default=""),
    Column("parameters", Text, nullable=False, server_default="{}"),
    Column("constraints", Text, nullable=False, server_default="{}"),
    Column("views", Integer, nullable=False, server_default="0"),
    Column("view_ms", BigInteger, nullable=False, server_default="0"),
    Column("viewed_whole", Boolean, nullable=False, server_default=false()),
    Column("decided_at", BigInteger),
    Column("decided_event", LargeBinary(16)),
    Column("accepted", Boolean),
    Column("decision_ms", BigInteger),
    Column("rated_at", BigInteger),
    Column("rated_event", LargeBinary(16)),
    Column("rating", Integer),
    Column("completed_at", BigInteger),
    Column("completed_event", LargeBinary(16)),
    Column("completed", Boolean),
    Column("duration_days", Float),
    Column("completion_rate", Float),
    PrimaryKeyConstraint("match_key", "subject"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
    CheckConstraint("match_score BETWEEN 0 AND 1", name="match_score"),
    CheckConstraint("(decided_at IS NULL) = (accepted IS NULL)", name="decision"),
    Index("ix_matches_day_subject", "day", "subject"),
    # With the key, so that a day is read in stretches of matches.
    Index("ix_matches_day", "day", "match_key"),
    # Rows lie in order of arrival: by their random key every batch would touch every page.
)

# One row a (measure, facet, day, model version): additive whole numbers. The facet is a
# constraint's name, or empty for the whole. Scores count in ten-thousandths.
metric_sums = Table(
    "metric_sums",
    metadata,
    Column("measure", String(32), nullable=False),
    Column("facet", String(64), nullable=False),
    Column("day", Integer, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("measure", "facet", "day", "model_version"),
    sqlite_with_rowid=False,
)

# One row a published block of days, sealed: it never changes.
blocks = Table(
    "blocks",
    metadata,
    Column("block", Sequence, primary_key=True, autoincrement=True),
    Column("since_day", Integer, nullable=False, unique=True),
    Column("until_day", Integer, nullable=False, unique=True),
    Column("subjects", Integer, nullable=False),
    Column("sealed_at", BigInteger, nullable=False),
    CheckConstraint("since_day < until_day", name="half_open"),
    sqlite_autoincrement=True,
)

# One row a published sum of a block; a slice with fewer than k subjects has none.
block_sums = Table(
    "block_sums",
    metadata,
    # Deferred: the sums come first, and once their block is there none is added.
    Column(
        "block",
        ForeignKey("blocks.block", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("measure", String(32), nullable=False),
    Column("facet", String(64), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("block", "measure", "facet", "model_version"),
)

# One row a day, figure and rule: what a nightly run counted of people and of blocks.
tallies = Table(
    "tallies",
    metadata,
    Column("day", Integer, nullable=False),
    Column("figure", String(32), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "figure", "rule"),
)

# One row a constraint: what insisting on it costs, as the newest retrain found.
shadow_prices = Table(
    "shadow_prices",
    metadata,
    Column("facet", String(64), primary_key=True),
    Column("threshold", Float, nullable=False),
    Column("pairs", BigInteger, nullable=False),
    Column("forbidden", BigInteger, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("cost", Float, nullable=False),
    Column("lower", Float),
    Column("upper", Float),
    Column("model_version", String(64), nullable=False),
    Column("priced_at", BigInteger, nullable=False),
)

# One row a noisy release: its price, and the answer that it gets whenever it is asked again.
private_releases = Table(
    "private_releases",
    metadata,
    Column("question", LargeBinary(32), primary_key=True),
    Column("since_day", Integer, nullable=False),
    Column("until_day", Integer, nullable=False),
    Column("epsilon_micro", BigInteger, nullable=False),
    Column("rows_per_subject", Integer, nullable=False),
    Column("released_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    CheckConstraint("epsilon_micro > 0", name="epsilon_micro"),
)

# One row a thing that is counted, by rule: the books that `smartmatch audit` balances.
accounts = Table(
    "accounts",
    metadata,
    Column("counter", String(32), nullable=False),
    Column("rule", String(96), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("counter", "rule"),
)

# One row a flow: who may write, by a number that only grows, and when it last ended well.
leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)

# One row a version of the model: what it learned from, and under which consents.
training_sets = Table(
    "training_sets",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("subjects", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("consent_digest", String(64), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    # The snapshot that was read: from when on, last entry of the ledger, last event.
    Column("since", BigInteger, nullable=False, server_default="0"),
    Column("consent_seq", BigInteger, nullable=False, server_default="0"),
    Column("event_seq", BigInteger, nullable=False, server_default="0"),
    # People it learned from who have gone since; with the first of them it is marked.
    Column("withdrawn", BigInteger, nullable=False, server_default="0"),
    Column("erased", BigInteger, nullable=False, server_default="0"),
    Column("marked_at", BigInteger),
    # When its artefacts were deleted for good.
    Column("deleted_at", BigInteger),
)

# One row a publication of the champion's weights, newest last: what the API hands back.
published_weights = Table(
    "published_weights",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("version", String(64), nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,
)

# One row a day, feature and measure: how far the day lies from what the champion learned from.
drift_days = Table(
    "drift_days",
    metadata,
    Column("day", Integer, nullable=False),
    Column("feature", String(96), nullable=False),
    Column("measure", String(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("value", Float, nullable=False),
    Column("bound", Float, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("compared_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "feature", "measure"),
)

# One row a class of data and purge run: the evidence.
purges = Table(
    "purges",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("run", String(36), nullable=False),
    Column("data_class", String(32), nullable=False),
    Column("cutoff", BigInteger, nullable=False),
    Column("deleted", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# One row a request to erase a person; holds no id of theirs once it is done.
erasures = Table(
    "erasures",
    metadata,
    Column("request", String(36), primary_key=True),
    Column("subject", BigInteger),
    Column("state", String(16), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("report", Text),
    Index("ix_erasures_state", "state"),
)

# One row a flow run that was asked for: over HTTP without a Prefect server, or by another flow.
runs = Table(
    "runs",
    metadata,
    Column("run", String(36), primary_key=True),
    Column("flow", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("detail", Text),
)

# One row an API key: its hash, never itself.
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    UniqueConstraint("hash"),
)
