"""Pre-activation, gates, scales, stochastic depth, initial values and highways: sizes, gradients, what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, models, nn
from minires.errors import ModelError
from minires.gradcheck import Verdict, gradcheck
from minires.models.highway import HighwayLayer
from minires.models.resnet import BasicBlock, Bottleneck, ResNet
from minires.models.variants import VariedBlock
from tests.models.networks import hashed, numbers_for
from tests.models.variations import VARIED


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("preact164", 1_703_258),  # He et al. 2016
        pytest.param("preact1001", 10_327_706, marks=pytest.mark.slow),  # 3 s
        ("preact110", 1_727_962),  # batch norms move, none is added
        ("resnet20:norm=none", 269_722 - 688),  # 688 channels had a weight and a bias, now a bias
        ("resnet20:init=skipinit", 269_722 - 688 + 9),
        ("dense_highway10", 785 * 50 + 9 * 2 * 51 * 50 + 51 * 10),
        ("dense_highway10:layer=plain,width=71", 785 * 71 + 9 * 72 * 71 + 72 * 10),
    ],
)
def test_parameters(name, parameters):
    assert count(models.build(name)) == parameters


def test_srivastavas_highway_110_has_the_parameters_of_his_note():
    """2.65 M, with widths times 0.875."""
    options = {"gate": "exclusive", "gate_form": "two_convs", "width": 14}
    assert count(models.cifar_resnet(110, **options)) == 2_646_976


@pytest.mark.parametrize(
    ("make", "blocks"),
    [
        (lambda: models.cifar_resnet(20), 9),
        (lambda: models.cifar_resnet(20, block="bottleneck"), 6),
        (lambda: models.cifar_resnet(20, block="single"), 18),
        (lambda: models.highway(8), 6),
    ],
)
def test_depth_counts_the_layers_of_any_block(make, blocks):
    found = [stage for stage in ("layer1", "layer2", "layer3") for _ in getattr(make(), stage)]
    assert len(found) == blocks


# -- gradients --------------------------------------------------------------------------------------------------------


QUICK = ("bn_after_add", "relu_only", "full", "exclusive", "highway, own carry", "skipinit")


@pytest.mark.parametrize(  # a second each
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in VARIED]
)
def test_gradients_of_every_variation(name):
    network = VARIED[name]
    report = gradcheck(network.ours(), mr.tensor(network.images()), fast_mode=True).check()
    assert report.verdict in (Verdict.PASS, Verdict.KINK)


@pytest.mark.parametrize("carry", ["coupled", "own"])
def test_gradients_of_a_highway(carry):
    net = models.highway(3, 3, dense=True, in_channels=1, image=3, width=4, carry=carry).to(np.float64)
    net.load_state_dict(numbers_for(net.state_dict()))
    assert gradcheck(net, mr.tensor(hashed((3, 1, 3, 3), "images"))).check()


# -- gates ------------------------------------------------------------------------------------------------------------


def opened(model, bias=50.0):
    """All gates of a network closed to their input, and open: σ(50) is 1 in float64."""
    for name, parameter in model.named_parameters():
        if "join" in name:
            nn.init.constant_(parameter, bias if name.endswith("bias") else 0.0)
    return model


def gradients_of(model, x, cotangent):
    model.zero_grad()
    y = model(x)
    y.backward(cotangent)
    found = {name: each.grad.numpy() for name, each in model.named_parameters() if "join" not in name}
    return y.numpy(), found


@pytest.mark.parametrize("options", [{}, {"order": "full"}, {"block": "single", "order": "relu_before_add"}])
def test_a_highway_with_t_and_c_1_is_the_residual_net_to_the_bit(options):
    mr.manual_seed(0)
    residual = models.cifar_resnet(8, **options)
    highway = opened(models.cifar_resnet(8, **options, gate="highway", gate_bias=0))
    state = residual.state_dict()
    highway.load_state_dict({**highway.state_dict(), **state})
    x, cotangent = mr.randn(4, 3, 8, 8), mr.randn(4, 10)
    y, gradients = gradients_of(highway, x, cotangent)
    expected, expected_gradients = gradients_of(residual, x, cotangent)
    assert np.array_equal(y, expected)
    assert list(gradients) == list(expected_gradients)
    assert all(np.array_equal(gradients[name], expected_gradients[name]) for name in gradients)


def test_a_dense_highway_with_t_and_c_1_is_the_residual_net_to_the_bit():
    mr.manual_seed(0)
    residual = models.DenseHighway(6, image=4, layer="residual")
    highway = models.highway(6, dense=True, image=4, carry="own")
    highway.load_state_dict({**highway.state_dict(), **residual.state_dict()})
    for layer in highway.layers:
        for gate in (layer.gate, layer.carry):
            nn.init.zeros_(gate.weight)
            nn.init.constant_(gate.bias, 50.0)
    x, cotangent = mr.randn(3, 1, 4, 4), mr.randn(3, 10)
    y, found = gradients_of(highway, x, cotangent)
    expected, gradients = gradients_of(residual, x, cotangent)
    assert np.array_equal(y, expected)
    assert all(np.array_equal(found[name], gradients[name]) for name in gradients)


@pytest.mark.parametrize("form", ["conv1x1", "conv3x3", "two_convs"])
def test_gates_start_at_their_bias(form):
    """Closed to 1 − σ(b) where a gate sees zeros; batch norm turns zeros into its bias."""
    block = models.cifar_resnet(8, gate="exclusive", gate_form=form, gate_bias=-3).layer1[0]
    g = block.join.gate(mr.zeros(2, 16, 4, 4)).numpy()
    np.testing.assert_allclose(g, 1 / (1 + math.exp(3)), rtol=1e-6)


def test_a_carry_gate_starts_near_1_minus_t():
    layer = HighwayLayer(4, "own", -2.0)
    t, c = layer.gates(mr.zeros(1, 4))
    np.testing.assert_allclose(t.numpy() + c.numpy(), 1, rtol=1e-6)
    join = models.cifar_resnet(8, gate="highway", gate_bias=-2).layer1[0].join
    assert join.transform.logit.bias.numpy()[0] == -2
    assert join.carry.logit.bias.numpy()[0] == 2
    assert models.highway(5).layer1[0].join.gate.logit.bias.numpy()[0] == -2


def test_dropout_on_the_shortcut_is_dropout():
    """In training some of the shortcut's elements are doubled and the others 0; in eval mode it is x."""
    mr.manual_seed(0)
    block = models.cifar_resnet(8, shortcut_dropout=0.5, order="full").layer1[0]
    x = F.relu(mr.randn(2, 16, 4, 4))
    kept = (block(x) - block.residual(block.activated(x))).numpy()
    ratio = kept[x.numpy() > 0] / x.numpy()[x.numpy() > 0]
    assert np.allclose(np.minimum(abs(ratio), abs(ratio - 2)), 0, atol=1e-4)
    assert 0.3 < (abs(ratio) < 1).mean() < 0.7
    block.eval()
    np.testing.assert_allclose(block(x).numpy(), (block.residual(block.activated(x)) + x).numpy())


