"""What the operator sees from outside, in Prometheus' format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from warehouse import accounts

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Observed:
    """Counters of one server process; they start at 0 with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = {
            name: Counter(f"smartmatch_events_{name}", text, registry=self.registry)
            for name, text in (
                (accounts.RECEIVED, "Events that were read, whatever became of them."),
                (accounts.STORED, "Events stored, counted after their commit."),
                (accounts.DUPLICATE, "Events that were stored before with the same content."),
            )
        }
        self._refused = Counter(
            "smartmatch_events_refused",
            "Events refused, by the rule that they broke.",
            ["rule"],
            registry=self.registry,
        )
        self._requests = Counter(
            "smartmatch_requests",
            "Requests answered, by class of status.",
            ["status"],
            registry=self.registry,
        )
        self._answers = [0] * 6
        self._size = Histogram(
            "smartmatch_commit_events",
            "Events in one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096, 16_384),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "smartmatch_commit_seconds",
            "Time of one commit.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
            registry=self.registry,
        )
        self.queue = Gauge(
            "smartmatch_queue_events", "Events that wait for a commit.", registry=self.registry
        )
        self.waiting = Gauge(
            "smartmatch_staged_events",
            "Events stored that no run has processed yet.",
            registry=self.registry,
        )
        self.oldest = Gauge(
            "smartmatch_oldest_staged_seconds",
            "Age of the oldest event that no run has processed yet; 0 when there is none.",
            registry=self.registry,
        )

        self.owed = Gauge(
            "smartmatch_retrain_owed_seconds",
            "Age of the oldest retrain that is owed to somebody who left; 0 when there is none.",
            registry=self.registry,
        )

    def commit(self, entries: Mapping[tuple[str, str], int], events: int, seconds: float) -> None:
        """Count a commit: what it entered into the books, its size and time."""
        for (counter, rule), value in entries.items():
            if counter == accounts.REFUSED:
                self._refused.labels(rule).inc(value)
            elif counter in self._events:
                self._events[counter].inc(value)
        self._size.observe(events)
        self._seconds.observe(seconds)

    def answer(self, status: int) -> None:
        """Count an answered request; Prometheus' own counter takes a lock each time."""
        self._answers[status // 100] += 1

    def page(self) -> bytes:
        """Return everything, in Prometheus' text format."""
        answers, self._answers = self._answers, [0] * 6
        for number, count in enumerate(answers):
            if count:
                self._requests.labels(f"{number}xx").inc(count)
        return generate_latest(self.registry)
