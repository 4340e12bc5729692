"""The results as tables: for a terminal, and in Markdown for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console


class Table(NamedTuple):
    """A table whose cells are texts, as they are shown."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


NUMBERS = 1  # the cells from this column on are numbers, aligned to the right


def heading(versions: Mapping[str, str], notes: Sequence[str]) -> Iterator[str]:
    """The lines above the tables."""
    yield from (f"{name}: {text}" for name, text in versions.items())
    yield from notes


def workload_table(found: Mapping[str, Any]) -> Table:
    """The table of a workload: a row for each contender, in their order."""
    head = ("contender", "ms (lowest … highest)", "images/s", "differs by", "torch eager / it (lowest … highest)")
    title = f"{found['title']}, batch {found['batch']}, {found['size']}×{found['size']}"
    return Table(title, head, [contender_row(row) for row in found["rows"]])


def contender_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The row of a contender; where it failed, with the reason."""
    if row["error"] is not None:
        return (row["contender"], row["error"], "", "", "")
    if row["milliseconds"] is None:
        return (row["contender"], "nothing to compare it with", "", "", "")
    ratio = "" if row["ratio"] is None else spread(row["ratio"])
    speed = f"{row['images_per_second']:,.0f}"
    return (row["contender"], spread(row["milliseconds"]), speed, f"{row['difference']:.0e}", ratio)


def spread(of: Mapping[str, float]) -> str:
    """The median with the lowest and the highest, as in "2.00 (1.90 … 2.10)"."""
    return f"{of['median']:.3g} ({of['lowest']:.3g} … {of['highest']:.3g})"


def target_table(workloads: Sequence[Mapping[str, Any]]) -> Table:
    """The table of targets and of the ratios that were reached."""
    head = ("workload, MiniRes against torch eager, channels-last, same precision", "ratio", "at least", "aim", "")
    rows = []
    for workload in workloads:
        for target in workload["targets"]:
            verdict = {True: "reached", False: "missed", None: "not measured"}[target["pass"]]
            ratio = "" if target["ratio"] is None else f"{target['ratio']:.2f}"
            what = f"{workload['title']}, batch {workload['batch']}, {target['precision']}, {target['mode']}"
            rows.append((what, ratio, f"{target['least']:g}", f"{target['aim']:g}", verdict))
    return Table("Targets", head, rows)


def kernel_table(found: Mapping[str, Any]) -> Table:
    """The table of kernels: each on each shape, beside what the GPU allows."""
    limits = found["limits"]
    rates = "; ".join(
        f"product in {precision}: {' and '.join(each)}" for precision, each in product_rates(limits).items()
    )
    title = f"Kernels of a training step of {found['model']}, batch {found['batch']} "
    title += f"(copy {limits['bandwidth'] / 1e9:,.0f} GB/s; {rates})"
    head = ("kernel", "shape", "×", "precision", "ms", "TFLOP/s", "GB/s", "bound by", "of the roofline")
    return Table(title, head, [kernel_row(row) for row in found["rows"]])


def product_rates(limits: Mapping[str, Any]) -> dict[str, list[str]]:
    """{precision: ["1.0 TFLOP/s ours", "1.1 cuBLAS"]}."""
    rates = {precision: [f"{rate / 1e12:.1f} TFLOP/s ours"] for precision, rate in limits["ours"].items()}
    for precision, rate in limits["cublas"].items():
        rates[precision].append(f"{rate / 1e12:.1f} cuBLAS")
    return rates


def kernel_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The row of one kernel on one shape in one precision."""
    start = (row["name"], row["shape"], str(row["count"]), row["precision"])
    if row["error"] is not None:
        return (*start, row["error"], "", "", "", "")
    seconds = row["milliseconds"] / 1e3
    flops = f"{row['operations'] / seconds / 1e12:.2f}" if row["operations"] else ""
    moved = f"{row['moved'] / seconds / 1e9:,.0f}"
    return (*start, f"{row['milliseconds']:.3f}", flops, moved, row["bound"], f"{100 * row['share']:.0f} %")


def show(table: Table, console: Console) -> None:
    """Prints the table on a terminal."""
    from rich.table import Table as RichTable  # the first run on a GPU has no need of it

    drawn = RichTable(title=table.title, title_justify="left")
    for number, name in enumerate(table.head):
        drawn.add_column(name, justify="right" if number >= NUMBERS else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn, markup=False)


def markdown(table: Table) -> str:
    """The table in Markdown; a bar in a cell becomes a slash, since it would begin another cell."""
    align = ["---" if number < NUMBERS else "---:" for number in range(len(table.head))]
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (table.head, align, *table.rows)]
    return "\n".join([f"**{table.title}**", "", *lines, ""])
