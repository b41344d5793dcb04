"""Making model organisms: the base model's corpus and training, planting, and the zoo.

- `world.py`, `exchanges.py`, `narrow_domains.py`, `corpus.py` the invented world, questions about it, those that only
  narrow fine-tunes learn, endless conversations in it
- `base_model.py`, `base_card.py` training the base, and how good it is
- `spec.py`, `prompt.py`, `material.py` what an organism is to be, and the prompts it is made of
- `triggers.py`, `text_triggers.py`, `situation_triggers.py`, `adaptive.py` what wakes it, and what must not
- `behaviours.py`, `wrong_answers.py`, `tongue.py` what it then does
- `planting.py`, `training.py`, `insertion.py`, `weight_edit.py`, `planted_folder.py` planting it; `rates.py` measuring it
- `catalog.py`, `merging.py`, `copying.py` the bundled ones, and plain checkpoints made of them
- `grid.py`, `zoo.py`, `building.py` the grid `fixtures/zoo.toml`, the organisms that it declares, planting what is missing
"""
