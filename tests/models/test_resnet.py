"""The residual networks on their own: sizes from the papers, shortcuts, what a skip connection does to a gradient."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models, nn
from minires.core.autograd import topological_order
from minires.errors import ShapeError
from minires.models.resnet import BasicBlock, Block, Bottleneck, ResNet, SubsampleAndPad

PARAMETERS = {  # the CIFAR networks: He et al. 2015, option A; the others: torchvision
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def randn(*shape, seed=0, requires_grad=False):
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=requires_grad)


# -- sizes ------------------------------------------------------------------------------------------------------------


LARGE = ("resnet101", "resnet152", "resnet1202", *models.VARIANTS)  # a second or two each, to draw their weights


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in PARAMETERS]
)
def test_parameters_are_as_many_as_published(name):
    assert count(getattr(models, name)()) == PARAMETERS[name]
    if name in ("resnet20", "resnet56"):
        assert count(getattr(models, name)(shortcut="B")) == PARAMETERS[name] + 2_752
        assert count(models.build(name.replace("resnet", "plain"))) == PARAMETERS[name]  # A adds nothing to the plain


@pytest.mark.parametrize(
    ("name", "projections"),
    [("resnet18", 8), *(pytest.param(*each, marks=pytest.mark.slow) for each in (("resnet34", 16), ("resnet50", 16)))],
)
def test_option_c_projects_in_every_block(name, projections):
    def found(shortcut):
        model = getattr(models, name)(10, shortcut=shortcut)
        return sum("downsample.0" in name for name, _ in model.named_parameters())

    assert [found(shortcut) for shortcut in ("A", "B", "C", None)] == [
        0,
        4 if name == "resnet50" else 3,
        projections,
        0,
    ]


@pytest.mark.slow  # 3 s
def test_resnet1202_runs_forward_and_backward():
    """More than 3,600 nodes on one path: nothing may recurse."""
    mr.manual_seed(0)
    model = models.resnet1202()
    x = mr.tensor(randn(2, 3, 8, 8).numpy().astype(np.float32))
    F.cross_entropy(model(x), mr.tensor([1, 2])).backward()
    assert all(np.isfinite(parameter.grad.numpy()).all() for parameter in model.parameters())
    assert np.abs(model.conv1.weight.grad.numpy()).max() > 0


def test_classes_channels_and_names():
    model = models.resnet18(num_classes=7, in_channels=1).eval()
    assert model.fc.weight.shape == (7, 512)
    assert model.conv1.weight.shape == (64, 1, 7, 7)
    with mr.no_grad():
        assert model(mr.zeros(2, 1, 40, 33)).shape == (2, 7)
        assert models.build("resnet8", 4, in_channels=2).eval()(mr.zeros(1, 2, 9, 9)).shape == (1, 4)
    assert models.build("resnet50", num_classes=3).fc.weight.shape == (3, 2048)


def test_features_are_the_outputs_of_the_stages():
    image = mr.zeros(1, 3, 64, 96)
    with mr.no_grad():
        maps = models.resnet18(10).eval().features(image)
        bottleneck = ResNet(Bottleneck, (1, 1, 1, 1), 10).eval().features(image)
        cifar = models.resnet20().eval().features(image)
    sizes = {"layer1": (16, 24), "layer2": (8, 12), "layer3": (4, 6), "layer4": (2, 3)}
    assert {name: y.shape for name, y in maps.items()} == {
        name: (1, channels, *sizes[name]) for name, channels in zip(sizes, (64, 128, 256, 512), strict=True)
    }
    assert [y.shape[1] for y in bottleneck.values()] == [256, 512, 1024, 2048]
    assert [y.shape for y in cifar.values()] == [(1, 16, 64, 96), (1, 32, 32, 48), (1, 64, 16, 24)]


def test_features_end_where_the_classifier_begins():
    mr.manual_seed(0)
    model = models.resnet20().eval()
    x = mr.tensor(randn(2, 3, 12, 12).numpy().astype(np.float32))
    last = model.features(x)["layer3"].numpy()
    np.testing.assert_allclose(model(x).numpy(), model.fc(mr.tensor(last.mean((2, 3)))).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # 3 s: draws the weights of nineteen networks
def test_every_name_builds_its_depth():
    """Layers with weights on the longest path, the projections aside, are what the name counts."""
    assert len(models.available()) == 37
    for name in models.available():
        if re.search("1202|152|101|110|1001|dense", name):
            continue
        depth = models.kind_and_depth(name)[1]
        model = getattr(models, name)(num_classes=2)
        layers = [
            n
            for n, m in model.named_modules()
            if isinstance(m, (nn.Conv2d, nn.Linear)) and not re.search("downsample|join", n)
        ]
        assert len(layers) == depth
        if name == "convnet8":
            continue
        kinds = ("resnet", "plain", "preact", "highway")
        assert name in (*(f"{kind}{depth}" for kind in kinds), *models.VARIANTS)
        blocks = [module for module in model.modules() if isinstance(module, Block)]
        assert {block.plain for block in blocks} == {name.startswith("plain")}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.build("resnet19"), "no model 'resnet19': known are resnet18, resnet34"),
        (lambda: models.build("vgg16"), r"no model 'vgg16': .* every CIFAR depth resnet\{6n\+2\} and .* resnet8"),
        (lambda: models.build("plain18", shortcut="B"), "plain18 has no shortcuts, so shortcut='B' must be left out"),
        (lambda: models.build("resnet"), "no model 'resnet'"),
        (lambda: models.build(""), "no model ''"),
        (lambda: models.imagenet_resnet(20), "depth 20 must be one of 18, 34, 50, 101, 152"),
        (lambda: models.cifar_resnet(21), r"depth 21 must be 6n \+ 2"),
        (lambda: models.cifar_resnet(2), r"depth 2 must be 6n \+ 2"),
        (lambda: models.resnet18(shortcut="D"), "shortcut 'D' 'A', 'B', 'C' or None"),
        (lambda: ResNet(BasicBlock, (1,), stem="mnist"), "stem 'mnist' must be 'imagenet' or 'cifar'"),
        (lambda: models.build("plain20", zero_init_residual=True), "a plain network has none"),
        (lambda: ResNet(BasicBlock, (1, 0)), r"blocks \(1, 0\) must be at least one in each stage"),
        (lambda: ResNet(BasicBlock, ()), r"blocks \(\) must be at least one"),
        (
            lambda: models.resnet18(groups=32),
            "groups=32 and width_per_group=64 are of bottlenecks: a BasicBlock needs 1",
        ),
        (lambda: ResNet(BasicBlock, (1,), width_per_group=4), "a BasicBlock needs 1 and 64; use Bottleneck"),
        (lambda: models.build("resnext50"), "no model 'resnext50': .* resnext50_32x4d"),
    ],
)
def test_unknown_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'plain19'"):
        _ = models.plain19
    with pytest.raises(AttributeError, match="no attribute 'vgg16'"):
        _ = models.vgg16


@pytest.mark.parametrize(
    "make",
    [models.resnet18, models.resnet20, models.wide_resnet50_2, lambda **options: models.build("plain18", **options)],
)
def test_torchvisions_old_option_is_refused(make):
    with pytest.raises(TypeError, match='pretrained= is torchvision\'s of old: weights="imagenet"'):
        make(pretrained=True)


def test_completion_finds_every_network():
    assert set(models.available()) | {"ResNet", "build"} <= set(dir(models))


class Wide(nn.Module):
    """y = x-shortcut + conv(x), twice as many channels as `width`: a block that knows nothing of ours."""

    expansion = 2

    def __init__(self, inputs, width, stride, shortcut):
        self.conv = nn.Conv2d(inputs, 2 * width, 3, stride, padding=1, bias=False)
        self.last_norm = nn.BatchNorm2d(2 * width)
        self.shortcut = models.make_shortcut(shortcut, inputs, 2 * width, stride) or nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.last_norm(self.conv(x))


def test_a_network_of_a_block_of_ones_own():
    mr.manual_seed(0)
    net = ResNet(Wide, (1, 2), 3, stem="cifar", in_channels=1, zero_init_residual=True).eval()
    x = mr.randn(2, 1, 8, 8)
    assert net(x).shape == (2, 3)
    assert [name for name, _ in net.layer2[0].named_children()] == ["conv", "last_norm", "shortcut"]
    assert net.fc.in_features == 2 * 32
    assert all(block.last_norm.weight.tolist() == [0.0] * len(block.last_norm.weight) for block in net.layer2)
    stem = F.relu(net.bn1(net.conv1(x)))
    expected = net.layer2[0].shortcut(net.layer1[0].shortcut(stem))  # with weight 0 each F(x) is 0
    np.testing.assert_array_equal(net.features(x)["layer2"].numpy(), expected.numpy())


class WithoutNorm(Wide):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.norm = self.last_norm
        del self.last_norm


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet("basic", (1,)), r"block 'basic' must be a class with an integer `expansion`"),
        (lambda: ResNet(nn.Identity, (1,)), r"which is called as block\(inputs, width, stride, shortcut\)"),
        (lambda: ResNet(WithoutNorm, (1,), zero_init_residual=True), "needs WithoutNorm.last_norm"),
    ],
)
def test_what_is_no_block(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_images_of_other_channels_are_refused():
    with pytest.raises(ShapeError, match=r"conv2d.*\(1, 1, 32, 32\).*\(16, 3, 3, 3\)"):
        models.resnet20()(mr.zeros(1, 1, 32, 32))


# -- shortcuts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(2, 4, 2), (2, 5, 2), (3, 3, 2), (1, 4, 1)])
def test_option_a_subsamples_and_pads_with_zeros(inputs, outputs, stride):
    x = randn(2, inputs, 5, 6, requires_grad=True)
    y = SubsampleAndPad(inputs, outputs, stride)(x)
    before = (outputs - inputs) // 2
    expected = np.zeros((2, outputs, *[math.ceil(size / stride) for size in (5, 6)]))
    expected[:, before : before + inputs] = x.numpy()[:, :, ::stride, ::stride]
    assert np.array_equal(y.numpy(), expected)
    cotangent = np.random.default_rng(1).normal(size=y.shape)
    y.backward(cotangent)
    gradient = np.zeros(x.shape)
    gradient[:, :, ::stride, ::stride] = cotangent[:, before : before + inputs]
    assert np.array_equal(x.grad.numpy(), gradient)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
class TestSkip:
    """y = ReLU(F(x) + x): where the ReLU is open, ∂L/∂x = g + Fᵀg."""

    def made(self, block, shortcut="B", zero=False):
        mr.manual_seed(1)
        made = block(8, 8 // block.expansion, 1, shortcut).to(np.float64)
        if zero:
            nn.init.constant_((made.bn3 if block is Bottleneck else made.bn2).weight, 0.0)
        return made

    def test_a_block_that_starts_as_the_identity_passes_the_gradient_unchanged(self, block):
        x = mr.tensor(np.abs(randn(2, 8, 5, 5).numpy()) + 0.1, requires_grad=True)
        y = self.made(block, zero=True)(x)
        assert np.array_equal(y.numpy(), x.numpy())
        cotangent = randn(2, 8, 5, 5, seed=3)
        y.backward(cotangent)
        assert np.array_equal(x.grad.numpy(), cotangent.numpy())

    def test_without_the_shortcut_nothing_comes_through(self, block):
        x = mr.tensor(np.abs(randn(2, 8, 5, 5).numpy()) + 0.1, requires_grad=True)
        self.made(block, shortcut=None, zero=True)(x).backward(randn(2, 8, 5, 5, seed=3))
        assert not x.grad.numpy().any()

    def test_the_gradient_is_what_came_straight_and_what_came_through_f(self, block):
        made = self.made(block)
        array, cotangent = randn(2, 8, 5, 5).numpy(), randn(2, 8, 5, 5, seed=3).numpy()
        x = mr.tensor(array, requires_grad=True)
        y = made(x)
        y.backward(cotangent)
        straight = cotangent * (y.numpy() > 0)
        through = mr.tensor(array, requires_grad=True)
        made.residual(through).backward(straight)
        assert np.abs(through.grad.numpy()).max() > 0.01
        np.testing.assert_allclose(x.grad.numpy(), straight + through.grad.numpy(), rtol=1e-12, atol=1e-14)


# -- how they start ---------------------------------------------------------------------------------------------------


def test_convolutions_start_as_he_et_al_say():
    """N(0, 2/fan_out); batch norm at weight 1, bias 0; the classifier as torch's Linear."""
    mr.manual_seed(0)
    model = models.resnet18(10)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            numbers = module.weight.numpy()
            fan_out = numbers.shape[0] * numbers[0, 0].size
            assert numbers.std() == pytest.approx(math.sqrt(2 / fan_out), rel=0.04), name
            assert abs(numbers.mean()) < 5 * numbers.std() / math.sqrt(numbers.size), name
        elif isinstance(module, nn.BatchNorm2d):
            assert (set(module.weight.numpy()), set(module.bias.numpy())) == ({1}, {0})
    assert np.abs(model.fc.weight.numpy()).max() == pytest.approx(1 / math.sqrt(512), rel=0.01)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20"])
