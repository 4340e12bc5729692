"""Reads one image: from a path, from bytes, from an open file, from a Pillow image or from an array.

Uploads of strangers are read here as well. So whatever is wrong with an image is one kind of error, a DataError with
its reason, and what could exhaust the memory is refused before it is decoded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from minires.data.base import Image
from minires.errors import DataError

if TYPE_CHECKING:
    import PIL.Image

ImageSource = Union[
    str, os.PathLike[str], bytes, bytearray, memoryview, IO[bytes], "PIL.Image.Image", npt.NDArray[np.uint8]
]

# The formats that are tried. Pillow knows more, some of which run other programs (EPS runs Ghostscript).
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
WANTED = (
    "an image is a path, the bytes of a file, a file open for reading bytes, a Pillow image, or a uint8 array "
    "(H, W, 3), (H, W, 1) or (H, W)"
)
ORIENTATION = 0x0112  # the EXIF tag

# What turns the stored pixels (H, W, C) upright, for each orientation of EXIF but 1, which is upright already.
TURNS: dict[int, Callable[[Image], Image]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def open_image(source: ImageSource) -> Image:
    """Read an image as uint8 (H, W, 3), RGB.

    `source` is a path, the bytes of a file, a file open for reading bytes, a Pillow image, or a uint8 array (H, W, 3),
    (H, W, 1), (H, W), or (H, W, 4) with alpha last. A string is always a path.

    Grey, palette, CMYK and transparent images are converted by Pillow's `convert("RGB")`, which drops the transparency,
    and the orientation in EXIF is ignored. Both are as in torchvision's loader, so a published network sees the pixels
    it was trained on. 16-bit grey is scaled to 8 bits (Pillow would clip it). Of an animation, the first frame is read.

    Raises DataError, naming the image, if it is missing, not an image, truncated or damaged, if its pixels have no
    agreed range (floating-point and 32-bit images), or if it has more than `PIL.Image.MAX_IMAGE_PIXELS` pixels (89
    million; a small file can claim an image that fills the memory).
    """
    pixels, _ = _read(source, image_name(source), upright=False)
    return pixels if pixels.flags.writeable else pixels.copy()


def open_upright(source: ImageSource, name: str | None = None) -> tuple[Image, int]:
    """Read an image as `open_image` does, but turned as its EXIF says: (pixels, the orientation in EXIF, 1 to 8).

    1 is an image that was not turned. `name` stands in messages. The pixels may be a read-only array, or share the
    memory of a given array.
    """
    return _read(source, image_name(source) if name is None else name, upright=True)


def is_one_image(source: Any) -> bool:
    """Whether `source` is to be read as one image; if not, it is an iterable of images."""
    if isinstance(source, np.ndarray):
        return source.ndim != 4 and source.dtype.kind not in "OU"
    return _is_file(source) or not hasattr(source, "__iter__")


def _is_file(source: Any) -> bool:
    """Whether `source` is a path, bytes, a file or a Pillow image."""
    import PIL.Image

    kinds = (str, os.PathLike, bytes, bytearray, memoryview, PIL.Image.Image)
    return isinstance(source, kinds) or hasattr(source, "read")


def image_name(source: Any) -> str:
    """What messages call an image: its path if there is one, else its kind and size."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"an image of {memoryview(source).nbytes:,} bytes"
    if isinstance(source, np.ndarray):
        return f"an array {source.dtype} {source.shape}"
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return name if isinstance(name, str) else f"an object of type {type(source).__name__}"


def _read(source: Any, name: str, upright: bool) -> tuple[Image, int]:
    import PIL.Image

    if isinstance(source, np.ndarray):
        return _checked(source, name), 1
    if not _is_file(source):
        raise DataError(f"{name} is no image: {WANTED}")
    if isinstance(source, io.TextIOBase):
        raise DataError(f"{name} is open for reading text: open it for reading bytes, open(path, 'rb')")
    try:
        with _opened(source) as image:
            limit = PIL.Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(f"it claims {image.width}x{image.height} pixels, above the limit of {limit:,}")
            image.load()
            orientation = _orientation(image) if upright else 1
            pixels = _rgb(image)
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{name}: there is no such image (a string is taken for a path)") from error
    except Exception as error:  # for damaged files Pillow raises OSError, SyntaxError, struct.error and others
        reason = "no format that Pillow can read" if isinstance(error, PIL.UnidentifiedImageError) else error
        remedy = "; replace or remove it" if isinstance(source, (str, os.PathLike)) else ""
        raise DataError(f"{name} cannot be read as an image ({reason}){remedy}") from error
    if orientation in TURNS:
        pixels = np.ascontiguousarray(TURNS[orientation](pixels))
    return pixels, orientation if orientation in TURNS else 1


def _opened(source: Any) -> Any:
    """A context manager that gives the Pillow image. It closes what was opened here, and nothing that was given."""
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        return nullcontext(source)
    PIL.Image.init()
    file = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    return PIL.Image.open(file, formats=[each for each in FORMATS if each in PIL.Image.OPEN])


def _orientation(image: PIL.Image.Image) -> int:
    """The orientation in EXIF; 1 if there is none, or if the EXIF is damaged."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # as for damaged files; the pixels are right, and every viewer shows them
        return 1
    return found if isinstance(found, int) else 1


def _rgb(image: PIL.Image.Image) -> Image:
    """The pixels of a Pillow image as uint8 (H, W, 3). Raises ValueError if they have no agreed range."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no agreed range: scale them to 8 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(np.asarray(image))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours; the direct way warns
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_16_bits(grey: npt.NDArray[Any]) -> Image:
    """round(x / 257) for grey pixels (H, W) from 0 to 65,535, in three equal channels: uint8 (H, W, 3)."""
    if grey.size and not 0 <= int(grey.min()) <= int(grey.max()) <= 65535:
        raise ValueError(f"its pixels reach from {grey.min()} to {grey.max()}, beyond 16 bits: scale them to 8 bits")
    scaled = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(scaled[:, :, np.newaxis], 3, axis=2)


def _checked(array: npt.NDArray[Any], name: str) -> Image:
    """A given array as uint8 (H, W, 3). Raises DataError for another dtype or layout, saying what to write."""
    if array.dtype != np.uint8:
        scale = {
            "f": "(255 * x).round().clip(0, 255).astype(np.uint8), if x reaches from 0 to 1",
            "b": "255 * np.uint8(x)",
        }
        remedy = scale.get(array.dtype.kind, "x.astype(np.uint8), after scaling to 0 … 255")
        raise DataError(f"{name}: an image is a uint8 array of 0 … 255; write {remedy}")
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise DataError(f"{name}: channels come last, (H, W, C); write x.transpose(1, 2, 0)")
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: an image is (H, W, 3), (H, W, 1) or (H, W)")
    if not array.size:
        raise DataError(f"{name}: the image has no pixels")
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[:, :, :3]
