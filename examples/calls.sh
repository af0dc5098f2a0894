#!/usr/bin/env bash
# The HTTP interface with curl: consent, a proposal, a view, a decision, a rating, a figure.
#
#   .venv/bin/smartmatch serve            # in another terminal
#   bash examples/calls.sh [http://127.0.0.1:8001] [API key]
#
# A key of scope ingest is enough for what is sent. The figure asks for one of scope metrics, which sees days
# once they are sealed, or of scope admin, which sees them at once.
set -euo pipefail
url=${1:-http://127.0.0.1:8001}
key=${2:-}

call() { # method path [json]
    curl --silent --show-error --fail-with-body --request "$1" "$url$2" \
        ${key:+--header "Authorization: Bearer $key"} \
        ${3:+--header "content-type: application/json" --data "$3"}
    echo
}

call POST "/api/tracking/consent?user_id=u-17&analytics=true&improvement=true"
call POST /api/tracking/event/match-proposed '{"user_id": "u-17", "match_id": "m-204",
  "match_score": 0.82, "match_parameters": {"radius_km": 30}, "alternatives_count": 4,
  "constraint_satisfaction": {"skills": 0.9, "distance": 0.4}}'
call POST /api/tracking/event/match-viewed '{"user_id": "u-17", "match_id": "m-204",
  "view_duration_seconds": 12.5, "view_complete": true}'
call POST /api/tracking/event/match-decision '{"user_id": "u-17", "match_id": "m-204",
  "decision": true, "decision_time_seconds": 40}'
call POST /api/tracking/event/match-feedback '{"user_id": "u-17", "match_id": "m-204",
  "rating": 5, "feedback_text": "Un entretien clair et chaleureux."}'

echo "Stored. They are in the figure once 'smartmatch process' has run, by hand or on schedule; as of now:"
figure=$(curl --silent --show-error --write-out '\n%{http_code}' "$url/api/metrics/acceptance?days=30" \
    ${key:+--header "Authorization: Bearer $key"})
case ${figure##*$'\n'} in
    200) echo "${figure%$'\n'*}" ;;
    403) echo "This key may not see it: smartmatch keys create --name figures --scope metrics" ;;
    *) echo "$figure" >&2 && exit 1 ;;
esac
