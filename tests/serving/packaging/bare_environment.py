"""A Python environment with exactly the packages that are named: those of this one, by links, and nothing of this project."""

from __future__ import annotations

import sys
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def make_environment(folder: Path, requirements: Iterable[str]) -> Path:
    """Make it; the folder of its programs.

    Args:
        requirements: `name==version` lines; each has to be installed here in that version.
    """
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for line in requirements:
        name, _, wanted = line.partition("==")
        installed = metadata.distribution(name)
        assert installed.version.partition("+")[0] == wanted, line
        home = Path(str(installed.locate_file(""))).resolve()
        tops = {file.parts[0] for file in installed.files or () if ".." not in file.parts}
        for top in tops - {"__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(home / top)
            elif (packages / top).is_symlink() and (home / top).is_dir():  # a namespace that several packages share
                assert (packages / top).resolve() == home / top
    bentoml = folder / "bin" / "bentoml"
    bentoml.write_text(f"#!{folder / 'bin' / 'python'}\nfrom bentoml_cli.cli import cli\ncli()\n")
    bentoml.chmod(0o755)
    return folder / "bin"
