"""Meshes from plain quads: numpy builds them, Panda3D only receives the finished vertex table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import (
    Geom,
    GeomNode,
    GeomTriangles,
    GeomVertexData,
    GeomVertexFormat,
    NodePath,
)

from hazardline.simulate.kinds import SHAPES, Kind

Colour = Sequence[float]
_UNIT_UV = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_VERTEX = np.dtype([("v", "<f4", 3), ("n", "<f4", 3), ("c", "u1", 4), ("t", "<f4", 2)])
GLASS = (0.17, 0.21, 0.26)
RUBBER = (0.05, 0.05, 0.05)


class Mesh:
    """A growing list of quads with a colour and texture coordinates each."""

    def __init__(self) -> None:
        """Begin empty."""
        self._points: list[Any] = []
        self._colours: list[Any] = []
        self._uvs: list[Any] = []

    def __len__(self) -> int:
        """Number of quads."""
        return len(self._points)

    def quad(self, points: Sequence[Sequence[float]], colour: Colour, uv: Sequence[Sequence[float]] = _UNIT_UV) -> None:
        """Add four corners, anticlockwise seen from the front."""
        self._points.append(points)
        self._colours.append(colour)
        self._uvs.append(uv)

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        colour: Colour,
        top: Colour | None = None,
        inset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        """A box without a floor; `inset` draws its top in at the sides, the front and the back."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        side, front, back = inset
        low = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        high = [
            (x0 + side, y0 + back, z1),
            (x1 - side, y0 + back, z1),
            (x1 - side, y1 - front, z1),
            (x0 + side, y1 - front, z1),
        ]
        for i in range(4):
            j = (i + 1) % 4
            self.quad((low[i], low[j], high[j], high[i]), colour)
        self.quad(high, top or colour)

    def flat(self, x: tuple[float, float], y: tuple[float, float], z: float, colour: Colour) -> None:
        """A horizontal rectangle facing up."""
        (x0, x1), (y0, y1) = x, y
        self.quad(((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)), colour)

    def node(self, name: str, light: "Light | None" = None) -> NodePath:
        """The mesh as a scene node; with `light`, shading is baked into its colours."""
        points, normals, colours = self._arrays()
        if light is not None:
            colours = light.shade(normals, colours)
        return _to_node(name, points, normals, colours, np.asarray(self._uvs, np.float32))

    def encoded_node(self, name: str, near_y: float, metres_per_step: float, red: float) -> NodePath:
        """The mesh in the colours of the identity pass: a constant red, and in green how far along the road it is."""
        points, normals, _ = self._arrays()
        colours = np.zeros((*points.shape[:2], 3), np.float32)
        colours[..., 0] = red
        colours[..., 1] = np.clip((points[..., 1] - near_y) / metres_per_step, 0, 255) / 255
        return _to_node(name, points, normals, colours, np.asarray(self._uvs, np.float32))

    def _arrays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        points = np.asarray(self._points, np.float32)
        normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        colours = np.repeat(np.asarray(self._colours, np.float32)[:, None], 4, axis=1)
        return points, normals.astype(np.float32), colours


