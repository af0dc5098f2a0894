"""What a version of the model reads and writes, as MLflow keeps it beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema, TensorSpec

from matching import features

if TYPE_CHECKING:
    from matching.model import Model

# A platform has names for its people and matches; our training rows have numbers and pseudonyms.
_KEYS: dict[str, DataType | AnyType] = {
    "match_key": DataType.string,
    "match_id": DataType.string,
    "subject": AnyType(),  # type: ignore[no-untyped-call]
    "user_id": DataType.string,
    "group": DataType.string,
    features.SIDE: DataType.double,
    "preferences": DataType.boolean,
}


def signature(model: Model) -> ModelSignature:
    """Say what a version reads and writes; only ``match_score`` must be there."""
    names = ["score", *model.constraints]
    real = [features.CONSTRAINT + name for name in model.constraints]
    real += [features.PARAMETER + name for name in model.design.scales]
    real += [prefix + name for prefix in (features.OWN, features.GAP) for name in names]
    real += [features.OPTIONS, features.RANK, features.SPREAD, features.RETURNED]
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, features.SCORE)]
    inputs += [ColSpec(kind, name, required=False) for name, kind in _KEYS.items()]
    inputs += [ColSpec(DataType.double, name, required=False) for name in real]
    outputs = ("p_accept", "p_mutual", "expected_satisfaction", "utility")
    made: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in outputs]
    return ModelSignature(Schema(inputs), Schema(made))
