"""Folders of photographs: their layout, and what is wrong with some of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minires import data
from minires.errors import DataError

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def save(path: Path, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


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
    with pytest.raises(
        DataError, match=r"weed holds no images \(of the kinds \.bmp.*ImageFolder\(path, classes="
    ) as refused:
        data.ImageFolder(flowers)
    assert "\n" not in str(refused.value)


def test_a_class_may_be_empty_if_it_is_named(flowers):
    (flowers / "weed").mkdir()
    folder = data.ImageFolder(flowers, classes=["weed", "daisy", "rose", "tulip"])
    assert folder.labels.tolist() == [1, 1, 2, 3, 3]
    for name in ("daisy", "rose", "tulip"):
        shutil.rmtree(flowers / name)
    with pytest.raises(DataError, match="flowers holds no images in its sub folders"):
        data.ImageFolder(flowers, classes=["weed", "daisy", "rose", "tulip"])


def test_a_validation_folder_with_an_empty_class(flowers, tmp_path):
    shutil.copytree(flowers, tmp_path / "both" / "train")
    shutil.copytree(flowers, tmp_path / "both" / "val")
    (tmp_path / "both" / "val" / "rose" / "r.jpeg").unlink()
    train, held_out = data.load_for_training(tmp_path / "both")
    assert held_out.classes == train.classes
    assert held_out.labels.tolist() == [0, 0, 2, 2]


def test_a_damaged_image_is_named_by_the_loader(flowers):
    (flowers / "rose" / "r.jpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"sample 2 of 'flowers' \(.*r\.jpeg\) cannot be prepared: .*replace or remove"):
        list(data.Loader(data.ImageFolder(flowers), 2))


def test_a_subset_by_a_mask(flowers):
    folder = data.ImageFolder(flowers)
    mask = folder.labels == 1
    part = folder.subset(mask)
    assert part.paths == tuple(path for path, chosen in zip(folder.paths, mask, strict=True) if chosen)
    np.testing.assert_array_equal(part.labels, folder.labels[mask])
    with pytest.raises(DataError, match=r"a mask \(2,\) is not one of \d+ images"):
        folder.subset([True, False])


def test_a_class_that_is_named_twice_is_refused(flowers):
    with pytest.raises(DataError, match="a class is named twice among daisy, rose, tulip, daisy"):
        data.ImageFolder(flowers, classes=["daisy", "rose", "tulip", "daisy"])
