"""Posing a body: proportions, trunk, head and limbs by inverse kinematics, first about the person, then in the world."""

from __future__ import annotations

from clip_har.samples.geometry import (
    UPRIGHT,
    Frame,
    Vector,
    add,
    bend_joint,
    between,
    point_in,
    scale,
    subtract,
    turn_frame,
    unit,
)
from clip_har.samples.scene import Body, Look

RIGHT, LEFT = 0, 1
SIDES = (-1.0, 1.0)  # sign of x for the right and the left limb

PELVIS_HEIGHT = 0.93
_PELVIS_TO_WAIST, _WAIST_TO_NECK = 0.13, 0.37
_THIGH, _SHIN = 0.43, 0.41
_UPPER_ARM, _FOREARM, _HAND = 0.285, 0.255, 0.17
_FOOT = 0.19
ANKLE_HEIGHT = 0.075


class Figure:
    """A body in the making, in its own coordinates: it faces +z, its left is +x, it stands at the origin.

    Lengths given to the methods are for an adult of 1.75 m and scaled with the person; those of `place_hand` and
    `place_foot` are true coordinates, so that hands and feet meet things of true size.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.scale = look.height / 1.75
        broad = 0.5 + 0.5 * look.build
        self._shoulder = {"man": 0.168, "woman": 0.146}.get(look.who, 0.142) * broad
        self._hip = 0.085 * broad
        self.fists = [False, False]
        self._arms: list[tuple[Vector, Vector, Vector] | None] = [None, None]
        self._legs: list[tuple[Vector, Vector, Vector] | None] = [None, None]
        self.trunk()
        self.turn_head()
        for side in (RIGHT, LEFT):
            self.place_foot(side, (SIDES[side] * 0.1 * self.scale, ANKLE_HEIGHT * self.scale, 0.0))

    def trunk(
        self,
        pelvis: Vector | None = None,
        lean: float = 0.0,
        side: float = 0.0,
        twist: float = 0.0,
        tuck: float = 0.3,
        base: Frame = UPRIGHT,
    ) -> None:
        """Set pelvis and spine.

        Args:
            pelvis: true position; standing height if not given.
            lean: degrees the chest is pitched forward.
            side: degrees it is rolled to the left.
            twist: degrees the chest is turned to the left of the hips.
            tuck: share of the lean that the pelvis takes.
            base: frame of the whole body, upright unless it lies.
        """
        k = self.scale
        self.pelvis = pelvis or (0.0, PELVIS_HEIGHT * k, 0.0)
        self.hips_frame = turn_frame(base, pitch=lean * tuck, roll=side * tuck)
        self.chest_frame = turn_frame(base, pitch=lean, yaw=twist, roll=side)
        middle = turn_frame(base, pitch=lean * (tuck + 1) / 2, yaw=twist / 2, roll=side * (tuck + 1) / 2)
        self.waist = point_in(self.pelvis, self.hips_frame, 0, _PELVIS_TO_WAIST * k, 0)
        half = point_in(self.waist, middle, 0, _WAIST_TO_NECK * k / 2, 0)
        self.neck = point_in(half, self.chest_frame, 0, _WAIST_TO_NECK * k / 2, 0)
        self.shoulders = tuple(
            point_in(self.neck, self.chest_frame, sign * self._shoulder * k, -0.06 * k, 0) for sign in SIDES
        )
        self.hips = tuple(point_in(self.pelvis, self.hips_frame, sign * self._hip * k, -0.03 * k, 0) for sign in SIDES)

    def turn_head(self, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0, with_chest: float = 0.5) -> None:
        """Turn the head against the chest: pitch nods forward, yaw turns left, roll leans left.

        Args:
            with_chest: how far a nod also bends the neck.
        """
        k = self.scale
        bent = turn_frame(self.chest_frame, pitch=pitch * with_chest, roll=roll * 0.5)
        self.head_frame = turn_frame(self.chest_frame, pitch=pitch, yaw=yaw, roll=roll)
        throat = point_in(self.neck, bent, 0, 0.052 * k, 0.012 * k)
        self.head = point_in(throat, self.head_frame, 0, 0.1 * k * self.look.head_scale, 0.02 * k)

    def by_head(self, x: float, y: float, z: float) -> Vector:
        """A true position given in the head's frame, from the middle of the head (lengths of an adult's head)."""
        k = self.scale * self.look.head_scale
        return point_in(self.head, self.head_frame, x * k, y * k, z * k)

    def by_chest(self, x: float, y: float, z: float) -> Vector:
        """A true position given in the chest's frame, from the base of the neck."""
        k = self.scale
        return point_in(self.neck, self.chest_frame, x * k, y * k, z * k)

    def by_hips(self, x: float, y: float, z: float) -> Vector:
        """A true position given in the frame of the hips, from the pelvis."""
        k = self.scale
        return point_in(self.pelvis, self.hips_frame, x * k, y * k, z * k)

    def place_hand(
        self,
        side: int,
        grip: Vector,
        pole: Vector | None = None,
        fingers: Vector | None = None,
        fist: bool = False,
    ) -> Vector:
        """Bring the middle of a hand to a point.

        Args:
            side: RIGHT or LEFT.
            grip: true position of the palm.
            pole: direction in which the elbow points; by default down, out and back.
            fingers: direction of the fingers; by default that of the forearm.
            fist: whether the hand is closed around something or into a fist.

        Returns:
            Where the palm really came to be: nearer than asked when the arm is too short.
        """
        k = self.scale
        left, up, front = self.chest_frame
        pole = pole or add(add(scale(up, -0.8), scale(left, SIDES[side] * 0.55)), scale(front, -0.45))
        root, palm = self.shoulders[side], 0.5 * _HAND * k * (0.8 if fist else 1.0)
        if fingers is None:
            elbow, hand = bend_joint(root, grip, _UPPER_ARM * k, _FOREARM * k + palm, pole)
            along = unit(subtract(hand, elbow))
            wrist = add(hand, scale(along, -palm))
        else:
            along = unit(fingers)
            elbow, wrist = bend_joint(root, add(grip, scale(along, -palm)), _UPPER_ARM * k, _FOREARM * k, pole)
            hand = add(wrist, scale(along, palm))
        self.fists[side] = fist
        self._arms[side] = (elbow, wrist, add(wrist, scale(along, _HAND * k * (0.62 if fist else 1.0))))
        return hand

    def place_foot(self, side: int, ankle: Vector, pole: Vector | None = None, toes: Vector | None = None) -> Vector:
        """Bring an ankle to a true position.

        Args:
            side: RIGHT or LEFT.
            ankle: true position.
            pole: direction in which the knee points; by default forward and a little out.
            toes: direction of the foot; by default forward and a little out.

        Returns:
            Where the ankle really came to be.
        """
        k = self.scale
        left, _, front = self.hips_frame
        pole = pole or add(front, scale(left, SIDES[side] * 0.25))
        knee, ankle = bend_joint(self.hips[side], ankle, _THIGH * k, _SHIN * k, pole)
        toes = unit(toes or (SIDES[side] * 0.3, -0.12, 1.0))
        self._legs[side] = (knee, ankle, add(add(ankle, (0.0, -0.045 * k, 0.0)), scale(toes, _FOOT * k)))
        return ankle

    def knee(self, side: int) -> Vector:
        """Where the knee has come to be."""
        return self._legs[side][0]

    def placed(self, side: int) -> bool:
        """Whether a hand has been placed."""
        return self._arms[side] is not None

    def hang_arms(self) -> None:
        """Let every arm that has not been placed hang down."""
        for side in (RIGHT, LEFT):
            if self._arms[side] is None:
                sign = SIDES[side]
                self.place_hand(side, add(self.shoulders[side], scale((sign * 0.1, -0.585, 0.06), self.scale)))

    def settle(self, position: Vector = (0.0, 0.0, 0.0), yaw: float = 0.0) -> Body:
        """The finished body, turned by `yaw` degrees (to its left) and put at `position`."""
        self.hang_arms()
        frame = turn_frame(UPRIGHT, yaw=yaw)

        def world(p: Vector) -> Vector:
            return point_in(position, frame, *p)

        def both(pair: tuple) -> tuple:
            return tuple(world(p) for p in pair)

        def turned(axes: Frame) -> Frame:
            return tuple(point_in((0.0, 0.0, 0.0), frame, *axis) for axis in axes)

        arms, legs = tuple(zip(*self._arms, strict=True)), tuple(zip(*self._legs, strict=True))
        return Body(
            scale=self.scale,
            pelvis=world(self.pelvis),
            waist=world(self.waist),
            neck=world(self.neck),
            head=world(self.head),
            hips=both(self.hips),
            knees=both(legs[0]),
            ankles=both(legs[1]),
            toes=both(legs[2]),
            shoulders=both(self.shoulders),
            elbows=both(arms[0]),
            wrists=both(arms[1]),
            fingertips=both(arms[2]),
            fists=tuple(self.fists),
            hips_frame=turned(self.hips_frame),
            chest_frame=turned(self.chest_frame),
            head_frame=turned(self.head_frame),
        )

    def middle_of_hand(self, side: int) -> Vector:
        """The palm of a hand that has been placed."""
        _, wrist, tips = self._arms[side]
        return between(wrist, tips, 0.5)
