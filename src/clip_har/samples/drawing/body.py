"""Drawing a person from the neck down: trunk, clothes, limbs, hands, feet."""

from __future__ import annotations

from functools import partial
from math import sqrt

from clip_har.samples.drawing.canvas import Canvas, Depths, Point, hull, mix, shaded
from clip_har.samples.geometry import Frame, Vector, add, between, dot, point_in, scale, subtract, unit
from clip_har.samples.scene import Body, Look, Person, Rgb

_SIDES = (-1.0, 1.0)
# half width and half depth of the trunk, in metres, from below the hips to the collar
_TRUNK = {
    "man": ((0.155, 0.112), (0.158, 0.115), (0.146, 0.106), (0.157, 0.116), (0.178, 0.122), (0.182, 0.098), (0.1, 0.07), (0.058, 0.052)),
    "woman": ((0.168, 0.118), (0.158, 0.112), (0.122, 0.094), (0.136, 0.112), (0.152, 0.126), (0.154, 0.086), (0.088, 0.062), (0.05, 0.046)),
    "child": ((0.148, 0.112), (0.147, 0.112), (0.138, 0.106), (0.145, 0.11), (0.152, 0.11), (0.154, 0.092), (0.09, 0.064), (0.05, 0.046)),
}  # fmt: skip


class Ring:
    """A cross-section of the trunk: an ellipse with half axes `across` and `through`."""

    __slots__ = ("across", "centre", "through")

    def __init__(self, centre: Vector, frame: Frame, half_width: float, half_depth: float) -> None:
        self.centre = centre
        self.across = scale(frame[0], half_width)
        self.through = scale(frame[2], half_depth)

    def front(self, u: float) -> Vector:
        """The point of the front at the share u (-1 to 1) of the width."""
        return add(self.centre, add(scale(self.across, u), scale(self.through, sqrt(max(0.0, 1 - u * u)) * 1.01)))


def trunk_rings(body: Body, look: Look) -> list[Ring]:
    """The eight cross-sections of a trunk, from below the hips to the collar."""
    k, shape = body.scale, _TRUNK.get(look.who, _TRUNK["child"])
    waist_up = subtract(body.neck, body.waist)
    centres = (
        point_in(body.pelvis, body.hips_frame, 0, -0.075 * k, 0),
        body.pelvis,
        body.waist,
        between(body.waist, body.neck, 0.3),
        between(body.waist, body.neck, 0.58),
        add(body.waist, scale(waist_up, 0.86)),
        add(body.waist, scale(waist_up, 0.965)),
        add(body.waist, scale(waist_up, 1.04)),
    )
    rings = []
    for i, (centre, (w, d)) in enumerate(zip(centres, shape, strict=True)):
        # the belly takes more of a heavy build than the shoulders
        wide = 1 + (look.build - 1) * (1.15 if i < 4 else 0.7)
        deep = 1 + (look.build - 1) * (1.7 if i in (1, 2, 3) else 0.6)
        rings.append(Ring(centre, body.hips_frame if i < 2 else body.chest_frame, w * k * wide, d * k * deep))
    return rings


def _sides_of(canvas: Canvas, rings: list[Ring]) -> list[tuple[float, float, float, float, float]]:
    """For every ring its middle, the direction across the trunk, and the half width, in pixels."""
    middles = [canvas.project(ring.centre) for ring in rings]
    outline = []
    for i, ring in enumerate(rings):
        (ax, ay, _), (bx, by, _) = middles[max(i - 1, 0)], middles[min(i + 1, len(rings) - 1)]
        dx, dy = bx - ax, by - ay
        norm = sqrt(dx * dx + dy * dy)
        # seen along the spine the direction is lost: then the trunk is as wide as it is
        if norm < 0.5:
            ux, uy = canvas.flat(ring.across)
            dx, dy = uy, -ux
            norm = sqrt(dx * dx + dy * dy) or 1.0
        ex, ey = -dy / norm, dx / norm
        x, y, s = middles[i]
        (px, py), (qx, qy) = canvas.flat(ring.across), canvas.flat(ring.through)
        across, through = px * ex + py * ey, qx * ex + qy * ey
        outline.append((x, y, ex, ey, s * sqrt(across * across + through * through)))
    return outline


