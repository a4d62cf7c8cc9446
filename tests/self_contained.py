"""Whether a page asks nothing of any server."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_REFERENCES = ("src", "href", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href")


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in _REFERENCES]
        self.found += [f"handler {name}" for name, _ in attrs if name.startswith("on")]


def requests_of(page: str) -> list[str]:
    """Everything on a page that would be fetched from somewhere, or run."""
    parser = _References()
    parser.feed(page)
    outside = [value for value in parser.found if not value.startswith(("data:image/", "#"))]
    outside += [f"<{tag}>" for tag in sorted(parser.tags & {"script", "link", "iframe", "object", "embed", "base"})]
    return outside + re.findall(r"https?://[^\s\"'<]*|@import[^;]*|url\([^)]*\)", page)
