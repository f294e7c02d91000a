"""The gear of actions: skis, boards, a bike, and traces such as water and dust."""

from tav.storybook.world.pen import Colour, Pen, Point, shade
from tav.storybook.world.poses import PEDALS, WHEEL, WHEELS, Skeleton

_SKI: Colour = (250, 120, 20)
_POLE: Colour = (40, 40, 56)
_BOARD: Colour = (252, 226, 70)
_DECK: Colour = (214, 40, 110)
_FRAME: Colour = (226, 44, 40)
_WATER: Colour = (60, 140, 206)
_FOAM: Colour = (250, 252, 255)


def draw_behind(pen: Pen, action: str, bones: Skeleton) -> None:
    """Draw the gear behind the figure."""
    if action == "skiing":
        _ski(pen, bones.far_leg[2], shade(_SKI, 0.75))
        _pole(pen, bones.far_arm[2])
    elif action == "surfing":
        crest = [(-36, -22), (-43, -24), (-48, -17), (-44, -7), (-32, -2), (32, -2), (46, -6)]
        pen.polygon([*crest, (50, 8), (-60, 8), (-56, -13)], _WATER)
        pen.limb(crest, 3.6, _FOAM, outline=0)
        pen.polygon([(-36, -6), (-30, -1), (28, -1), (42, -11), (28, -7), (-28, -7)], _BOARD)
        pen.limb([(-24, -4), (26, -4)], 2.2, (226, 60, 50), outline=0)
    elif action == "riding a bike":
        _bike(pen)
    elif action == "flying":
        tail = bones.near_leg[2]
        for dy, length in ((-9, 14), (0, 22), (9, 14)):
            start = tail[0] - 8, tail[1] + dy
            pen.limb([start, (start[0] - length, start[1])], 3.2, _FOAM, outline=0)
    elif action == "running":
        for x, y, r in ((-25, -4, 4.5), (-34, -6, 6), (-43, -4, 4)):
            pen.disc((x, y), r, (226, 214, 196))


def draw_before(pen: Pen, action: str, bones: Skeleton) -> None:
    """Draw the gear in front of the figure."""
    if action == "skiing":
        _ski(pen, bones.near_leg[2], _SKI)
        _pole(pen, bones.near_arm[2])
    elif action == "skateboarding":
        for x in (-12, 14):
            pen.disc((x, -3), 4, (36, 36, 48))
        pen.limb([(-24, -12), (-18, -8), (20, -8), (26, -12)], 4.6, _DECK)


def _ski(pen: Pen, foot: Point, colour: Colour) -> None:
    x, y = foot[0], foot[1] + 5
    pen.limb([(x - 30, y), (x + 27, y), (x + 35, y - 6)], 4.4, colour)


def _pole(pen: Pen, hand: Point) -> None:
    pen.limb([(hand[0] + 2, hand[1] - 4), (hand[0] - 8, -1)], 2.8, _POLE, outline=0)


def _bike(pen: Pen) -> None:
    for centre in WHEELS:
        pen.ring(centre, WHEEL + 1.5, 3.6, (36, 36, 48))
        pen.disc(centre, 2.6, (150, 150, 164), outline=0)
    back, front = WHEELS
    for points in ([back, PEDALS, (-10, -36), back], [PEDALS, (17, -36), (-10, -36)], [front, (17, -36), (19, -46)]):
        pen.limb(points, 3.6, _FRAME, outline=0)
    pen.limb([(-15, -39), (-4, -39)], 4, (36, 36, 48), outline=0)
    pen.limb([(19, -46), (25, -44)], 3.4, (36, 36, 48), outline=0)
