"""Drawing faces and their expression."""

from __future__ import annotations

from clip_har.samples.drawing.canvas import Canvas, Point, hull, mix, shaded
from clip_har.samples.drawing.skull import TURN, Skull
from clip_har.samples.scene import Look, Person, Rgb


def _patch(
    skull: Skull, azimuth: float, elevation: float, half_a: float, half_e: float, lift: float = 1.0
) -> list[Point]:
    return [skull.on(azimuth + half_a * c, elevation + half_e * q, lift) for c, q in TURN[::2]]


def draw_face(canvas: Canvas, skull: Skull, person: Person, radius: float) -> None:
    look, face = person.look, person.face
    skin = look.skin
    dark = mix(skin, (50, 15, 10), 0.55)
    detail = radius * canvas.fine
    brow_rgb = mix(look.hair_tint.rgb, skin, 0.15) if look.hair_tint.name != "white" else (150, 145, 140)
    # the sockets and cheeks give the face its relief
    for side in (-1, 1):
        if skull.sees(26 * side, 2) > 0.12 and detail >= 7:
            canvas.polygon(_patch(skull, 25 * side, 6, 17, 12), mix(skin, (70, 30, 25), 0.5), 46)
            canvas.polygon(
                _patch(skull, 38 * side, -24, 15, 12),
                mix(skin, (220, 70, 60), 0.5),
                40 + int(40 * max(0.0, face.smile)),
            )
    if look.beard:
        _draw_beard(canvas, skull, look, face.mouth_open)
    _draw_mouth(canvas, skull, person, radius)
    for side in (-1, 1):
        if skull.sees(25 * side, 5) > 0.16:
            _draw_eye(canvas, skull, person, side, radius, brow_rgb)
    _draw_nose(canvas, skull, skin, dark, detail)
    if look.glasses and detail >= 6:
        _draw_glasses(canvas, skull, radius)


def _draw_eye(canvas: Canvas, skull: Skull, person: Person, side: int, radius: float, brow_rgb: Rgb) -> None:
    face = person.face
    azimuth, elevation = 24.0 * side, 4.0
    pen = max(1.0, radius * 0.055)
    lid = mix(person.look.skin, (30, 10, 10), 0.75)
    if face.eyes_open < 0.3:
        # shut: an arc, upwards when the face laughs
        bow = 5 if face.smile > 0.5 else -4
        arc = [skull.on(azimuth + a, elevation - 1 + bow * (1 - (a / 12) ** 2)) for a in (-12, -6, 0, 6, 12)]
        canvas.stroke(arc, lid, pen * 1.15)
    else:
        tall = 6.8 * face.eyes_open
        canvas.polygon(_patch(skull, azimuth, elevation, 11, tall), (238, 234, 228))
        gaze = (azimuth + 6 * face.gaze[0], elevation + 4 * face.gaze[1])
        canvas.polygon(_patch(skull, gaze[0], gaze[1], 6.8, min(7.5, tall + 0.8)), (62, 44, 34))
        if radius * canvas.fine > 16:
            canvas.polygon(_patch(skull, gaze[0], gaze[1], 3.4, 3.6), (14, 12, 14))
            canvas.polygon(_patch(skull, gaze[0] + 2, gaze[1] + 2.5, 1.5, 1.5), (250, 250, 250))
        lash = [skull.on(azimuth + a, elevation + tall * (1 - (a / 13) ** 2)) for a in (-13, -6, 0, 6, 13)]
        canvas.stroke(lash, lid, pen)
    lift = 17 + 7 * face.brows
    angry = 7 if face.brows < -0.5 else 0
    ends = [(5, -1 - angry), (15, 2 - angry / 2), (26, 3 + angry / 2), (36, -2 + angry)]
    canvas.stroke([skull.on(a * side, elevation + lift + e) for a, e in ends], brow_rgb, pen * 1.3)


