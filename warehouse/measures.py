"""Names of the additive sums in ``metric_sums``: what the flow writes and the API reads.

The grain is the proposal, one (match, subject). A row counts on the day of its proposal, or of
its earliest event while no proposal is known. Everything is a whole number: scores count in
ten-thousandths, times in milliseconds.

Rates stand on proposals: ``viewed``, ``decided``, ``accepted``, ``completed`` and what is
derived from them count only rows whose proposal is known. What came without one counts as an
orphan (``orphan_decided`` and so on) until its proposal comes, and never as a rejection of
something that nobody proposed. Ratings count whether or not the proposal is known, because
their mean has no proposals below its line.
"""

from __future__ import annotations

UNIT = 10_000
"""How many of the summed units make a score of 1."""

BANDS = 5
"""Bands of satisfaction, each 0.2 wide; the last includes 1."""

RATINGS = (1, 2, 3, 4, 5)

WHOLE = ""
"""The facet of sums that do not belong to one constraint."""

PROPOSED = "proposed"
VIEWED = "viewed"
VIEWED_WHOLE = "viewed_whole"
VIEWS = "views"
VIEW_MS = "view_ms"
DECIDED = "decided"
ACCEPTED = "accepted"
REJECTED = "rejected"
DECISION_MS = "decision_ms"
RATED = "rated"
RATED_PROPOSED = "rated_proposed"
RATING = tuple(f"rating_{stars}" for stars in RATINGS)
COMPLETED = "completed"
ABANDONED = "abandoned"
SCORE = "score"
SCORE_SQUARES = "score_squares"
PAIRED = "paired"
"""Rows of a match with at least two counted parties, all of them proposed and decided."""
MUTUAL = "mutual"
"""Rows of such a match whose parties all accepted."""
ORPHAN_VIEWED = "orphan_viewed"
ORPHAN_DECIDED = "orphan_decided"
ORPHAN_RATED = "orphan_rated"
ORPHAN_COMPLETED = "orphan_completed"

# By constraint: every proposal that names it ...
SATISFACTION_PROPOSED = "c_proposed"
SATISFACTION_SUM = "c_satisfaction"
# ... and the decided ones.
DECIDED_SUM = "c_decided_satisfaction"
DECIDED_SQUARES = "c_decided_squares"
ACCEPTED_SUM = "c_accepted_satisfaction"
BAND_DECIDED = tuple(f"c_band_{band}_decided" for band in range(1, BANDS + 1))
BAND_ACCEPTED = tuple(f"c_band_{band}_accepted" for band in range(1, BANDS + 1))

# In published blocks only, where a step or a band may be left out.
DECIDED_OF, VIEWED_OF, RATED_OF = "decided_of", "viewed_of", "rated_of"
"""Proposals of the slices in which the step is told: what its count stands beside."""
UNSCORED, UNTIMED, UNVIEWS = "unscored", "untimed", "unviews"
"""Proposed, decided and viewed ones of the slices that leave out the sums of scores, times, views:
what a mean does not stand on."""
CONSTRAINT_DECIDED, CONSTRAINT_ACCEPTED = "c_decided", "c_accepted"
"""Decided and accepted proposals that name the constraint, in all bands."""

OF_CONSTRAINTS = (
    SATISFACTION_PROPOSED,
    SATISFACTION_SUM,
    DECIDED_SUM,
    DECIDED_SQUARES,
    ACCEPTED_SUM,
    *BAND_DECIDED,
    *BAND_ACCEPTED,
    CONSTRAINT_DECIDED,
    CONSTRAINT_ACCEPTED,
)
OF_WHOLE = (
    PROPOSED,
    VIEWED,
    VIEWED_WHOLE,
    VIEWS,
    VIEW_MS,
    DECIDED,
    ACCEPTED,
    REJECTED,
    DECISION_MS,
    RATED,
    RATED_PROPOSED,
    *RATING,
    COMPLETED,
    ABANDONED,
    SCORE,
    SCORE_SQUARES,
    PAIRED,
    MUTUAL,
    ORPHAN_VIEWED,
    ORPHAN_DECIDED,
    ORPHAN_RATED,
    ORPHAN_COMPLETED,
    DECIDED_OF,
    VIEWED_OF,
    RATED_OF,
    UNSCORED,
    UNTIMED,
    UNVIEWS,
)


def metric_of(measure: str) -> str:
    """Name the metric that a sum belongs to: what may be said of one person's sums."""
    if measure in OF_CONSTRAINTS:
        return "constraints"
    if measure in {RATED, RATED_PROPOSED, *RATING, ORPHAN_RATED}:
        return "satisfaction"
    if measure in {DECIDED, ACCEPTED, REJECTED, DECISION_MS, PAIRED, MUTUAL, ORPHAN_DECIDED}:
        return "acceptance"
    return "funnel"
