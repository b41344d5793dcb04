"""Studies of a model's safety as Rich renderables, a module a study."""
