"""The names of ImageNet's classes, against a list from another source."""

from __future__ import annotations

import json
from importlib.resources import files

from minires import data


def normalised(name: str) -> str:
    return name.lower().replace("_", " ").replace("'", "").replace("-", " ")


def test_a_thousand_different_names_and_ids():
    names, ids = data.imagenet_classes(), data.imagenet_wordnet_ids()
    assert len(names) == len(set(names)) == 1000
    assert len(ids) == len(set(ids)) == 1000
    assert list(ids) == sorted(ids)  # the order of every published network
    assert all(len(wordnet_id) == 9 and wordnet_id[0] == "n" and wordnet_id[1:].isdigit() for wordnet_id in ids)
    assert (names[0], names[258], names[999]) == ("tench", "Samoyed", "toilet tissue")
    assert ids[258] == "n02111889"
    assert not any(name != name.strip() or "\t" in name or not name for name in names)


def test_against_an_independent_list(data_root):
    listed = json.loads((data_root / "images" / "imagenet_class_index.json").read_text())
    assert [listed[str(index)][0] for index in range(1000)] == list(data.imagenet_wordnet_ids())
    differing = {
        index: (ours, listed[str(index)][1])
        for index, ours in enumerate(data.imagenet_classes())
        if normalised(ours) != normalised(listed[str(index)][1])
    }
    # The other list calls two pairs of classes by one name each; ours tells them apart.
    assert differing == {134: ("crane bird", "crane"), 639: ("maillot tank suit", "maillot")}


def test_the_licences_travel_along():
    notice = files("minires.data").joinpath("imagenet_classes.NOTICE.txt").read_text("utf-8")
    assert "BSD 3-Clause License" in notice
    assert "Copyright (c) Soumith Chintala 2016" in notice
    assert "Apache License 2.0" in notice