# -- stochastic depth -------------------------------------------------------------------------------------------------


def test_stochastic_depth_drops_and_scales():
    """The l-th of L blocks survives with probability 1 − (1 − p)·l/L; a dropped one is its shortcut."""
    mr.manual_seed(0)
    model = models.cifar_resnet(20, survival=0.5, order="full")
    blocks = [each for each in model.modules() if isinstance(each, VariedBlock)]
    assert [each.survival for each in blocks] == pytest.approx([1 - 0.5 * (n + 1) / 9 for n in range(9)])
    last, x = blocks[-1], mr.randn(2, 64, 2, 2)
    usual = last.residual(last.activated(x)).numpy()
    kept = sum(not np.array_equal(last(x).numpy(), x.numpy()) for _ in range(400))
    assert 150 < kept < 250  # five standard deviations
    survivor = next(y for y in (last(x).numpy() for _ in range(50)) if not np.array_equal(y, x.numpy()))
    np.testing.assert_allclose(survivor, x.numpy() + usual, rtol=1e-5, atol=1e-6)
    last.eval()
    mean = last.residual(last.activated(x)).numpy()
    np.testing.assert_allclose(last(x).numpy(), x.numpy() + 0.5 * mean, rtol=1e-5, atol=1e-6)


def test_stochastic_depth_is_reproducible_and_trains():
    model = models.cifar_resnet(14, survival=0.3)
    x = mr.randn(4, 3, 8, 8)
    state = {name: np.array(value.numpy()) for name, value in model.state_dict().items()}
    outputs = []
    for seed in (1, 1, 2, 3, 4):
        model.load_state_dict(state)
        mr.manual_seed(seed)
        outputs.append(model(x).numpy())
    assert np.array_equal(outputs[0], outputs[1])
    assert any(not np.array_equal(outputs[0], other) for other in outputs[2:])
    F.cross_entropy(model(x), mr.tensor([0, 1, 2, 3])).backward()
    assert model.conv1.weight.grad is not None


