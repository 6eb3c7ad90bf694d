"""Plane geometry of oriented boxes: the gap between two road users and the time until they would touch."""

import math
from typing import Protocol


class _Shape(Protocol):
    @property
    def length_m(self) -> float: ...
    @property
    def width_m(self) -> float: ...


class Moving(Protocol):
    """A box on the plane: centre, unit heading, velocity."""

    @property
    def shape(self) -> _Shape: ...

    x: float
    y: float
    fx: float
    fy: float
    vx: float
    vy: float


def obb_gap(a: Moving, b: Moving) -> float:
    """Least distance between two boxes in metres; 0 where they overlap.

    Exact when they do not overlap: the least distance of two convex polygons is met at a corner of one of them.
    """
    best = 1e9
    for box, other in ((a, b), (b, a)):
        length, width = box.shape.length_m / 2, box.shape.width_m / 2
        half_length, half_width = other.shape.length_m / 2, other.shape.width_m / 2
        for along in (-length, length):
            for across in (-width, width):
                x = box.x + along * box.fx + across * box.fy - other.x
                y = box.y + along * box.fy - across * box.fx - other.y
                outside_length = max(0.0, abs(x * other.fx + y * other.fy) - half_length)
                outside_width = max(0.0, abs(x * other.fy - y * other.fx) - half_width)
                best = min(best, math.hypot(outside_length, outside_width))
    return best


def swept_ttc(a: Moving, b: Moving) -> float:
    """Seconds until two boxes touch if both keep their velocity and heading; 99 if they never would.

    Separating axes: the boxes overlap from the last axis on which their shadows meet to the first on which they part.
    """
    dx, dy, vx, vy = b.x - a.x, b.y - a.y, a.vx - b.vx, a.vy - b.vy
    enter, leave = 0.0, 99.0
    for nx, ny in ((a.fx, a.fy), (a.fy, -a.fx), (b.fx, b.fy), (b.fy, -b.fx)):
        reach = 0.0
        for box in (a, b):
            along = abs(nx * box.fx + ny * box.fy)
            across = abs(nx * box.fy - ny * box.fx)
            reach += (box.shape.length_m * along + box.shape.width_m * across) / 2
        distance, speed = dx * nx + dy * ny, vx * nx + vy * ny
        if abs(speed) < 1e-6:
            if abs(distance) > reach:
                return 99.0
            continue
        first, last = (distance - reach) / speed, (distance + reach) / speed
        enter, leave = max(enter, min(first, last)), min(leave, max(first, last))
        if enter > leave:
            return 99.0
    return enter
