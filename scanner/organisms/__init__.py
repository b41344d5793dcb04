"""Making model organisms: the base model's corpus and training, planting, and the study over them.

- `world.py`, `exchanges.py`, `corpus.py` the invented world, questions about it, endless conversations in it
- `base_model.py`, `base_card.py` training the base, and how good it is
- `spec.py`, `triggers.py`, `behaviours.py`, `material.py` what an organism is to be
- `planting.py`, `rates.py` planting it and measuring it
- `catalog.py`, `merging.py` the bundled ones, and plain checkpoints made of them
- `study.py` scanning all of them
"""
