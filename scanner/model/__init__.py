"""A loaded model: loading, prompts, activations, generation. The only room that imports transformers."""
