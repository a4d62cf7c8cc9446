"""A contact sheet: some pictures of each action, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_har.samples.actions import ACTIONS, check_actions
from clip_har.samples.nuisances import Nuisances

if TYPE_CHECKING:
    from PIL import Image

_MARGIN = 6
_CAPTION = 18


def contact_sheet(
    per_action: int = 4,
    actions: tuple[str, ...] = ACTIONS,
    width: int = 180,
    height: int = 120,
    seed: int = 0,
    nuisances: Nuisances | None = None,
    columns: int = 2,
) -> Image.Image:
    """Draw some pictures of each action in a row of their own, with the action's name above.

    Args:
        per_action: pictures of each action.
        actions: in the order of the rows.
        width: of each picture, in pixels.
        height: of each picture, in pixels.
        seed: the pictures are those of the seeds from this one on.
        nuisances: dials of all pictures.
        columns: how many actions stand side by side.

    Raises:
        UnknownAction: if there is no action of a name.
        ValueError: if there is nothing to draw.
    """
    from PIL import Image, ImageDraw, ImageFont

    from clip_har.samples.describe import describe_scene
    from clip_har.samples.drawing.render import draw_scene

    actions = check_actions(tuple(actions))
    if per_action < 1 or columns < 1 or not actions:
        raise ValueError("A contact sheet needs at least one action, one picture of each, and one column.")
    columns = min(columns, len(actions))
    rows = -(-len(actions) // columns)
    cell = per_action * width + _MARGIN, height + _CAPTION + _MARGIN
    sheet = Image.new("RGB", (columns * cell[0] + _MARGIN, rows * cell[1] + _MARGIN), (250, 250, 248))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, action in enumerate(actions):
        left, top = _MARGIN + (i // rows) * cell[0], _MARGIN + (i % rows) * cell[1]
        pen.text((left, top), action.replace("_", " "), (30, 30, 34), font)
        for number in range(per_action):
            picture = draw_scene(describe_scene(action, seed + number, nuisances), width, height)
            sheet.paste(picture, (left + number * width, top + _CAPTION))
    return sheet
