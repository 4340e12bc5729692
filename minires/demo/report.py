"""Writes report.html: one page that needs no other file, for a projector or a printer.

The page's text and styles are in `template.html`, with a $name for everything that is measured. A sentence that
interprets a measurement is written only where the measurement supports it.
"""

from __future__ import annotations

import ast
import inspect
import platform
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from textwrap import dedent

import numpy as np

from minires.core.creation import tensor
from minires.demo import plots
from minires.demo.check import TOLERANCE, ArrayCheck, BlockCheck
from minires.demo.networks import DemoConfig, Misclassified, Trained
from minires.inspection.drawing import draw_graph
from minires.models.resnet import BasicBlock

SHOWN_DIGITS = 12
EXPLORER = "explorer.html"
_EXPLORER_LINK = (
    f'<p><a href="{EXPLORER}#step=16">Step through such a block</a>, forward and backward, with all its numbers.</p>'
)


@dataclass(frozen=True)
class Findings:
    """All measurements that the page shows."""

    config: DemoConfig
    checks: tuple[BlockCheck, ...]
    residual: Trained
    plain: Trained
    seconds: float
    version: str

    @property
    def networks(self) -> tuple[Trained, Trained]:
        """Both networks, in the order of the plots."""
        return self.residual, self.plain

    @property
    def largest_error(self) -> float:
        """The largest error of all gradients that were checked."""
        return max(each.error for check in self.checks for each in check.arrays)

    @property
    def checked(self) -> int:
        """How many gradients were checked number by number."""
        return sum(int(np.prod(each.shape)) for check in self.checks for each in check.arrays if not each.directions)

    @property
    def whole_arrays(self) -> int:
        """How many arrays were checked as a whole, along random directions."""
        return sum(each.directions > 0 for check in self.checks for each in check.arrays)


def render(findings: Findings, explorer: bool = False) -> str:
    """The page as HTML; with `explorer` it links to the page EXPLORER beside it."""
    residual, plain, config = findings.residual, findings.plain, findings.config
    verdict = "all agree" if all(check.passed for check in findings.checks) else "they do not agree"
    template = Template(files("minires.demo").joinpath("template.html").read_text("utf-8"))
    return template.substitute(
        residual=residual.name,
        plain=plain.name,
        blocks=(config.depth - 2) // 2,
        depth=config.depth,
        parameters=f"{residual.parameters:,}",
        residual_accuracy=f"{residual.accuracy:.1f}",
        plain_accuracy=f"{plain.accuracy:.1f}",
        residual_correct=residual.correct,
        plain_correct=plain.correct,
        held_out=residual.n,
        trained_on=f"{residual.trained_on:,}",
        epochs=config.epochs,
        curves=plots.learning_curves(findings.networks),
        curves_text=_curves_text(findings),
        norms=plots.gradient_norms(findings.networks),
        norms_text=_norms_text(findings),
        forward=escape(_forward_of_a_block()),
        graph=_graph(),
        explorer=_EXPLORER_LINK if explorer else "",
        largest_error=_power_of_ten(findings.largest_error),
        checked=f"{findings.checked:,}",
        whole_arrays=findings.whole_arrays,
        verdict=verdict,
        tolerance=_power_of_ten(TOLERANCE),
        checks="".join(map(_check_rows, findings.checks)),
        kinks_text=_kinks_text(findings),
        misclassified_text=_misclassified_text(residual),
        misclassified="".join(map(_figure, residual.misclassified[:SHOWN_DIGITS])),
        seed=config.seed,
        seconds=f"{findings.seconds:.0f}",
        version=findings.version,
        python=platform.python_version(),
        numpy=np.__version__,
    )


def _forward_of_a_block() -> str:
    """The source of `BasicBlock.forward` without its docstring."""
    function = ast.parse(dedent(inspect.getsource(BasicBlock.forward))).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [each for each in function.body if not isinstance(each, ast.Expr)]
    return ast.unparse(function)


def _graph() -> str:
    """A drawing of the graph of an identity block of the first stage, as SVG."""
    block = BasicBlock(16, 16)
    x = tensor(np.zeros((1, 16, 8, 8), np.float32), requires_grad=True)
    return draw_graph(block(x), names={"x": x, **dict(block.named_parameters())}).svg


