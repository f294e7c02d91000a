"""The places, in layers that move with the camera, under the light of the time of day."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tav.storybook.world.pen import SIZE, Colour, Pen, shade

GROUND = 112.0
"""The row that figures stand on."""

Tint = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """The light of a time of day: colours of the sky, from top to bottom, and tints of scenery and figures."""

    sky: tuple[Colour, Colour]
    space: tuple[Colour, Colour]
    """The sky of a place without air."""
    scenery: Tint
    figure: Tint


LIGHTS: dict[str, Light] = {
    "by day": Light(((86, 164, 240), (206, 234, 252)), ((30, 38, 84), (70, 84, 150)), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "at sunset": Light(
        ((112, 56, 150), (255, 158, 84)), ((60, 16, 60), (214, 84, 70)), (1.0, 0.80, 0.74), (1.0, 0.93, 0.88)
    ),
    "at night": Light(
        ((12, 18, 58), (44, 58, 122)), ((4, 4, 14), (14, 16, 44)), (0.46, 0.52, 0.80), (0.82, 0.85, 0.98)
    ),
}


def draw_place(pen: Pen, place: str, time: str, camera: float, layout: int) -> None:
    """Draw sky, scenery and ground."""
    light = LIGHTS[time]
    airless = place == "on the moon"
    top, bottom = light.space if airless else light.sky
    pen.layer, pen.tint = "sky", (1.0, 1.0, 1.0)
    pen.gradient(top, bottom, 0, 86)
    (_planet if airless else _sun)(pen, time, random.Random(layout))
    rng = random.Random(layout + 1)
    if not airless and time == "by day":
        for x in _spread(rng, camera * 0.1, 74, 24):
            _cloud(pen, x, rng.uniform(14, 34))
    pen.tint = light.scenery
    _PLACES[place](pen, camera, rng)


def _spread(rng: random.Random, shift: float, gap: float, margin: float) -> Iterator[float]:
    """x positions of things that repeat, with jitter, for a camera that has moved by `shift`; the period is 8 gaps."""
    spots = [(i + rng.uniform(-0.22, 0.22)) * gap for i in range(8)]
    ring = 8 * gap
    for spot in spots:
        x = (spot - shift + margin) % ring - margin
        if x < SIZE + margin:
            yield x


def _sun(pen: Pen, time: str, rng: random.Random) -> None:
    x = rng.uniform(88, 114)
    if time == "by day":
        pen.disc((x, 20), 10, (255, 226, 70), outline=0)
    elif time == "at sunset":
        pen.disc((x - 24, 66), 17, (255, 224, 110), outline=0)
    else:
        pen.disc((x, 20), 9.5, (250, 246, 214), outline=0)
        pen.disc((x - 5, 17), 8, (22, 30, 76), outline=0)
        for _ in range(6):
            pen.disc((rng.uniform(4, 84), rng.uniform(5, 44)), 1.7, (246, 246, 220), outline=0)


def _planet(pen: Pen, time: str, rng: random.Random) -> None:
    x = rng.uniform(90, 108)
    pen.disc((x, 24), 14, (60, 130, 220), outline=0)
    pen.disc((x - 4, 19), 5.5, (80, 180, 100), 4, outline=0)
    pen.disc((x + 5, 29), 5, (80, 180, 100), 3.6, outline=0)
    if time != "at sunset":
        for _ in range(7):
            pen.disc((rng.uniform(4, 76), rng.uniform(5, 50)), 1.7, (246, 246, 230), outline=0)


def _cloud(pen: Pen, x: float, y: float) -> None:
    for dx, dy, r in ((-9, 2, 6), (0, -2, 8.5), (9, 2, 6.5)):
        pen.disc((x + dx, y + dy), r, (255, 255, 255), r * 0.75, outline=0)


def _ground(pen: Pen, horizon: float, far: Colour, near: Colour) -> None:
    pen.layer = "ground"
    pen.gradient(far, near, horizon, SIZE)


def _ridge(pen: Pen, rng: random.Random, shift: float, gap: float, base: float, heights: tuple[float, float]) -> None:
    """Draw mountains with snow on top."""
    pen.layer = "far"
    for x in _spread(rng, shift, gap, 50):
        h = rng.uniform(*heights)
        colour = shade((112, 128, 176), rng.uniform(0.88, 1.08))
        pen.polygon([(x - h * 1.1, base), (x, base - h), (x + h * 1.1, base)], colour)
        pen.polygon(
            [(x - h * 0.36, base - h * 0.67), (x, base - h), (x + h * 0.36, base - h * 0.67), (x, base - h * 0.56)],
            (250, 252, 255),
            outline=0,
        )


def _pine(pen: Pen, x: float, y: float, h: float, colour: Colour) -> None:
    pen.limb([(x, y), (x, y - h * 0.3)], 4, (104, 70, 44), outline=0)
    for low, high, w in ((0.15, 0.62, 0.36), (0.42, 1.0, 0.27)):
        pen.polygon([(x - h * w, y - h * low), (x, y - h * high), (x + h * w, y - h * low)], colour)


def _snow(pen: Pen, camera: float, rng: random.Random) -> None:
    _ridge(pen, rng, camera * 0.15, 46, 76, (24, 40))
    _ground(pen, 75, (226, 234, 248), (250, 252, 255))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.45, 52, 20):
        _pine(pen, x, 84 + rng.uniform(-2, 3), rng.uniform(26, 34), (28, 108, 72))


def _beach(pen: Pen, camera: float, rng: random.Random) -> None:
    pen.layer = "far"
    pen.gradient((30, 120, 190), (70, 176, 214), 66, 88)
    for x in _spread(rng, camera * 0.25, 40, 16):
        y = rng.uniform(71, 82)
        pen.limb([(x - 8, y), (x + 8, y)], 2.2, (196, 232, 246), outline=0)
    _ground(pen, 87, (250, 222, 150), (238, 196, 116))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.5, 84, 26):
        _palm(pen, x, 94, rng.uniform(44, 54))


def _palm(pen: Pen, x: float, y: float, h: float) -> None:
    top = x + 7, y - h
    pen.limb([(x, y), (x + 2, y - h * 0.5), top], 4.5, (150, 100, 56))
    for angle in (-165, -120, -60, -15, 25, 155):
        a = math.radians(angle)
        tip = top[0] + 19 * math.cos(a), top[1] + 15 * math.sin(a) + 6
        middle = top[0] + 11 * math.cos(a), top[1] + 10 * math.sin(a) - 1
        pen.limb([top, middle, tip], 4.6, (46, 150, 60), outline=0)


def _city(pen: Pen, camera: float, rng: random.Random) -> None:
    pen.layer = "far"
    for x in _spread(rng, camera * 0.2, 30, 24):
        h = rng.uniform(34, 58)
        pen.polygon([(x - 13, 86), (x - 13, 86 - h), (x + 13, 86 - h), (x + 13, 86)], (132, 140, 178))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.4, 50, 30):
        h, colour = rng.uniform(26, 46), rng.choice(((206, 110, 90), (222, 186, 130), (170, 120, 140)))
        pen.polygon([(x - 19, 87), (x - 19, 87 - h), (x + 19, 87 - h), (x + 19, 87)], colour)
        for row in range(int(h // 14)):
            for column in (-10, 1, 12):
                left, top = x + column - 4, 87 - h + 5 + row * 13
                pen.polygon(
                    [(left, top), (left + 6, top), (left + 6, top + 7), (left, top + 7)], (255, 240, 170), outline=0
                )
    _ground(pen, 86, (150, 150, 162), (92, 94, 108))
    pen.polygon([(0, 86), (SIZE, 86), (SIZE, 90), (0, 90)], (196, 196, 204), outline=0)
    for x in _spread(rng, camera, 40, 16):
        pen.polygon([(x - 9, 122), (x + 9, 122), (x + 7, 126), (x - 11, 126)], (250, 222, 90), outline=0)


def _forest(pen: Pen, camera: float, rng: random.Random) -> None:
    pen.layer = "far"
    pen.gradient((58, 140, 92), (70, 158, 84), 44, 84)
    for x in _spread(rng, camera * 0.2, 24, 18):
        pen.disc((x, 46), 15, (58, 140, 92), 12)
    _ground(pen, 82, (104, 184, 76), (70, 150, 58))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.45, 46, 26):
        y = 86 + rng.uniform(-2, 3)
        pen.limb([(x, y), (x, y - 30)], 8, (112, 74, 44))
        green = shade((34, 116, 58), rng.uniform(0.9, 1.06))
        for dx, dy, r in ((-10, -40, 13), (10, -40, 13), (0, -54, 14)):
            pen.disc((x + dx, y + dy), r, green)
        for dx, dy, r in ((-8, -42, 10), (8, -42, 10), (0, -52, 11)):
            pen.disc((x + dx, y + dy), r, green, outline=0)


def _desert(pen: Pen, camera: float, rng: random.Random) -> None:
    pen.layer = "far"
    for x in _spread(rng, camera * 0.15, 58, 60):
        pen.disc((x, 90), 50, shade((226, 150, 84), rng.uniform(0.94, 1.06)), rng.uniform(22, 34))
    _ground(pen, 84, (236, 172, 96), (222, 146, 72))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.45, 70, 20):
        y = 92 + rng.uniform(-3, 3)
        h = rng.uniform(28, 38)
        for points in ([(x, y), (x, y - h)], [(x, y - h * 0.4), (x - 10, y - h * 0.45), (x - 10, y - h * 0.75)]):
            pen.limb(points, 7, (54, 132, 76))
        pen.limb([(x, y - h * 0.3), (x + 10, y - h * 0.35), (x + 10, y - h * 0.6)], 6, (54, 132, 76))


def _moon(pen: Pen, camera: float, rng: random.Random) -> None:
    pen.layer = "far"
    for x in _spread(rng, camera * 0.15, 52, 50):
        pen.disc((x, 90), 38, shade((150, 152, 168), rng.uniform(0.92, 1.06)), rng.uniform(14, 24))
    _ground(pen, 84, (188, 190, 204), (156, 158, 174))
    pen.layer = "near"
    for x in _spread(rng, camera * 0.6, 44, 20):
        y, r = rng.uniform(92, 122), rng.uniform(9, 13)
        pen.disc((x, y), r, (120, 122, 140), r * 0.38)
        pen.disc((x + 1, y + 1.2), r * 0.8, (142, 144, 160), r * 0.26, outline=0)


_PLACES: dict[str, Callable[[Pen, float, random.Random], None]] = {
    "on the snow": _snow,
    "on the beach": _beach,
    "in the city": _city,
    "in the forest": _forest,
    "in the desert": _desert,
    "on the moon": _moon,
}
