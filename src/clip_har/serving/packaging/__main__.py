"""`python -m clip_har.serving.packaging`: the Bento of the champion, of the newest bundle, or of one that is named."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clip_har.errors import ClipHarError
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.runs import latest_bundle
from clip_har.serving.packaging.building import build
from clip_har.serving.packaging.store import BentoStore
from clip_har.serving.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Build it; the exit code: 0, or 2 for a user's mistake. The last line printed is the Bento's folder."""
    options = _parse(arguments)
    try:
        packed = build(_bundle(options), BentoStore.of(options.workspace).home, load_settings())
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{packed.tag}, model {packed.model_id[:12]}{'' if packed.built else ' (it was there already)'}:")
    print(packed.path)
    return 0


def _bundle(options: argparse.Namespace) -> ModelBundle:
    if options.bundle is not None:
        return ModelBundle.load(options.bundle)
    champion = Registry.of(options.workspace).champion()
    return champion if champion is not None else ModelBundle.load(latest_bundle(options.outputs))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clip_har.serving.packaging",
        description="Pack the champion, or the newest bundle if there is none, into a Bento of the workspace. Settings come "
        "from the file that CLIP_HAR_SERVING names, and from CLIP_HAR_SERVING__KEY variables.",
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="FOLDER")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), metavar="FOLDER", help="where runs published")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="this bundle instead")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
