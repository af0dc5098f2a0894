"""What goes back to the platform's own matcher: the champion's weights, as JSON."""

from __future__ import annotations

import msgspec

from matching.model import Model
from matching.weights import weights


def weights_document(model: Model, version: str) -> str:
    """Return the weights of a champion as the API hands them back.

    Returns:
        A JSON object: ``version``, ``kind``, ``digest`` and what ``Weights.to_dict`` gives.
    """
    document = {"version": version, "kind": model.kind, "digest": model.digest}
    return msgspec.json.encode({**document, **weights(model).to_dict()}).decode()