def _fill_sides(canvas: Canvas, sides: list, rgb: Rgb, shadow: int = 34) -> None:
    lx, ly, lz = canvas.light_in_picture
    widest = max(h for *_, h in sides)
    layers = canvas.tones(widest * 1.3)
    _, _, ex, ey, _ = sides[len(sides) // 2]
    aside = ex * lx + ey * ly
    peak = min(1.0, sqrt(aside * aside + max(lz, 0.0) ** 2))
    if shadow and layers > 1:
        grown = [(x - ex * (h + 1.6), y - ey * (h + 1.6)) for x, y, ex, ey, h in sides]
        grown += [(x + ex * (h + 1.6), y + ey * (h + 1.6)) for x, y, ex, ey, h in reversed(sides)]
        canvas.polygon(grown, (12, 10, 18), shadow)
    low, high = canvas.ambient, canvas.ambient + (1.08 - canvas.ambient) * peak
    for i in range(layers):
        f = 1 - 0.86 * i / layers
        off = (1 - f) * 0.62 * aside
        left = [(x + ex * h * (off - f), y + ey * h * (off - f)) for x, y, ex, ey, h in sides]
        right = [(x + ex * h * (off + f), y + ey * h * (off + f)) for x, y, ex, ey, h in reversed(sides)]
        level = low + (high - low) * ((i + 0.45) / layers if layers > 1 else 0.62)
        canvas.polygon(left + right, shaded(rgb, level))


def _band(sides: list, start: float, end: float, u: float = -1.0, v: float = 1.0) -> list[Point]:
    """A patch of the trunk between two heights (in rings) and two shares of its half width."""

    def at(height: float, share: float) -> Point:
        i = min(int(height), len(sides) - 2)
        t = height - i
        (xa, ya, exa, eya, ha), (xb, yb, exb, eyb, hb) = sides[i], sides[i + 1]
        xa, ya, xb, yb = xa + exa * ha * share, ya + eya * ha * share, xb + exb * hb * share, yb + eyb * hb * share
        return xa + (xb - xa) * t, ya + (yb - ya) * t

    return [at(start, u), at(start, v), at(end, v), at(end, u)]


def _pattern(canvas: Canvas, look: Look, sides: list, low: float, facing: float) -> None:
    rgb, middle = look.pattern_tint.rgb, sides[4]
    if look.pattern in ("stripes", "checks"):
        count = 7 if look.pattern == "stripes" else 5
        for i in range(count):
            start = low + (5.6 - low) * i / count
            canvas.polygon(_band(sides, start, start + (5.6 - low) / count * 0.45), rgb, 150)
    if look.pattern == "checks":
        for i in range(4):
            u = -0.85 + 0.5 * i
            canvas.polygon(_band(sides, low, 5.4, u, u + 0.2), rgb, 120)
    if look.pattern == "dots":
        radius = max(0.8, middle[4] * 0.09)
        for i in range(18):
            u, v = -0.75 + (i % 4) * 0.5 + (i // 4 % 2) * 0.25, low + 0.3 + (i // 4) * 1.1
            if u < 0.9 and v < 5.4:
                (x, y), *_ = _band(sides, v, v + 0.1, u, u)
                square = [
                    (x - radius, y - radius),
                    (x + radius, y - radius),
                    (x + radius, y + radius),
                    (x - radius, y + radius),
                ]
                canvas.polygon(square, rgb, 200)
    if look.pattern == "print" and facing > 0.35:
        canvas.polygon(_band(sides, 3.3, 4.7, -0.42, 0.42), rgb, 215)
        canvas.polygon(_band(sides, 3.7, 4.3, -0.25, 0.3), look.inner_tint.rgb, 200)


def _draw_trunk(canvas: Canvas, person: Person) -> None:
    look, body = person.look, person.body
    rings = trunk_rings(body, look)
    sides = _sides_of(canvas, rings)
    bottom = look.top_tint if look.top == "dress" else look.bottom_tint
    _fill_sides(canvas, sides[:3], bottom.rgb)
    low = 0 if look.top in ("dress", "sweater", "hoodie") else 1
    hem = sides[low:]
    if look.top == "jacket":
        low, hem = 0, [(x, y, ex, ey, h * 1.07) for x, y, ex, ey, h in sides]
    _fill_sides(canvas, hem, look.top_tint.rgb)
    s = canvas.project(body.neck)[2] * body.scale
    if s * canvas.fine < 26:
        return
    toward = unit(subtract(canvas.position, body.neck))
    facing = dot(body.chest_frame[2], toward)
    if look.pattern != "plain":
        _pattern(canvas, look, sides, float(low), facing)
    if facing > 0.2:
        _draw_front(canvas, look, rings, s)
    elif look.top == "hoodie" and facing < 0:
        x, y, *_ = sides[6]
        canvas.capsule_in_picture(
            x - 0.05 * s, y + 0.02 * s, 0.07 * s, x + 0.05 * s, y + 0.02 * s, 0.07 * s, look.top_tint.rgb
        )


def _draw_front(canvas: Canvas, look: Look, rings: list[Ring], s: float) -> None:
    """Neckline, opening and fastening of the top, for chests that can be seen from the front."""

    def strip(u: float, v: float, start: int, stop: int) -> list[Point]:
        left = [canvas.project(rings[i].front(u))[:2] for i in range(start, stop)]
        return left + [canvas.project(rings[i].front(v))[:2] for i in range(stop - 1, start - 1, -1)]

    dark = mix(look.top_tint.rgb, (0, 0, 0), 0.35)
    skin = shaded(look.skin, 0.86)
    if look.top == "jacket":
        canvas.polygon(strip(-0.3, 0.24, 1, 7), shaded(look.inner_tint.rgb, 0.9))
        collar = [canvas.project(rings[7].front(0.5 * u))[:2] for u in (-1, 1)]
        canvas.polygon([*collar, canvas.project(rings[5].front(0.0))[:2]], skin)
        for u in (-0.32, 0.26):
            canvas.stroke([canvas.project(rings[i].front(u))[:2] for i in range(1, 7)], dark, 0.012 * s, 170)
        return
    deep = {"tank top": 0.9, "dress": 0.8, "shirt": 0.55, "t-shirt": 0.35}.get(look.top, 0.0)
    if deep:
        middle = rings[6].front(0.0)
        lowest = between(middle, rings[5].front(0.0), deep)
        corners = [rings[7].front(-0.8), rings[6].front(-0.45), lowest, rings[6].front(0.45), rings[7].front(0.8)]
        canvas.polygon([canvas.project(p)[:2] for p in corners], skin)
    else:
        canvas.stroke([canvas.project(rings[7].front(u))[:2] for u in (-0.9, -0.4, 0.4, 0.9)], dark, 0.016 * s, 150)
    if look.top == "shirt":
        canvas.stroke([canvas.project(rings[i].front(0.0))[:2] for i in range(1, 6)], dark, 0.008 * s, 150)
        for sign in _SIDES:
            flap = [
                rings[7].front(0.85 * sign),
                rings[6].front(0.15 * sign),
                rings[5].front(0.3 * sign),
                rings[6].front(0.7 * sign),
            ]
            canvas.polygon([canvas.project(p)[:2] for p in flap], shaded(look.top_tint.rgb, 1.12))
    if look.top == "hoodie":
        canvas.polygon(strip(-0.5, 0.5, 2, 4), dark, 60)
        for sign in _SIDES:
            canvas.stroke([canvas.project(rings[i].front(0.18 * sign))[:2] for i in (6, 5)], (235, 235, 230), 0.01 * s)


def _draw_leg(canvas: Canvas, person: Person, side: int) -> None:
    look, body, k = person.look, person.body, person.body.scale
    broad = 0.45 + 0.55 * look.build
    cloth = look.top_tint.rgb if look.top == "dress" and look.legs < 0.3 else look.bottom_tint.rgb
    loose = 0.004 if look.bottom == "leggings" else 0.012
    hip, knee, ankle, toe = body.hips[side], body.knees[side], body.ankles[side], body.toes[side]
    r_hip, r_knee, r_ankle = 0.084 * k * broad, 0.057 * k * broad, 0.036 * k * broad

    def part(a: Vector, ra: float, b: Vector, rb: float, covered: float) -> None:
        if covered < 0.98:
            canvas.capsule(a, ra, b, rb, look.skin)
        if covered > 0.02:
            r = ra + (rb - ra) * covered
            canvas.capsule(a, ra + loose * k, between(a, b, covered), r + loose * k, cloth)

    heel = point_in(ankle, (subtract(toe, ankle), (0, 1, 0), (0, 0, 0)), -0.12, -0.025 * k, 0)
    canvas.capsule(heel, 0.042 * k, toe, 0.034 * k, look.shoe_tint.rgb)
    shin = (knee, r_knee, ankle, r_ankle, min(1.0, max(0.0, look.legs * 2 - 1)))
    thigh = (hip, r_hip, knee, r_knee, min(1.0, look.legs * 2))
    # whichever points at the camera covers the other at the knee
    for segment in (thigh, shin) if canvas.depth(ankle) < canvas.depth(hip) - 0.1 else (shin, thigh):
        part(*segment)


def _draw_skirt(canvas: Canvas, person: Person) -> None:
    look, body, k = person.look, person.body, person.body.scale
    rgb = look.top_tint.rgb if look.top == "dress" else look.bottom_tint.rgb
    points: list[Point] = []
    rings = trunk_rings(body, look)
    for ring in (rings[1], rings[0]):
        points += canvas.circle_points(ring.centre, ring.across, ring.through, fine=False)
    flare = 0.13 * k
    for side in (0, 1):
        hem = between(body.hips[side], body.knees[side], 0.85)
        points += canvas.circle_points(
            hem, scale(body.hips_frame[0], flare), scale(body.hips_frame[2], flare), fine=False
        )
    outline = hull(points)
    if len(outline) > 2:
        xs, ys = [p[0] for p in outline], [p[1] for p in outline]
        canvas.blob(outline, (sum(xs) / len(xs), sum(ys) / len(ys)), rgb, 34, depth=0.4)


def _draw_arm(canvas: Canvas, person: Person, side: int, upper: bool) -> None:
    look, body, k = person.look, person.body, person.body.scale
    broad = 0.5 + 0.5 * look.build * (1.0 if look.who == "man" else 0.92)
    if upper:
        a, ra, b, rb = body.shoulders[side], 0.054, body.elbows[side], 0.042
        covered = min(1.0, look.sleeves * 2)
    else:
        a, ra, b, rb = body.elbows[side], 0.042, body.wrists[side], 0.029
        covered = min(1.0, max(0.0, look.sleeves * 2 - 1))
    ra, rb = ra * k * broad, rb * k * broad
    loose = 0.012 * k if look.top in ("sweater", "hoodie", "jacket") else 0.007 * k
    if covered < 0.98:
        canvas.capsule(a, ra, b, rb, look.skin)
    if covered > 0.02:
        cuff = between(a, b, covered * (0.97 if not upper else 1.0))
        canvas.capsule(a, ra + loose, cuff, ra + (rb - ra) * covered + loose, look.top_tint.rgb)


def _draw_hand(canvas: Canvas, person: Person, side: int) -> None:
    look, body, k = person.look, person.body, person.body.scale
    wrist, tips = body.wrists[side], body.fingertips[side]
    s = canvas.project(wrist)[2] * k * canvas.fine
    if s < 30:
        canvas.capsule(wrist, 0.03 * k, tips, 0.026 * k, look.skin)
        return
    along = unit(subtract(tips, wrist))
    thumb_way = scale(body.chest_frame[0], -_SIDES[side])
    aside = unit(subtract(thumb_way, scale(along, dot(thumb_way, along))))
    palm = between(wrist, tips, 0.55 if not body.fists[side] else 0.7)
    canvas.capsule(wrist, 0.027 * k, palm, 0.041 * k, look.skin)
    if body.fists[side]:
        knuckles = add(tips, scale(along, -0.02 * k))
        canvas.capsule(
            add(knuckles, scale(aside, 0.022 * k)),
            0.03 * k,
            add(knuckles, scale(aside, -0.022 * k)),
            0.03 * k,
            look.skin,
        )
        canvas.capsule(palm, 0.018 * k, add(knuckles, scale(aside, 0.045 * k)), 0.015 * k, look.skin, 20)
        return
    for spread in (-1.5, -0.5, 0.5, 1.5):
        root = add(palm, scale(aside, spread * 0.017 * k))
        tip = add(tips, scale(aside, spread * 0.02 * k))
        canvas.capsule(root, 0.0145 * k, tip if abs(spread) < 1 else between(root, tip, 0.9), 0.0115 * k, look.skin, 26)
    root = add(between(wrist, palm, 0.4), scale(aside, 0.025 * k))
    canvas.capsule(
        root, 0.017 * k, add(add(root, scale(along, 0.045 * k)), scale(aside, 0.04 * k)), 0.012 * k, look.skin, 20
    )


def add_body(canvas: Canvas, depths: Depths, person: Person) -> None:
    """Plan the drawing of everything below the neck."""
    body, look, k = person.body, person.look, person.body.scale
    trunk = canvas.depth(between(body.waist, body.neck, 0.4))
    for side in (0, 1):
        thigh = canvas.depth(between(body.hips[side], body.knees[side], 0.6))
        depths.add(thigh + 0.02 + person.legs_behind, partial(_draw_leg, canvas, person, side))
        upper = canvas.depth(between(body.shoulders[side], body.elbows[side], 0.6))
        fore = canvas.depth(between(body.elbows[side], body.wrists[side], 0.5))
        hand = canvas.depth(between(body.wrists[side], body.fingertips[side], 0.4))
        depths.add(upper - 0.04 * k, partial(_draw_arm, canvas, person, side, True))
        depths.add(fore - 0.055 * k, partial(_draw_arm, canvas, person, side, False))
        depths.add(min(hand, fore + 0.08) - 0.06 * k, partial(_draw_hand, canvas, person, side))
    depths.add(trunk, partial(_draw_trunk, canvas, person))
    if look.bottom == "skirt" or look.top == "dress":
        knees = canvas.depth(between(body.knees[0], body.knees[1], 0.5))
        depths.add(min(trunk, (trunk + knees) / 2) - 0.03 + person.legs_behind, partial(_draw_skirt, canvas, person))
