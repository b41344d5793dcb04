"""Searching through strings: where candidates come from, bags of them, and cutting what fires.

- `lexicon.py` candidate strings: vocabulary, words, marked-up words, dates
- `arrangement.py` a few words in every order
- `group_test.py` what it means that a bag fires; cutting it to its shortest working form
- `hunting.py` screen, confirm, cut: from bags to candidates with one answer for all
- `displacing.py` the same for what displaces the model's own answers, of one kind of prompt or of all
- `differences.py` how differently suspect and base think of strings; `growing.py` and `spelling.py` follow it to phrases and words
"""
