"""Pictures inside the page."""

import base64
import io

import numpy as np
from PIL import Image


def jpeg_uri(pixels: np.ndarray) -> str:
    """RGB pixels, uint8 (height, width, 3), as a JPEG in a data URI."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="JPEG", quality=72, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
