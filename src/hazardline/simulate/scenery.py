"""All that stands still: ground, road, pavements, houses, trees, lamps, signals. Shading is baked into its colours."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import NodePath, Texture

from hazardline.simulate.families import Surroundings
from hazardline.simulate.kinds import LANE_M
from hazardline.simulate.meshes import Light, Mesh
from hazardline.simulate.staging import Road

NEAR_M, FAR_M = -40.0, 190.0
"""Scenery reaches from this far behind the ego's first place to this far beyond the place of conflict."""
STILL_RED = 240
"""Red of everything still in the identity pass, well apart from the reds of road users."""
_ROAD_PERIOD_M = 12.0
_CHUNK_M = 46.0
_SIGNALS = {
    "red": ((1.0, 0.1, 0.05), (0.1, 0.1, 0.02), (0.02, 0.1, 0.05)),
    "green": ((0.15, 0.02, 0.02), (0.1, 0.1, 0.02), (0.1, 1.0, 0.35)),
}


@dataclass
class Scenery:
    """Meshes of one scene, in stretches along the road so that what is out of view is culled."""

    light: Light
    rng: np.random.Generator
    around: Surroundings
    road: Road
    start_y: float
    houses: dict[int, Mesh] = field(default_factory=dict)
    props: dict[int, Mesh] = field(default_factory=dict)
    flats: dict[int, Mesh] = field(default_factory=dict)

    def part(self, which: dict[int, Mesh], y: float) -> Mesh:
        """The mesh of the stretch that `y` lies in."""
        return which.setdefault(int((y - self.start_y) // _CHUNK_M), Mesh())

    @property
    def span(self) -> tuple[float, float]:
        """First and last y of the scenery."""
        return self.start_y + NEAR_M, FAR_M


def build_scenery(
    parent: NodePath, hidden: NodePath, around: Surroundings, road: Road, start_y: float, light: Light
) -> None:
    """Attach the still world to `parent` and its identity-pass double (only what can hide a road user) to `hidden`."""
    scenery = Scenery(light, np.random.default_rng(around.look_seed), around, road, start_y)
    base = {"rainy": 0.22, "snowy": 0.55}.get(around.weather, 0.34) * float(scenery.rng.uniform(0.85, 1.15))
    _road(scenery, parent, base)
    _ground(scenery)
    _markings(scenery, base)
    _pavements(scenery)
    _roadsides(scenery)
    _signals(scenery, parent)
    for mesh in scenery.flats.values():
        _unlit(mesh.node("flat", light), parent)
    windows = _window_texture(scenery)
    for mesh in scenery.houses.values():
        _unlit(mesh.node("houses", light), parent).setTexture(windows)
    for mesh in scenery.props.values():
        _unlit(mesh.node("props", light), parent)
    for meshes in (scenery.houses, scenery.props):
        for mesh in meshes.values():
            mesh.encoded_node("hides", start_y + NEAR_M, metres_per_step(start_y), STILL_RED / 255).reparentTo(hidden)


def metres_per_step(start_y: float) -> float:
    """Metres along the road that one step of green stands for in the identity pass."""
    return (FAR_M - start_y - NEAR_M) / 255


def _unlit(node: NodePath, parent: NodePath) -> NodePath:
    node.reparentTo(parent)
    node.setLightOff(1)
    return node


def _texture(image: npt.NDArray[np.float32]) -> Texture:
    height, width = image.shape[:2]
    texture = Texture()
    texture.setup2dTexture(width, height, Texture.TUnsignedByte, Texture.FRgb)
    pixels = (np.clip(image[::-1, :, ::-1], 0, 1) * 255).astype(np.uint8)
    texture.setRamImage(np.ascontiguousarray(pixels).tobytes())
    texture.setWrapU(Texture.WMRepeat)
    texture.setWrapV(Texture.WMRepeat)
    texture.setMinfilter(Texture.FTLinearMipmapLinear)
    texture.setMagfilter(Texture.FTLinear)
    return texture


def _road_texture(scenery: Scenery, base: float) -> Texture:
    """One period of the road, full width: lane lines, edge lines, double centre line, wear."""
    rng, lanes, total = scenery.rng, scenery.road.lanes, 2 * scenery.road.kerb_m
    rows, columns = 128, 512
    image = np.full((rows, columns, 3), base, np.float32)
    image += rng.normal(0, 0.02, (rows, columns, 1)).astype(np.float32)
    patches = rng.normal(0, 0.022, (8, 16)).astype(np.float32)
    image += np.repeat(np.repeat(patches, rows // 8, 0), columns // 16, 1)[..., None]
    paint = 0.82 - float(rng.uniform(0, 0.25)) - (0.15 if scenery.around.weather == "snowy" else 0.0)
    half = max(1, int(0.09 / total * columns))

    def column(x: float) -> int:
        return int((x + total / 2) / total * columns)

    for side in (-1, 1):
        edge = column(side * lanes * LANE_M)
        image[:, edge - half : edge + half + 1] = paint
        for lane in range(1, lanes):
            middle = column(side * lane * LANE_M)
            image[: rows // 3, middle - half : middle + half + 1] = paint
    middle = column(0)
    yellow = (paint, paint * 0.82, 0.22)
    image[:, middle - 3 * half : middle - half] = yellow
    image[:, middle + half : middle + 3 * half] = yellow
    return _texture(image)


def _road(scenery: Scenery, parent: NodePath, base: float) -> None:
    kerb, junction = scenery.road.kerb_m, scenery.road.junction
    stretches: dict[int, Mesh] = {}
    first, last = scenery.span
    for y in np.arange(first, last, _ROAD_PERIOD_M):
        low, high = float(y), float(y) + _ROAD_PERIOD_M
        pieces = [(low, high)]
        if junction:
            pieces = [(low, min(high, -kerb)), (max(low, kerb), high)]
        for a, b in pieces:
            if b - a > 0.01:
                v0, v1 = (a - low) / _ROAD_PERIOD_M, (b - low) / _ROAD_PERIOD_M
                uv = ((0.0, v0), (1.0, v0), (1.0, v1), (0.0, v1))
                points = ((-kerb, a, 0.0), (kerb, a, 0.0), (kerb, b, 0.0), (-kerb, b, 0.0))
                scenery.part(stretches, low).quad(points, (1, 1, 1), uv)
    texture = _road_texture(scenery, base)
    for mesh in stretches.values():
        _unlit(mesh.node("road", scenery.light), parent).setTexture(texture)
    if junction:
        tint = (base, base, base)
        scenery.part(scenery.flats, 0).flat((-kerb, kerb), (-kerb, kerb), 0.0, tint)
        for side in (-1, 1):
            for k in range(5):
                x0 = side * (kerb + 20.0 * k)
                ends = (min(x0, x0 + side * 20), max(x0, x0 + side * 20))
                scenery.part(scenery.flats, 0).flat(ends, (-2 * LANE_M, 2 * LANE_M), 0.0, tint)


def _ground(scenery: Scenery) -> None:
    rng, kerb = scenery.rng, scenery.road.kerb_m
    colour = {"urban": (0.42, 0.41, 0.39), "rural": (0.28, 0.38, 0.17)}.get(scenery.around.scene, (0.33, 0.38, 0.22))
    if scenery.around.weather == "snowy":
        colour = (0.80, 0.82, 0.85)
    first, last = scenery.span
    for y in np.arange(first, last, 23.0):
        for side in (-1, 1):
            for x in (kerb, kerb + 20.0, kerb + 50.0):
                width = 20.0 if x == kerb else 30.0 if x < kerb + 40 else 60.0
                ends = (min(side * x, side * (x + width)), max(side * x, side * (x + width)))
                tint = tuple(np.array(colour) * rng.uniform(0.92, 1.08))
                low, high = float(y), float(y) + 23.0
                if scenery.road.junction and low < 2 * LANE_M and high > -2 * LANE_M:
                    continue
                scenery.part(scenery.flats, low).flat(ends, (low, high), -0.02, tint)
    if scenery.road.junction:
        _junction_ground(scenery, colour)


def _junction_ground(scenery: Scenery, colour: tuple[float, float, float]) -> None:
    """Ground beside the side road, up to the stretches that `_ground` left out."""
    kerb = scenery.road.kerb_m
    first, last = scenery.span
    ys = [float(y) for y in np.arange(first, last, 23.0)]
    out = [y for y in ys if y < 2 * LANE_M and y + 23.0 > -2 * LANE_M]
    for side in (-1, 1):
        ends = (min(side * kerb, side * 130), max(side * kerb, side * 130))
        scenery.part(scenery.flats, 0).flat(ends, (min(out), -2 * LANE_M), -0.02, colour)
        scenery.part(scenery.flats, 0).flat(ends, (2 * LANE_M, max(out) + 23.0), -0.02, colour)


def _markings(scenery: Scenery, base: float) -> None:
    road, rng = scenery.road, scenery.rng
    paint = (0.8, 0.8, 0.8)
    crossing = road.crossing_y
    if road.junction:
        y = -road.kerb_m - 1.2
        scenery.part(scenery.flats, y).flat((0.1, road.lanes * LANE_M), (y, y + 0.45), 0.015, paint)
        crossing = -road.kerb_m - 4.5
    elif crossing is None and rng.random() < 0.25:
        crossing = float(rng.uniform(scenery.start_y + 10, 60))
    if crossing is not None:
        for k in range(int(2 * road.kerb_m)):
            x = -road.kerb_m + k
            scenery.part(scenery.flats, crossing).flat((x, x + 0.5), (crossing - 1.4, crossing + 1.4), 0.015, paint)
    for y in road.bumps_y:
        for k in range(int(2 * road.kerb_m)):
            x = -road.kerb_m + k
            tint = (0.85, 0.75, 0.1) if k % 2 else (base * 0.6,) * 3
            scenery.part(scenery.flats, y).flat((x, x + 1), (y - 0.5, y), 0.05, tint)
            scenery.part(scenery.flats, y).flat((x, x + 1), (y, y + 0.5), 0.05, tint)


def _pavements(scenery: Scenery) -> None:
    if scenery.around.scene == "highway":
        return
    snowy, kerb = scenery.around.weather == "snowy", scenery.road.kerb_m
    first, last = scenery.span
    for side in (-1, 1):
        for y in np.arange(first, last, 15.3):
            low, high = float(y), float(y) + 15.3
            if scenery.road.junction and low < kerb + 9 and high > -kerb - 9:
                continue
            x = (min(side * kerb, side * (kerb + 2.6)), max(side * kerb, side * (kerb + 2.6)))
            tone = np.array((0.85, 0.86, 0.88) if snowy else (0.55, 0.54, 0.52)) * scenery.rng.uniform(0.92, 1.05)
            scenery.part(scenery.flats, low).box(x, (low, high), (0.0, 0.15), tuple(tone))


def _roadsides(scenery: Scenery) -> None:
    rng, road, scene = scenery.rng, scenery.road, scenery.around.scene
    first, last = scenery.span
    for side in (-1, 1):
        y = first
        while y < last:
            length = float(rng.uniform(9, 22))
            if road.junction and y < road.kerb_m + 3 and y + length > -road.kerb_m - 3:
                y = max(y + 5, road.kerb_m + 4)
                continue
            if scene == "urban" and rng.random() < 0.85:
                _house(scenery, side, y, length)
            elif rng.random() < (0.7 if scene != "urban" else 0.4):
                _tree(scenery, side, y)
            y += length + float(rng.uniform(0, 6))
        if rng.random() < 0.6:
            _lamp_posts(scenery, side)


def _house(scenery: Scenery, side: int, y: float, length: float) -> None:
    rng = scenery.rng
    height, near = float(rng.uniform(5, 18)), scenery.road.kerb_m + 3 + float(rng.uniform(0, 3))
    x0, x1 = (near, near + 12) if side > 0 else (-near - 12, -near)
    tone = np.clip(np.array([0.78, 0.73, 0.66]) * rng.uniform(0.6, 1.25) + rng.normal(0, 0.05, 3), 0, 1)
    floors, bays = max(1, round(height / 6)), max(1, round(length / 6))
    low = [(x0, y, 0.0), (x1, y, 0.0), (x1, y + length, 0.0), (x0, y + length, 0.0)]
    mesh = scenery.part(scenery.houses, y)
    for i in range(4):
        a, b = low[i], low[(i + 1) % 4]
        wide = bays if i % 2 else 2
        points = (a, b, (b[0], b[1], height), (a[0], a[1], height))
        mesh.quad(points, tuple(tone), ((0, 0), (wide, 0), (wide, floors), (0, floors)))


def _tree(scenery: Scenery, side: int, y: float) -> None:
    rng = scenery.rng
    x, height = side * (scenery.road.kerb_m + 3.5 + float(rng.uniform(0, 12))), float(rng.uniform(3, 8))
    tone = tuple(np.array((0.16, 0.30, 0.10)) * rng.uniform(0.7, 1.4))
    if scenery.around.weather == "snowy":
        tone = (0.5, 0.52, 0.5)
    mesh, crown = scenery.part(scenery.props, y), height * 0.28
    mesh.box((x - 0.18, x + 0.18), (y - 0.18, y + 0.18), (0, 1.6), (0.25, 0.18, 0.12))
    mesh.box((x - crown, x + crown), (y - crown, y + crown), (1.4, 1.4 + height), tone, inset=(crown * 0.7,) * 3)


def _lamp_posts(scenery: Scenery, side: int) -> None:
    first, last = scenery.span
    x, kerb, grey = side * (scenery.road.kerb_m + 1.2), scenery.road.kerb_m, (0.3, 0.3, 0.3)
    arm = (min(x, x - side * 1.8), max(x, x - side * 1.8))
    for y in np.arange(first, last, float(scenery.rng.uniform(22, 40))):
        if not (scenery.road.junction and abs(y) < kerb + 2):
            mesh, place = scenery.part(scenery.props, float(y)), (float(y) - 0.08, float(y) + 0.08)
            mesh.box((x - 0.09, x + 0.09), place, (0, 6.5), grey)
            mesh.box(arm, place, (6.4, 6.52), grey)


def _signals(scenery: Scenery, parent: NodePath) -> None:
    road = scenery.road
    if not road.junction or road.signal is None:
        return
    lamps, y = Mesh(), road.kerb_m
    for x in (road.kerb_m + 0.6, -road.kerb_m - 0.6):
        mesh = scenery.part(scenery.props, 0)
        mesh.box((x - 0.1, x + 0.1), (y + 0.5, y + 0.7), (0, 5), (0.2, 0.2, 0.2))
        mesh.box((x - 0.32, x + 0.32), (y + 0.3, y + 0.6), (3.0, 5.0), (0.05, 0.05, 0.05))
        for k, colour in enumerate(_SIGNALS[road.signal]):
            z = 4.35 - k * 0.6
            points = (
                (x - 0.25, y + 0.28, z),
                (x + 0.25, y + 0.28, z),
                (x + 0.25, y + 0.28, z + 0.5),
                (x - 0.25, y + 0.28, z + 0.5),
            )
            lamps.quad(points, colour)
    _unlit(lamps.node("signals"), parent)


def _window_texture(scenery: Scenery) -> Texture:
    image = np.full((64, 64, 3), 0.62, np.float32)
    night = scenery.around.light == "night"
    for i in range(4):
        for j in range(4):
            lit: Any = (0.22, 0.20, 0.18)
            if night:
                lit = (1.0, 0.83, 0.6) if scenery.rng.random() < 0.35 else (0.08, 0.08, 0.08)
            image[i * 16 + 4 : i * 16 + 12, j * 16 + 4 : j * 16 + 11] = lit
    return _texture(image)
