"""Reading requests: query, body, both; what is wrong is named and never repeated."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.decoding import Form
from ingest.hot import BARE
from schemas.errors import InvalidInput
from schemas.events import ROUTES, MatchFeedbackEvent, MatchProposedEvent

PROPOSED = Form(MatchProposedEvent)
FEEDBACK = Form(MatchFeedbackEvent, "specific_aspects")


def test_body_wins_over_the_query() -> None:
    event = PROPOSED.read(b"user_id=q&match_id=m&match_score=0.1", b'{"user_id":"b"}')

    assert (event.user_id, event.match_id, event.match_score) == ("b", "m", 0.1)


@pytest.mark.parametrize(
    ("text", "truth"),
    [("True", True), ("False", False), ("true", True), ("0", False), ("on", True), ("NO", False)],
)
def test_truth_in_a_query_is_read_as_people_write_it(text: str, truth: bool) -> None:
    form = Form(ROUTES["match-decision"])

    event: Any = form.read(f"user_id=u&match_id=m&decision={text}".encode(), b"")

    assert event.decision is truth


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "0x1", " 1", "٣", "1e5000", "", "1,5"])
def test_what_is_no_number_in_a_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="match_score"):
        PROPOSED.read(f"user_id=u&match_id=m&match_score={text}".encode(), b"")


def test_list_and_map_may_stand_in_the_query_as_json_and_a_list_as_repetition() -> None:
    decision: Any = Form(ROUTES["match-decision"]).read(
        b"user_id=u&match_id=m&decision=1&reasons=a&reasons=b%20c", b""
    )
    event = PROPOSED.read(
        b"user_id=u&match_id=m&match_score=1&match_parameters=%7B%22a%22%3A2%7D", b""
    )

    assert decision.reasons == ["a", "b c"]
    assert event.match_parameters == {"a": 2.0}


def test_whole_number_written_with_a_point_is_a_whole_number() -> None:
    assert FEEDBACK.read(b"", b'{"user_id":"u","match_id":"m","rating":4.0}').rating == 4
    for text in ("4.0", "4e0", "%2B4.", "40e-1"):
        query = f"user_id=u&match_id=m&rating={text}".encode()
        assert FEEDBACK.read(query, b"").rating == 4
    for query, body in (
        (b"", b'{"user_id":"u","match_id":"m","rating":4.5}'),
        (b"user_id=u&match_id=m&rating=4.5", b""),
    ):
        with pytest.raises(InvalidInput, match="whole number"):
            FEEDBACK.read(query, body)


def test_bare_map_is_taken_only_where_the_query_says_the_rest() -> None:
    query = b"user_id=u&match_id=m&rating=4"

    assert FEEDBACK.read(query, b'{"warmth":5}').specific_aspects == {"warmth": 5}
    for bad_query, body in (
        (b"user_id=u", b'{"warmth":5}'),
        (query, b'{"warmth":"secret"}'),
        (query, b'{"warmth":5,"type":"x"}'),
        (b"", b'{"user_id":"u","match_id":"m","rating":4,"warmth":5}'),
    ):
        with pytest.raises(InvalidInput):
            FEEDBACK.read(bad_query, body)


def said_about(form: Form[Any], query: bytes, body: bytes) -> str:
    """Read a request and return what is said about it, nothing when it is taken."""
    try:
        form.read(query, body)
    except InvalidInput as error:
        return str(error)
    return ""


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FORMS: dict[str, Form[Any]] = {name: Form(of, BARE.get(name, "")) for name, of in ROUTES.items()}

# What is drawn and read is checked, not how fast: on a busy machine one example may take long.
at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("given", ["[", "%00", "", '{"a":1}x'])
def test_json_in_a_query_is_called_by_the_name_of_its_parameter(given: str) -> None:
    query = f"user_id=u&match_id=m&rating=4&specific_aspects={given}".encode()
    assert said_about(FEEDBACK, query, b"") == "specific_aspects: must be valid JSON"


@at_any_speed
@given(name=st.sampled_from(sorted(ROUTES)), data=st.data())
def test_any_body_gives_an_event_or_a_rule_that_repeats_nothing(
    name: str, data: st.DataObject
) -> None:
    fields = [field.name for field in msgspec.structs.fields(ROUTES[name])]
    canary = "Zq7canary"
    body = {
        data.draw(st.sampled_from([*fields, canary])): data.draw(JSON | st.just(canary))
        for _ in range(data.draw(st.integers(0, 4)))
    }
    assert canary not in said_about(FORMS[name], b"", json.dumps(body).encode())


@at_any_speed
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_give_an_event_or_a_rule(query: bytes, body: bytes) -> None:
    for form in (PROPOSED, FEEDBACK):
        assert said_about(form, query, body).count(": ") in (0, 1, 2)
