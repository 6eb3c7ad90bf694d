"""Seconds of a clip and Label Studio's frame numbers.

Label Studio counts frames from 1 (its `Video` tag: `fullFrameRange` is 1 to the length) and shows frame k from
(k - 1) / fps on. Both ends of a range are frames that belong to it.
"""

import math


def frame_of(time_s: float, fps: float, num_frames: int) -> int:
    """The frame whose begin is nearest to a time, within 1 to `num_frames`; of two equally near ones the later."""
    return min(max(math.floor(time_s * fps + 0.5) + 1, 1), num_frames)


def time_of(frame: int, fps: float) -> float:
    """When a frame begins, in seconds from the first one. `frame_of` gives the frame back exactly."""
    return (frame - 1) / fps
