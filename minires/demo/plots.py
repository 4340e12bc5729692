"""Draws the plots of the report, as SVG for the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minires.demo.networks import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The two differ in hue, in brightness and in line style, so a grey print can be read.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#1b5fa8", "linestyle": "-", "marker": "o"},
    {"color": "#d1660f", "linestyle": "--", "marker": "s"},
)
FONT: dict[Any, Any] = {
    "font.size": 12.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "minires",
}


def learning_curves(networks: tuple[Trained, ...]) -> str:
    """Accuracy after each epoch, on the training images and on the held-out ones, as SVG."""
    from matplotlib.ticker import MaxNLocator

    panels = ("on the images it learns from", "on the held-out images")

    def draw(axes: list[Axes]) -> None:
        for network, style in zip(networks, STYLES, strict=True):
            epochs = [record.epoch for record in network.history]
            axes[0].plot(epochs, [r.train_accuracy or 0.0 for r in network.history], label=network.name, **style)
            axes[1].plot(epochs, [r.validation_accuracy or 0.0 for r in network.history], label=network.name, **style)
        for each, title in zip(axes, panels, strict=True):
            each.set(title=title, xlabel="epoch", ylim=(0, 103))
            each.xaxis.set_major_locator(MaxNLocator(integer=True))
            each.grid(alpha=0.3)
        axes[0].set_ylabel("% right")
        axes[1].legend(loc="lower right", frameon=False)

    return _svg(draw, columns=2, title="Accuracy of both networks after each epoch")


def gradient_norms(networks: tuple[Trained, ...]) -> str:
    """The gradient's norm at every 3×3 convolution on a logarithmic scale, as SVG."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: list[Axes]) -> None:
        for network, style in zip(networks, STYLES, strict=True):
            layers = range(1, len(network.gradient_norms) + 1)
            axes[0].semilogy(layers, network.gradient_norms, label=network.name, markersize=4, **style)
        axes[0].set(xlabel="convolution, from the image (1) to the classifier", ylabel="‖∂L/∂W‖ before training")
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].yaxis.set_major_formatter("{x:g}")
        axes[0].grid(alpha=0.3, which="both")
        axes[0].legend(frameon=False)
        arrow = {"arrowstyle": "->", "color": "#555"}
        axes[0].annotate("", xy=(0.36, 0.93), xytext=(0.64, 0.93), xycoords="axes fraction", arrowprops=arrow)
        axes[0].text(0.5, 0.95, "backward runs this way", ha="center", color="#555", transform=axes[0].transAxes)

    return _svg(draw, columns=1, title="Norm of the gradient at each convolution of both networks")


def _svg(draw: Any, columns: int, title: str) -> str:
    """Call `draw` with a list of axes and return the figure as an <svg> element; equal numbers give equal text."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(FONT):
        figure = Figure(figsize=(9.2, 3.7), layout="constrained")
        draw(list(np.atleast_1d(figure.subplots(1, columns))))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": title})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def digit(image: npt.NDArray[np.uint8]) -> str:
    """The image (H, W), 0 for white, as the data URL of a PNG with dark ink on white."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
