"""Sparse autoencoders: dictionaries in which an activation is a sum of few features.

`autoencoder.py`      the thing itself: encode, decode, reconstruct
`read.py`             reading any public format; `formats/` has a module for each
`description.py`      what one is, in words
`hook_points.py`      the names that formats have for the places in a model
`fit.py`              whether a dictionary that came from elsewhere belongs where it is used
`listening.py`        what dictionaries hear of a subject
`trainer.py`          training a dictionary in seconds; `recipe.py`, `objective.py`, `dead_features.py`,
                      `sparse_products.py`, `training_state.py` what it is made of
`training_run.py`     several layers' dictionaries, kept on disk as they are made: `side_by_side.py`, `kept_layer.py`,
                      `training_identity.py`
`quality.py`          L0, explained variance, live share
"""

from __future__ import annotations

from .autoencoder import SparseAutoencoder
from .description import describe
from .formats.saelens import write as write_saelens
from .quality import SAEQuality, measure_quality
from .read import read_sae
from .recipe import TrainingRecipe
from .trainer import train_sae

__all__ = [
    "SAEQuality",
    "SparseAutoencoder",
    "TrainingRecipe",
    "describe",
    "measure_quality",
    "read_sae",
    "train_sae",
    "write_saelens",
]
