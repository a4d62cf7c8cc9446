"""The words of captions: how each action is said, and names for people, seats and light.

`{…}` stands for what the actors use, by its part in the action (see `Person.objects`). No wording of one action may hold a
word that says another: a caller holds classes out by their action, and captions must not give them away.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """How an action is said.

    Attributes:
        plain: the -ing form that labels are made of ("listening to music").
        doing: other -ing phrases.
        does: finite phrases, for one and for several people.
        state: phrases without a verb form in -ing, to follow a noun ("on the phone").
        roles: nouns for one person who does it.
    """

    plain: str
    doing: tuple[str, ...]
    does: tuple[tuple[str, str], ...]
    state: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


WORDINGS: dict[str, Wording] = {
    "calling": Wording(
        "calling",
        ("calling someone", "calling on the phone", "calling a friend on a {phone}", "talking on the phone",
         "talking on a {phone}", "making a phone call", "speaking on a {phone}", "holding a {phone} to the ear"),
        (("calls someone on a {phone}", "call someone on a {phone}"), ("talks on the phone", "talk on the phone"),
         ("makes a call", "make a call")),
        ("on the phone", "with a {phone} at the ear", "in a phone call"),
        ("a caller",),
    ),
    "clapping": Wording(
        "clapping",
        ("clapping hands", "clapping their hands", "applauding"),
        (("claps", "clap"), ("claps hands", "clap their hands"), ("applauds", "applaud")),
        ("with hands pressed together in applause", "in applause"),
    ),
    "cycling": Wording(
        "cycling",
        ("riding a {bicycle}", "riding a bicycle", "cycling on a {bicycle}", "riding a bike"),
        (("rides a {bicycle}", "ride a {bicycle}"), ("cycles", "cycle"), ("is out on a {bicycle}", "are out on a {bicycle}")),
        ("on a {bicycle}", "on the saddle of a {bicycle}"),
        ("a cyclist", "a bike rider"),
    ),
    "dancing": Wording(
        "dancing",
        ("dancing happily", "dancing with raised arms", "doing a dance", "dancing around"),
        (("dances", "dance"), ("is doing a dance", "are doing a dance")),
        ("in the middle of a dance",),
        ("a dancer",),
    ),
    "drinking": Wording(
        "drinking",
        ("drinking from a {vessel}", "drinking something", "taking a sip from a {vessel}", "having a drink", "sipping a drink"),
        (("drinks from a {vessel}", "drink from a {vessel}"), ("takes a sip", "take a sip"), ("has a drink", "have a drink")),
        ("with a {vessel} at the mouth", "with a drink"),
    ),
    "eating": Wording(
        "eating",
        ("eating {food}", "eating {food}", "having a meal", "having a bite of {food}", "tasting {food}"),
        (("eats {food}", "eat {food}"), ("takes a bite of {food}", "take a bite of {food}"), ("has {food}", "have {food}")),
        ("with {food} at the mouth", "about to bite into {food}"),
    ),
    "fighting": Wording(
        "fighting",
        ("fighting each other", "having a fight", "fighting with fists", "in a fight"),
        (("fights", "fight"), ("fights with fists", "fight each other")),
        ("in a fight", "with raised fists", "at blows"),
    ),
    "hugging": Wording(
        "hugging",
        ("hugging each other", "embracing", "giving each other a hug", "embracing each other"),
        (("hugs", "hug"), ("hugs", "hug each other"), ("embraces", "embrace")),
        ("in a hug", "in an embrace", "in each other's arms"),
    ),
    "laughing": Wording(
        "laughing",
        ("laughing out loud", "laughing happily", "laughing at a joke", "having a laugh"),
        (("laughs", "laugh"), ("laughs out loud", "laugh out loud"), ("has a good laugh", "have a good laugh")),
        ("with a big laugh", "in fits of laughter"),
    ),
    "listening_to_music": Wording(
        "listening to music",
        ("listening to music with {headphones}", "listening to a song", "listening to music on {headphones}",
         "enjoying music", "wearing {headphones} and listening to music"),
        (("listens to music", "listen to music"), ("listens to a song on {headphones}", "listen to a song on {headphones}"),
         ("enjoys music", "enjoy music")),
        ("with {headphones} on", "lost in music"),
    ),
    "running": Wording(
        "running",
        ("running fast", "jogging", "out for a run", "going for a run", "sprinting", "running along"),
        (("runs", "run"), ("goes for a run", "go for a run"), ("jogs", "jog"), ("sprints", "sprint")),
        ("out on a run", "at a run"),
        ("a runner", "a jogger"),
    ),
    "sitting": Wording(
        "sitting",
        ("sitting down", "sitting still", "sitting quietly", "sitting around"),
        (("sits", "sit"), ("sits quietly", "sit quietly"), ("is seated", "are seated")),
        ("seated",),
    ),
    "sleeping": Wording(
        "sleeping",
        ("sleeping soundly", "taking a nap", "napping", "having a nap", "sleeping deeply"),
        (("sleeps", "sleep"), ("takes a nap", "take a nap"), ("is asleep", "are asleep")),
        ("asleep", "fast asleep", "with closed eyes, asleep"),
        ("a sleeper",),
    ),
    "texting": Wording(
        "texting",
        ("texting on a {phone}", "texting someone", "texting a friend", "typing a message on a {phone}",
         "writing a text message", "looking at a {phone}", "sending a text message"),
        (("texts on a {phone}", "text on a {phone}"), ("sends a text message", "send a text message"),
         ("looks at a {phone}", "look at a {phone}")),
        ("with eyes on a {phone}", "busy with a {phone}"),
    ),
    "using_laptop": Wording(
        "using laptop",
        ("using a laptop", "using a {laptop}", "using a laptop computer", "working on a {laptop}", "typing on a {laptop}",
         "working at a {laptop}"),
        (("uses a {laptop}", "use a {laptop}"), ("works on a {laptop}", "work on a {laptop}"),
         ("types on a {laptop}", "type on a {laptop}")),
        ("at a {laptop}", "in front of a {laptop}", "busy with a {laptop}"),
        ("a laptop user",),
    ),
    "cooking": Wording(
        "cooking",
        ("cooking food", "cooking at the stove", "cooking with a {tool}", "stirring food in a {tool}", "making dinner"),
        (("cooks", "cook"), ("cooks a dish", "cook a dish"), ("stirs food in a {tool}", "stir food in a {tool}")),
        ("at the stove",),
        ("a cook",),
    ),
    "jumping": Wording(
        "jumping",
        ("jumping up", "jumping for joy", "leaping into the air", "jumping in the air"),
        (("jumps", "jump"), ("leaps into the air", "leap into the air"), ("jumps for joy", "jump for joy")),
        ("in mid-air", "high in the air"),
    ),
    "kicking_ball": Wording(
        "kicking a ball",
        ("kicking a {ball}", "kicking ball", "kicking the ball", "shooting a {ball}", "playing soccer"),
        (("kicks a {ball}", "kick a {ball}"), ("plays soccer", "play soccer")),
        ("with a {ball} at the feet",),
        ("a soccer player",),
    ),
    "lifting_weights": Wording(
        "lifting weights",
        ("lifting weights", "lifting {weight}", "training with {weight}", "working out with {weight}"),
        (("lifts weights", "lift weights"), ("lifts {weight}", "lift {weight}")),
        ("with {weight} in the hands",),
        ("a weightlifter",),
    ),
    "painting": Wording(
        "painting",
        ("painting a picture", "painting on a canvas", "painting at an easel", "painting with a {tool}"),
        (("paints", "paint"), ("paints on a canvas", "paint on a canvas")),
        ("at an easel with a {tool}", "in front of a canvas"),
        ("a painter", "an artist"),
    ),
    "playing_guitar": Wording(
        "playing guitar",
        ("playing the {instrument}", "playing a {instrument}", "strumming a {instrument}", "playing an acoustic guitar"),
        (("plays the {instrument}", "play the {instrument}"), ("strums a {instrument}", "strum a {instrument}")),
        ("with a {instrument} in the hands",),
        ("a guitarist", "a guitar player"),
    ),
    "pushing": Wording(
        "pushing",
        ("pushing a {load}", "pushing a {load}", "pushing a {load} along"),
        (("pushes a {load}", "push a {load}"), ("pushes a {load} along", "push a {load} along")),
        ("behind a {load}",),
    ),
    "reading": Wording(
        "reading",
        ("reading a {book}", "reading an open {book}", "reading a novel", "looking into a {book}"),
        (("reads", "read"), ("reads a {book}", "read a {book}")),
        ("with an open {book}", "absorbed in a {book}"),
        ("a reader",),
    ),
    "sweeping": Wording(
        "sweeping",
        ("sweeping the floor", "sweeping with a {tool}", "cleaning the floor with a {tool}", "sweeping up"),
        (("sweeps", "sweep"), ("sweeps the floor", "sweep the floor")),
        ("with a {tool} in both hands",),
    ),
    "taking_photo": Wording(
        "taking a photo",
        ("taking photo", "taking a picture", "taking a photo with a {camera}", "photographing something",
         "taking pictures with a {camera}"),
        (("takes a photo", "take a photo"), ("takes a picture with a {camera}", "take a picture with a {camera}")),
        ("behind a {camera}", "with a {camera} held up"),
        ("a photographer",),
    ),
    "walking": Wording(
        "walking",
        ("walking along", "taking a walk", "strolling", "out for a walk", "walking past"),
        (("walks", "walk"), ("takes a walk", "take a walk"), ("strolls along", "stroll along")),
        ("on a walk", "in mid-stride"),
        ("a walker", "a pedestrian"),
    ),
    "waving": Wording(
        "waving",
        ("waving a hand", "waving hello", "waving at the camera", "waving goodbye"),
        (("waves", "wave"), ("waves a hand", "wave their hands"), ("waves hello", "wave hello")),
        ("with one hand raised in greeting",),
    ),
}  # fmt: skip

WHO = {
    "man": ("a man", "a man", "a man", "a person", "a person", "someone", "a guy"),
    "woman": ("a woman", "a woman", "a woman", "a person", "a person", "someone", "a lady"),
    "boy": ("a boy", "a boy", "a child", "a kid", "a person", "a little boy"),
    "girl": ("a girl", "a girl", "a child", "a kid", "a person", "a little girl"),
}
SEVERAL = {"man": "men", "woman": "women", "boy": "boys", "girl": "girls"}
SEATS = {
    "sofa": ("on a sofa", "on a couch", "on the sofa"),
    "chair": ("on a chair", "on a wooden chair"),
    "office chair": ("on an office chair", "on a swivel chair"),
    "stool": ("on a stool", "on a bar stool"),
    "bench": ("on a bench", "on a wooden bench"),
    "bed": ("on a bed", "on the bed"),
    "floor": ("on the floor",),
    "ground": ("on the ground",),
    "low wall": ("on a low wall", "on a wall"),
}
PREFIXES = (
    ("a photo of {}", 12),
    ("a picture of {}", 7),
    ("a photograph of {}", 3),
    ("an image of {}", 3),
    ("this is a photo of {}", 1),
    ("a snapshot of {}", 1),
    ("a picture showing {}", 1),
    ("photo of {}", 1.5),
)
PLURAL = frozenset({"weights", "bookshelves", "flowers", "trees", "coloured lights", "headphones"})
