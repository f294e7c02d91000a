"""The subjects: their colours, their heads, and how a body is drawn on a skeleton."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tav.storybook.world.pen import Colour, Pen, Point, shade
from tav.storybook.world.poses import HEAD, Skeleton

CLOTHES: dict[str, Colour] = {
    "red": (222, 38, 44),
    "orange": (248, 132, 20),
    "yellow": (250, 212, 40),
    "green": (40, 160, 70),
    "blue": (40, 92, 220),
    "purple": (132, 52, 180),
    "pink": (250, 120, 186),
    "black": (42, 42, 52),
}

WHITE: Colour = (250, 250, 250)
INK: Colour = (26, 24, 32)


@dataclass(frozen=True)
class Look:
    """The colours of a subject. `top` and `legs` are its fur, or its clothes where the caption names no colour."""

    skin: Colour
    top: Colour
    legs: Colour
    feet: Colour
    belly: Colour | None = None


LOOKS: dict[str, Look] = {
    "man": Look((242, 190, 150), (206, 40, 46), (44, 58, 110), (60, 40, 36)),
    "woman": Look((246, 204, 170), (20, 158, 160), (112, 60, 130), (130, 30, 60)),
    "superhero": Look((220, 30, 40), (34, 70, 190), (34, 70, 190), (220, 30, 40)),
    "astronaut": Look((236, 238, 244), (232, 236, 244), (200, 208, 226), (110, 120, 146)),
    "robot": Look((80, 200, 216), (60, 170, 190), (70, 90, 110), (50, 64, 84)),
    "cat": Look((246, 150, 46), (246, 150, 46), (228, 126, 30), (250, 190, 110), (255, 226, 180)),
    "panda": Look((34, 32, 38), (248, 248, 246), (34, 32, 38), (34, 32, 38)),
    "rabbit": Look((232, 204, 226), (232, 204, 226), (216, 182, 212), (250, 236, 248), (252, 244, 250)),
    "frog": Look((96, 190, 60), (96, 190, 60), (72, 164, 48), (140, 220, 80), (216, 240, 150)),
    "elephant": Look((134, 148, 190), (134, 148, 190), (116, 130, 174), (96, 108, 150), (164, 176, 212)),
    "bear": Look((136, 84, 48), (136, 84, 48), (116, 70, 40), (96, 58, 34), (190, 140, 96)),
    "penguin": Look((36, 44, 76), (36, 44, 76), (36, 44, 76), (250, 160, 30), (248, 248, 250)),
}

_LIMB = 9.5
_LEG = 11.0


def draw_figure(pen: Pen, subject: str, colour: str | None, bones: Skeleton) -> None:
    """Draw the figure on its skeleton; the pen must be in the figure's coordinates."""
    look = LOOKS[subject]
    top = CLOTHES[colour] if colour else look.top
    legs = shade(CLOTHES[colour], 0.78) if colour else look.legs
    sleeve = top if colour or subject != "panda" else look.skin
    _behind(pen, subject, bones)
    _leg(pen, bones.far_leg, shade(legs, 0.78), shade(look.feet, 0.8))
    _arm(pen, bones.far_arm, shade(sleeve, 0.78), shade(look.skin, 0.82))
    pen.taper(bones.hip, bones.chest, (18, 21), top)
    if not colour:
        _front(pen, subject, look, bones)
    _leg(pen, bones.near_leg, legs, look.feet)
    _arm(pen, bones.near_arm, shade(sleeve, 0.93), look.skin)
    _HEADS[subject](_Face(pen, bones.head, bones.turn), look)


def _leg(pen: Pen, leg: tuple[Point, Point, Point], cloth: Colour, foot: Colour) -> None:
    hip, knee, ankle = leg
    pen.limb([hip, knee, ankle], _LEG, cloth)
    dx, dy = ankle[0] - knee[0], ankle[1] - knee[1]
    length = math.hypot(dx, dy) or 1.0
    toe = ankle[0] + 5 * dy / length, ankle[1] - 5 * dx / length
    pen.limb([ankle, toe], 8.5, foot)


def _arm(pen: Pen, arm: tuple[Point, Point, Point], cloth: Colour, hand: Colour) -> None:
    pen.limb(arm, _LIMB, cloth)
    pen.disc(arm[2], 5.6, hand)


