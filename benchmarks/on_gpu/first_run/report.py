"""`report.md`: what all steps have found so far, as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.on_gpu.first_run.supervise import DONE, Result
from benchmarks.on_gpu.report import Table, kernel_table, markdown, workload_table

MIB = 1 << 20


def report(results: Sequence[Result], rehearse: bool) -> str:
    """The whole text."""
    parts = ["# First run on a GPU"]
    if rehearse:
        parts.append("A rehearsal on the stand-in for CuPy and the simulator: its times mean nothing.")
    parts.append(markdown(Table("Steps", ("step", "seconds", "outcome"), [outcome(result) for result in results])))
    for result in results:
        parts += [f"## {result.step.title}", *section(result)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def outcome(result: Result) -> tuple[str, ...]:
    """A row of the first table."""
    said = result.state + (f": {result.reason}" if result.reason else "")
    return (result.step.title, f"{result.seconds:.1f}", said)


def section(result: Result) -> Iterator[str]:
    """The paragraphs and tables of a step, and where its output is."""
    if result.reason:
        yield f"{result.state}: {result.reason}"
    found = list(SECTIONS[result.step.name.partition("-")[0]](result))
    yield from found
    if result.state != DONE or not found:
        yield f"Output: `{result.step.name}.log`." if result.step.command else "Nothing was run."


# -- a function for each step ------------------------------------------------------------------------------------------


def versions(result: Result) -> Iterator[str]:
    """A line for each version."""
    for record in result.of("versions"):
        yield "\n".join(f"- {name}: {text}" for name, text in record.items() if name != "kind")


def memory(result: Result) -> Iterator[str]:
    """The free memory after each graph, and the verdict."""
    rows = [(str(r["graph"]), mebibytes(r["taken"]), mebibytes(r["free"])) for r in result.of("memory")]
    if rows:
        yield markdown(Table("Memory", ("graph", "it took", "free on the GPU after it was dropped"), rows))
    for record in result.of("verdict"):
        yield f"{'Good' if record['good'] else 'A LEAK'}: {record['text']}."


def compiling(result: Result) -> Iterator[str]:
    """What each kernel takes; a module that does not compile, with its error."""
    modules = sorted(result.of("module"), key=name_of_module)
    rows = [
        (name_of_module(module), kernel["name"], *(str(kernel[key]) for key in ("registers", "local", "shared")))
        for module in modules
        for kernel in module["kernels"]
    ]
    for record in result.of("compiled"):
        yield f"{record['modules']} modules in {record['seconds']:.1f} s by {record['processes']} processes."
    yield from (f"{name_of_module(module)}: {module['error']}" for module in modules if module["error"])
    if modules:
        slowest = max(modules, key=lambda module: module["seconds"])
        yield f"The slowest, {name_of_module(slowest)}, took {slowest['seconds']:.1f} s."
        head = ("module", "kernel", "registers", "local bytes", "shared bytes")
        yield markdown(Table("What a thread and a block take", head, rows))


def name_of_module(module: dict[str, Any]) -> str:
    """As "conv HALVES=2"."""
    return " ".join([module["source"], *(f"{name}={value}" for name, value in module["constants"].items())])


def tests(result: Result) -> Iterator[str]:
    """A row for each file, and a line for each test that failed."""
    files = sorted(result.of("file"), key=lambda record: record["file"])
    rows = [
        (r["file"], *(str(r[key]) for key in ("passed", "failed", "skipped")), f"{r['seconds']:.1f}", r["state"])
        for r in files
    ]
    if rows:
        passed, failed = (sum(record[key] for record in files) for key in ("passed", "failed"))
        yield f"{passed} tests passed, {failed} failed."
        yield markdown(Table("Files", ("file", "passed", "failed", "skipped", "seconds", ""), rows))
    for record in files:
        yield from (f"- `{name}`: {message}" for name, message in record["failures"])


def kernels(result: Result) -> Iterator[str]:
    """A row for each kernel."""
    for record in result.of("limits"):
        about = {key: record[key] for key in ("model", "batch", "size")}
        yield markdown(kernel_table({**about, "limits": record["limits"], "rows": result.of("row")}))


def workload(result: Result) -> Iterator[str]:
    """The comparison, if it came to its end, and all turns with the memory that was free after them."""
    yield from (record["text"] for record in result.of("note"))
    for record in result.of("summary"):
        yield markdown(workload_table(record))
    turns = result.of("turn")
    names = list(dict.fromkeys(turn["contender"] for turn in turns))
    rows = []
    for name in names:
        own = [turn for turn in turns if turn["contender"] == name]
        times = [turn["milliseconds"] for turn in own if turn["milliseconds"] is not None]
        median = f"{statistics.median(times):.3g}" if times else own[-1]["error"]
        rows.append((name, str(len(own)), median, ", ".join(mebibytes(turn["free"]) for turn in own)))
    if rows:
        yield markdown(Table("Turns", ("contender", "turns", "ms", "free on the GPU after each"), rows))


def sanitizer(result: Result) -> Iterator[str]:
    """The sources that ran under it."""
    rows = [(r["source"], str(r["calls"]), r["error"] or "right") for r in result.of("source")]
    if rows:
        yield markdown(Table("What ran", ("source", "calls", ""), rows))


def mebibytes(size: int) -> str:
    """With their unit."""
    return f"{size / MIB:,.0f} MiB"


SECTIONS = {
    "versions": versions,
    "memory": memory,
    "compile": compiling,
    "tests": tests,
    "kernels": kernels,
    "cifar": workload,
    "resnet18": workload,
    "sanitizer": sanitizer,
}
