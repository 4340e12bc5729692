"""Functions as users write them, and what the engine checks about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DtypeError, GraphError, NonFiniteError, ShapeError


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


class Cube(mr.Function):
    """y = x³, as the documentation writes it."""

    def forward(self, x):
        return x * x * x

    def backward(self, g):
        return 3.0 * g * self.inputs[0] ** 2


class SoftClip(mr.Function):
    """y = x/√(1 + x²), keeping something of its own, and a fused backward that is counted."""

    fused = 0

    def forward(self, x):
        self.inverse = 1 / np.sqrt(1 + x * x)
        return x * self.inverse

    def backward(self, g):
        x = self.inputs[0]
        return g * (1.0 + x * x) ** -1.5

    def backward_fused(self, g):
        SoftClip.fused += 1
        return g * self.inverse**3


class Returning(mr.Function):
    """x + z, with gradients that the test chooses."""

    def __init__(self, returned):
        self.returned = returned

    def forward(self, x, z):
        return x + z

    def backward(self, g):
        return self.returned(g)


# -- a user's own op ---------------------------------------------------------------------------------------------------


def test_a_users_op_at_every_order():
    x = leaf(2.0)
    y, values = Cube()(x), []
    for _ in range(3):
        (y,) = mr.grad(y, x, create_graph=True)
        values.append(y.item())
    assert values == [12.0, 12.0, 6.0]


def test_the_fused_backward_serves_where_nothing_is_recorded():
    x, before = leaf(0.3, -2.0), SoftClip.fused
    expected = (1 + x.numpy() ** 2) ** -1.5
    SoftClip()(x).sum().backward()
    assert SoftClip.fused == before + 1
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)
    with mr.disable_fused_backward():
        (formula,) = mr.grad(SoftClip()(x).sum(), x)
    (graph,) = mr.grad(SoftClip()(x).sum(), x, create_graph=True)
    assert SoftClip.fused == before + 1
    np.testing.assert_allclose(formula.numpy(), expected, rtol=1e-14)
    np.testing.assert_allclose(graph.numpy(), expected, rtol=1e-14)


def test_what_forward_keeps_is_dropped():
    x = leaf(1.0)
    y = SoftClip()(x)
    node = y.node
    y.backward(retain_graph=True)
    assert node.inverse.shape == (1,)
    y.backward()
    assert not hasattr(node, "inverse")


def test_forward_can_be_replayed_on_other_arrays():
    node = Cube()(leaf(2.0)).node
    np.testing.assert_array_equal(node.forward(np.array([3.0])), [27.0])


def test_keeps_names_what_backward_reads():
    class Scale(mr.Function):
        """a·b, keeping b alone."""

        saved_inputs = (1,)

        def forward(self, a, b):
            return a * b

        def backward(self, g):
            a, b = self.inputs
            assert a.shape == b.shape
            assert (a.ndim, a.dtype, a.device) == (b.ndim, b.dtype, "cpu")
            return g * b, None

    a, b = leaf(1.0, 2.0), mr.tensor(np.array([3.0, 4.0]))
    h = a * 1.0
    y = Scale()(h, b)
    h.data[...] = 99.0  # not kept: nobody minds
    with pytest.raises(ValueError, match="read-only"):
        b.data[...] = 0
    y.backward(np.ones(2))
    np.testing.assert_array_equal(a.grad.numpy(), [3.0, 4.0])


def test_reading_what_was_not_kept_is_named():
    class Careless(mr.Function):
        saved_inputs = ()

        def forward(self, x):
            return x * x

        def backward(self, g):
            return 2.0 * g * self.inputs[0]

    y = Careless()(leaf(1.0) * 1.0)
    with pytest.raises(GraphError, match="not kept: name its index in the op's `saved_inputs`"):
        y.backward()


def test_output_is_tied_to_its_node():
    """Written with self.output(), the derivative of the derivative is right; a copy of the numbers would make it 0."""

    class MyExp(mr.Function):
        saved_inputs, saves_output = (), True

        def forward(self, x):
            return np.exp(x)

        def backward(self, g):
            return g * self.output()

    x = leaf(0.5)
    (first,) = mr.grad(MyExp()(x), x, create_graph=True)
    (second,) = mr.grad(first, x)
    assert second.item() == pytest.approx(np.exp(0.5), rel=1e-14)


def test_an_instance_is_one_node():
    op = Cube()
    op(leaf(1.0))
    with pytest.raises(GraphError, match="Cube: an instance is one node of the graph"):
        op(leaf(1.0))


def test_an_op_takes_tensors():
    with pytest.raises(DtypeError, match="Cube: needs Tensors, got ndarray; make one with"):
        Cube()(np.ones(2))


def test_an_op_without_methods_says_what_is_missing():
    class Nothing(mr.Function):
        pass

    class Forward(mr.Function):
        def forward(self, x):
            return x + 1

    with pytest.raises(TypeError, match="Nothing has no forward"):
        Nothing()(leaf(1.0))
    with pytest.raises(TypeError, match="Forward has no backward"):
        Forward()(leaf(1.0)).backward()


def test_a_python_number_from_forward_is_an_array():
    class Total(mr.Function):
        def forward(self, x):
            return x.sum()  # a NumPy scalar

        def backward(self, g):
            return g.expand(self.inputs[0].shape)

    x = leaf(1.0, 2.0)
    y = Total()(x)
    assert isinstance(y.data, np.ndarray)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_integers_have_no_graph():
    class Round(mr.Function):
        def forward(self, x):
            return np.rint(x).astype(np.int64)

    y = Round()(leaf(1.6))
    assert (y.item(), y.requires_grad, y.node) == (2, False, None)


@pytest.mark.parametrize("nothing", [None, "text", np.array([None])])
def test_forward_must_return_numbers(nothing):
    class Odd(mr.Function):
        def forward(self, x):
            return nothing

    with pytest.raises(DtypeError, match=r"Odd: forward returned a \w+, not an array of numbers"):
        Odd()(leaf(1.0))


def test_nothing_is_recorded_without_need():
    x = leaf(1.0)
    assert Cube()(mr.tensor([1.0])).node is None
    with mr.no_grad():
        assert Cube()(x).node is None
    assert repr(Cube()(x).node) == "<Cube>"


# -- checks of what backward returns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda g: g, GraphError, "Returning: backward returned 1 gradients for 2 inputs"),
        (lambda g: (g, g, g), GraphError, "Returning: backward returned 3 gradients for 2 inputs"),
        (lambda g: (None, g.data), GraphError, "Returning: backward's gradient of input 1 is a ndarray, not a Tensor"),
        (
            lambda g: (None, g.reshape(1, 2)),
            ShapeError,
            r"Returning: backward's gradient of input 1 has shape \(1, 2\), but the tensor has shape \(2,\)",
        ),
        (
            lambda g: [g, g.astype(np.float32)],
            DtypeError,
            "Returning: backward's gradient of input 1 has dtype float32, but the tensor has dtype float64",
        ),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_that_do_not_fit_name_the_op(returned, error, message, create_graph):
    x, z = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with pytest.raises(error, match=message):
        Returning(returned)(x, z).backward(np.ones(2), create_graph=create_graph)
    assert x.grad is None
    assert z.grad is None


def test_a_gradient_that_nobody_asked_for_is_not_looked_at():
    x, constant = leaf(1.0, 2.0), mr.tensor(np.ones(2))
    Returning(lambda g: (g, g.reshape(1, 2)))(x, constant).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_a_single_gradient_may_come_in_a_sequence():
    class Same(mr.Function):
        def forward(self, x):
            return x + 0

        def backward(self, g):
            return [g]

    x = leaf(1.0)
    Same()(x).backward()
    assert x.grad.item() == 1.0


# -- detect_anomaly ----------------------------------------------------------------------------------------------------


def test_a_nan_in_forward_names_the_op_and_the_line():
    x = leaf(-1.0, 2.0)
    with mr.detect_anomaly():
        F.relu(x).sqrt()
        with pytest.raises(NonFiniteError) as caught:
            x.log()  # the line to be named
    assert "Log: the first NaN or infinity is in its output" in str(caught.value)
    assert "test_function.py" in str(caught.value)
    assert str(caught.value).endswith("x.log()  # the line to be named")


def test_a_folder_whose_name_begins_like_the_package_is_the_users():
    package, scope = Path(mr.__file__).parent, {}
    exec(compile("def f(x):\n    return x.log()\n", f"{package}-experiments/user.py", "exec"), scope)
    with mr.detect_anomaly(), pytest.raises(NonFiniteError, match=r"-experiments.user\.py:2"):
        scope["f"](leaf(-1.0))


@pytest.mark.parametrize("formulas", [True, False])
def test_an_infinity_in_backward_names_the_op_of_the_forward_pass_and_its_line(formulas):
    x = leaf(0.0, 1.0)
    with mr.detect_anomaly():
        y = x.sqrt().sum()  # the line to be named
        with pytest.raises(NonFiniteError) as caught, mr.disable_fused_backward() if formulas else mr.enable_grad():
            y.backward()
    assert "Sqrt: the first NaN or infinity is in its gradient of input 0" in str(caught.value)
    assert str(caught.value).endswith("y = x.sqrt().sum()  # the line to be named")
    assert x.grad is None


def test_an_anomaly_of_the_second_derivative():
    """y = x^1.5 has a finite slope at 0, and its second derivative is infinite there."""
    x = leaf(0.0, 1.0)
    with mr.detect_anomaly():
        y = (x**1.5).sum()
        (first,) = mr.grad(y, x, create_graph=True)  # the line to be named
        with pytest.raises(NonFiniteError, match=r"Power: .* gradient of input 0.*# the line to be named"):
            first.sum().backward()


def test_an_infinity_that_a_formula_masks_is_no_anomaly():
    x = leaf(0.0, 1.0)
    with mr.detect_anomaly():
        (x**0.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 0.0])


@pytest.mark.parametrize("recorded", [True, False])
def test_an_infinity_is_an_anomaly_with_or_without_a_graph(recorded):
    x = mr.tensor([0.0], requires_grad=recorded)
    with mr.detect_anomaly(), pytest.raises(NonFiniteError, match="Divide"):
        1 / x


def test_without_it_nan_and_infinity_are_values():
    assert np.isnan(mr.tensor([-1.0]).log().item())
    with mr.detect_anomaly():
        pass
    assert np.isinf((1 / mr.tensor([0.0])).item())


def test_integers_are_never_anomalous():
    with mr.detect_anomaly():
        assert (mr.tensor([1]) + 1).item() == 2


def test_an_op_in_torchs_style_is_told_how_it_is_written_here():
    with pytest.raises(TypeError, match=r"Square\.forward is a static method, as in torch.*forward\(self, \*arrays\)"):

        class Square(mr.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

    with pytest.raises(TypeError, match=r"Cube\.backward is a static method.*apply Cube\(\)\(x\)"):

        class Cube(mr.Function):
            @staticmethod
            def backward(ctx, g):
                return g


def test_apply_is_told_how_ops_are_applied_here():
    class Twice(mr.Function):
        def forward(self, x):
            return 2 * x

    with pytest.raises(TypeError, match=r"Twice\.apply\(x\) is torch's way: here, write Twice\(\)\(x\)"):
        Twice.apply(mr.tensor([1.0]))
    assert Twice()(mr.tensor([1.0])).tolist() == [2.0]


@pytest.mark.parametrize("fused", [False, True])
def test_a_backward_without_return_is_refused(fused):
    """None would be silently no gradient; (None,) says so on purpose."""

    class Forgetful(mr.Function):
        returned = None

        def forward(self, x):
            return 2 * x

        def backward(self, g):
            return self.returned

    if fused:
        Forgetful.backward_fused = Forgetful.backward
    x = mr.tensor([1.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"Forgetful: backward returned None; is `return` missing.*`return \(None,\)`"):
        Forgetful()(x).backward()
    Forgetful.returned = (None,)
    (Forgetful()(x) + x).backward()
    assert x.grad.tolist() == [1.0]


def test_forward_has_one_output_which_is_an_array():
    class Two(mr.Function):
        def forward(self, x):
            return x * 2, x * 3

    class Number(mr.Function):
        def forward(self, x):
            return float(x.sum())

    class Scalar(mr.Function):
        def forward(self, x):
            return x.astype(np.float64).sum()

    with pytest.raises(DtypeError, match="Two: forward returned a tuple of 2, but a Function has one output"):
        Two()(mr.ones(2))
    with pytest.raises(DtypeError, match="Number: forward returned a float; return an array"):
        Number()(mr.ones(2))
    assert Scalar()(mr.ones(2)).item() == 2


def test_a_factor_is_kept_only_for_the_gradient_of_the_other():
    h = mr.tensor([1.0, 2.0], requires_grad=True) * 1
    h += h * 0.5  # torch allows it: the factor h is not needed
    h -= h / 4
    h += 3.0 * h
    h += h * mr.tensor([1.0, 3.0])
    np.testing.assert_array_equal(h.data, [1 * 1.5 * 0.75 * 4 * 2, 2 * 1.5 * 0.75 * 4 * 4])
    a = mr.tensor([1.0, 2.0], requires_grad=True)
    h = a * 1
    h += h * 0.5
    h -= h / 4
    (ga,) = mr.grad(h, a, mr.tensor([1.0, 10.0]))
    np.testing.assert_array_equal(ga.data, [1.125, 11.25])
    m = mr.tensor([[1.0, 2.0]], requires_grad=True) * 1
    y = m @ mr.tensor([[1.0, 0.0], [1.0, 1.0]])
    m.mul_(2.0)
    y.sum().backward()
    h = a * 1
    y = h * h
    h += 1.0
    with pytest.raises(GraphError, match="Multiply: its input"):
        y.sum().backward()