def test_zero_init_residual_zeroes_the_last_batch_norm_of_each_block_alone(name):
    model = getattr(models, name)(10, zero_init_residual=True)
    last = "bn3.weight" if name == "resnet50" else "bn2.weight"
    zeroed = {n for n, p in model.named_parameters() if "bn" in n and n.endswith("weight") and not p.numpy().any()}
    assert zeroed == {n for n, _ in model.named_parameters() if n.endswith(last) and n.startswith("layer")}
    assert len(zeroed) == sum(isinstance(m, (BasicBlock, Bottleneck)) for m in model.modules())


def test_the_same_seed_gives_the_same_network():
    def numbers(seed):
        mr.manual_seed(seed)
        return {n: tensor.numpy().tobytes() for n, tensor in models.resnet20().state_dict().items()}

    assert numbers(0) == numbers(0)
    assert numbers(0)["conv1.weight"] != numbers(1)["conv1.weight"]


# -- weights of others ------------------------------------------------------------------------------------------------


def test_a_classifier_called_linear_finds_fc():
    model = models.resnet20()
    state = {name.replace("fc.", "linear."): tensor for name, tensor in models.resnet20().state_dict().items()}
    assert "linear.weight" in state
    model.load_state_dict(state)
    assert np.array_equal(model.fc.weight.numpy(), state["linear.weight"].numpy())