def _draw_mouth(canvas: Canvas, skull: Skull, person: Person, radius: float) -> None:
    if skull.sees(0, -40) < 0.03 and skull.sees(18, -40) < 0.05 and skull.sees(-18, -40) < 0.05:
        return
    face, look = person.face, person.look
    lips = mix(look.skin, (176, 44, 52), 0.52 if look.who == "woman" else 0.32)
    half = 17 + 8 * max(0.0, face.smile) - 5 * (1 - max(0.0, face.smile)) * face.mouth_open
    lift = 9 * face.smile
    azimuths = [a for a in (-1.0, -0.66, -0.33, 0.0, 0.33, 0.66, 1.0) if skull.sees(a * half, -40) > 0.0]
    if len(azimuths) < 3:
        return
    upper = [skull.on(a * half, -38 + lift * abs(a) ** 1.6) for a in azimuths]
    if face.mouth_open < 0.12:
        canvas.stroke(upper, mix(lips, (40, 10, 10), 0.35), max(1.0, radius * 0.07))
        return
    drop = 4 + 27 * face.mouth_open
    lower = [skull.on(a * half, -38 + lift * abs(a) ** 1.6 - drop * (1 - abs(a) ** 2.4)) for a in reversed(azimuths)]
    outer = [
        skull.on(a * half * 1.08, -40 + lift * abs(a) ** 1.6 - (drop + 4) * (1 - abs(a) ** 2.4))
        for a in reversed(azimuths)
    ]
    canvas.polygon([*(skull.on(a * half * 1.08, -35 + lift * abs(a) ** 1.6) for a in azimuths), *outer], lips)
    canvas.polygon(upper + lower, (74, 18, 24))
    if face.smile > 0.25:
        teeth = [
            skull.on(a * half * 0.92, -38 + lift * abs(a) ** 1.6 - min(drop * 0.42, 9) * (1 - abs(a) ** 2))
            for a in reversed(azimuths)
        ]
        canvas.polygon(upper + teeth, (242, 240, 232))
    if face.mouth_open > 0.5 and radius * canvas.fine > 12:
        tongue = [skull.on(a * half * 0.55, -38 - drop * (0.62 + 0.3 * (1 - a * a))) for a in (-1, -0.4, 0.4, 1)]
        canvas.polygon([*tongue, skull.on(0, -38 - drop * 0.55)], (190, 84, 84))


def _draw_nose(canvas: Canvas, skull: Skull, skin: Rgb, dark: Rgb, detail: float) -> None:
    if skull.facing[2] < -0.12:
        return
    bridge, tip, base = skull.on(0, 8, 1.0), skull.on(0, -14, 1.26), skull.on(0, -22, 1.05)
    wings = [skull.on(9 * side, -19, 1.05) for side in (-1, 1)]
    canvas.polygon(hull([bridge, tip, base, *wings]), shaded(skin, 1.02))
    away = -1 if canvas.light_in_picture[0] * (1 if skull.axes[0][0] >= 0 else -1) > 0 else 1
    canvas.polygon([bridge, tip, base, skull.on(10 * away, -19, 1.03)], dark, 70)
    if detail >= 9:
        canvas.stroke([wings[0], base, wings[1]], dark, max(1.0, detail * 0.035), 150)


def _draw_glasses(canvas: Canvas, skull: Skull, radius: float) -> None:
    pen = max(1.0, radius * 0.05)
    for side in (-1, 1):
        if skull.sees(26 * side, 3) > 0.1:
            lens = _patch(skull, 25 * side, 2, 17, 13, 1.06)
            canvas.polygon(lens, (190, 210, 220), 50)
            canvas.stroke([*lens, lens[0]], (32, 30, 34), pen)
        if skull.sees(70 * side, 6) > 0:
            canvas.stroke([skull.on(42 * side, 5, 1.05), skull.on(88 * side, 4, 1.04)], (32, 30, 34), pen)
    if skull.sees(0, 4) > 0.1:
        canvas.stroke([skull.on(-9, 4, 1.08), skull.on(9, 4, 1.08)], (32, 30, 34), pen)


def _draw_beard(canvas: Canvas, skull: Skull, look: Look, mouth_open: float) -> None:
    rgb = mix(look.hair_tint.rgb, look.skin, 0.12)
    if look.beard in ("full", "stubble"):
        alpha = 235 if look.beard == "full" else 90
        points = [(-78, -8), (-66, -26), (-40, -30), (-20, -30), (0, -29), (20, -30), (40, -30), (66, -26), (78, -8)]
        points += [
            (72, -40),
            (50, -64 - 8 * mouth_open),
            (0, -80 - 6 * mouth_open),
            (-50, -64 - 8 * mouth_open),
            (-72, -40),
        ]
        outline = [skull.on(a, e, 1.07 if e < -35 else 1.01) for a, e in points if skull.sees(a, e) > -0.12]
        if len(outline) > 3:
            canvas.polygon(outline, rgb, alpha)
    else:
        outline = [
            skull.on(a, e, 1.02) for a, e in ((-19, -33), (0, -25), (19, -33), (0, -31)) if skull.sees(a, e) > -0.05
        ]
        canvas.polygon(outline, rgb, 235)
