"""What a scene is made of, all decided before anything is drawn. Lengths are metres, angles degrees, colours sRGB 0-255."""

from __future__ import annotations

from dataclasses import dataclass, field

from clip_har.samples.geometry import UPRIGHT, Camera, Frame, Vector
from clip_har.samples.nuisances import Nuisances

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Tint:
    """A colour and the word for it in captions."""

    name: str
    rgb: Rgb


@dataclass(frozen=True, slots=True)
class Look:
    """How a person looks, whatever they do.

    Attributes:
        who: "man", "woman", "boy" or "girl".
        height: of the standing person.
        build: width of trunk and limbs, 1 for the average.
        head_scale: size of the head, 1 for an adult's.
        hair: "short", "buzz", "bald", "long", "bob", "bun", "ponytail" or "curly".
        fringe: how far the hair comes down the forehead, 0 to 1.
        headwear: "cap", "beanie", "helmet", "headscarf" or None.
        beard: "full", "stubble", "moustache" or None.
        top: "t-shirt", "shirt", "sweater", "hoodie", "jacket", "tank top" or "dress".
        pattern: "plain", "stripes", "checks", "dots" or "print".
        sleeves: covered share of the arm, 0 to 1.
        bottom: "trousers", "jeans", "leggings", "shorts" or "skirt".
        legs: covered share of the leg, 0 to 1.
    """

    who: str
    height: float
    build: float
    head_scale: float
    skin: Rgb
    hair: str
    hair_tint: Tint
    fringe: float
    headwear: str | None
    headwear_tint: Tint
    beard: str | None
    glasses: bool
    top: str
    top_tint: Tint
    inner_tint: Tint
    pattern: str
    pattern_tint: Tint
    sleeves: float
    bottom: str
    bottom_tint: Tint
    legs: float
    shoe_tint: Tint


@dataclass(frozen=True, slots=True)
class Body:
    """World positions of the joints; pairs are (right, left) as the person has them."""

    scale: float
    pelvis: Vector
    waist: Vector
    neck: Vector
    head: Vector
    hips: tuple[Vector, Vector]
    knees: tuple[Vector, Vector]
    ankles: tuple[Vector, Vector]
    toes: tuple[Vector, Vector]
    shoulders: tuple[Vector, Vector]
    elbows: tuple[Vector, Vector]
    wrists: tuple[Vector, Vector]
    fingertips: tuple[Vector, Vector]
    fists: tuple[bool, bool]
    hips_frame: Frame
    chest_frame: Frame
    head_frame: Frame


@dataclass(frozen=True, slots=True)
class Face:
    """Expression: every value is 0 to 1, but smile and brows -1 to 1 and gaze (left, up) -1 to 1."""

    mouth_open: float = 0.0
    smile: float = 0.15
    eyes_open: float = 1.0
    brows: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Person:
    """One person: looks, pose, face, and what they do.

    Attributes:
        doing: an action, or "standing" for people who do nothing in particular.
        objects: words for what they use, by part in the action ("vessel", "food", "book" ...).
        posture: "standing", "sitting", "lying", "walking", "running", "jumping" or "riding".
        seat: what they sit or lie on, None when on their feet.
        legs_behind: metres by which the legs count as farther away, for people at tables.
    """

    look: Look
    body: Body
    face: Face
    doing: str
    posture: str
    objects: tuple[tuple[str, str], ...] = ()
    seat: str | None = None
    main: bool = True
    legs_behind: float = 0.0


@dataclass(frozen=True, slots=True)
class Thing:
    """An object, a piece of furniture or a part of the surroundings.

    Attributes:
        kind: name of what draws it.
        word: noun for captions; empty for what nobody would mention.
        position: world position of its anchor (for furniture the middle of its foot).
        frame: its left, up and front in the world.
        size: metres (height, width or length, whichever is natural for the kind).
        tint: main colour.
        accent: second colour.
        relation: "used", "near" or "background".
        nearer: metres by which it counts as nearer when things are put in order.
        seed: fixes details that are decided while drawing.
    """

    kind: str
    word: str
    position: Vector
    frame: Frame = UPRIGHT
    size: float = 1.0
    tint: Tint = Tint("grey", (128, 128, 128))
    accent: Tint = Tint("white", (235, 235, 230))
    relation: str = "used"
    nearer: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where it happens.

    Attributes:
        kind: name of what draws it.
        word: noun for captions, with its article and preposition ("in a kitchen", "on the beach").
        indoor: whether there are walls.
        depth: metres from the subject to the back wall, or to the nearest of what stands behind outdoors.
        wall: colour of walls, or of the sky near the horizon.
        floor: colour of floor or ground.
        trim: colour of curtains, doors, cupboards or foliage.
        surface: of the floor or ground ("planks", "tiles", "carpet", "plain", "grass", "asphalt", "sand", "earth").
        backdrop: what closes the view ("wall", "trees", "hills", "sea", "town", "sky").
        features: what belongs to it and is drawn with it.
        seed: fixes details that are decided while drawing.
    """

    kind: str
    word: str
    indoor: bool
    depth: float
    wall: Tint
    floor: Tint
    trim: Tint
    surface: str
    backdrop: str
    features: tuple[Thing, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Light:
    """Light on the scene.

    Attributes:
        direction: unit vector from the scene to the main light, in camera axes.
        ambient: share of light that comes from everywhere, 0 to 1.
        gain: factors for red, green and blue of the finished picture; 1 is neutral.
        word: for captions ("at dusk", "in warm light"), empty for ordinary light.
        dusk: 0 to 1, how far the sky has gone down.
    """

    direction: Vector
    ambient: float
    gain: tuple[float, float, float]
    word: str
    dusk: float


@dataclass(frozen=True, slots=True)
class Capture:
    """What the camera and the file do to the picture. Blurs are standard deviations in shares of the picture's height.

    Attributes:
        background_blur: from limited depth of field.
        blur: over everything.
        noise: standard deviation of sensor noise, in units of full scale.
        quality: of the JPEG, 1 to 95.
        contrast: strength of the tone curve, 1 is neutral.
        saturation: 1 is neutral, 0 grey.
        palette_shift: 0 to 1, how far colours are moved towards a faded green.
        vignette: darkening of the corners, 0 to 1.
        seed: of the noise.
    """

    background_blur: float
    blur: float
    noise: float
    quality: int
    contrast: float
    saturation: float
    palette_shift: float
    vignette: float
    seed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything about one picture.

    Attributes:
        people: those who act first, then the others.
        things: objects and furniture that stand in the scene with the people.
        foreground: what is between them and the camera, out of focus.
    """

    action: str
    seed: int
    nuisances: Nuisances
    camera: Camera
    place: Place
    light: Light
    capture: Capture
    people: tuple[Person, ...]
    things: tuple[Thing, ...] = field(default=())
    foreground: tuple[Thing | Person, ...] = field(default=())

    @property
    def actors(self) -> tuple[Person, ...]:
        """The people who do the scene's action."""
        return tuple(person for person in self.people if person.main)

    @property
    def bystanders(self) -> tuple[Person, ...]:
        """The people who do not."""
        return tuple(person for person in self.people if not person.main)
