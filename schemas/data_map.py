"""The data map: of every table and column the purpose, the retention, what erasure does.

``schemas/retention.py`` says when the rows of a table go; this says why they are there, and what
is left of a person after an erasure. ``docs/record-of-processing.md`` is made of it, and a test
fails when a column is missing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Personal(StrEnum):
    """What a column has to do with a person."""

    KEY = "key"
    """Leads to one: by the key file, or by way of ``subjects``. Pseudonymous, not anonymous."""

    FACT = "fact"
    """Says something about one."""

    NO = "no"
    """Neither."""


class Erasure(StrEnum):
    """What an erasure does to a column."""

    DELETED = "deleted"
    """The person's rows are deleted, and their bytes overwritten."""

    SUBTRACTED = "subtracted"
    """The person's part is taken out of the sum."""

    UNLINKED = "unlinked"
    """The row stays, and nothing leads from it to the person any more."""

    EMPTIED = "emptied"
    """The row stays, and the column is set to null."""

    STAYS = "stays"
    """It was never about one person."""


@dataclass(frozen=True)
class TableMap:
    """Why a table is there, and what is personal in it.

    Attributes:
        purpose: What it is kept for.
        kept: The setting that limits it, or a sentence.
        erasure: What an erasure does to its personal columns; the others stay or go with them.
        keys: Columns that lead to a person, separated by spaces.
        facts: Columns that say something about one.
        others: Columns that do neither.
        except_for: Columns to which an erasure does something else.
    """

    purpose: str
    kept: str
    erasure: Erasure
    keys: str = ""
    facts: str = ""
    others: str = ""
    except_for: Mapping[str, Erasure] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, tuple[Personal, Erasure]]:
        """What each column has to do with a person, and what an erasure does to it."""
        marked = (
            (Personal.KEY, self.keys),
            (Personal.FACT, self.facts),
            (Personal.NO, self.others),
        )
        return {
            name: (personal, self.except_for.get(name, self.erasure))
            for personal, names in marked
            for name in names.split()
        }


@dataclass(frozen=True)
class StoreMap:
    """What is written beside the database.

    Attributes:
        where: Its place under the home of the installation.
        holds: What is in it.
        personal: What of that has to do with a person.
        kept: The setting that limits it, or a sentence.
        erasure: What an erasure does.
    """

    where: str
    holds: str
    personal: str
    kept: str
    erasure: str


_EVENT_KEYS = "event_id subject match_key session_key"
_EVENT_FACTS = "kind occurred_at received_at payload"
_BOOKKEEPING = "keeping runs apart and accounting for every event"