def _behind(pen: Pen, subject: str, bones: Skeleton) -> None:
    """Draw what is behind the body: tails, a cape, a backpack."""
    hip, chest = bones.hip, bones.chest
    if subject == "cat":
        pen.limb([hip, (hip[0] - 15, hip[1] - 2), (hip[0] - 23, hip[1] - 16)], 6, LOOKS["cat"].legs)
    if subject in ("rabbit", "bear", "panda"):
        tail = LOOKS[subject].feet if subject == "rabbit" else LOOKS[subject].skin
        pen.disc((hip[0] - 12, hip[1] - 1), 6, tail)
    if subject == "superhero":
        dx, dy = hip[0] - chest[0], hip[1] - chest[1]
        low = chest[0] + dx * 1.5 - 20, chest[1] + dy * 1.5 + dx * 0.3
        pen.polygon([(chest[0] - 4, chest[1] - 7), (chest[0] + 6, chest[1] - 4), hip, low], (236, 190, 30))
    if subject == "astronaut":
        middle = (hip[0] + chest[0]) / 2 - 8, (hip[1] + chest[1]) / 2 - 2
        pen.limb([(middle[0], middle[1] - 6), (middle[0], middle[1] + 6)], 17, (160, 168, 186))


def _front(pen: Pen, subject: str, look: Look, bones: Skeleton) -> None:
    """Draw what is on the chest of a figure in its own colours."""
    middle = (bones.hip[0] + bones.chest[0]) / 2 + 3, (bones.hip[1] + bones.chest[1]) / 2
    if look.belly:
        pen.disc(middle, 8, look.belly, 10, outline=0)
    if subject == "superhero":
        x, y = bones.chest[0] + 2, bones.chest[1] + 3
        pen.polygon([(x, y - 6), (x + 6, y), (x, y + 7), (x - 6, y)], (236, 190, 30), outline=0)
    if subject == "robot":
        pen.disc(middle, 5, (250, 214, 60), outline=0)
    if subject == "astronaut":
        pen.disc(middle, 4.5, (230, 70, 50), outline=0)


class _Face:
    """The pen, in the coordinates of a head of radius 15 looking forwards."""

    def __init__(self, pen: Pen, centre: Point, turn: float) -> None:
        self._pen, self._centre = pen, centre
        self._cos, self._sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))

    def at(self, x: float, y: float) -> Point:
        return self._centre[0] + x * self._cos - y * self._sin, self._centre[1] + x * self._sin + y * self._cos

    def disc(self, x: float, y: float, rx: float, colour: Colour, ry: float | None = None, line: bool = False) -> None:
        self._pen.disc(self.at(x, y), rx, colour, ry, outline=None if line else 0)

    def polygon(self, points: list[Point], colour: Colour, line: bool = True) -> None:
        self._pen.polygon([self.at(*p) for p in points], colour, outline=None if line else 0)

    def limb(self, points: list[Point], width: float, colour: Colour, line: bool = True) -> None:
        self._pen.limb([self.at(*p) for p in points], width, colour, outline=None if line else 0)

    def eyes(self, y: float = -1, gap: float = 5.5, size: float = 2.6, x: float = 5.0, white: float = 0.0) -> None:
        for side in (-1, 1):
            if white:
                self.disc(x + side * gap, y, white, WHITE)
            self.disc(x + side * gap + (0.8 if white else 0), y, size, INK, size * (1.0 if white else 1.25))


def _man(face: _Face, look: Look) -> None:
    face.disc(0, 0, HEAD, look.skin, line=True)
    cap = [(-15.5, 3), (-15.5, -5), (-11, -13), (-2, -17), (8, -15), (14, -8), (15, -5), (4, -7), (-5, -5), (-7, 3)]
    face.polygon(list(cap), (52, 34, 28), line=False)
    face.eyes()
    face.limb([(3, 6.5), (6, 8.6), (10, 6.5)], 2.4, (176, 60, 60), line=False)


def _woman(face: _Face, look: Look) -> None:
    hair: Colour = (236, 186, 66)
    face.limb([(-8, -4), (-13, 10), (-14, 20)], 12, hair)
    face.disc(-1, -1, HEAD + 1.5, hair, line=True)
    face.disc(2.5, 2, HEAD - 2.5, look.skin)
    face.polygon([(-12, -2), (-8, -13), (6, -15), (14, -6), (4, -6)], hair, line=False)
    face.eyes(y=1)
    face.disc(6, 8.5, 2.6, (214, 60, 84), 1.8)


def _superhero(face: _Face, look: Look) -> None:
    face.disc(0, 0, HEAD, look.skin, line=True)
    for side in (-1, 1):
        face.disc(5 + side * 6, -1, 4.4, INK, 5.4)
        face.disc(5 + side * 6, -1, 3.2, WHITE, 4.2)


def _astronaut(face: _Face, look: Look) -> None:
    face.disc(0, 0, HEAD + 1.5, look.skin, line=True)
    face.disc(4.5, 0.5, 10.5, (40, 60, 110), 9)
    face.disc(7, -3, 3.6, (130, 190, 240), 2.6)