class Light:
    """One sun (or moon) and the sky's light."""

    def __init__(self, toward: npt.NDArray[np.float64], sun: Colour, ambient: Colour) -> None:
        """Take the unit vector toward the sun and the two colours."""
        self.toward = toward
        self.sun = np.asarray(sun, np.float32)
        self.ambient = np.asarray(ambient, np.float32)

    def shade(self, normals: npt.NDArray[np.float32], colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Colours (n, 4, 3) of quads with normals (n, 3) under this light."""
        facing = np.maximum(normals @ self.toward.astype(np.float32), 0)[:, None, None]
        result: npt.NDArray[np.float32] = colours * (self.ambient + self.sun * facing)
        return result


def _to_node(name: str, points: Any, normals: Any, colours: Any, uvs: Any) -> NodePath:
    count = len(points) * 4
    table = np.zeros(count, _VERTEX)
    table["v"] = points.reshape(-1, 3)
    table["n"] = np.repeat(normals, 4, axis=0)
    table["c"][:, :3] = (np.clip(colours, 0, 1).reshape(-1, 3) * 255).astype(np.uint8)
    table["c"][:, 3] = 255
    table["t"] = uvs.reshape(-1, 2)
    data = GeomVertexData(name, GeomVertexFormat.getV3n3c4t2(), Geom.UHStatic)
    data.uncleanSetNumRows(count)
    data.modifyArrayHandle(0).copyDataFrom(table.tobytes())
    corners = np.arange(0, count, 4, dtype=np.uint16)[:, None] + np.array([0, 1, 2, 0, 2, 3], np.uint16)
    triangles = GeomTriangles(Geom.UHStatic)
    triangles.setIndexType(Geom.NTUint16)
    indices = triangles.modifyVertices()
    indices.uncleanSetNumRows(corners.size)
    indices.modifyHandle().copyDataFrom(np.ascontiguousarray(corners).tobytes())
    geom = Geom(data)
    geom.addPrimitive(triangles)
    node = GeomNode(name)
    node.addGeom(geom)
    return NodePath(node)


def vehicle_meshes(kind: Kind, colour: Colour) -> dict[str, Mesh]:
    """Meshes of a vehicle standing on z = 0 and facing +y.

    `body` has its colours; `tail`, `head`, `brake` (shown while braking) and `shadow` are white, to be coloured.
    """
    shape = SHAPES[kind]
    half, end, height = shape.width_m / 2, shape.length_m / 2, shape.height_m
    body = Mesh()
    belt = height * (0.56 if kind in ("car", "suv") else 0.42)
    if kind == "truck":
        body.box((-half, half), (end - 1.9, end), (0.28, height * 0.8), colour)
        body.box((-half - 0.02, half + 0.02), (-end, end - 2.2), (0.75, height), (0.75, 0.75, 0.72))
        body.box((-half * 0.8, half * 0.8), (-end, end), (0.4, 0.75), (0.15, 0.15, 0.15))
        y, wide = end + 0.01, half * 0.9
        body.quad(
            ((wide, y, height * 0.45), (-wide, y, height * 0.45), (-wide, y, height * 0.72), (wide, y, height * 0.72)),
            GLASS,
        )
    else:
        _passenger_body(body, kind, colour, belt)
    for x in (-half + 0.02, half - 0.24):
        for y in (-end * 0.62, end * 0.62):
            body.box((x, x + 0.22), (y - 0.33, y + 0.33), (0, 0.62), RUBBER, inset=(0, 0.15, 0.15))
    y = -end - 0.02
    body.quad(((-0.28, y, 0.5), (0.28, y, 0.5), (0.28, y, 0.64), (-0.28, y, 0.64)), (0.9, 0.9, 0.8))
    lamp_z = belt - 0.28 if kind != "truck" else 0.95
    brake, roof = Mesh(), (height - 0.25 if kind != "truck" else 1.5)
    y = -end - 0.03 if kind in ("van", "truck") else -end * 0.86
    brake.quad(((-0.3, y, roof), (0.3, y, roof), (0.3, y, roof + 0.12), (-0.3, y, roof + 0.12)), (1, 1, 1))
    shadow = Mesh()
    shadow.flat((-half - 0.12, half + 0.12), (-end - 0.15, end + 0.15), 0.03, (1, 1, 1))
    return {
        "body": body,
        "tail": _lamps(half, -end - 0.03, lamp_z, 1.0),
        "head": _lamps(half, end + 0.03, lamp_z, -1.0),
        "brake": brake,
        "shadow": shadow,
    }


def _passenger_body(body: Mesh, kind: Kind, colour: Colour, belt: float) -> None:
    shape = SHAPES[kind]
    half, length, height = shape.width_m / 2, shape.length_m, shape.height_m
    end = length / 2
    body.box((-half, half), (-end, end), (0.46, belt), colour)
    body.box((-half, half), (-end, end), (0.28, 0.46), (0.12, 0.12, 0.12))
    back, front = {"car": (-0.42, 0.20), "suv": (-0.49, 0.20), "van": (-0.49, 0.36)}[kind]
    y0, y1 = length * back, length * front
    rear_slope = length * (0.12 if kind == "car" else 0.03)
    body.box((-half + 0.05, half - 0.05), (y0, y1), (belt, height), GLASS, colour, (0.14, length * 0.12, rear_slope))
    middle = (y0 + y1) / 2
    pillar = (middle - 0.06, middle + 0.06)
    body.box((-half + 0.04, half - 0.04), pillar, (belt, height - 0.02), colour, inset=(0.13, 0, 0))


def _lamps(half: float, y: float, z: float, facing: float) -> Mesh:
    mesh = Mesh()
    for a, b in ((-half + 0.04, -half + 0.48), (half - 0.48, half - 0.04)):
        x0, x1 = facing * a, facing * b
        mesh.quad(((x0, y, z), (x1, y, z), (x1, y, z + 0.24), (x0, y, z + 0.24)), (1, 1, 1))
    return mesh


def walker_meshes(kind: Kind, colour: Colour) -> dict[str, Mesh]:
    """Meshes of a walker standing on z = 0 and facing +y: `body`, `leg` (hangs from its hip), `shadow`."""
    lift = 0.25 if kind == "cyclist" else 0.0
    body, leg, shadow = Mesh(), Mesh(), Mesh()
    body.box((-0.24, 0.24), (-0.15, 0.15), (0.82 + lift, 1.44 + lift), colour)
    body.box((-0.12, 0.12), (-0.12, 0.12), (1.46 + lift, 1.74 + lift), (0.75, 0.55, 0.42), (0.1, 0.07, 0.05))
    for x in (-0.34, 0.24):
        body.box((x, x + 0.1), (-0.08, 0.08), (0.85 + lift, 1.4 + lift), colour)
    if kind == "cyclist":
        for y in (-0.55, 0.55):
            body.box((-0.04, 0.04), (y - 0.33, y + 0.33), (0, 0.66), RUBBER, inset=(0, 0.15, 0.15))
        body.box((-0.03, 0.03), (-0.55, 0.55), (0.55, 0.62), (0.7, 0.1, 0.1))
        body.box((-0.25, 0.25), (0.5, 0.56), (0.95, 1.0), (0.1, 0.1, 0.1))
    leg.box((-0.09, 0.09), (-0.1, 0.1), (-0.82, 0), (0.14, 0.15, 0.26))
    reach = 0.9 if kind == "cyclist" else 0.3
    shadow.flat((-0.35, 0.35), (-reach, reach), 0.03, (1, 1, 1))
    return {"body": body, "leg": leg, "shadow": shadow}
