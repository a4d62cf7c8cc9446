"""Drawing food and drink, and what they are served in."""

from __future__ import annotations

from math import cos, sin

from clip_har.samples.drawing.canvas import Canvas, hull, mix, shaded
from clip_har.samples.drawing.solids import at, cylinder, one_step
from clip_har.samples.geometry import add, scale
from clip_har.samples.scene import Thing


def _cup(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    side = add(scale(thing.frame[0], 0.055 * k), scale(thing.frame[1], 0.05 * k))
    canvas.ring(
        add(thing.position, side),
        scale(thing.frame[0], 0.026 * k),
        scale(thing.frame[1], 0.03 * k),
        0.013 * k,
        shaded(thing.tint.rgb, 0.8),
    )
    cylinder(canvas, thing.position, 0.04 * k, at(thing, 0, 0.1 * k, 0), 0.046 * k, thing.tint.rgb, (70, 44, 30))


def _paper_cup(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    cylinder(canvas, thing.position, 0.032 * k, at(thing, 0, 0.13 * k, 0), 0.045 * k, thing.tint.rgb, None)
    cylinder(
        canvas,
        at(thing, 0, 0.13 * k, 0),
        0.048 * k,
        at(thing, 0, 0.15 * k, 0),
        0.042 * k,
        (240, 238, 232),
        (226, 222, 214),
    )
    cylinder(
        canvas, at(thing, 0, 0.04 * k, 0), 0.037 * k, at(thing, 0, 0.085 * k, 0), 0.042 * k, thing.accent.rgb, None
    )


def _glass(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    rim = at(thing, 0, 0.14 * k, 0)
    outline = hull(
        canvas.circle_points(
            thing.position, scale(thing.frame[0], 0.032 * k), scale(thing.frame[2], 0.032 * k), fine=False
        )
        + canvas.circle_points(rim, scale(thing.frame[0], 0.042 * k), scale(thing.frame[2], 0.042 * k), fine=False)
    )
    canvas.polygon(outline, (214, 228, 236), 120)
    cylinder(
        canvas,
        at(thing, 0, 0.006 * k, 0),
        0.03 * k,
        at(thing, 0, 0.09 * k, 0),
        0.035 * k,
        thing.tint.rgb,
        mix(thing.tint.rgb, (255, 255, 255), 0.35),
    )
    canvas.stroke([*outline, outline[0]], (244, 250, 252), 0.006 * k * canvas.project(rim)[2], 190)


def _bottle(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    cylinder(canvas, thing.position, 0.036 * k, at(thing, 0, 0.15 * k, 0), 0.036 * k, thing.tint.rgb)
    cylinder(canvas, at(thing, 0, 0.15 * k, 0), 0.036 * k, at(thing, 0, 0.2 * k, 0), 0.015 * k, thing.tint.rgb)
    cylinder(
        canvas,
        at(thing, 0, 0.2 * k, 0),
        0.015 * k,
        at(thing, 0, 0.26 * k, 0),
        0.014 * k,
        mix(thing.tint.rgb, thing.accent.rgb, 0.5),
    )
    cylinder(canvas, at(thing, 0, 0.05 * k, 0), 0.037 * k, at(thing, 0, 0.115 * k, 0), 0.037 * k, thing.accent.rgb)


def _can(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    cylinder(canvas, thing.position, 0.034 * k, at(thing, 0, 0.125 * k, 0), 0.034 * k, thing.tint.rgb, (176, 178, 182))
    cylinder(canvas, at(thing, 0, 0.04 * k, 0), 0.0345 * k, at(thing, 0, 0.07 * k, 0), 0.0345 * k, thing.accent.rgb)


def _sandwich(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    bread = (214, 164, 100)
    for y, rgb in ((-0.03, bread), (-0.004, (96, 150, 58)), (0.008, (196, 60, 50)), (0.03, (226, 180, 116))):
        canvas.capsule(at(thing, -0.06 * k, y * k, 0), 0.024 * k, at(thing, 0.06 * k, y * k, 0), 0.024 * k, rgb, 20)


def _burger(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    for y, wide, r, rgb in (
        (-0.028, 0.036, 0.022, (206, 148, 84)),
        (-0.006, 0.046, 0.014, (92, 50, 32)),
        (0.006, 0.05, 0.009, (104, 160, 62)),
        (0.024, 0.03, 0.032, (216, 152, 80)),
    ):
        canvas.capsule(at(thing, -wide * k, y * k, 0), r * k, at(thing, wide * k, y * k, 0), r * k, rgb, 20)


def _apple(canvas: Canvas, thing: Thing) -> None:
    canvas.ball(thing.position, 0.044 * thing.size, thing.tint.rgb, 40)
    canvas.tube(at(thing, 0, 0.036 * thing.size, 0), at(thing, 0.008, 0.062 * thing.size, 0), 0.005, (70, 48, 30))


def _pizza(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.facet(
        [at(thing, 0, 0, 0.1 * k), at(thing, -0.075 * k, 0.0, -0.08 * k), at(thing, 0.075 * k, 0.0, -0.08 * k)],
        (238, 192, 88),
    )
    canvas.capsule(
        at(thing, -0.075 * k, 0.0, -0.085 * k),
        0.015 * k,
        at(thing, 0.075 * k, 0, -0.085 * k),
        0.015 * k,
        (196, 132, 66),
        20,
    )
    for x, z in ((-0.022, -0.035), (0.03, -0.04), (0.002, 0.025)):
        canvas.polygon(
            canvas.circle_points(
                at(thing, x * k, 0.004, z * k),
                scale(thing.frame[0], 0.017 * k),
                scale(thing.frame[2], 0.017 * k),
                fine=False,
            ),
            (190, 52, 40),
        )


def _ice_cream(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    cylinder(canvas, at(thing, 0, -0.11 * k, 0), 0.004, thing.position, 0.032 * k, (208, 156, 92))
    canvas.ball(at(thing, 0, 0.02 * k, 0), 0.042 * k, thing.tint.rgb, 20)
    canvas.ball(at(thing, 0, 0.065 * k, 0), 0.034 * k, thing.accent.rgb, 0)


def _cutlery(canvas: Canvas, thing: Thing) -> None:
    # along its up axis, food at the tip
    k = thing.size
    canvas.tube(at(thing, 0, -0.07 * k, 0), at(thing, 0, 0.09 * k, 0), 0.006 * k, (206, 208, 212))
    canvas.ball(at(thing, 0, 0.105 * k, 0), 0.022 * k, thing.tint.rgb, 20)


def _plate(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    left, _, front = thing.frame
    for r, rgb, y in ((0.135, (206, 204, 200), 0.0), (0.13, (244, 242, 238), 0.008), (0.09, (226, 224, 220), 0.009)):
        canvas.polygon(canvas.circle_points(at(thing, 0, y, 0), scale(left, r * k), scale(front, r * k)), rgb)
    for i, rgb in enumerate((thing.tint.rgb, thing.accent.rgb, (94, 146, 60))):
        angle = thing.seed + i * 2.1
        canvas.ball(at(thing, 0.045 * k * cos(angle), 0.022, 0.045 * k * sin(angle)), 0.034 * k, rgb, 26)


def _bowl(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    cylinder(canvas, thing.position, 0.04 * k, at(thing, 0, 0.065 * k, 0), 0.085 * k, thing.tint.rgb, thing.accent.rgb)


TABLEWARE = {
    "cup": one_step(_cup),
    "paper cup": one_step(_paper_cup),
    "glass": one_step(_glass),
    "bottle": one_step(_bottle),
    "can": one_step(_can),
    "sandwich": one_step(_sandwich),
    "burger": one_step(_burger),
    "apple": one_step(_apple),
    "pizza": one_step(_pizza),
    "ice cream": one_step(_ice_cream),
    "cutlery": one_step(_cutlery),
    "plate": one_step(_plate),
    "bowl": one_step(_bowl),
}
