"""The learning: features, model, gate, weights, assignment, evaluation, market, registry.

Pure but for ``matching.registry``: frames and seeds in, frozen results out; no clock,
environment or SQL. scikit-learn is imported where a model is fitted with it, MLflow in
``matching.registry`` alone, matplotlib in ``matching.figures`` alone.
"""
