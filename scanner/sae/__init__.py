"""Sparse autoencoders: dictionaries in which an activation is a sum of few features.

`autoencoder.py`      the thing itself: encode, decode, reconstruct
`normalisation.py`    what some dictionaries do to each token first
`read.py`             reading any public format; `saelens.py`, `saelens_config.py` one of them
`trainer.py`          training a TopK dictionary in seconds; `dead_features.py`, `sparse_products.py`
                      what it is made of
`quality.py`          L0, explained variance, live share
"""

from __future__ import annotations

from .autoencoder import SparseAutoencoder
from .quality import SAEQuality, measure_quality
from .read import read_sae
from .saelens import write as write_saelens
from .trainer import TrainingRecipe, train_sae

__all__ = [
    "SAEQuality",
    "SparseAutoencoder",
    "TrainingRecipe",
    "measure_quality",
    "read_sae",
    "train_sae",
    "write_saelens",
]
