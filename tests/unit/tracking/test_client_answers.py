"""Answers of one person that come at once, and to several managers of one process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.unit.tracking.plain_server import Fault
from tracking.errors import ConsentNotRecorded
from tracking.privacy import Consent, PrivacyManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.schema import MatchProposedEvent

NOTHING = {"analytics": False, "preferences": False, "improvement": False}


def granting(privacy: PrivacyManager, raised: list[Exception]) -> threading.Thread:
    """Grant in a thread of its own, as another request of the platform does."""

    def grant() -> None:
        try:
            privacy.record_consent("ana", analytics=True)
        except ConsentNotRecorded as error:
            raised.append(error)

    thread = threading.Thread(target=grant)
    thread.start()
    return thread


def wait_for_requests(server: PlainServer, count: int) -> None:
    while len(server.state.requests) < count:
        time.sleep(0.005)


def test_grant_is_not_repeated_after_a_withdrawal(
    server: PlainServer, privacy: PrivacyManager
) -> None:
    server.state.consent_faults = [Fault(status=503, delay_seconds=0.2, retry_after="0.5")]
    raised: list[Exception] = []
    grant = granting(privacy, raised)
    wait_for_requests(server, 1)

    privacy.withdraw("ana")
    grant.join()

    assert server.state.consents == {"ana": NOTHING}
    assert not privacy.has_consent("ana")
    assert [str(error) for error in raised] == ["consent was not recorded: another answer followed"]


def test_withdrawal_goes_after_the_grant_that_is_on_its_way(
    server: PlainServer, privacy: PrivacyManager
) -> None:
    server.state.consent_faults = [Fault(delay_seconds=0.4)]
    raised: list[Exception] = []
    grant = granting(privacy, raised)
    wait_for_requests(server, 1)

    privacy.withdraw("ana")
    grant.join()

    assert server.state.consents == {"ana": NOTHING}
    assert raised == []
    assert not privacy.has_consent("ana")


def test_withdrawal_counts_at_once_for_every_manager_of_the_process(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=503, retry_after="600")]
    with PrivacyManager(cache_seconds=60) as collecting, PrivacyManager() as page:
        collector = make_collector(collecting)
        assert collector.collect_event(make_event())

        page.withdraw("ana")

        assert not collecting.has_consent("ana")
        assert not collector.collect_event(make_event())
        assert (collector.counters.waiting, collector.counters.dropped_on_withdrawal) == (0, 1)


def test_grant_counts_at_once_for_every_manager_of_the_process(server: PlainServer) -> None:
    with PrivacyManager(cache_seconds=60) as collecting, PrivacyManager() as page:
        assert not collecting.has_consent("ana")

        page.record_consent("ana", analytics=True)

        assert collecting.has_consent("ana")


def test_managers_of_two_servers_know_nothing_of_each_other(server: PlainServer) -> None:
    with PrivacyManager() as one, PrivacyManager("http://127.0.0.1:9", outage_seconds=60) as other:
        one.record_consent("ana", analytics=True)

        assert one.get_consent("ana") == Consent(analytics=True)
        assert not other.has_consent("ana")
