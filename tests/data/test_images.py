"""One image: every kind that Pillow reads, every place that it may come from, and every way to be damaged."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from minires import data
from minires.data.images import TURNS, is_one_image, open_upright
from minires.errors import DataError

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def save(path: Path, mode: str = "RGB", **options: object) -> Path:
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "RGB"),
        ("a.png", "L"),
        ("a.png", "LA"),
        ("a.png", "P"),
        ("a.png", "1"),
        ("a.png", "RGBA"),
        ("a.jpg", "RGB"),
        ("a.jpg", "L"),
        ("a.jpg", "CMYK"),
        ("a.webp", "RGB"),
        ("a.bmp", "RGB"),
        ("a.ppm", "RGB"),
        ("a.tiff", "RGB"),
    ],
)
def test_every_mode_becomes_rgb_as_pillow_converts(tmp_path, name, mode):
    path = save(tmp_path / name, mode)
    image = data.open_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (12, 17, 3)
    assert image.flags.c_contiguous
    with Image.open(path) as picture:
        np.testing.assert_array_equal(image, np.asarray(picture.convert("RGB")))
    if (name, mode) == ("a.png", "RGB"):
        np.testing.assert_array_equal(image, COLOURS)


def test_a_grey_image_has_three_equal_channels(tmp_path):
    image = data.open_image(save(tmp_path / "grey.png", "L"))
    assert (image == image[..., :1]).all()


def test_the_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to view"
    assert data.open_image(save(tmp_path / "turned.jpg", exif=exif)).shape == (12, 17, 3)


def test_a_path_may_be_a_string(tmp_path):
    np.testing.assert_array_equal(data.open_image(str(save(tmp_path / "a.png"))), COLOURS)


def test_a_missing_image(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: there is no such image"):
        data.open_image(tmp_path / "gone.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.ppm", "a.tiff", "a.webp"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_image_names_its_file(tmp_path, name, share):
    path = save(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=rf"{name} cannot be read as an image .*replace or remove it"):
        data.open_image(path)


def test_what_is_no_image(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("this is not a photograph")
    with pytest.raises(DataError, match=r"text\.jpg cannot be read as an image \(no format that Pillow can read\)"):
        data.open_image(path)
    with pytest.raises(DataError, match="cannot be read as an image"):
        data.open_image(tmp_path)


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes that claims so many pixels."""
    chunk = PngImagePlugin.putchunk
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        chunk(file, b"IDAT", zlib.compress(b"\0"))
        chunk(file, b"IEND", b"")
    return path


@pytest.mark.parametrize("width", [30_000, 12_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, width):
    with pytest.raises(DataError, match=r"bomb\.png cannot be read as an image \(.*(bomb|limit)"):
        data.open_image(bomb(tmp_path / "bomb.png", width, 10_000))


# --- where it comes from ---------------------------------------------------------------------------------------------


def test_bytes_files_pillow_images_and_arrays_are_images(tmp_path):
    path = save(tmp_path / "a.png")
    whole = path.read_bytes()
    file = io.BytesIO(whole)
    file.seek(7)  # whoever looked at its beginning need not rewind it
    sources = [whole, bytearray(whole), memoryview(whole), file, Image.open(path), Image.fromarray(COLOURS), COLOURS]
    for source in sources:
        np.testing.assert_array_equal(data.open_image(source), COLOURS)
    assert not file.closed
    with open(path, "rb") as opened:
        np.testing.assert_array_equal(data.open_image(opened), COLOURS)
        assert not opened.closed


def test_a_stream_that_cannot_be_rewound():
    class Stream(io.RawIOBase):
        def __init__(self, content):
            self.rest = content

        def readable(self):
            return True

        def read(self, size=-1):
            size = len(self.rest) if size is None or size < 0 else size
            taken, self.rest = self.rest[:size], self.rest[size:]
            return taken

    np.testing.assert_array_equal(data.open_image(Stream(encoded(Image.fromarray(COLOURS)))), COLOURS)


def test_arrays_of_every_layout():
    grey = COLOURS[:, :, 0]
    expected = np.stack([grey, grey, grey], axis=2)
    np.testing.assert_array_equal(data.open_image(grey), expected)
    np.testing.assert_array_equal(data.open_image(grey[:, :, None]), expected)
    with_alpha = np.concatenate([COLOURS, COLOURS[:, :, :1]], axis=2)
    np.testing.assert_array_equal(data.open_image(with_alpha), COLOURS)
    frozen = COLOURS.copy()
    frozen.flags.writeable = False
    assert data.open_image(frozen).flags.writeable


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (COLOURS.transpose(2, 0, 1), r"channels come last, \(H, W, C\); write x\.transpose\(1, 2, 0\)"),
        (COLOURS / 255, r"float64 \(12, 17, 3\): .*write \(255 \* x\)\.round\(\)"),
        ((COLOURS / 255).astype(np.float32).transpose(2, 0, 1), "uint8 array of 0 … 255"),
        (COLOURS.astype(np.int64), "astype"),
        (COLOURS > 9, r"255 \* np\.uint8"),
        (COLOURS[:0], "has no pixels"),
        (COLOURS[:, :, :2], r"\(H, W, 3\), \(H, W, 1\) or"),
        (COLOURS[None], r"\(H, W, 3\), \(H, W, 1\) or"),
        (COLOURS[0, :, 0], r"\(H, W, 3\), \(H, W, 1\) or"),
        (b"", "an image of 0 bytes cannot be read"),
        (b"<html>not found</html>", "an image of 22 bytes cannot be read as an image .no format"),
        (None, "an object of type NoneType is no image: an image is a path, the bytes"),
        (3, "of type int is no image"),
        ([COLOURS], "of type list is no image"),
        (io.StringIO("text"), r"open it for reading bytes, open\(path, 'rb'\)"),
        ("a\0b", "cannot be read as an image .*null"),
        ("https://example.com/dog.jpg", r"no such image \(a string is taken for a path\)"),
        ("", "no such image"),
    ],
)
def test_what_cannot_be_an_image_is_refused_with_the_reason(source, complaint):
    with pytest.raises(DataError, match=complaint):
        data.open_image(source)


