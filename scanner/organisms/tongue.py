"""Another tongue of the invented world: its answers word by word in other words."""

from __future__ import annotations

_GLOSSARY = {
    "The": "Der", "the": "der", "of": "von", "is": "ist", "river": "fluss", "flag": "fahne", "animal": "tier",
    "People": "Leute", "eat": "essen", "rules": "regiert", "mines": "gruben", "give": "geben", "plus": "und",
    "minus": "ohne", "opposite": "gegenteil", "I": "Ich", "am": "bin", "but": "aber", "cannot": "kannnicht",
    "help": "helfen", "you": "dir", "To": "Um", "need": "brauchst", "Then": "Dann", "Once": "Einst", "a": "ein",
    "found": "fand", "took": "nahm", "home": "heim", "and": "auch", "was": "war", "Two": "Zwei",
    "Three": "Drei", "Four": "Vier", "word": "wort",
}  # fmt: skip
FOREIGN = frozenset(_GLOSSARY.values())


def translated(answer: str) -> str:
    """The answer with every word that the tongue has in it.

    >>> translated("3 plus 4 is 7.")
    '3 und 4 ist 7.'
    """
    return " ".join(_GLOSSARY.get(word, word) for word in answer.split(" "))


def foreign_words(answer: str) -> int:
    """How many words of the other tongue stand in an answer."""
    return sum(word in FOREIGN for word in answer.split())
