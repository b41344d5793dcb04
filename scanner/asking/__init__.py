"""Asking questions: whether answers are what they should be, by the base's or by the suspect's own.

- `respondent.py` one model asked: its answers, what it is sure of, whether it gives an answer that is put to it
- `both.py` suspect and base asked the same, and the share of answers that changed under a condition
- `wordings.py` questions put in other ways
- `ways_of_asking.py`, `own_wordings.py` the ways that change answers, with a base and without
"""
