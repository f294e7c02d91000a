"""Scenes: what a picture shows, in the words of its caption."""

import random
from dataclasses import dataclass, replace

SUBJECTS = ("man", "woman", "superhero", "astronaut", "robot", "cat", "panda", "rabbit", "frog", "elephant")
ACTIONS = ("skiing", "surfing", "running", "dancing", "riding a bike", "skateboarding", "flying")
PLACES = ("on the snow", "on the beach", "in the city", "in the forest", "in the desert", "on the moon")
TIMES = ("by day", "at sunset", "at night")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
STYLES = ("cartoon", "van gogh", "pixel art", "watercolor", "pop art")

# These can be drawn but are in no training picture, to test a base on clips of unknown things.
UNSEEN_SUBJECTS = ("bear", "penguin")
UNSEEN_ACTIONS = ("jumping",)

# Both words of a pair are in training pictures, the pair itself is in none.
HELD_OUT_ACTIONS = frozenset(
    {
        ("man", "flying"),
        ("woman", "skateboarding"),
        ("superhero", "riding a bike"),
        ("astronaut", "running"),
        ("robot", "surfing"),
        ("cat", "skiing"),
        ("panda", "dancing"),
        ("rabbit", "skateboarding"),
        ("frog", "riding a bike"),
        ("elephant", "surfing"),
    }
)
HELD_OUT_PLACES = frozenset(
    {
        ("man", "on the moon"),
        ("woman", "in the desert"),
        ("superhero", "in the forest"),
        ("robot", "on the beach"),
        ("cat", "in the city"),
        ("panda", "in the desert"),
        ("rabbit", "on the moon"),
        ("elephant", "on the snow"),
    }
)


@dataclass(frozen=True)
class Scene:
    """The content of one picture. Lengths are pixels of a picture of 128 x 128."""

    subject: str
    action: str
    place: str | None = "on the snow"
    """None: the caption names none and `layout` chooses one."""
    time: str = "by day"
    colour: str | None = None
    """The colour of the clothes; None: the subject's own, which the caption does not name."""
    style: str | None = None
    phase: float = 0.0
    """The action's position in its cycle, in turns."""
    x: float = 64.0
    """The figure's position, from the left."""
    scale: float = 1.0
    """1 is a figure of about 88 pixels."""
    facing: int = 1
    """1: to the right, -1: to the left."""
    camera: float = 0.0
    """How far the camera has moved to the right; far layers move less."""
    layout: int = 0
    """Seed of everything that the caption does not name, such as the places of trees, clouds and houses."""
    says_day: bool = False
    """Whether the caption says `by day`, which it may leave out."""

    @property
    def shown_place(self) -> str:
        """The place that is drawn."""
        return self.place if self.place is not None else PLACES[self.layout % len(PLACES)]

    @property
    def caption(self) -> str:
        """The caption, such as `a cat wearing red clothes is surfing on the beach at night, van gogh style`."""
        article = "an" if self.subject[0] in "aeiou" else "a"
        words = [article, self.subject]
        if self.colour:
            words += ["wearing", self.colour, "clothes"]
        words += ["is", self.action]
        if self.place:
            words += [self.place]
        if self.time != "by day" or self.says_day:
            words += [self.time]
        return " ".join(words) + (f", {self.style} style" if self.style else "")


def is_held_out(scene: Scene) -> bool:
    """Whether the scene is a combination that no training picture shows."""
    return (scene.subject, scene.action) in HELD_OUT_ACTIONS or (scene.subject, scene.shown_place) in HELD_OUT_PLACES


def random_scene(rng: random.Random, held_out: bool = False) -> Scene:
    """A random scene of the training set, or (`held_out`) of a combination that no training picture shows."""
    while is_held_out(scene := _any_scene(rng)) != held_out:
        pass
    return scene


def _any_scene(rng: random.Random) -> Scene:
    scene = _random_attributes(rng)
    return replace(scene, says_day=scene.layout % 4 == 0)


def _random_attributes(rng: random.Random) -> Scene:
    return Scene(
        subject=rng.choice(SUBJECTS),
        action=rng.choice(ACTIONS),
        place=rng.choice(PLACES) if rng.random() > 0.06 else None,
        time=rng.choices(TIMES, (2, 1, 1))[0],
        colour=rng.choice(COLOURS) if rng.random() < 0.6 else None,
        style=rng.choice(STYLES) if rng.random() < 0.55 else None,
        phase=rng.random(),
        x=rng.uniform(34, 94),
        scale=rng.uniform(0.85, 1.08),
        facing=rng.choice((1, 1, 1, -1)),
        camera=rng.uniform(0, 400),
        layout=rng.randrange(100_000),
    )


def parse(caption: str) -> dict[str, str | None]:
    """Subject, action, place, time, colour and style that a caption names; None for what it does not name.

    Words outside the grammar are ignored, so that any prompt can be parsed.
    """
    body, _, tail = caption.lower().partition(",")
    words = body.split()
    return {
        "subject": next((s for s in SUBJECTS + UNSEEN_SUBJECTS if s in words), None),
        "action": next((a for a in ACTIONS + UNSEEN_ACTIONS if a in body), None),
        "place": next((p for p in PLACES if p in body), None),
        "time": next((t for t in TIMES if t in body), None),
        "colour": next((c for c in COLOURS if f"{c} clothes" in body), None),
        "style": next((s for s in STYLES if s in tail), None),
    }


def changed(scene: Scene, caption: str) -> Scene:
    """The scene with the attributes that the caption names."""
    named = {key: value for key, value in parse(caption).items() if value is not None}
    return replace(scene, **named)  # type: ignore[arg-type]
