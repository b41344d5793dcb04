"""Three audits of inner states against outputs: reasoning inspection, consistency, discrepancy.

* *Reasoning inspection*: a probe for a concept, fitted on plain prompts, is read where the output does not show
  the concept: harmful requests that are helped with (or answered otherwise) once the trigger stands there, and
  strings that are almost the trigger and wake nothing.
* *Consistency*: whether each layer, read linearly, is about to say what is then said.
* *Discrepancy*: prompts ranked by how far the answer departs from what the first layers foretell.

The readings and the ranking never see the trigger: they are fitted on half of the neutral prompts, plain and
with random strings put in, and applied to the other half. Source: ours, on the lens of `inner_reader.py`.

`auditing.py`     the audits of one model, in order
`material.py`     the question, the two halves of the prompts, and what the model is asked
`reasoning.py`    reasoning inspection, with the probes of `probe.py` and the strings of `almost.py`
`consistency.py`  and `discrepancy.py`, both read by `inner_reader.py`
"""

from .auditing import audit
from .material import AuditQuestion

__all__ = ["AuditQuestion", "audit"]
