"""How the app looks: colours of both themes, and what Streamlit is told. Nothing of it is fetched from anywhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_LIGHT = {
    "primaryColor": "#16606a",
    "backgroundColor": "#fbfaf7",
    "secondaryBackgroundColor": "#f1efe9",
    "textColor": "#1d2430",
    "linkColor": "#16606a",
    "borderColor": "#d9d6cd",
}
_DARK = {
    "primaryColor": "#58b3bd",
    "backgroundColor": "#14181d",
    "secondaryBackgroundColor": "#1e242c",
    "textColor": "#e8eaed",
    "linkColor": "#7cc7d0",
    "borderColor": "#37414d",
}


def options(address: str, port: int, max_upload_megabytes: int) -> dict[str, Any]:
    """Streamlit's options: local, quiet, without statistics and without tracebacks in pages."""
    found: dict[str, Any] = {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": max_upload_megabytes,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "viewer",
        "theme.baseRadius": "0.6rem",
        "theme.headingFontSizes": ["1.9rem", "1.35rem", "1.15rem", "1.05rem", "1rem", "1rem"],
        "logger.level": "warning",
    }
    found |= {f"theme.light.{name}": value for name, value in _LIGHT.items()}
    found |= {f"theme.dark.{name}": value for name, value in _DARK.items()}
    return {name.replace(".", "_"): value for name, value in found.items()}


@cache
def icon() -> Image.Image:
    """The browser tab's icon, drawn here: Streamlit would fetch one of its own from elsewhere."""
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", (128, 128))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, 127, 127), 28, fill="#1f6f78")
    pen.ellipse((70, 14, 98, 42), fill="white")
    for line in (
        [(76, 50), (58, 80)],
        [(76, 50), (98, 66)],
        [(72, 52), (48, 48), (32, 62)],
        [(58, 80), (78, 94), (72, 116)],
    ):
        pen.line(line, fill="white", width=12, joint="curve")
    pen.line([(58, 80), (44, 98), (20, 98)], fill="white", width=12, joint="curve")
    return image


STYLE = """<style>
.ch-bars { list-style: none; margin: 0 0 .6rem !important; padding: 0 !important; }
.ch-bars li { margin: 0 0 .45rem !important; padding: 0 !important; }
.ch-row { display: flex; justify-content: space-between; gap: .8rem; font-size: .95rem; line-height: 1.3; }
.ch-row > span { overflow-wrap: anywhere; }
.ch-row .ch-number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.ch-track { display: block; height: .5rem; border-radius: .25rem; margin-top: .15rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 12%, transparent); }
.ch-track i { display: block; height: 100%; border-radius: .25rem; background: light-dark(#1f6f78, #58b3bd); }
.ch-in b { font-weight: 650; }
.ch-out .ch-track i { background: light-dark(#79828f, #8a94a1); }
.ch-grid { display: grid; gap: .7rem; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); margin: .2rem 0 1rem; }
.ch-grid figure { margin: 0; overflow: hidden; border-radius: .6rem;
  border: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
.ch-grid img { width: 100%; aspect-ratio: 3/2; object-fit: cover; display: block; }
.ch-grid .ch-none { aspect-ratio: 3/2; display: grid; place-content: center; text-align: center; font-size: .8rem; padding: .4rem; }
.ch-grid figcaption { padding: .35rem .55rem .5rem; font-size: .84rem; line-height: 1.35; overflow-wrap: anywhere; }
.ch-grid figcaption span { display: block; }
.ch-quiet, [data-testid="stCaptionContainer"], [data-testid="stImageCaption"] {
  color: light-dark(#565e6a, #aab3bf) !important; opacity: 1 !important; }
[data-testid="stCaptionContainer"] :is(p, a, code) { color: inherit !important; opacity: 1 !important; }
:is([data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primaryFormSubmit"]) :is(p, span) {
  color: light-dark(#ffffff, #0d1114) !important; }
[data-testid="stMainBlockContainer"] { padding-top: 3.2rem; max-width: 76rem; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; } }
</style>"""
