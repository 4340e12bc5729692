"""Photographs from disk: every kind that Pillow reads, every way to be damaged, and the layout of folders."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from minires import data
from minires.errors import DataError

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def save(path: Path, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


# --- one image -----------------------------------------------------------------------------------------------------


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


# --- folders -------------------------------------------------------------------------------------------------------


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    for name in ("tulip/b.PNG", "tulip/a.jpg", "daisy/z.png", "daisy/deep/er/y.webp", "rose/r.jpeg"):
        save(tmp_path / "flowers" / name)
    (tmp_path / "flowers" / "readme.txt").write_text("not a class")
    (tmp_path / "flowers" / "tulip" / "notes.txt").write_text("not an image")
    (tmp_path / "flowers" / "tulip" / "._a.jpg").write_text("what a Mac leaves behind")
    save(tmp_path / "flowers" / "tulip" / ".thumbnails" / "a.png")
    save(tmp_path / "flowers" / ".cache" / "x.png")
    return tmp_path / "flowers"


def test_sub_folders_are_classes_in_alphabetical_order(flowers):
    folder = data.ImageFolder(flowers)
    assert folder.classes == ("daisy", "rose", "tulip")
    found = [path.relative_to(flowers).as_posix() for path in folder.paths]
    assert found == ["daisy/z.png", "daisy/deep/er/y.webp", "rose/r.jpeg", "tulip/a.jpg", "tulip/b.PNG"]
    assert folder.labels.tolist() == [0, 0, 1, 2, 2]
    assert folder.labels.dtype == np.int64
    assert len(folder) == 5
    assert folder.name == "flowers"
    image, label = folder[4]
    np.testing.assert_array_equal(image, COLOURS)
    assert (type(label), label) == (int, 2)
    assert repr(folder) == "ImageFolder('flowers': 5 images, 3 classes)"


def test_labels_can_follow_a_given_list(flowers):
    folder = data.ImageFolder(flowers, classes=["tulip", "oak", "rose", "daisy"])
    assert folder.classes == ("tulip", "oak", "rose", "daisy")
    assert folder.labels.tolist() == [3, 3, 2, 0, 0]
    with pytest.raises(DataError, match="sub folders daisy, tulip are none of the 2 known classes"):
        data.ImageFolder(flowers, classes=["rose", "oak"])


def test_subset(flowers):
    folder = data.ImageFolder(flowers)
    part = folder.subset([4, 0])
    assert part.labels.tolist() == [2, 0]
    assert part.paths == (folder.paths[4], folder.paths[0])
    assert len(folder) == 5


def test_a_flat_folder_is_told_the_layout(tmp_path):
    save(tmp_path / "flat" / "a.png")
    with pytest.raises(DataError, match=r"flat has no sub folders; expected .*flat/CLASS/IMAGE\.jpg"):
        data.ImageFolder(tmp_path / "flat")


def test_a_missing_folder_is_told_the_layout(tmp_path):
    with pytest.raises(DataError, match=r"gone cannot be read as a folder of images \(No such file.*CLASS/IMAGE"):
        data.ImageFolder(tmp_path / "gone")
    with pytest.raises(DataError, match="Not a directory"):
        data.ImageFolder(save(tmp_path / "a.png"))


def test_a_class_without_images(flowers):
    (flowers / "weed").mkdir()
    with pytest.raises(DataError, match=r"weed holds no images \(of the kinds \.bmp"):
        data.ImageFolder(flowers)


def test_a_damaged_image_is_named_by_the_loader(flowers):
    (flowers / "rose" / "r.jpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"sample 2 of 'flowers' \(.*r\.jpeg\) cannot be prepared: .*replace or remove"):
        list(data.Loader(data.ImageFolder(flowers), 2))