# -- how they start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("he", lambda fan_in, fan_out: 2 / fan_out),
        ("lecun", lambda fan_in, fan_out: 1 / fan_in),
        ("xavier", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("skipinit", lambda fan_in, fan_out: 2 / fan_out),
    ],
)
def test_variances_of_the_weights(init, variance):
    mr.manual_seed(0)
    for name, parameter in models.cifar_resnet(20, init=init).named_parameters():
        if parameter.ndim == 4 and parameter.numel() > 4000:
            outputs, inputs, *kernel = parameter.shape
            expected = variance(inputs * math.prod(kernel), outputs * math.prod(kernel))
            assert parameter.numpy().std() == pytest.approx(math.sqrt(expected), rel=0.05), name


def test_orthogonal_weights_are_orthogonal():
    weight = models.cifar_resnet(8, init="orthogonal").layer3[0].conv2.weight.numpy().reshape(64, -1)
    np.testing.assert_allclose(weight @ weight.T, 2 * np.eye(64), atol=1e-4)


@pytest.mark.parametrize(("block", "exponent"), [("basic", -1 / 2), ("bottleneck", -1 / 4)])
def test_fixup_starts_as_its_paper_says(block, exponent):
    """Last convolutions and classifier 0, the others scaled by L^(−1/(2m − 2)), scales 1, shifts 0."""
    mr.manual_seed(0)
    model = models.cifar_resnet(56, block=block, init="fixup")
    blocks = 27 if block == "basic" else 18
    weight = model.layer3[1].conv1[1].weight.numpy()
    usual = math.sqrt(2 / (weight.shape[0] * weight[0, 0].size))
    assert weight.std() == pytest.approx(usual * blocks**exponent, rel=0.05)
    last = model.layer2[3].conv2 if block == "basic" else model.layer2[3].conv3
    assert not last[1].weight.numpy().any()
    assert not model.fc.weight.numpy().any()
    scalars = {name: p.numpy() for name, p in model.named_parameters() if p.shape == (1,)}
    assert len(scalars) == 2 + blocks * (5 if block == "basic" else 7)
    assert all(value == (1 if name.endswith("scale") else 0) for name, value in scalars.items())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("init", ["fixup", "skipinit"])
def test_blocks_start_as_their_shortcuts(init):
    mr.manual_seed(0)
    model = models.cifar_resnet(8, init=init)
    x = F.relu(mr.randn(2, 16, 4, 4))
    assert np.array_equal(model.layer1[0](x).numpy(), x.numpy())


@pytest.mark.parametrize("init", ["fixup", "skipinit"])
def test_branches_come_to_life_in_two_steps(init):
    """At the start F(x) is 0, and of its weights only the last (or its scalar) has a gradient."""
    mr.manual_seed(0)
    model = models.cifar_resnet(8, init=init)
    x, labels = mr.randn(16, 3, 8, 8), mr.tensor(np.arange(16) % 10)
    optimizer = mr.optim.SGD(model.parameters(), 0.05)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad.numpy().any() for name, parameter in model.named_parameters())


# -- compiled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full, bottleneck, B", "bn_after_add", "exclusive, two convolutions", "fixup"])
def test_compiled_networks_give_the_same_logits(name):
    network = VARIED[name]
    model, images = network.ours(np.float32).eval(), network.images().astype(np.float32)
    expected = model(mr.tensor(images)).numpy()
    found = inference.compile(model, images)(images)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


# -- names and refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("resnet20:order=full", "order", "full"),
        ("preact20", "order", "full"),
        ("preact20:order=relu_only,survival=0.8", "order", "relu_only"),
    ],
)
def test_names_with_options(name, option, value):
    assert getattr(models.build(name).layer1[0], option) == value


