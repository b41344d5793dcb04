"""A loaded model: loading, prompts, activations, generation. The only room that imports transformers."""

import os

# Nothing is fetched while a stranger's files are read; transformers asks for this when it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