def _curves_text(findings: Findings) -> str:
    residual, plain = findings.residual, findings.plain
    last, last_plain = residual.history[-1], plain.history[-1]
    accuracy, plain_accuracy = last.train_accuracy or 0.0, last_plain.train_accuracy or 0.0
    if plain_accuracy >= accuracy or plain.correct >= residual.correct:
        return "In this run the plain network kept up with the residual one: at this depth that can happen."
    return (
        f"The plain network is not short of capacity (it has as many parameters), and it does not overfit: it is worse "
        f"on the very images it learns from, {plain_accuracy:.1f}&nbsp;% against "
        f"{accuracy:.1f}&nbsp;% in the last epoch. It is harder to <em>train</em>. That is what He et al. "
        f"found in 2015, and what the shortcut is for."
    )


def _norms_text(findings: Findings) -> str:
    residual, plain = findings.residual, findings.plain
    measured = (
        f"From the last convolution to the first, the gradient changes by a factor of <b>{plain.growth:.3g}</b> in "
        f"{plain.name}, and of <b>{residual.growth:.3g}</b> in {residual.name}."
    )
    if plain.growth <= 2 * residual.growth:
        return measured
    return (
        f"{measured} Batch norm keeps the <em>values</em> of a deep network in range on the way forward; nothing does "
        f"that for the gradient on the way back. Each plain layer multiplies it by a little more than one, and many "
        f"such factors make a large one: the first layers are thrown about while the last ones hardly move. In the "
        f"residual network each sum passes the gradient on unchanged, and what comes back through F is only added."
    )


def _check_rows(check: BlockCheck) -> str:
    rows = [f'<tr class="block"><th colspan="5">{escape(check.title)}</th></tr>', *map(_check_row, check.arrays)]
    if check.negative_control is not None:
        caught = "caught" if not check.negative_control.passed else "NOT CAUGHT"
        rows.append(_check_row(check.negative_control, "mistake", f"✗ {caught}"))
    return "\n".join(rows)


def _check_row(row: ArrayCheck, kind: str = "array", verdict: str = "") -> str:
    directions = f"{row.directions} direction{'s' * (row.directions > 1)}"
    checked = directions if row.directions else f"{int(np.prod(row.shape))} numbers"
    kinks = f" <small>({row.kinks} at a kink)</small>" if row.kinks else ""
    name = escape(row.name) if kind == "mistake" else f"<code>{escape(row.name)}</code>"
    shape = "×".join(map(str, row.shape))
    verdict = verdict or ("✓ agrees" if row.passed else "✗ DIFFERS")
    good = "good" if row.passed else "bad"
    return (
        f'<tr class="{kind}"><td>{name}</td><td>{shape}</td><td class="number">{checked}{kinks}</td>'
        f'<td class="number">{_power_of_ten(row.error)}</td><td class="{good}">{verdict}</td></tr>'
    )


def _power_of_ten(value: float) -> str:
    """3.2e-10 as HTML: 3.2 · 10⁻¹⁰; 1e-06 as 10⁻⁶."""
    if value == 0 or not np.isfinite(value) or 0.01 <= value < 1000:
        return f"{value:.2g}"
    digits, exponent = f"{value:.1e}".split("e")
    power = f"10<sup>{int(exponent)}</sup>".replace("-", "−")
    return power if digits == "1.0" else f"{digits}&nbsp;·&nbsp;{power}"


def _kinks_text(findings: Findings) -> str:
    if not any(each.kinks for check in findings.checks for each in check.arrays):
        return ""
    return (
        " Errors <em>at a kink</em> are left out: where the input of a ReLU is exactly 0 there is no derivative, and "
        "the check compares with the value that the documentation names."
    )


def _misclassified_text(network: Trained) -> str:
    count = len(network.misclassified)
    if not count:
        return "Nothing: every held-out digit is right."
    which = "the most certain first" if count <= SHOWN_DIGITS else f"the {SHOWN_DIGITS} most certain ones"
    return (
        f"{count} of the {network.n} held-out digits; here they are, {which}." if count > 1 else "One held-out digit:"
    )


def _figure(digit: Misclassified) -> str:
    image = f'<img src="{plots.digit(digit.image)}" alt="handwritten {digit.label}">'
    caption = f"a <b>{digit.label}</b>, taken for a <b>{digit.answer}</b>"
    sure = f"<small>with {100 * digit.probability:.0f}&nbsp;%</small>"
    return f"<figure>{image}<figcaption>{caption}<br>{sure}</figcaption></figure>"
