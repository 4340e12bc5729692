"""What a notebook shows of a Module: one line a part, with its number of parameters."""

from __future__ import annotations

from xml.etree import ElementTree

from minires import nn


def lines(module):
    table = ElementTree.fromstring(module._repr_html_())
    return [["".join(cell.itertext()) for cell in row] for row in table]


def test_a_module_is_a_tree_with_counts():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Linear(8, 10)))
    model[0].requires_grad_(False)
    head, whole, conv, inner, relu, linear = lines(model)
    assert head == ["part", "layer", "parameters"]
    assert whole == ["", "Sequential", "314, 224 frozen"]
    assert (conv[0], conv[2]) == ("0", "224, frozen")
    assert conv[1] == repr(model[0])
    assert inner == ["1", "Sequential", "90"]
    assert relu == ["0", "ReLU()", ""]
    assert linear[2] == "90"


def test_names_are_text():
    model = nn.Sequential()
    model.add_module("<b>", nn.ReLU())
    assert lines(model)[2][0] == "<b>"
