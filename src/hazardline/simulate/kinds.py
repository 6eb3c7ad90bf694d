"""Road users: their size, mass and paint, and the width of a lane."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["car", "suv", "van", "truck", "pedestrian", "cyclist"]

LANE_M = 3.5
PARKING_M = 2.4
"""Width of the parking strip between the outer lane and the kerb."""
GRAVITY = 9.81


@dataclass(frozen=True)
class Shape:
    """Outer size and mass of a road user."""

    length_m: float
    width_m: float
    height_m: float
    mass_kg: float


SHAPES: dict[Kind, Shape] = {
    "car": Shape(4.4, 1.8, 1.45, 1350.0),
    "suv": Shape(4.7, 1.95, 1.75, 1900.0),
    "van": Shape(5.3, 2.0, 2.2, 2300.0),
    "truck": Shape(8.0, 2.4, 3.0, 7500.0),
    "pedestrian": Shape(0.4, 0.5, 1.72, 75.0),
    "cyclist": Shape(1.75, 0.5, 1.7, 90.0),
}
VEHICLE_KINDS: tuple[Kind, ...] = ("car", "suv", "van", "truck")
VEHICLE_SHARES = (0.5, 0.25, 0.15, 0.1)

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.72, 0.08, 0.08),
    "blue": (0.12, 0.26, 0.72),
    "white": (0.90, 0.90, 0.88),
    "black": (0.10, 0.10, 0.11),
    "silver": (0.66, 0.68, 0.70),
    "green": (0.12, 0.42, 0.20),
    "yellow": (0.87, 0.72, 0.12),
    "grey": (0.38, 0.39, 0.41),
}
NIGHT_COLOURS = ("red", "white", "silver", "yellow", "blue")
"""At night every scene, whatever its label, uses these only: a black car in the dark would hide a crash."""