def _robot(face: _Face, look: Look) -> None:
    face.limb([(0, -12), (0, -20)], 3, shade(look.skin, 0.6))
    face.disc(0, -21, 3.8, (236, 60, 50), line=True)
    face.polygon([(-14, -13), (14, -13), (14, 13), (-14, 13)], look.skin)
    face.polygon([(-7, -7), (13, -7), (13, 3), (-7, 3)], (30, 44, 60), line=False)
    for x in (-1.5, 7.5):
        face.disc(x, -2, 3, (255, 226, 70))
    face.limb([(-2, 8.5), (8, 8.5)], 2.6, (30, 44, 60), line=False)


def _cat(face: _Face, look: Look) -> None:
    for x in (-9.5, 9.5):
        face.polygon([(x - 6.5, -8), (x + (1 if x > 0 else -1) * 2, -24), (x + 6.5, -8)], look.skin)
        face.polygon([(x - 3, -10), (x + (1 if x > 0 else -1) * 1.5, -19), (x + 3, -10)], (255, 196, 170), line=False)
    face.disc(0, 0, HEAD + 1, look.skin, HEAD - 0.5, line=True)
    face.disc(6, 6, 7.5, (255, 232, 196), 5)
    face.eyes(y=-2, gap=6, size=2.8)
    face.disc(6.5, 4, 2.2, (214, 84, 90), 1.7)


def _panda(face: _Face, look: Look) -> None:
    for x in (-11, 11):
        face.disc(x, -11, 6.5, look.skin, line=True)
    face.disc(0, 0, HEAD + 1, look.top, HEAD, line=True)
    for side in (-1, 1):
        face.disc(5 + side * 6.2, -1, 4.6, look.skin, 5.6)
        face.disc(5.6 + side * 6.2, -2, 1.7, WHITE)
    face.disc(5.5, 6.5, 2.8, look.skin, 2.0)


def _rabbit(face: _Face, look: Look) -> None:
    for x in (-6.5, 6.5):
        face.limb([(x, -10), (x * 1.25 - 2, -26)], 9, look.skin)
        face.limb([(x, -12), (x * 1.2 - 1.6, -24)], 4, (246, 130, 160), line=False)
    face.disc(0, 0, HEAD, look.skin, HEAD - 1, line=True)
    face.disc(6, 6, 6.5, (252, 246, 252), 4.6)
    face.eyes(y=-2, gap=6)
    face.disc(6.5, 4.2, 2.2, (240, 100, 140), 1.7)


def _frog(face: _Face, look: Look) -> None:
    face.disc(0, 2, HEAD + 3, look.skin, HEAD - 2, line=True)
    for x in (-6, 10):
        face.disc(x, -10, 6.6, look.skin, line=True)
        face.disc(x + 0.6, -10.5, 4.8, WHITE)
        face.disc(x + 1.6, -10.5, 2.6, INK)
    face.limb([(-5, 6.5), (4, 9), (13, 6)], 2.6, (50, 110, 36), line=False)


def _elephant(face: _Face, look: Look) -> None:
    face.disc(-12, -1, 10.5, shade(look.skin, 0.86), 13, line=True)
    face.disc(-11.5, -0.5, 6.5, (236, 170, 190), 8.5)
    face.disc(0, -1, HEAD - 0.5, look.skin, line=True)
    face.limb([(9, 2), (17, 9), (18, 19), (23, 22)], 7.5, look.skin)
    face.disc(9, -1, 8, look.skin)
    face.eyes(y=-4, gap=5, x=4.5)
    face.limb([(5, 9), (9, 12)], 3.2, WHITE, line=False)


def _bear(face: _Face, look: Look) -> None:
    for x in (-11, 11):
        face.disc(x, -10, 6.2, look.skin, line=True)
    face.disc(0, 0, HEAD + 0.5, look.skin, line=True)
    face.disc(6, 5.5, 7.5, (206, 160, 116), 5.6)
    face.eyes(y=-3, gap=6)
    face.disc(6.5, 3.5, 2.8, INK, 2.1)


def _penguin(face: _Face, look: Look) -> None:
    face.disc(0, 0, HEAD, look.skin, line=True)
    face.disc(5, 2.5, 9.5, WHITE, 9.5)
    face.eyes(y=-1, gap=4.5, x=5.5)
    face.polygon([(8, 3), (21, 6.5), (8, 9.5)], (250, 160, 30))


_HEADS: dict[str, Callable[[_Face, Look], None]] = {
    "man": _man,
    "woman": _woman,
    "superhero": _superhero,
    "astronaut": _astronaut,
    "robot": _robot,
    "cat": _cat,
    "panda": _panda,
    "rabbit": _rabbit,
    "frog": _frog,
    "elephant": _elephant,
    "bear": _bear,
    "penguin": _penguin,
}