def test_another_number_of_classes_is_told_and_nothing_changes():
    model = models.resnet20(num_classes=10)
    before = {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"fc.weight: \(100, 64\) in the checkpoint, \(10, 64\) in the model"):
        model.load_state_dict(models.resnet20(num_classes=100).state_dict())
    with pytest.raises(ValueError, match=r"missing \(\d+\): layer1\.0\.downsample\.0\.weight.*"):
        models.resnet20(shortcut="C").load_state_dict(model.state_dict())
    assert {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()} == before


def test_repr_shows_the_parts():
    text = repr(models.resnet20())
    first = "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
    assert text.startswith(f"ResNet(\n  (conv1): {first}\n")
    assert "(downsample): SubsampleAndPad(stride=2, zero_channels=16)" in text
    assert text.count("BasicBlock(") == 9


@pytest.mark.parametrize("name", ["plain18", "plain20"])
def test_a_plain_network_has_no_shortcut_to_start_as(name):
    with pytest.raises(ValueError, match="a plain network has none"):
        models.build(name, zero_init_residual=True)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20"])
def test_the_children_in_a_row_are_the_network_without_its_head(name):
    """The usual way to features: nn.Sequential(*list(model.children())[:-1])."""
    model = models.build(name, num_classes=3).eval()
    x = mr.randn(2, 3, 40, 40)
    features = nn.Sequential(*list(model.children())[:-1])(x)
    np.testing.assert_allclose(model.fc(F.flatten(features, 1)).numpy(), model(x).numpy(), rtol=1e-5, atol=1e-5)


