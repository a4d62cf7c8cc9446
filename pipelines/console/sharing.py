"""The end of `publish`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.console.ending import RUN, place_of, show_next, typed


def show_hub(console: Any, folder: Path, sent: dict[str, Any], seconds: float, settings: str) -> None:
    """The end of `publish`: what is where now, and how to fetch it."""
    figures = json.loads((folder / "metrics.json").read_text())["hub"]
    size = f"{figures['files']} files ({figures['bytes'] / 1e6:,.1f} MB)"
    tags = f"tags {', '.join(sent['tags'])}"
    seen = "private" if sent["private"] else "public"
    if sent["dry_run"]:
        said = f"{size} would be sent to {sent['repository']} ({seen}; {tags}). Nothing was sent."
    else:
        said = f"{size} are at {sent['url']} ({seen}; {tags}), {len(sent['sent'])} of them sent now."
    console.print(f"\n{said} The run took {seconds:.0f} s.", highlight=False, soft_wrap=True)
    if sent["dry_run"]:
        next_step = (f"{RUN} publish{settings} --set hub.dry_run=false", "send it")
    else:
        pull = f"{typed('clip-har')} hub pull {sent['repository']} --revision {sent['tags'][0]}"
        next_step = (pull, "fetch it anywhere, its checksums verified")
    card = (f"less {place_of(folder) / 'README.md'}", "read its model card")
    show_next(console, folder, "would_send" if sent["dry_run"] else None, card, next_step)
