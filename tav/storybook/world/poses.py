"""Skeletons: the joints of a figure, for every action and moment of its cycle.

Coordinates are the figure's own: pixels at scale 1, x forwards, y down, (0, 0) on the ground below it.
"""

import math
from dataclasses import dataclass

from tav.storybook.world.pen import Point

THIGH = SHIN = 17.0
UPPER_ARM = FOREARM = 14.0
TORSO = 25.0
HEAD = 15.0
"""The head's radius."""


@dataclass(frozen=True)
class Skeleton:
    """Joints; `near` limbs are drawn in front of the body, `far` ones behind it."""

    hip: Point
    chest: Point
    head: Point
    near_arm: tuple[Point, Point, Point]
    far_arm: tuple[Point, Point, Point]
    near_leg: tuple[Point, Point, Point]
    far_leg: tuple[Point, Point, Point]
    turn: float = 0.0
    """The head's turn in degrees, forwards."""

    def joints(self) -> dict[str, Point]:
        """The joints by name."""
        named = {"hip": self.hip, "chest": self.chest, "head": self.head}
        for side in ("near", "far"):
            for limb, parts in (("arm", ("shoulder", "elbow", "hand")), ("leg", ("thigh", "knee", "foot"))):
                points = getattr(self, f"{side}_{limb}")
                named |= {f"{side}_{part}": point for part, point in zip(parts, points, strict=True)}
        return named


def polar(origin: Point, degrees: float, length: float) -> Point:
    """The point at `length` from the origin, at an angle from straight down: 90 is straight forwards, 180 up."""
    angle = math.radians(degrees)
    return origin[0] + length * math.sin(angle), origin[1] + length * math.cos(angle)


def reach(origin: Point, end: Point, first: float, second: float, bend: int) -> tuple[Point, Point, Point]:
    """(origin, middle, end) of a limb of two bones; the middle joint is bent forwards (bend 1) or backwards (-1)."""
    dx, dy = end[0] - origin[0], end[1] - origin[1]
    far = math.hypot(dx, dy)
    distance = min(max(far, abs(first - second) + 0.1), first + second - 0.1)
    ux, uy = (dx / far, dy / far) if far else (0.0, 1.0)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = math.sqrt(max(0.0, first**2 - along**2)) * bend
    middle = origin[0] + ux * along + uy * aside, origin[1] + uy * along - ux * aside
    return origin, middle, (origin[0] + ux * distance, origin[1] + uy * distance)


def _leg(hip: Point, foot: Point, bend: int = 1) -> tuple[Point, Point, Point]:
    return reach(hip, foot, THIGH, SHIN, bend)


def _arm(chest: Point, hand: Point) -> tuple[Point, Point, Point]:
    return reach((chest[0], chest[1] + 2), hand, UPPER_ARM, FOREARM, -1)


def _swing(origin: Point, upper: float, lower: float, length: float) -> tuple[Point, Point, Point]:
    middle = polar(origin, upper, length)
    return origin, middle, polar(middle, lower, length)


def _body(hip: Point, lean: float) -> tuple[Point, Point]:
    chest = polar(hip, 180 - lean, TORSO)
    return chest, polar(chest, 180 - lean * 0.5, HEAD + 1)


def _skiing(s: float, c: float) -> Skeleton:
    hip = (-6.0, -28 + 5 * s)
    chest, head = _body(hip, 40 + 8 * s)
    hands = (chest[0] + 17, chest[1] + 15 + 4 * c), (chest[0] + 20, chest[1] + 9 + 4 * c)
    return Skeleton(
        hip, chest, head, _arm(chest, hands[0]), _arm(chest, hands[1]), _leg(hip, (0, -6)), _leg(hip, (8, -8)), 6
    )


def _surfing(s: float, c: float) -> Skeleton:
    hip = (2.0 * s, -31 + 4 * c)
    chest, head = _body(hip, 14 * s)
    near = chest[0] - 25, chest[1] + 2 + 7 * s
    far = chest[0] + 25, chest[1] - 2 - 7 * s
    near_leg, far_leg = _leg(hip, (-17, -9), -1), _leg(hip, (17, -9))
    return Skeleton(hip, chest, head, _arm(chest, near), _arm(chest, far), near_leg, far_leg)