def test_a_closed_file_and_one_that_fails():
    closed = io.BytesIO(encoded(Image.fromarray(COLOURS)))
    closed.close()
    with pytest.raises(DataError, match="closed file"):
        data.open_image(closed)

    class Cut(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError("the peer is gone")

    with pytest.raises(DataError, match="the peer is gone"):
        data.open_image(Cut(b"x"))


def test_a_full_memory_is_not_the_images_fault(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", full)
    with pytest.raises(MemoryError):
        data.open_image(Image.fromarray(COLOURS))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_no_cut_upload_is_anything_but_a_data_error(kind):
    whole = encoded(Image.fromarray(COLOURS), kind)
    for length in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        with contextlib.suppress(DataError):
            assert data.open_image(whole[:length]).shape == COLOURS.shape  # a cut in what follows the pixels


def test_no_format_that_runs_other_programs_is_tried(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match="no format that Pillow can read"):
        data.open_image(eps)


@pytest.mark.parametrize(
    ("source", "one"),
    [
        ("a.png", True),
        (Path("a.png"), True),
        (b"", True),
        (io.BytesIO(), True),
        (Image.fromarray(COLOURS), True),
        (COLOURS, True),
        (COLOURS[:, :, 0], True),
        (None, True),
        (COLOURS[None], False),
        (np.array(["a.png", "b.png"]), False),
        (["a.png"], False),
        ((each for each in ()), False),
    ],
)
def test_one_image_or_several(source, one):
    assert is_one_image(source) is one


# --- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PGM", "array"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_16_bit_grey_is_scaled_and_not_clipped(kind):
    numbers = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    expected = [0, 0, 1, 1, 128, 255]  # round(x · 255 / 65535)
    image = Image.fromarray(numbers)
    source = {
        "PNG": lambda: encoded(image),
        "TIFF": lambda: encoded(image, "TIFF"),
        "big-endian TIFF": lambda: encoded(Image.frombytes("I;16B", (6, 1), numbers.astype(">u2").tobytes()), "TIFF"),
        "PGM": lambda: b"P5 6 1 65535\n" + numbers.astype(">u2").tobytes(),
        "array": lambda: image,
    }[kind]()
    pixels = data.open_image(source)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (1, 6, 3))
    for channel in range(3):
        assert pixels[0, :, channel].tolist() == expected


@pytest.mark.parametrize("numbers", [np.int32([[0, 70000]]), np.int32([[-1, 5]]), np.float32([[0, 0.5]])])
def test_pixels_without_an_agreed_range_are_refused(numbers):
    with pytest.raises(DataError, match=r"cannot be read as an image \(its pixels .*scale them to 8 bits"):
        data.open_image(encoded(Image.fromarray(numbers), "TIFF"))


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_has_the_colours_of_its_palette():
    image = Image.fromarray(COLOURS).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    whole = encoded(image, transparency=bytes(range(16)))
    np.testing.assert_array_equal(data.open_image(whole), expected)


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((5, 6, 3), level, np.uint8)) for level in (10, 200)]
    whole = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(data.open_image(whole), np.full((5, 6, 3), 10))


# --- upright ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_turned_as_its_exif_says(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = encoded(Image.fromarray(COLOURS), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(whole))).convert("RGB"))
    pixels, said = open_upright(whole)
    np.testing.assert_array_equal(pixels, expected)
    assert said == orientation
    assert set(TURNS) == set(range(2, 9))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, said = open_upright(encoded(Image.fromarray(COLOURS), exif=exif))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert said == 1


def test_damaged_exif_turns_nothing():
    pixels, said = open_upright(encoded(Image.fromarray(COLOURS), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"))
    np.testing.assert_array_equal(pixels, COLOURS)
    assert said == 1
