"""From a clean rendering to what a dashcam would have recorded: fog, headlights, rain, snow, bonnet, lens, noise.

Pictures are planar float32 arrays (3, height, width) in red, green, blue from 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hazardline.simulate.families import Surroundings
from hazardline.simulate.kinds import COLOURS

Plane = npt.NDArray[np.float32]

_FOG_PER_M = {"snowy": 0.012, "rainy": 0.010, "sunny": 0.002}
_SKY = {
    "sunny": (0.50, 0.68, 0.90),
    "rainy": (0.55, 0.58, 0.62),
    "snowy": (0.74, 0.76, 0.80),
    "foggy": (0.72, 0.74, 0.76),
}


@dataclass
class Atmosphere:
    """Everything about air and lens that stays the same within a clip, with the clip's own random stream."""

    around: Surroundings
    width: int
    height: int

    def __post_init__(self) -> None:
        """Draw the clip's constants and its banks of noise and drops."""
        around, camera = self.around, self.around.camera
        rng = self._rng = np.random.default_rng([around.look_seed, 99])
        self.night = around.light == "night"
        sky = np.array(_SKY[around.weather], np.float32) * float(rng.uniform(0.85, 1.1)) * (0.16 if self.night else 1)
        self.sky = np.clip(sky, 0, 1).astype(np.float32)
        fog = float(rng.uniform(0.02, 0.042)) if around.weather == "foggy" else _FOG_PER_M[around.weather]
        self.fog_per_m = np.float32(fog * (0.6 if self.night else 1.0))
        x = ((np.arange(self.width) + 0.5) / self.width).astype(np.float32)
        y = ((np.arange(self.height) + 0.5) / self.height).astype(np.float32)
        lens = 1 - 0.25 * ((x[None, :] - 0.5) ** 2 + (y[:, None] - 0.5) ** 2) / 0.5
        tint = np.array(camera.white_balance, np.float32) * camera.gain
        self._lens = (tint[:, None, None] * lens[None]).astype(np.float32)
        self._beam = np.exp(-(((x[None, :] * 2 - 1) / 0.55) ** 2)).astype(np.float32)
        bank = (self.height + 48, self.width + 64)
        self._noise = (rng.standard_normal(bank) * camera.noise).astype(np.float32)
        self._drops = self._drop_bank(bank) if around.weather in ("rainy", "snowy") else None
        self._bonnet = self._bonnet_mask(x, y)
        shine = 0.12 if self.night else 0.55
        self._bonnet_colour = np.array(COLOURS[camera.bonnet_colour], np.float32) * shine

    def _drop_bank(self, shape: tuple[int, int]) -> Plane:
        """A sheet of streaks or flakes, larger than the picture, from which each frame cuts a random window."""
        rng = self._rng
        sheet = np.zeros(shape, np.float32)
        rainy = self.around.weather == "rainy"
        area = shape[0] * shape[1] / (96 * 144)
        for _ in range(int((30 if rainy else 48) * area)):
            row, column = int(rng.integers(0, shape[0] - 13)), int(rng.integers(1, shape[1] - 4))
            if rainy:
                length, slant = int(rng.integers(5, 12)), float(rng.uniform(-0.2, 0.2))
                rows = np.arange(length)
                columns = np.clip(column + np.round(rows * slant).astype(int), 0, shape[1] - 1)
                sheet[row + rows, columns] += float(rng.uniform(0.07, 0.22))
            else:
                size = int(rng.integers(1, 3))
                sheet[row : row + size, column : column + size] += float(rng.uniform(0.2, 0.6))
        soft = sheet.copy()
        soft[:, 1:] += 0.35 * sheet[:, :-1]
        soft[:, :-1] += 0.35 * sheet[:, 1:]
        return np.asarray(soft * (0.3 if self.night else 0.7), np.float32)

    def _bonnet_mask(self, x: Plane, y: Plane) -> Plane | None:
        bonnet = self.around.camera.bonnet
        if bonnet <= 0:
            return None
        arch = np.sqrt(np.maximum(1 - ((x - 0.5) / 0.62) ** 2, 0))
        edge = 1 + 0.06 - (bonnet + 0.06) * arch
        return np.asarray(np.clip((y[:, None] - edge[None, :]) * self.height, 0, 1), np.float32)

    def apply(self, image: Plane, depth: Plane, is_sky: npt.NDArray[np.bool_], rise: Plane) -> npt.NDArray[np.uint8]:
        """The recorded frame (height, width, 3) uint8 of a clean picture.

        Args:
            image: (3, height, width) rendering; it is overwritten.
            depth: (height, width) metres ahead of the camera.
            is_sky: (height, width) True where nothing was hit.
            rise: (height, width) upward slope of the line of sight, for the sky's gradient.
        """
        glow = np.clip(1.05 - 0.5 * np.maximum(rise, 0), 0.7, 1.05)
        np.copyto(image, self.sky[:, None, None] * glow, where=is_sky)
        if self.night:
            beam = self._beam * np.minimum(14 / (depth + 6), 1.4)
            beam[is_sky] = 0
            image *= 1 + 4.5 * beam
            _bloom(image)
        clear = np.exp(-depth * self.fog_per_m)
        if self.around.weather != "foggy":
            clear[is_sky] = 1
        image *= clear
        image += (self.sky * np.float32(0.97))[:, None, None] * (1 - clear)
        if self._drops is not None:
            image += self._window(self._drops)
        if self._bonnet is not None:
            colour = self._bonnet_colour + 0.15 * image.mean()
            image *= 1 - self._bonnet
            image += colour[:, None, None] * self._bonnet
        image *= self._lens
        image += self._window(self._noise)
        np.clip(image, 0, 1, out=image)
        image *= 255
        return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))

    def _window(self, sheet: Plane) -> Plane:
        row = int(self._rng.integers(0, sheet.shape[0] - self.height + 1))
        column = int(self._rng.integers(0, sheet.shape[1] - self.width + 1))
        return sheet[row : row + self.height, column : column + self.width]


def _bloom(image: Plane) -> None:
    """Let bright lamps glow: what is above 0.62 is blurred at half resolution and added, in place."""
    bright = np.maximum(image - 0.62, 0)
    np.minimum(bright, 1, out=bright)
    half = bright[:, ::2, ::2] + bright[:, 1::2, ::2] + bright[:, ::2, 1::2] + bright[:, 1::2, 1::2]
    for _ in range(2):
        half[:, 1:-1] = half[:, :-2] * 0.25 + half[:, 1:-1] * 0.5 + half[:, 2:] * 0.25
        half[:, :, 1:-1] = half[:, :, :-2] * 0.25 + half[:, :, 1:-1] * 0.5 + half[:, :, 2:] * 0.25
    image += np.repeat(np.repeat(half * 0.3, 2, axis=1), 2, axis=2)