TABLES: dict[str, TableMap] = {
    "subjects": TableMap(
        purpose="consent of now, and the one link from a pseudonym to the rows of a person",
        kept="until the person is erased",
        erasure=Erasure.DELETED,
        keys="subject pseudonym ledger_id",
        facts="analytics preferences improvement notice_version updated_at counted erasing",
        others="key_id seal",
    ),
    "consents": TableMap(
        purpose="proof of consent (GDPR article 7 (1))",
        kept="for good",
        erasure=Erasure.UNLINKED,
        keys="consent_id ledger_id address_hash",
        facts="analytics preferences improvement notice_version channel recorded_at",
        others="seq notice_sha256 previous_hash entry_hash seal",
    ),
    "versions": TableMap(
        purpose="telling server processes that something changed",
        kept="for good",
        erasure=Erasure.STAYS,
        others="name value",
    ),
    "receipts": TableMap(
        purpose="storing an event once, however often it is sent",
        kept="until the person is erased while a row of the event is there, else for good",
        erasure=Erasure.DELETED,
        keys="event_id",
        others="digest",
    ),
    "staged": TableMap(
        purpose="analytics: events that wait to be validated",
        kept="staging_retention_days",
        erasure=Erasure.DELETED,
        keys=_EVENT_KEYS,
        facts=f"{_EVENT_FACTS} sealed",
        others="seq sealed_day",
    ),
    "rejected": TableMap(
        purpose="analytics: events that broke a rule, to be replayed after a fix",
        kept="rejected_retention_days",
        erasure=Erasure.DELETED,
        keys=_EVENT_KEYS,
        facts=f"{_EVENT_FACTS} sealed",
        others="seq sealed_day reasons rejected_at",
    ),
    "events": TableMap(
        purpose="analytics: what happened, for access requests and recounts",
        kept="events_retention_days",
        erasure=Erasure.DELETED,
        keys=_EVENT_KEYS,
        facts=f"{_EVENT_FACTS} texts",
        others="seq",
    ),
    "matches": TableMap(
        purpose="analytics; improvement and preferences where they are allowed",
        kept="events_retention_days",
        erasure=Erasure.DELETED,
        keys="match_key subject proposed_event decided_event rated_event completed_event",
        facts=(
            "day first_at last_at proposed_at match_score alternatives_count propensity parameters"
            " constraints views view_ms viewed_whole decided_at accepted decision_ms rated_at"
            " rating completed_at completed duration_days completion_rate"
        ),
        others="model_version",
    ),
    "metric_sums": TableMap(
        purpose="analytics: exact sums by day, seen by administrators alone",
        kept="metrics_retention_days",
        erasure=Erasure.SUBTRACTED,
        facts="value",
        others="measure facet day model_version",
        except_for=dict.fromkeys(("measure", "facet", "day", "model_version"), Erasure.STAYS),
    ),
    "blocks": TableMap(
        purpose="publication: days merged until enough people stand behind",
        kept="metrics_retention_days",
        erasure=Erasure.STAYS,
        others="block since_day until_day subjects sealed_at",
    ),
    "block_sums": TableMap(
        purpose="publication: sums in which no small group can be told, sealed",
        kept="metrics_retention_days",
        erasure=Erasure.STAYS,
        others="block measure facet model_version value",
    ),
    "tallies": TableMap(
        purpose="accountability: how many people allow what, take it back, are too few to publish",
        kept="metrics_retention_days",
        erasure=Erasure.STAYS,
        others="day figure rule value",
    ),
    "shadow_prices": TableMap(
        purpose="improvement: what insisting on a constraint costs",
        kept="until the next retrain prices anew",
        erasure=Erasure.STAYS,
        others="facet threshold pairs forbidden rounds cost lower upper model_version priced_at",
    ),
    "private_releases": TableMap(
        purpose="publication: noisy figures given to the outside, and what they cost",
        kept="for good",
        erasure=Erasure.STAYS,
        others=("question since_day until_day epsilon_micro rows_per_subject released_at document"),
    ),
    "accounts": TableMap(
        purpose=_BOOKKEEPING,
        kept="for good",
        erasure=Erasure.STAYS,
        others="counter rule value",
    ),
    "leases": TableMap(
        purpose=_BOOKKEEPING,
        kept="for good",
        erasure=Erasure.STAYS,
        others="name fence holder expires_at finished_at",
    ),
    "training_sets": TableMap(
        purpose="improvement: evidence of what each model version learned from",
        kept="for good",
        erasure=Erasure.STAYS,
        others="version rows subjects digest consent_digest as_of outcome reason since consent_seq"
        " event_seq withdrawn erased marked_at deleted_at",
    ),
    "published_weights": TableMap(
        purpose="improvement: weights handed back to the matcher",
        kept="for good",
        erasure=Erasure.STAYS,
        others="seq version published_at document",
    ),
    "drift_days": TableMap(
        purpose="improvement: how far a day lies from training",
        kept="metrics_retention_days",
        erasure=Erasure.SUBTRACTED,
        facts="rows value bound",
        others="day feature measure model_version compared_at",
        except_for=dict.fromkeys(
            ("day", "feature", "measure", "model_version", "compared_at"), Erasure.STAYS
        ),
    ),
    "purges": TableMap(
        purpose="evidence that nothing is kept too long (GDPR article 5 (2))",
        kept="metrics_retention_days",
        erasure=Erasure.STAYS,
        others="seq run data_class cutoff deleted finished_at",
    ),
    "erasures": TableMap(
        purpose="erasing a person, and evidence that it was done",
        kept="for good",
        erasure=Erasure.EMPTIED,
        keys="subject",
        others="request state requested_at finished_at report",
        except_for=dict.fromkeys(
            ("request", "state", "requested_at", "finished_at", "report"), Erasure.STAYS
        ),
    ),
    "runs": TableMap(
        purpose=_BOOKKEEPING,
        kept="logs_retention_days",
        erasure=Erasure.STAYS,
        others="run flow state requested_at finished_at detail",
    ),
    "api_keys": TableMap(
        purpose="security: who may call the API",
        kept="for good",
        erasure=Erasure.STAYS,
        others="key_id name scopes hash created_at revoked_at",
    ),
}
"""Every table, in the order of ``schemas/tables.py``."""

STORES: dict[str, StoreMap] = {
    "key file and day keys": StoreMap(
        where="data/keys",
        holds="secrets of pseudonyms and digests, one key a day for sealed texts, the witness of"
        " heads, erasures, withdrawals and noisy releases, the newest head of the ledger, and case"
        " files of erasures under way",
        personal="with it, pseudonyms lead to people and sealed texts open; the witness holds keyed"
        " digests of random numbers and pseudonyms; a case file holds a person's pseudonyms",
        kept="until they are rotated out; a day's key until no sealed text of that day waits; the"
        " witness for good; a case file until its erasure is proven",
        erasure="adds a tombstone, by which a restored backup forgets again; its case file is"
        " overwritten",
    ),
    "orchestration": StoreMap(
        where="data/prefect",
        holds="Prefect's flow and task runs, logs, events and artifacts",
        personal="none: parameters, logs and results hold counts and run numbers",
        kept="logs_retention_days",
        erasure="nothing in it is one person's",
    ),
    "model registry": StoreMap(
        where="mlruns",
        holds="model versions with weights, figures and evidence; deleted runs with their files",
        personal="none: no row, example or identifier is logged; weights are statistics",
        kept="versions for good; deleted runs logs_retention_days",
        erasure="versions that learned from the person are named, or said to be unknown where books"
        " may be missing, and a retrain is queued",
    ),
    "validation results": StoreMap(
        where="data/logs/validation, a file a day and suite",
        holds="time, rows checked, rows by rule; of Great Expectations' own results nothing",
        personal="none: no value of a row, no identifier",
        kept="logs_retention_days",
        erasure="nothing in it is one person's",
    ),
    "log files": StoreMap(
        where="the standard streams, and data/logs where they are written to files",
        holds="a line a request without its query string, counts of runs",
        personal="none: no identifier, no text, no address",
        kept="logs_retention_days",
        erasure="nothing in it is one person's",
    ),
    "client's spool": StoreMap(
        where="data/spool, on the machine of the platform that imports the client",
        holds="events that were accepted and not yet sent, and the last ones refused",
        personal="identifiers and texts as sent; mode 0600, overwritten once they are sent",
        kept="until they are sent; at most the client's own limit, see docs/client.md",
        erasure="a withdrawal drops what waits; the server refuses events of an erased person",
    ),
}
"""Everything that is written beside the database."""
