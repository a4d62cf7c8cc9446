"""The stage on which an action is planned: actors, their things, and where they end up in the world."""

from __future__ import annotations

from random import Random

from clip_har.samples.appearance import choose_look, choose_tint
from clip_har.samples.figure import LEFT, RIGHT, SIDES, Figure
from clip_har.samples.geometry import UPRIGHT, Frame, Vector, point_in, turn_frame
from clip_har.samples.scene import Face, Look, Person, Place, Thing


class Actor:
    """One person being posed, with the things that belong to the pose, all in the person's own coordinates.

    Attributes:
        figure: the body.
        face: keyword arguments of `Face`.
        objects: words for captions, by part in the action.
        posture: see `Person`.
        seat: what the actor sits or lies on.
        at_table: whether there is a table in front.
        legs_behind: see `Person`.
    """

    def __init__(self, rng: Random, look: Look, doing: str) -> None:
        self.rng, self.look, self.doing = rng, look, doing
        self.figure = Figure(look)
        self.face: dict = {"smile": rng.gauss(0.15, 0.22), "gaze": (rng.uniform(-0.5, 0.5), rng.uniform(-0.2, 0.3))}
        self.objects: dict[str, str] = {}
        self.posture = "standing"
        self.seat: str | None = None
        self.at_table = False
        self.table_height = 0.73
        self.legs_behind = 0.0
        self.things: list[Thing] = []

    def thing(self, kind: str, word: str, position: Vector, frame: Frame = UPRIGHT, **more) -> Thing:
        """Add a thing in the actor's coordinates; colours are chosen unless given."""
        defaults = {"tint": choose_tint(self.rng), "accent": choose_tint(self.rng), "seed": self.rng.randrange(1 << 20)}
        made = Thing(kind, word, position, frame, **(defaults | more))
        self.things.append(made)
        return made

    def some_side(self) -> int:
        """RIGHT or LEFT, oftener right."""
        return RIGHT if self.rng.random() < 0.7 else LEFT

    def sway(self, *mean: float, by: float = 0.02) -> Vector:
        """A point with a little noise."""
        return tuple(m + self.rng.gauss(0, by) for m in mean)


class Stage:
    """Collects the people and things of one scene.

    Attributes:
        framings: weights of "full body", "waist up" and "close-up".
        focus: world points that should be in the picture, as far as its framing allows.
        vital: world points without which the action cannot be seen: they are in the picture in any framing.
        yaws: ranges of degrees from which the view is drawn, with weights.
        pitch: range of the camera's pitch.
    """

    def __init__(self, rng: Random, place: Place, action: str, style: str = "casual") -> None:
        self.rng, self.place, self.action, self.style = rng, place, action, style
        self.people: list[Person] = []
        self.things: list[Thing] = []
        self.focus: list[Vector] = []
        self.vital: list[Vector] = []
        self.framings = {"full body": 3.0, "waist up": 4.0, "close-up": 1.0}
        self.pitch = (-2.0, 9.0)

    def actor(self, who: str | None = None, doing: str | None = None) -> Actor:
        """A new actor who does the scene's action."""
        return Actor(self.rng, choose_look(self.rng, self.style, who), doing or self.action)

    def enter(
        self,
        actor: Actor,
        position: Vector = (0.0, 0.0, 0.0),
        yaw: float = 0.0,
        main: bool = True,
    ) -> Person:
        """Put an actor and their things into the world, turned by `yaw` degrees to their left."""
        frame = turn_frame(UPRIGHT, yaw=yaw)
        face = dict(actor.face)
        face["smile"] = min(1.0, max(-1.0, face["smile"]))
        person = Person(
            look=actor.look,
            body=actor.figure.settle(position, yaw),
            face=Face(**face),
            doing=actor.doing,
            posture=actor.posture,
            objects=tuple(actor.objects.items()),
            seat=actor.seat,
            main=main,
            legs_behind=actor.legs_behind,
        )
        self.people.append(person)
        for thing in actor.things:
            axes = tuple(point_in((0.0, 0.0, 0.0), frame, *axis) for axis in thing.frame)
            self.things.append(
                Thing(
                    thing.kind,
                    thing.word,
                    point_in(position, frame, *thing.position),
                    axes,
                    thing.size,
                    thing.tint,
                    thing.accent,
                    thing.relation,
                    thing.nearer,
                    thing.seed,
                )
            )
        return person

    def view(self, *ranges: tuple[float, float, float]) -> float:
        """A yaw from one of the ranges (lowest, highest, weight); either side is as likely."""
        at = self.rng.random() * sum(weight for *_, weight in ranges)
        chosen = ranges[-1]
        for option in ranges:
            at -= option[2]
            if at < 0:
                chosen = option
                break
        return self.rng.uniform(chosen[0], chosen[1]) * self.rng.choice((-1, 1))


__all__ = ["LEFT", "RIGHT", "SIDES", "Actor", "Stage"]