def _running(s: float, c: float) -> Skeleton:
    hip = (0.0, -33 + 3 * abs(s))
    chest, head = _body(hip, 14)
    legs = [_swing(hip, 50 * a, 50 * a - 38 + 34 * b, THIGH) for a, b in ((s, -c), (-s, c))]
    arms = [_swing((chest[0], chest[1] + 2), -48 * a, -48 * a + 80, UPPER_ARM * 0.9) for a in (s, -s)]
    return Skeleton(hip, chest, head, arms[0], arms[1], legs[0], legs[1])


def _dancing(s: float, c: float) -> Skeleton:
    hip = (5.0 * s, -33 + 2 * abs(c))
    chest, head = _body(hip, -10 * s)
    near = chest[0] - 22 - 3 * s, chest[1] - 17 + 6 * s
    far = chest[0] + 22 - 3 * s, chest[1] - 17 - 6 * s
    kick = max(0.0, -s), max(0.0, s)
    near_leg = _leg(hip, (-9 - 16 * kick[0], -3 - 12 * kick[0]), -1)
    far_leg = _leg(hip, (9 + 16 * kick[1], -3 - 12 * kick[1]))
    return Skeleton(hip, chest, head, _arm(chest, near), _arm(chest, far), near_leg, far_leg)


WHEELS = ((-22.0, -14.0), (24.0, -14.0))
WHEEL = 12.5
PEDALS = (0.0, -17.0)


def _riding(s: float, c: float) -> Skeleton:
    hip = (-9.0, -40 + 1.5 * s)
    chest, head = _body(hip, 24 + 3 * s)
    hand = (20.0, -44.0)
    near = PEDALS[0] + 8 * c, PEDALS[1] + 8 * s + 2
    far = PEDALS[0] - 8 * c, PEDALS[1] - 8 * s + 2
    return Skeleton(hip, chest, head, _arm(chest, hand), _arm(chest, hand), _leg(hip, near), _leg(hip, far))


def _skateboarding(s: float, c: float) -> Skeleton:
    push = max(0.0, s)
    hip = (1.0, -36 + 4 * c * (1 - push))
    chest, head = _body(hip, 16 + 12 * push)
    near = chest[0] - 18, chest[1] + 12 - 6 * c
    far = chest[0] + 20, chest[1] + 8 + 6 * c
    back = (-9 - 20 * push, -11 + 2 * push)
    return Skeleton(hip, chest, head, _arm(chest, near), _arm(chest, far), _leg(hip, back), _leg(hip, (10, -11)))


def _flying(s: float, c: float) -> Skeleton:
    hip = (-10.0, -44 + 6 * s)
    chest = polar(hip, 100 + 6 * c, TORSO)
    head = chest[0] + 7, chest[1] - 14
    arms = [_swing((chest[0] + 2, chest[1] + 4), a, a + 4, UPPER_ARM + 1) for a in (80 + 6 * c, 96 + 6 * c)]
    legs = [_swing(hip, -80 + a, -84 + a, THIGH) for a in (9 * s, -9 * s)]
    return Skeleton(hip, chest, head, arms[0], arms[1], legs[0], legs[1])


def _jumping(s: float, c: float) -> Skeleton:
    up = (1 - c) / 2
    hip = (0.0, -30 - 22 * up)
    chest, head = _body(hip, 4 * s)
    lift = 18 * up
    near = chest[0] - 16, chest[1] + 10 - 26 * up
    far = chest[0] + 16, chest[1] + 10 - 26 * up
    return Skeleton(
        hip, chest, head, _arm(chest, near), _arm(chest, far), _leg(hip, (-8, -3 - lift)), _leg(hip, (9, -3 - lift))
    )


_POSES = {
    "skiing": _skiing,
    "surfing": _surfing,
    "running": _running,
    "dancing": _dancing,
    "riding a bike": _riding,
    "skateboarding": _skateboarding,
    "flying": _flying,
    "jumping": _jumping,
}


def skeleton(action: str, phase: float) -> Skeleton:
    """The joints at a moment of the action; `phase` in turns, with period 1."""
    return _POSES[action](math.sin(2 * math.pi * phase), math.cos(2 * math.pi * phase))
