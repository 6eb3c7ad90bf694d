"""The renderer: Panda3D's software rasteriser draws each frame twice, once in colour and once as identities.

The identity pass gives exact visible boxes per road user and the depth that fog and headlights need.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import (
    AmbientLight,
    BitMask32,
    ColorAttrib,
    ColorScaleAttrib,
    CullBinManager,
    DirectionalLight,
    FrameBufferProperties,
    GraphicsEngine,
    GraphicsOutput,
    GraphicsPipe,
    GraphicsPipeSelection,
    LightAttrib,
    LMatrix3f,
    NodePath,
    PerspectiveLens,
    Point3,
    Quat,
    RenderState,
    Texture,
    TextureAttrib,
    Vec3,
    WindowProperties,
    loadPrcFileData,
)
from panda3d.core import (
    Camera as LensCamera,
)

from hazardline.errors import UserError
from hazardline.simulate.camera import View, view_from
from hazardline.simulate.kinds import COLOURS
from hazardline.simulate.meshes import Light, vehicle_meshes, walker_meshes
from hazardline.simulate.scenery import NEAR_M, STILL_RED, build_scenery, metres_per_step
from hazardline.simulate.staging import Stage
from hazardline.simulate.weather import Atmosphere
from hazardline.simulate.world import RIDE_HEIGHT_M, Agent, Pose

SUPERSAMPLING = 2
_PRC = """
load-display p3tinydisplay
window-type offscreen
audio-library-name null
notify-level fatal
notify-level-device fatal
notify-level-display fatal
notify-level-x11display fatal
textures-power-2 none
"""
_COLOUR_MASK, _IDENTITY_MASK = BitMask32.bit(0), BitMask32.bit(1)
FIRST_ID = 10
_SUN = {"sunny": 0.75, "rainy": 0.25, "snowy": 0.3, "foggy": 0.2}


@dataclass
class Figure:
    """A road user's nodes in the scene."""

    agent: Agent
    root: Any
    identity: int
    tail: Any = None
    brake: Any = None
    legs: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One frame: the recorded picture (height, width, 3) and the identity of each pixel (0: none)."""

    picture: npt.NDArray[np.uint8]
    identities: npt.NDArray[np.uint8]


class _Pass:
    """One off-screen buffer with its camera and the texture that its pixels are copied to."""

    def __init__(self, engine: Any, pipe: Any, index: int, width: int, height: int, mask: Any) -> None:
        properties = FrameBufferProperties()
        properties.setRgbColor(True)
        properties.setRgbaBits(8, 8, 8, 0)
        properties.setDepthBits(24)
        size = WindowProperties.size(width, height)
        self.width, self.height = width, height
        self.buffer = engine.makeOutput(pipe, f"pass{index}", index, properties, size, GraphicsPipe.BFRefuseWindow)
        self.camera = LensCamera(f"camera{index}")
        self.camera.setCameraMask(mask)
        self.path = NodePath(self.camera)
        self.buffer.makeDisplayRegion().setCamera(self.path)
        self.texture = Texture()
        self.buffer.addRenderTexture(self.texture, GraphicsOutput.RTMCopyRam, GraphicsOutput.RTPColor)

    def pixels(self) -> npt.NDArray[np.uint32]:
        """(height, width) packed blue, green, red, alpha; the top row first."""
        packed = np.frombuffer(self.texture.getRamImage(), np.uint32)
        return packed.reshape(self.height, self.width)[::-1]


class Renderer:
    """Draws one scene after another. Costs 1 to 2 MB a scene that Panda3D keeps: recycle the process."""

    def __init__(self, width: int, height: int) -> None:
        """Open the software display.

        Raises:
            UserError: the display cannot be opened.
        """
        loadPrcFileData("hazardline", _PRC)
        pipe = GraphicsPipeSelection.getGlobalPtr().makeDefaultPipe()
        if pipe is None:
            raise UserError(
                "Panda3D's software display p3tinydisplay could not be loaded; on Linux it needs the X11 client "
                "library: install Debian's libx11-6 (apt-get install libx11-6). No X server is needed"
            )
        # Sorted by state, opaque things would be drawn in the order of memory addresses: ties in depth would flicker.
        bins = CullBinManager.getGlobalPtr()
        bins.setBinType(bins.findBin("opaque"), CullBinManager.BTUnsorted)
        self.width, self.height = width, height
        self._engine = GraphicsEngine()
        self._colour = _Pass(self._engine, pipe, 0, width * SUPERSAMPLING, height * SUPERSAMPLING, _COLOUR_MASK)
        self._identity = _Pass(self._engine, pipe, 1, width, height, _IDENTITY_MASK)
        self._identity.buffer.setClearColor((0, 0, 0, 1))
        self._identity.camera.setTagStateKey("identity")
        self._identity.camera.setInitialState(RenderState.make(LightAttrib.makeAllOff(), TextureAttrib.makeOff()))
        self._root: Any = None

    def close(self) -> None:
        """Give the buffers back."""
        self._engine.removeAllWindows()

    def open_scene(self, stage: Stage) -> None:
        """Build the nodes of a scene; `draw` then draws any of its recorded frames."""
        if self._root is not None:
            self._root.removeNode()
            for target in (self._colour, self._identity):
                target.buffer.getGsg().getPreparedObjects().releaseAll()
        self._stage, around = stage, stage.scenario.around
        self._root = root = NodePath("scene")
        self._air = Atmosphere(around, self.width, self.height)
        scenery, hides = root.attachNewNode("scenery"), root.attachNewNode("hides")
        scenery.hide(_IDENTITY_MASK)
        hides.hide(_COLOUR_MASK)
        hides.setLightOff(1)
        light = self._light(root)
        build_scenery(scenery, hides, around, stage.road, stage.start_y, light)
        self.figures = [
            self._figure(agent, FIRST_ID + index)
            for index, agent in enumerate(stage.world.agents)
            if agent.name != "ego"
        ]
        self._colour.buffer.setClearColor((*[float(v) for v in self._air.sky], 1))
        lens = PerspectiveLens()
        lens.setAspectRatio(self.width / self.height)
        lens.setFov(around.camera.fov_deg)
        lens.setNearFar(0.35, 300)
        for target in (self._colour, self._identity):
            target.camera.setLens(lens)
            target.path.reparentTo(root)
        reach = math.tan(math.radians(around.camera.fov_deg / 2))
        self._right = ((np.arange(self.width) + 0.5) / self.width * 2 - 1).astype(np.float32)[None, :] * reach
        up = (1 - (np.arange(self.height) + 0.5) / self.height * 2) * self.height / self.width
        self._up = up.astype(np.float32)[:, None] * reach
        self._distances = np.zeros(256, np.float32)

    def _light(self, root: Any) -> Light:
        around = self._stage.scenario.around
        rng = np.random.default_rng([around.look_seed, 7])
        night = around.light == "night"
        strength = _SUN[around.weather] * (0.08 if night else 1.0)
        ambient = (0.45 if around.weather == "sunny" else 0.62) * (0.40 if night else 1.0)
        heading, height = float(rng.uniform(0, 360)), float(rng.uniform(25, 65))
        sun = DirectionalLight("sun")
        sun.setColor((strength, strength * 0.97, strength * 0.9, 1))
        sun_path = root.attachNewNode(sun)
        sun_path.setHpr(heading, -height, 0)
        root.setLight(sun_path)
        sky = AmbientLight("sky")
        sky.setColor((ambient, ambient, ambient * 1.05, 1))
        root.setLight(root.attachNewNode(sky))
        toward = -np.array(sun_path.getQuat().xform(Vec3(0, 1, 0)))
        colours = (strength, strength * 0.97, strength * 0.9), (ambient, ambient, ambient * 1.05)
        return Light(toward, *colours)

    def _figure(self, agent: Agent, identity: int) -> Figure:
        root = self._root.attachNewNode(agent.name)
        figure = Figure(agent, root, identity)
        colour = COLOURS[agent.colour]
        meshes = (walker_meshes if agent.is_walker else vehicle_meshes)(agent.kind, colour)
        body = root.attachNewNode("solid")
        meshes["body"].node("body").reparentTo(body)
        if agent.is_walker:
            figure.legs = tuple(self._leg(body, meshes["leg"], side, agent.kind == "cyclist") for side in (-1, 1))
        else:
            figure.tail = self._lamp(body, meshes["tail"], (0.35, 0.02, 0.02))
            bright = self._air.night or self._stage.scenario.around.weather != "sunny"
            self._lamp(body, meshes["head"], (0.98, 0.98, 0.88) if bright else (0.62, 0.62, 0.56))
            figure.brake = self._lamp(body, meshes["brake"], (1.0, 0.10, 0.06))
        shadow = meshes["shadow"].node("shadow")
        shadow.reparentTo(root)
        shadow.setLightOff(1)
        shade = (0.05 if self._air.night else 0.12) + (0.25 if self._stage.scenario.around.weather == "snowy" else 0)
        shadow.setColorScale(shade, shade, shade, 1)
        shadow.hide(_IDENTITY_MASK)
        self._identify(body, identity)
        return figure

    @staticmethod
    def _leg(body: Any, mesh: Any, side: int, riding: bool) -> Any:
        leg = mesh.node("leg")
        leg.reparentTo(body)
        leg.setPos(side * 0.11, 0, 1.09 if riding else 0.84)
        return leg

    @staticmethod
    def _lamp(body: Any, mesh: Any, colour: tuple[float, float, float]) -> Any:
        lamp = mesh.node("lamp")
        lamp.reparentTo(body)
        lamp.setLightOff(1)
        lamp.setColorScale(*colour, 1)
        return lamp

    def _identify(self, node: Any, identity: int) -> None:
        state = RenderState.make(
            ColorAttrib.makeFlat(((identity + 0.5) / 255.0, 0, 0, 1)),
            LightAttrib.makeAllOff(),
            TextureAttrib.makeOff(),
            1000,
        ).addAttrib(ColorScaleAttrib.makeOff(), 1000)
        node.setTag("identity", str(identity))
        self._identity.camera.setTagState(str(identity), state)

    def draw(self, index: int) -> Frame:
        """Draw the recorded frame of that index."""
        poses = self._stage.world.frames[index]
        view = view_from(self._stage.scenario.around.camera, poses[0])
        for figure, pose in zip(self.figures, poses[1:], strict=True):
            self._place(figure, pose, index)
            dx, dy = pose.position[0] - view.position[0], pose.position[1] - view.position[1]
            self._distances[figure.identity] = math.hypot(dx, dy)
        axes = view.axes
        orientation = Quat()
        orientation.setFromMatrix(LMatrix3f(*axes[:, 0], *axes[:, 1], *axes[:, 2]))
        for target in (self._colour, self._identity):
            target.path.setPos(*view.position)
            target.path.setQuat(orientation)
        self._engine.renderFrame()
        identities, depth, is_sky, rise = self._read_identities(view)
        picture = self._air.apply(_halve(self._colour.pixels()), depth, is_sky, rise)
        return Frame(picture, identities)

    def _place(self, figure: Figure, pose: Pose, index: int) -> None:
        agent, root = figure.agent, figure.root
        orientation = Quat(*pose.quaternion)
        half = RIDE_HEIGHT_M if agent.chassis is not None else agent.shape.height_m / 2
        root.setQuat(orientation)
        root.setPos(Point3(*pose.position) + orientation.xform(Vec3(0, 0, -half)))
        if agent.is_walker:
            rate, swing = 10 / self._stage.world.fps, 28 * min(pose.speed_mps, 2) / 2
            angle = 10.0 if pose.crashed else math.sin(index * 1.9 * rate) * swing
            figure.legs[0].setP(angle)
            figure.legs[1].setP(-angle)
        else:
            idle = (0.5, 0.03, 0.03) if self._air.night else (0.35, 0.02, 0.02)
            figure.tail.setColorScale(*((1.0, 0.10, 0.06) if pose.braking else idle), 1)
            if pose.braking:
                figure.brake.show()
            else:
                figure.brake.hide()

    def _read_identities(self, view: View) -> tuple[Any, Any, Any, Any]:
        packed = self._identity.pixels()
        identities = ((packed >> 16) & 0xFF).astype(np.uint8)
        axes, camera = view.axes, view.position
        rise = self._right * np.float32(axes[2, 0]) + np.float32(axes[2, 1]) + self._up * np.float32(axes[2, 2])
        depth = np.float32(camera[2]) / np.maximum(-rise, np.float32(0.004))
        is_sky = (identities == 0) & (rise > -0.004)
        start_y = self._stage.start_y
        step = metres_per_step(start_y)
        along = ((packed >> 8) & 0xFF).astype(np.float32) * np.float32(step) + np.float32(start_y + NEAR_M - camera[1])
        still = identities > STILL_RED - 10
        depth = np.where(still, np.abs(along), depth)
        depth = np.where((identities >= FIRST_ID) & ~still, self._distances[identities], depth)
        identities[still] = 0
        return identities, depth, is_sky, rise


def _halve(packed: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """Mean of each 2x2 block of packed pixels, as planar (3, height, width) red, green, blue from 0 to 1.

    Two channels are summed at once in the halves of a 32-bit word: four bytes never overflow 16 bits.
    """
    planes = np.empty((3, packed.shape[0] // 2, packed.shape[1] // 2), np.float32)
    for shift in (0, 8):
        lanes = (packed >> shift) & 0x00FF00FF
        rows = lanes[0::2] + lanes[1::2]
        sums = np.ascontiguousarray(rows[:, 0::2] + rows[:, 1::2]).view(np.uint16)
        if shift == 0:
            planes[2], planes[0] = sums[:, 0::2], sums[:, 1::2]
        else:
            planes[1] = sums[:, 0::2]
    planes *= 1 / 1020
    return planes
