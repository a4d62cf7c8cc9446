"""Drawing scenes: three layers by distance (blurred surroundings, the subject, what is out of focus in front), then a photograph."""

from __future__ import annotations

import io

from PIL import Image, ImageChops, ImageFilter

from clip_har.samples.drawing.body import add_body
from clip_har.samples.drawing.canvas import Canvas, Depths
from clip_har.samples.drawing.equipment import EQUIPMENT
from clip_har.samples.drawing.exterior import EXTERIOR
from clip_har.samples.drawing.furniture import FURNITURE
from clip_har.samples.drawing.head import add_head
from clip_har.samples.drawing.interior import INTERIOR
from clip_har.samples.drawing.objects import OBJECTS
from clip_har.samples.drawing.photograph import compress, darken, expose, shadow_mask
from clip_har.samples.drawing.places import draw_place
from clip_har.samples.drawing.tableware import TABLEWARE
from clip_har.samples.drawing.venues import VENUES
from clip_har.samples.scene import Person, Scene, Thing

DRAWINGS = OBJECTS | TABLEWARE | FURNITURE | EQUIPMENT | INTERIOR | VENUES | EXTERIOR
_KEY = (37, 41, 39)  # colour of nothing on the foreground's canvas


def draw_scene(scene: Scene, width: int = 240, height: int = 160) -> Image.Image:
    """Draw a scene.

    Args:
        scene: from `describe_scene`.
        width: pixels, at least 8.
        height: pixels, at least 8.

    Returns:
        An RGB picture that depends on the arguments only.

    Raises:
        ValueError: if the size is too small.
    """
    image = Image.open(io.BytesIO(encode_scene(scene, width, height)))
    image.load()
    return image


def encode_scene(scene: Scene, width: int = 240, height: int = 160) -> bytes:
    """The JPEG file whose pixels `draw_scene` returns."""
    return compress(expose(_paint(scene, width, height), scene.capture, scene.light), scene.capture.quality)


def _plan(canvas: Canvas, items: list[Person | Thing]) -> None:
    depths = Depths()
    for item in items:
        if isinstance(item, Person):
            add_body(canvas, depths, item)
            add_head(canvas, depths, item)
        else:
            DRAWINGS[item.kind](canvas, depths, item)
    depths.draw()


def _paint(scene: Scene, width: int, height: int) -> Image.Image:
    if width < 8 or height < 8:
        raise ValueError(f"A scene needs at least 8 x 8 pixels, not {width} x {height}.")
    camera, light, capture = scene.camera, scene.light, scene.capture
    back = Canvas(width, height, camera, light, fine=0.8)
    behind, middle, before = _layers(scene, back)
    draw_place(back, scene.place, light)
    _plan(back, [*scene.place.features])
    darken(back.image, shadow_mask(back, light, scene.place, [i for i in behind if isinstance(i, Person)], []), 0.7)
    _plan(back, behind)
    radius = max(0.5, capture.background_blur * height * 1.6)
    back.image = back.image.filter(ImageFilter.BoxBlur(radius))
    people = [item for item in middle if isinstance(item, Person)]
    things = [item for item in middle if isinstance(item, Thing)]
    darken(back.image, shadow_mask(back, light, scene.place, people, things), 0.75)

    factor = 3 if width * height <= 160 * 120 else 2
    front = Canvas(width * factor, height * factor, camera, light, fine=1.5 / factor)
    front.image.paste(back.image.resize(front.image.size, Image.Resampling.BILINEAR))
    _plan(front, middle)
    image = front.image.reduce(factor)
    if before:
        _lay_over(scene, image, before)
    return image


def _layers(scene: Scene, canvas: Canvas) -> tuple[list, list, list]:
    behind, middle, before = [], [], []
    for item in (*scene.things, *scene.people):
        anchor = item.body.pelvis if isinstance(item, Person) else item.position
        share = canvas.depth(anchor) / scene.camera.distance
        main = item.main if isinstance(item, Person) else item.relation == "used"
        (middle if main or share < 1.4 else behind).append(item)
    before.extend(scene.foreground)
    return behind, middle, before


def _lay_over(scene: Scene, image: Image.Image, items: list) -> None:
    canvas = Canvas(*image.size, scene.camera, scene.light, fine=0.7)
    canvas.image.paste(_KEY, (0, 0, *image.size))
    _plan(canvas, items)
    bands = ImageChops.difference(canvas.image, Image.new("RGB", image.size, _KEY)).split()
    mask = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2]).point(lambda v: 255 if v else 0)
    radius = max(0.8, 0.022 * image.height)
    # blurring the colours over the edge would draw the key in: spread them first
    spread = Image.composite(canvas.image, image, mask).filter(ImageFilter.BoxBlur(radius))
    image.paste(spread, (0, 0), mask.filter(ImageFilter.BoxBlur(radius)))
