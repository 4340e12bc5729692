"""Which network a checkpoint belongs to: its name, and the options that its shapes show."""

from __future__ import annotations

import numpy as np
import pytest

from minires import models
from minires.errors import WeightsError
from minires.models.checkpoints import network_name, network_options, stored_name

FEW = dict.fromkeys(map(str, range(20)))


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet50", "resnet8", "plain20", "preact11:block=bottleneck", "resnet8:width=4,order=full"),
        *("highway8", "dense_highway3", "dense_highway3:image=8,width=20"),
    ],
)
def test_the_shapes_of_a_network_show_its_options(name):
    state = models.build(name, num_classes=7, in_channels=1).state_dict()
    assert network_options(name, state) == {"num_classes": 7, "in_channels": 1}
    if name.startswith("dense"):
        return
    renamed = {key.replace("fc.", "linear."): tensor for key, tensor in state.items()}
    assert network_options(name, renamed) == {"num_classes": 7, "in_channels": 1}


@pytest.mark.parametrize(
    ("name", "shape"),
    [("conv1.weight", (16, 3, 7, 7)), ("conv1.weight", ()), ("fc.weight", (7, 65)), ("fc.bias", (0,))],
)
def test_shapes_that_do_not_fit_show_nothing(name, shape):
    state = models.build("resnet8", num_classes=7).state_dict()
    found = network_options("resnet8", {**state, name: np.empty(shape)})
    assert found == ({"num_classes": 7} if name == "conv1.weight" else {"in_channels": 3})


def test_the_name_is_that_of_the_metadata_or_the_one_asked_for():
    assert stored_name({}, "w") is None
    assert network_name("resnet8", {}, {}, "w") == "resnet8"
    assert network_name(None, {"model": "plain8"}, FEW, "w") == "plain8"
    assert network_name("plain8", {"model": "plain8"}, FEW, "w") == "plain8"


@pytest.mark.parametrize(
    ("asked", "stored", "says"),
    [
        (None, None, "w does not say which network it is of"),
        ("resnet8", "plain8", "w is a checkpoint of plain8, not of resnet8"),
        (None, "resnet110", "w says that it is of resnet110, but holds only 20 arrays"),
        ("resnet8", "vgg16", "w is of 'vgg16', which is none of our networks"),
    ],
)
def test_names_that_do_not_fit(asked, stored, says):
    with pytest.raises(WeightsError, match=says):
        network_name(asked, {} if stored is None else {"model": stored}, FEW, "w")


def test_options_of_a_name_that_do_not_fit_the_arrays_build_nothing():
    """A stranger's file may ask for a network of a million channels."""
    state = models.build("resnet8:width=4").state_dict()
    assert network_name(None, {"model": "resnet8:width=4"}, state, "w") == "resnet8:width=4"
    dense = models.build("dense_highway30:image=8").state_dict()
    assert network_name(None, {"model": "dense_highway30:image=8"}, dense, "w") == "dense_highway30:image=8"
    for name, arrays in (
        ("resnet8:width=1000000", state),
        ("resnet8:width=5", state),
        ("resnet8:groups=1000000", state),
        ("dense_highway30:image=99999", dense),
        ("dense_highway30:image=-1", dense),
        ("resnet8:width=4", FEW),
    ):
        with pytest.raises(WeightsError, match=r"w says that it is of .*, but its arrays have other sizes"):
            network_name(None, {"model": name}, arrays, "w")


def test_an_unknown_network_has_no_options():
    with pytest.raises(ValueError, match="no model 'vgg16'"):
        network_options("vgg16", {})


@pytest.mark.parametrize(("length", "shown"), [(60, "'" + "x" * 60 + "'"), (61, "'" + "x" * 60 + "'...")])
def test_a_name_that_is_no_network_is_shown_up_to_sixty_characters(length, shown):
    with pytest.raises(WeightsError) as caught:
        stored_name({"model": "x" * length}, "w")
    assert str(caught.value) == f"w is of {shown}, which is none of our networks"
