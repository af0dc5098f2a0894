"""Consent as the client records, reads, remembers and withdraws it."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from schemas.errors import InvalidInput
from tests.unit.tracking.plain_server import Fault, confirmation
from tracking.breaker import CircuitBreaker
from tracking.errors import ConsentNotRecorded, ConsentUnreadable, Unreachable
from tracking.privacy import Consent, PrivacyManager
from tracking.transport import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer

GRANTED = {"analytics": True, "preferences": False, "improvement": True}


def test_what_was_recorded_is_read_back(server: PlainServer, privacy: PrivacyManager) -> None:
    recorded = privacy.record_consent("ana", analytics=True, improvement=True)

    assert recorded == Consent(analytics=True, preferences=False, improvement=True)
    assert server.state.consents == {"ana": GRANTED}
    assert privacy.get_consent("ana") == recorded
    assert privacy.has_consent("ana")
    assert privacy.has_consent("ana", "improvement")
    assert not privacy.has_consent("ana", "preferences")


def test_nobody_consents_by_default(server: PlainServer, privacy: PrivacyManager) -> None:
    assert privacy.get_consent("ana") is None
    assert not privacy.has_consent("ana")
    privacy.record_consent("ana")
    assert privacy.get_consent("ana") == Consent()
    assert not privacy.has_consent("ana")


def test_unknown_purpose_is_refused(server: PlainServer, privacy: PrivacyManager) -> None:
    privacy.record_consent("ana", analytics=True, preferences=True, improvement=True)

    assert not privacy.has_consent("ana", "advertising")
    assert not privacy.has_consent("ana", "__class__")


@pytest.mark.parametrize("user_id", ["a/b", "..", ".", "a?b=c", "a#b", "é ü", "%2F", "a+b", "日本"])
def test_every_identifier_finds_its_own_consent(
    server: PlainServer, privacy: PrivacyManager, user_id: str
) -> None:
    server.state.consents[user_id] = GRANTED

    assert privacy.has_consent(user_id)

    assert not privacy.has_consent("another")


@pytest.mark.parametrize("user_id", ["", "x" * 257, "a\nb", "\ud800", None])
def test_what_is_no_identifier_is_refused_without_its_value(
    server: PlainServer, privacy: PrivacyManager, user_id: str
) -> None:
    with pytest.raises(InvalidInput, match="user_id: must be a text of 1 to 256"):
        privacy.record_consent(user_id, analytics=True)

    assert not privacy.has_consent(user_id)
    assert server.state.requests == []


def test_consent_is_read_once_while_it_is_remembered(server: PlainServer) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=0.3)

    assert all(privacy.has_consent("ana") for _ in range(10))
    assert server.state.consent_reads == 1
    server.state.consents.clear()
    assert privacy.has_consent("ana")
    time.sleep(0.35)

    assert not privacy.has_consent("ana")
    assert server.state.consent_reads == 2


def test_refusal_is_remembered_as_long(server: PlainServer, privacy: PrivacyManager) -> None:
    assert not any(privacy.has_consent("ana") for _ in range(10))

    assert server.state.consent_reads == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=429),
        Fault(status=401),
        Fault(status=404, body=b"<html>default backend</html>"),
        Fault(status=404, body=b" "),
        Fault(status=200, body=b"<html>"),
        Fault(status=200, body=b'{"options": {"analytics": "yes"}}'),
        Fault(status=200, body=b'{"options": {"analytics": true}}'),
    ],
)
def test_unreadable_consent_is_refused(
    server: PlainServer, privacy: PrivacyManager, fault: Fault
) -> None:
    server.grant("ana")
    server.state.consent_faults = [fault, fault]

    assert not privacy.has_consent("ana")
    with pytest.raises(ConsentUnreadable):
        privacy.get_consent("ana")

    assert privacy.get_consent("ana") == Consent(analytics=True)


def test_remembered_consent_ends_during_an_outage(server: PlainServer) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=0.1)
    assert privacy.has_consent("ana")
    server.stop()

    time.sleep(0.15)

    assert not privacy.has_consent("ana")


def test_remembered_consent_stands_in_for_as_long_as_the_platform_says(
    server: PlainServer,
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=0.1, outage_seconds=0.6)
    assert privacy.has_consent("ana")
    server.state.consent_faults = [Fault(status=404, body=b"<html>no such host</html>")]
    time.sleep(0.15)
    assert privacy.has_consent("ana")
    assert server.state.consent_reads == 2
    server.stop()

    assert privacy.has_consent("ana")
    assert not privacy.has_consent("bob")
    time.sleep(0.6)

    assert not privacy.has_consent("ana")


def test_server_that_hangs_holds_up_one_caller_a_second(server: PlainServer) -> None:
    server.grant("ana", "bob")
    server.state.consent_faults = [Fault(delay_seconds=2)] * 5
    privacy = PrivacyManager(timeout_seconds=0.2)
    begun = time.monotonic()

    answers = [privacy.has_consent(f"person-{number}") for number in range(50)]

    assert time.monotonic() - begun < 0.8
    assert not any(answers)


def asked_by(
    threads: int, seconds: float, ask: Callable[[str], bool]
) -> tuple[list[bool], list[float]]:
    """Have threads ask for one person after the other: the answers, and what each took."""
    answers, took = [], []

    def go(thread: int) -> None:
        number = 0
        while time.monotonic() < end:
            begun = time.monotonic()
            answers.append(ask(f"person-{thread}-{number}"))
            took.append(time.monotonic() - begun)
            number += 1
            time.sleep(0.02)

    end = time.monotonic() + seconds
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(go, thread) for thread in range(threads)]:
            done.result()
    return answers, took


def test_server_that_keeps_still_holds_up_one_of_many_threads() -> None:
    with socket.socket() as still:
        still.bind(("127.0.0.1", 0))
        still.listen(100)
        address = f"http://127.0.0.1:{still.getsockname()[1]}"
        with PrivacyManager(address, timeout_seconds=2.0) as privacy:
            answers, took = asked_by(20, 5.0, privacy.has_consent)

    assert not any(answers)
    long = [seconds for seconds in took if seconds > 1.2]
    short = [seconds for seconds in took if 0.3 < seconds <= 1.2]
    assert 1 <= len(long) <= 4
    assert len(short) <= 25
    assert len(took) > 500


def test_server_that_is_slow_is_waited_for_by_everybody(server: PlainServer) -> None:
    people = [f"person-{thread}-{number}" for thread in range(5) for number in range(99)]
    server.grant(*people)
    server.state.consent_faults = [Fault(delay_seconds=0.6)] * 1_000
    with PrivacyManager(timeout_seconds=2.0) as privacy:
        privacy.has_consent("person-0-0")

        answers, _ = asked_by(5, 2.0, privacy.has_consent)

    assert all(answers)
    assert len(answers) >= 5


def test_one_of_many_finds_out_that_a_server_answers_again(server: PlainServer) -> None:
    server.grant(*(f"person-{thread}-{number}" for thread in range(5) for number in range(999)))
    with PrivacyManager(timeout_seconds=0.4) as privacy:
        server.state.consent_faults = [Fault(delay_seconds=1.0)] * 6
        first, _ = asked_by(5, 0.5, privacy.has_consent)
        time.sleep(1.1)
        reads = server.state.consent_reads
        server.state.consent_faults = [Fault(delay_seconds=0.2)]
        second, _ = asked_by(5, 0.15, privacy.has_consent)
        probes = server.state.consent_reads - reads
        third, _ = asked_by(5, 0.2, privacy.has_consent)

    assert not any(first)
    assert (probes, sum(second)) == (1, 1)
    assert all(third)


def test_caller_that_is_interrupted_leaves_the_next_one_to_ask() -> None:
    breaker = CircuitBreaker()

    def ask(error: BaseException | None) -> Reply:
        def request(_: float) -> Reply:
            if error:
                raise error
            return Reply(200, b"", None)

        return breaker.ask(request, 1.0)

    with pytest.raises(Unreachable):
        ask(Unreachable("down"))
    breaker._next_probe = 0.0
    with pytest.raises(KeyboardInterrupt):
        ask(KeyboardInterrupt())

    assert ask(None).status == 200
    assert ask(None).status == 200


def test_withdrawal_holds_here_even_when_the_server_could_not_be_told(
    server: PlainServer,
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=0.0, timeout_seconds=0.2)
    assert privacy.has_consent("ana")
    server.stop()

    with pytest.raises(ConsentNotRecorded):
        privacy.withdraw("ana")
    server.start()

    time.sleep(1.1)
    assert not privacy.has_consent("ana")
    assert privacy.get_consent("ana") == Consent()
    privacy.record_consent("ana", analytics=True)
    assert privacy.has_consent("ana")


def test_grant_that_the_server_did_not_confirm_grants_nothing(server: PlainServer) -> None:
    privacy = PrivacyManager(timeout_seconds=0.2)
    server.stop()

    with pytest.raises(ConsentNotRecorded):
        privacy.record_consent("ana", analytics=True)
    server.start()

    time.sleep(1.1)
    assert not privacy.has_consent("ana")


NOTHING = {"analytics": False, "preferences": False, "improvement": False}
NO_CONFIRMATION = {
    "a page": b"<html>We will be back soon</html>",
    "a blank": b" ",
    "no UTF-8": b"\xff\xfe",
    "an empty object": b"{}",
    "a list": b"[]",
    "options alone": json.dumps({"status": "success", "options": NOTHING}).encode(),
    "texts for options": json.dumps(confirmation(NOTHING)).replace("false", '"no"').encode(),
    "an option less": json.dumps(confirmation({"analytics": False})).encode(),
    "another answer": json.dumps(confirmation(NOTHING | {"improvement": True})).encode(),
}


@pytest.mark.parametrize("body", NO_CONFIRMATION.values(), ids=NO_CONFIRMATION)
def test_ok_that_does_not_state_what_was_asked_confirms_nothing(
    server: PlainServer, privacy: PrivacyManager, body: bytes
) -> None:
    server.grant("ana")
    server.state.consent_faults = [Fault(status=200, body=body)] * 2

    with pytest.raises(ConsentNotRecorded):
        privacy.withdraw("ana")
    with pytest.raises(ConsentNotRecorded):
        privacy.record_consent("bob", analytics=True, preferences=True)

    assert not privacy.has_consent("ana")
    assert not privacy.has_consent("bob")
    assert privacy.withdraw("ana") == Consent()
    assert server.state.consents == {"ana": NOTHING}


def test_recording_is_repeated_while_the_server_is_busy(
    server: PlainServer, privacy: PrivacyManager
) -> None:
    server.state.consent_faults = [Fault(status=503), Fault(status=429, retry_after="0")]

    privacy.record_consent("ana", analytics=True)

    assert privacy.has_consent("ana")


def test_consent_that_was_read_before_a_withdrawal_is_not_remembered_after_it(
    server: PlainServer,
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60)
    server.state.consent_faults = [Fault(delay_seconds=0.3)]
    reader = threading.Thread(target=privacy.has_consent, args=("ana",))
    reader.start()
    while not server.state.consent_reads:
        time.sleep(0.01)
    time.sleep(0.05)

    privacy.withdraw("ana")
    reader.join()

    assert not privacy.has_consent("ana")


def test_key_is_sent_as_a_bearer_token(
    server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_API_KEY", "sm_key")

    PrivacyManager().has_consent("ana")
    PrivacyManager(api_key="sm_other").has_consent("ana")

    assert server.state.keys == ["Bearer sm_key", "Bearer sm_other"]


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:80", "http://", "http://h?x=1", "http://[", "http://h:99999"]
)
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="url: must be http"):
        PrivacyManager(url)


@pytest.mark.parametrize("key", ["a\nb", "clé"])
def test_key_that_is_no_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidInput, match=r"^api_key: must be printable ASCII$"):
        PrivacyManager("http://127.0.0.1:1", key)


def test_environment_that_breaks_the_connection_is_no_exception_for_the_host(
    server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://")

    assert not PrivacyManager().has_consent("ana")
