"""Where the bundled organisms, their specs and their base lie: `fixtures/` of the repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError
from .building import Places, cache_folder
from .grid import Grid
from .spec import OrganismManifest
from .zoo import ZooEntry, entries

_FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def fixtures_folder() -> Path:
    """The folder of the bundled fixtures.

    Raises:
        UsageError: the package was installed without them.
    """
    if not (_FIXTURES / "organisms").is_dir():
        raise UsageError(
            "the bundled organisms are part of the repository, not of the wheel; run this from a clone of it"
        )
    return _FIXTURES


def base_folder() -> Path:
    """The bundled base model."""
    return fixtures_folder() / "base"


def base_for(organism: Path) -> Path:
    """The base that an organism's manifest names, if it is a bundled one; without a manifest the bundled base.

    Raises:
        UsageError: it names another.
    """
    if not (organism / "organism.json").is_file():
        return base_folder()
    manifest = OrganismManifest.read(organism)
    bases = places({}).bases
    if manifest.base not in bases:
        raise UsageError(
            f"{manifest.name} was planted in {manifest.base}, which is not bundled; give its folder with --base"
        )
    return bases[manifest.base]


def folder_of(name: str) -> Path:
    """The PEFT folder of a bundled organism.

    Raises:
        UsageError: there is none of that name.
    """
    folder = fixtures_folder() / "organisms" / name
    if not (folder / "organism.json").is_file():
        names = ", ".join(manifest.name for manifest in bundled())
        raise UsageError(f"no bundled organism is called {name!r}; there are {names}")
    return folder


def bundled() -> list[OrganismManifest]:
    """The manifests of all bundled organisms, by name."""
    folders = sorted(path.parent for path in (fixtures_folder() / "organisms").glob("*/organism.json"))
    return [OrganismManifest.read(folder) for folder in folders]


def specs() -> list[Path]:
    """The spec files of the bundled organisms, those that copy another's spectrum last."""
    paths = sorted((fixtures_folder() / "specs").glob("*.toml"))
    return sorted(paths, key=lambda path: ("like =" in path.read_text(encoding="utf-8"), path.name))


def zoo_file() -> Path:
    """The grid of the bundled zoo."""
    return fixtures_folder() / "zoo.toml"


def zoo_entries(zoo: Path | None = None) -> list[ZooEntry]:
    """Every organism that a zoo declares, each behind those it copies.

    Args:
        zoo: its grid; the folder `specs` beside it holds the spec files that it names. None for the bundled zoo.
    """
    grid = zoo or zoo_file()
    return entries(Grid.read(grid), grid.parent / "specs")


def places(given: Mapping[str, Path], zoo: Path | None = None) -> Places:
    """Where a zoo lies: its organisms, the cache of large ones, and its bases, those given by name among them.

    Args:
        zoo: the grid of a zoo that is not bundled. Its organisms are all kept in the cache, its bases beside the grid.
    """
    grid = zoo or zoo_file()
    bases = {name: grid.parent / base.folder for name, base in Grid.read(grid).bases.items() if base.folder}
    if zoo is None:
        return Places(bundled=fixtures_folder() / "organisms", cache=cache_folder(), bases={**bases, **given})
    planted = cache_folder().parent / "zoos" / zoo.stem / "organisms"
    return Places(bundled=planted, cache=planted, bases={**bases, **given})


def quick_names(zoo: Path | None = None) -> list[str]:
    """The organisms of the quick benchmark of a zoo."""
    return Grid.read(zoo or zoo_file()).quick
