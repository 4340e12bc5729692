"""Renders the deck of docs/teaching: its pictures, the figures in its table, and the page.

    python scripts/slides.py               slides.md -> slides.html, one page that needs no other file
    python scripts/slides.py --pictures    draws docs/teaching/figures anew, before that

Slides are separated by `---`, as Marp and others separate them. The table of the study of gradient flow stands between
two comments, and is written from docs/studies/results/gradient-flow.json.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

DOCS = Path(__file__).resolve().parent.parent / "docs"
DECK = DOCS / "teaching" / "slides.md"
CONFIGS = {
    "plain-none-he": "plain, no normalisation",
    "plain-batch-he": "plain, batch norm",
    "residual-none-he": "residual, no normalisation",
    "residual-batch-he": "residual, batch norm",
}
STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fdfdfb; --accent: #c8500a; --code: #eef1f4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #161b21; --accent: #ff9a5c; --code: #232b34 } }
* { box-sizing: border-box }
html { scroll-snap-type: y mandatory; background: var(--paper); color: var(--ink) }
body { margin: 0; font: 2.6vmin/1.45 system-ui, "Helvetica Neue", Arial, sans-serif }
section { height: 100vh; scroll-snap-align: start; padding: 5vmin 9vmin; display: flex; flex-direction: column;
  justify-content: center; position: relative; overflow: hidden }
section::after { content: attr(data-number); position: absolute; right: 3vmin; bottom: 2vmin; opacity: .5 }
h1 { font-size: 5vmin; line-height: 1.15; margin: 0 0 3vmin; color: var(--accent) }
p, ul, pre, table { margin: 1.2vmin 0 }
pre { background: var(--code); padding: 2vmin 3vmin; font-size: 2.6vmin; overflow-x: auto }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace }
p code, li code { background: var(--code); padding: 0 .3em }
figure { margin: 1vmin 0; padding: 1vmin; flex: 1 1 0; min-height: 0; background: #fff; border-radius: 1vmin }
figure svg { width: 100%; height: 100% }
td, th { padding: .6vmin 2.4vmin; text-align: left; border-bottom: 1px solid #8886 }
td + td, th + th { text-align: right; font-variant-numeric: tabular-nums }
@media print { @page { size: 297mm 167mm; margin: 0 } section { height: 167mm; break-after: page } }
"""
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const here = () => slides.findIndex((each) => each.getBoundingClientRect().bottom > innerHeight / 2);
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (event.key === "p" || event.key === "P") print();
  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  slides[Math.min(slides.length - 1, Math.max(0, here() + step))].scrollIntoView();
});
"""


def slides(text: str) -> list[str]:
    """The slides' Markdown, without the header of the file."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return [each.strip() for each in re.split(r"^---$", body, flags=re.MULTILINE)]


def page(text: str, folder: Path) -> str:
    """The deck as one HTML page; pictures are looked for beside `folder`."""
    render = MarkdownIt("commonmark").enable("table").render
    found = slides(text)
    sections = [
        f'<section data-number="{number} / {len(found)}">{_with_pictures(render(each), folder)}</section>'
        for number, each in enumerate(found, 1)
    ]
    title = re.search(r"^title: (.*)$", text, re.MULTILINE)
    name = escape(title[1] if title else "Slides")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{name}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(sections) + f"\n<script>{SCRIPT}</script>\n</html>\n"
    )


def _with_pictures(html: str, folder: Path) -> str:
    """Each picture's SVG in place of the link to it; names inside it get the file's name, so that none occurs twice."""

    def inlined(found: re.Match[str]) -> str:
        file = folder / found[1]
        svg = re.sub(r"\A.*?(?=<svg)", "", file.read_text("utf-8"), flags=re.DOTALL)
        for name in set(re.findall(r'\bid="([^"]+)"', svg)):
            new = f"{file.stem}-{name}"
            svg = svg.replace(f'id="{name}"', f'id="{new}"').replace(f"#{name})", f"#{new})")
            svg = svg.replace(f'"#{name}"', f'"#{new}"')
        size = re.search(r'<svg[^>]*?width="([\d.]+)(?:pt|px)?"[^>]*?height="([\d.]+)(?:pt|px)?"', svg)
        if size and "viewBox" not in svg[: svg.index(">")]:
            svg = svg.replace("<svg", f'<svg viewBox="0 0 {size[1]} {size[2]}"', 1)
        return f'<figure role="img" aria-label="{found[2]}">{svg}</figure>'

    return re.sub(r'<p><img src="([^"]+)" alt="([^"]*)" ?/?></p>', inlined, html)


def table() -> str:
    """‖∂L/∂W‖ of the first and the last convolution of the four networks, at the largest depth, as Markdown."""
    from minires.studies.published import published

    study = published("gradient-flow")
    depth = max(study.settings["depths"])
    rows = [
        f"| {depth} layers, before the first step | ‖∂L/∂W‖ first convolution | last convolution |",
        "|---|---|---|",
    ]
    for config, name in CONFIGS.items():
        gradients = study.seeds(config, "start")[0][str(depth)]["gradients"]
        rows.append(f"| {name} | {_number(gradients[0])} | {_number(gradients[-1])} |")
    return "\n".join(rows)


def _number(value: float) -> str:
    """Two digits: 59, 0.77, 1.3·10¹³."""
    if 0.01 <= value < 1000:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def with_table(text: str) -> str:
    """A page with the table between its two comments."""
    begin, end = "<!-- begin: gradient-flow -->", "<!-- end: gradient-flow -->"
    return re.sub(f"{begin}.*?{end}", f"{begin}\n{table()}\n{end}", text, flags=re.DOTALL)


def smallest_block(path: Path) -> None:
    """tanh(x W) + x, with the norm of the gradient on each arrow."""
    import numpy as np

    import minires as mr
    from minires import functional as F

    rng = np.random.default_rng(0)
    x, w = (mr.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 3), (3, 3)))
    g = mr.tensor(rng.standard_normal((2, 3)))
    mr.draw_graph(F.tanh(x @ w) + x, names={"x": x, "W": w}, gradients=g).save(path)


def basic_block(path: Path) -> None:
    """A block of ResNet-18 in float64, where each operation is drawn by itself."""
    import numpy as np

    import minires as mr
    from minires.models.resnet import BasicBlock

    mr.manual_seed(0)
    block = BasicBlock(4, 4).to(dtype=np.float64)
    x, g = (mr.tensor(np.random.default_rng(k).standard_normal((2, 4, 8, 8)), requires_grad=k == 0) for k in (0, 1))
    mr.draw_graph(block(x), names={"x": x, **dict(block.named_parameters())}, gradients=g).save(path)


PICTURES: dict[str, Callable[[Path], None]] = {"smallest-block.svg": smallest_block, "basic-block.svg": basic_block}


def main() -> None:
    """Write the pictures if asked to, the tables, and the page."""
    parser = argparse.ArgumentParser(description="Render docs/teaching/slides.md.")
    parser.add_argument("--pictures", action="store_true", help="draw docs/teaching/figures anew")
    if parser.parse_args().pictures:
        for name, draw in PICTURES.items():
            draw(DECK.parent / "figures" / name)
    DECK.write_text(with_table(DECK.read_text("utf-8")), "utf-8")
    DECK.with_suffix(".html").write_text(page(DECK.read_text("utf-8"), DECK.parent), "utf-8")


if __name__ == "__main__":
    main()