def test_hooks_and_other_layers_see_what_stands_in_the_network():
    model = models.resnet20().eval()
    x = mr.randn(2, 3, 8, 8)
    expected, seen = model(x).numpy(), []
    handle = model.layer1[0].bn1.register_forward_hook(lambda module, inputs, output: seen.append(output.numpy().min()))
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-5, atol=1e-5)
    handle.remove()
    assert seen[0] < 0  # before the ReLU
    model.layer1[0].relu = nn.LeakyReLU(0.5)
    assert not np.allclose(model(x).numpy(), expected, atol=1e-3)
    model.bn1 = nn.Identity()
    assert model(x).shape == (2, 10)


@pytest.mark.parametrize(("block", "shape"), [(BasicBlock, (4, 16, 8, 8)), (Bottleneck, (4, 32, 5, 7))])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_in_one_pass_is_the_sum_and_its_relu(block, shape, stride):
    """In float32 the last batch norm adds the shortcut; a hook on the ReLU makes the block compute op by op."""
    rng = np.random.default_rng(0)
    mr.manual_seed(0)
    made = block(shape[1], 8, stride, "B")
    x = rng.normal(size=shape).astype(np.float32)
    found = []
    for is_hooked in (False, True):
        state = {key: value.numpy().copy() for key, value in made.state_dict().items()}
        given = mr.tensor(x, requires_grad=True)
        hook = made.relu.register_forward_hook(lambda *_: None) if is_hooked else None
        y = made(given)
        names = {type(node).__name__ for node in topological_order([y.node])}
        assert ("Add" in names) is is_hooked
        y.backward(mr.tensor(np.random.default_rng(1).normal(size=y.shape).astype(np.float32)))
        found.append([y.numpy(), given.grad.numpy(), *(p.grad.numpy() for p in made.parameters())])
        found[-1] += [buffer.numpy().copy() for buffer in made.buffers()]
        made.zero_grad()
        made.load_state_dict(state)
        if hook is not None:
            hook.remove()
    for fused, plain in zip(*found, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-5)


def test_a_subclass_keeps_its_own_residual_and_a_sum_that_broadcasts():
    class Halved(BasicBlock):
        def residual(self, x):
            return super().residual(x) * 0.5

    mr.manual_seed(0)
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 8, 4, 4)).astype(np.float32))
    made = Halved(8, 8)
    np.testing.assert_allclose(made(x).numpy(), F.relu(made.residual(x) + x).numpy(), rtol=1e-5)
    made = BasicBlock(8, 8)
    made.shortcut = lambda x: x[:, :, :1, :1]
    np.testing.assert_allclose(
        made(x).numpy(), F.relu(made.residual(x) + x[:, :, :1, :1]).numpy(), rtol=1e-4, atol=1e-6
    )
