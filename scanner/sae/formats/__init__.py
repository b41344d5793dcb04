"""One public file format of sparse autoencoders a module, each folded into `SparseAutoencoder`.

A format's module has `NAME`, `recognises(path)` and `read(path)`; `../read.py` lists them.

`weights_file.py`    tensors in a file, whatever the container, each checked when it is taken
`configuration.py`   the JSON beside them
`folding.py`         algebra that several formats need: gates, decoder norms
`assembly.py`        the parts to a `SparseAutoencoder`, or one line that says why not
"""