def test_a_name_says_everything_that_a_checkpoint_needs():
    name = "resnet8:gate=shortcut_only,gate_bias=-4,width=8,zero_init_residual=True"
    model = models.build(name, num_classes=3, in_channels=1)
    assert model.fc.weight.shape == (3, 32)
    assert model.layer1[0].join.gate.logit.bias.numpy()[0] == -4
    assert not model.layer1[0].bn2.weight.numpy().any()
    assert models.kind_and_depth(name) == ("resnet", 8)
    assert models.image_size("dense_highway10:image=8") == 8
    assert models.image_size("preact18") == 224
    assert models.image_size("highway20") == 32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.build("resnet20:order"), "'order' is not one"),
        (lambda: models.build("resnet20:"), "options stand behind a colon"),
        (lambda: models.build("resnet20:width=8,width=4"), "'width=4' is not one"),
        (lambda: models.build("resnet20:width=8", width=4), "width of resnet20:width=8 is given twice"),
        (lambda: models.build("plain20:shortcut=A"), "has no shortcuts, so shortcut='A' must be left out"),
        (lambda: models.build("highway19"), r"highway\{3n\+2\}"),
        (lambda: models.build("preact21"), r"no model 'preact21'"),
        (lambda: models.build("dense_highway1"), "no model 'dense_highway1'"),
        (lambda: models.cifar_resnet(22, block="bottleneck"), r"depth 22 must be 9n \+ 2: 11, 20, 29, 38"),
        (lambda: models.cifar_resnet(20, block="wide"), "block 'wide' must be one of 'single', 'basic', 'bottleneck'"),
        (lambda: models.cifar_resnet(8, order="none"), "order 'none' must be one of 'original'"),
        (lambda: models.cifar_resnet(8, gate="open"), "gate 'open' must be one of 'exclusive'"),
        (lambda: models.cifar_resnet(8, gate_bias=-6), "gate_form and gate_bias are of a gate"),
        (lambda: models.cifar_resnet(8, gate="exclusive", carry_bias=1), "carry_bias is that of gate='highway'"),
        (lambda: models.cifar_resnet(8, gate="exclusive", shortcut_scale=0.5), "a gate or constant scales, not both"),
        (lambda: models.cifar_resnet(8, residual_scale="1"), "residual_scale '1' must be a number"),
        (lambda: models.cifar_resnet(8, survival=0), "survival 0 more than 0"),
        (lambda: models.cifar_resnet(8, shortcut_dropout=1), "shortcut_dropout 1 must be"),
        (lambda: models.cifar_resnet(8, init="fixup", norm="batch"), "init='fixup' is for networks without"),
        (lambda: models.cifar_resnet(8, init="fixup", order="full"), "use skipinit"),
        (lambda: models.build("plain8", gate="exclusive", survival=0.5), "gate, survival would change nothing"),
        (lambda: models.build("plain8:init=skipinit"), "init='skipinit' would change nothing: a plain network"),
        (lambda: models.cifar_resnet(8, order="full", zero_init_residual=True), "order='full' with .* has not"),
        (lambda: models.cifar_resnet(8, width=0), "width 0 must be an integer of 1 or more"),
        (lambda: models.highway(8, carry="none"), "carry 'none' must be 'coupled' or 'own'"),
        (lambda: models.DenseHighway(1), "depth 1 must be 2 or more"),
        (lambda: models.DenseHighway(4, layer="gated"), "layer 'gated' must be one of"),
        (lambda: models.DenseHighway(4, layer="plain", gate_bias=-1), "carry and gate_bias are of gates"),
    ],
)
def test_what_would_change_nothing_or_is_unknown_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_options_and_blocks_of_ones_own():
    class Own(BasicBlock):
        pass

    with pytest.raises(TypeError, match="unexpected keyword argument 'depth_wise'"):
        models.build("resnet20", depth_wise=True)
    with pytest.raises(ModelError, match=r"resnet20:depth_wise=True: .* unexpected keyword argument 'depth_wise'"):
        models.build("resnet20:depth_wise=True")
    with pytest.raises(TypeError, match="Own has an order and a sum of its own"):
        ResNet(Own, (1,), stem="cifar", order="full")
    assert isinstance(ResNet(Own, (1,), stem="cifar", init="xavier").layer1[0], Own)
    assert type(ResNet(Bottleneck, (1,), stem="cifar", norm="batch").layer1[0]) is Bottleneck
