"""Pictures into an mp4 file, always with the same bytes."""

import io
from collections.abc import Iterable

import av
import numpy as np
import numpy.typing as npt


def encode(pictures: Iterable[npt.NDArray[np.uint8]], fps: int) -> bytes:
    """H.264 in mp4; the same pictures always give the same bytes (`mbtree` and threads would spoil that).

    Args:
        pictures: uint8 (H, W, 3), RGB, of one size with an even height and width; at least one.
        fps: frames a second.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream.codec_context.thread_count = 1
        stream.gop_size = fps
        for index, picture in enumerate(pictures):
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()
