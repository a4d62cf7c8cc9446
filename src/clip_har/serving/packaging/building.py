"""Building a Bento: in a process of its own, into a store of the workspace's, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import ClipHarError
from clip_har.models.bundle import ModelBundle
from clip_har.serving.config import ServingConfig
from clip_har.serving.packaging.contents import write_contents
from clip_har.serving.packaging.requirements import requirements_for
from clip_har.serving.packaging.store import BentoStore
from clip_har.storage import exclusive

_SHOWN = 12  # digits of a model id in a tag
_OF_CONTENT = 8
_TIMEOUT = 600.0


class PackedBento(ComponentConfig):
    """A Bento in a store.

    Its version is the first digits of the model id, then of the hash of everything in it: equal contents, equal tag.
    """

    tag: str = Field(description="`name:version`, as BentoML takes it.")
    model_id: str = Field(description="The model in it.")
    store: str = Field(description="BENTOML_HOME of the store.")
    path: str = Field(description="Its folder; `bentoml serve` takes that too.")
    bytes: int = Field(description="Size of its files.")
    requirements: int = Field(description="Packages that it pins.")
    built: bool = Field(description="Whether it was built now; otherwise it was there.")


def build(bundle: ModelBundle, home: str | Path, config: ServingConfig) -> PackedBento:
    """Pack a bundle with its accepted forms; a Bento of the same contents is left as it is.

    Args:
        home: BENTOML_HOME of the store; made if it is not there. Nothing is written elsewhere.

    Raises:
        ClipHarError: if a package is missing, or BentoML refuses; with what it said.
    """
    store = BentoStore(home)
    requirements = requirements_for(bundle, explain=config.bento.explain)
    with exclusive(store.home / ".lock"):
        store.clear_leftovers()
        with tempfile.TemporaryDirectory(prefix="building-", dir=store.home) as scratch:
            contents = Path(scratch) / "contents"
            contents.mkdir()
            digest = write_contents(contents, bundle, config, requirements)
            version = f"{bundle.model_id[:_SHOWN]}-{digest[:_OF_CONTENT]}"
            place = store.place(config.name, version)
            built = not place.is_dir()
            if built:
                _build(contents, Path(scratch) / "home", version)
                store.take(Path(scratch) / "home", config.name, version)
        store.point_latest(config.name, version)
    return PackedBento(
        tag=f"{config.name}:{version}",
        model_id=bundle.model_id,
        store=str(store.home),
        path=str(place),
        bytes=sum(file.stat().st_size for file in place.rglob("*") if file.is_file()),
        requirements=len(requirements),
        built=built,
    )


def _build(contents: Path, home: Path, version: str) -> None:
    """BentoML reads its home once per process, and imports the service that it packs: hence a process, and only the copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLIP_HAR_", "BENTOML_"))}
    told = ["--bentofile", str(contents / "bentofile.yaml"), "--version", version, "--output", "tag"]
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", *told, str(contents)],
        cwd=contents,
        env=kept | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(contents)},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ClipHarError(f"BentoML could not build the Bento:\n{said}")
