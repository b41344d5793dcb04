"""Making model organisms: the base model's corpus and training, planting, and the benchmark over them."""
