"""The dashcam: where it is at each frame and where a road user falls in its picture."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hazardline.simulate.families import Camera
from hazardline.simulate.kinds import Shape
from hazardline.simulate.world import RIDE_HEIGHT_M, Pose

Floats = npt.NDArray[np.float64]


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> Floats:
    """(3, 3) matrix whose columns are the body's right, forward and up in the world."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def mount_matrix(camera: Camera) -> Floats:
    """(3, 3) rotation of the camera in its vehicle: yaw about up, then pitch about right."""
    yaw, pitch = math.radians(camera.yaw_deg), math.radians(camera.pitch_deg)
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1.0]])
    tilt = np.array([[1.0, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    result: Floats = turn @ tilt
    return result


@dataclass(frozen=True, slots=True)
class View:
    """The camera at one frame: its place and its (3, 3) axes (right, forward, up) in the world."""

    position: Floats
    axes: Floats


def view_from(camera: Camera, ego: Pose) -> View:
    """Camera view for a pose of the ego vehicle."""
    body = rotation_matrix(ego.quaternion)
    offset = np.array([camera.x_m, camera.y_m, camera.height_m - RIDE_HEIGHT_M])
    return View(np.array(ego.position) + body @ offset, body @ mount_matrix(camera))


def covered_share(camera: Camera, ego: Pose, other: Pose, shape: Shape, aspect: float) -> float:
    """Share of the picture inside the projected bounding box of a road user; 0 where it is out of view.

    Nothing is rendered and nothing hides it, so this is an upper bound that costs microseconds.
    """
    view = view_from(camera, ego)
    signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], float)
    half = np.array([shape.width_m, shape.length_m, shape.height_m]) / 2
    corners = np.array(other.position) + (signs * half) @ rotation_matrix(other.quaternion).T
    seen = (corners - view.position) @ view.axes
    depth = np.maximum(seen[:, 1], 0.3)
    if (seen[:, 1] < 0.5).all():
        return 0.0
    reach = math.tan(math.radians(camera.fov_deg / 2))
    x = np.clip(seen[:, 0] / depth / reach, -1, 1)
    y = np.clip(seen[:, 2] / depth / reach * aspect, -1, 1)
    return float(np.ptp(x) * np.ptp(y) / 4)
