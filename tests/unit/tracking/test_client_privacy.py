"""Consent as the client records, reads, remembers and withdraws it."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from schemas.errors import InvalidInput
from tests.unit.tracking.plain_server import Fault, confirmation
from tracking import remembered
from tracking.breaker import PAUSE_SECONDS
from tracking.errors import ConsentNotRecorded, ConsentUnreadable
from tracking.privacy import Consent, PrivacyManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer

    Later = Callable[[float], None]

GRANTED = {"analytics": True, "preferences": False, "improvement": True}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let time pass for what is remembered."""
    now = [1_000.0]

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(remembered, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return pass_by


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


def test_consent_is_read_once_while_it_is_remembered(server: PlainServer, later: Later) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60.0)

    assert all(privacy.has_consent("ana") for _ in range(10))
    assert server.state.consent_reads == 1
    server.state.consents.clear()
    assert privacy.has_consent("ana")
    later(60.0)

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


def test_remembered_consent_ends_during_an_outage(server: PlainServer, later: Later) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60.0)
    assert privacy.has_consent("ana")
    server.stop()

    later(60.0)

    assert not privacy.has_consent("ana")


def test_remembered_consent_stands_in_for_as_long_as_the_platform_says(
    server: PlainServer, later: Later
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=10.0, outage_seconds=60.0)
    assert privacy.has_consent("ana")
    server.state.consent_faults = [Fault(status=404, body=b"<html>no such host</html>")]
    later(10.0)
    assert privacy.has_consent("ana")
    assert server.state.consent_reads == 2
    server.stop()

    assert privacy.has_consent("ana")
    assert not privacy.has_consent("bob")
    later(50.0)

    assert not privacy.has_consent("ana")


def test_server_that_hangs_holds_up_one_caller_a_second(server: PlainServer) -> None:
    server.grant("ana", "bob")
    server.state.consent_faults = [Fault(delay_seconds=2)] * 5
    privacy = PrivacyManager(timeout_seconds=0.2)
    begun = time.monotonic()

    answers = [privacy.has_consent(f"person-{number}") for number in range(50)]

    # Twice at first: with a part of the patience, and with the rest of it.
    assert server.state.consent_reads <= 2 + (time.monotonic() - begun) / PAUSE_SECONDS
    assert not any(answers)


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
