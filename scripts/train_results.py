"""Train a recipe with several seeds, and write what came out into docs/results/ and docs/results.md.

    python scripts/train_results.py resnet20-fast --seeds 0,1,2 --runs ../runs
    python scripts/train_results.py resnet20-fast --runs ../runs --ship      # and bring seed 0's weights along
    python scripts/train_results.py --page                                   # write docs/results.md alone

A run that was interrupted is resumed: give the same command again. The runs are kept in folders of --runs, outside the
repository. No number is typed in: docs/results/NAME.json is computed from the logs, and the page from these files.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import minires
from minires import data, models, weights
from minires.data.download import data_root
from minires.inference import classifier
from minires.training import TrainSettings, checkpoint_metadata, recipes, run
from minires.training.checkpoint import METADATA
from minires.weights.safetensors_file import write

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "results.md"
SHIPPED = ROOT / "minires" / "models" / "weights"
NOT_EXACT = "test_not_exact.npy"  # beside the test images: indices of those that are not the published ones

# He et al. 2015, Table 6: layers -> (millions of parameters, test error in percent).
PAPER = {20: (0.27, 8.75), 32: (0.46, 7.51), 44: (0.66, 7.17), 56: (0.85, 6.97), 110: (1.7, 6.43), 1202: (19.4, 7.93)}


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=recipes.NAMES, help="the recipe")
    parser.add_argument("--seeds", default="0", help="seeds, as in 0,1,2")
    parser.add_argument("--runs", type=Path, help="the folder for the runs, outside the repository")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--warmup-epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--workers", type=int, default=1, help="threads that prepare images")
    parser.add_argument(
        "--ship", action="store_true", help="write the first seed's weights into minires/models/weights"
    )
    parser.add_argument("--page", action="store_true", help="write docs/results.md alone")
    asked = parser.parse_args()
    if not asked.page:
        if asked.name is None or asked.runs is None:
            parser.error("name a recipe and --runs FOLDER, or --page")
        changed = {key: getattr(asked, key) for key in ("epochs", "warmup_epochs") if getattr(asked, key) is not None}
        produce(asked.name, [int(seed) for seed in asked.seeds.split(",")], asked.runs, changed, asked.workers)
        if asked.ship:
            ship(asked.name, asked.runs / f"{asked.name}-seed{asked.seeds.split(',')[0]}")
    PAGE.write_text(page(), "utf-8")


def produce(name: str, seeds: Sequence[int], runs: Path, changed: dict[str, Any], workers: int) -> None:
    """Train the recipe with each seed, and write docs/results/NAME.json, with a log and curves for each."""
    settings = TrainSettings(**{**recipes.load(name).settings, **changed})
    found = [trained(replace(settings, seed=seed), runs / f"{name}-seed{seed}", workers) for seed in seeds]
    RESULTS.mkdir(exist_ok=True)
    for seed in seeds:
        for file, suffix in (("log.jsonl", "jsonl"), ("curves.png", "png")):
            shutil.copyfile(runs / f"{name}-seed{seed}" / file, RESULTS / f"{name}-seed{seed}.{suffix}")
    right = [result["right_percent"] for result in found]
    summary = {
        "recipe": name,
        "recipe_epochs": recipes.load(name).settings["epochs"],
        "settings": {key: value for key, value in settings.to_dict().items() if key != "seed"},
        "mean": statistics.mean(right),
        "sd": statistics.stdev(right) if len(right) > 1 else None,
        "minutes": statistics.mean(result["minutes"] for result in found),
        "seeds": found,
        "minires": minires.__version__,
        "machine": f"{platform.machine()}, {platform.system()}",
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")


def trained(settings: TrainSettings, folder: Path, workers: int) -> dict[str, Any]:
    """Train to the end, or go on where an earlier call was stopped, and measure the last epoch on the test images."""
    resume = (folder / "last.safetensors").is_file()
    history = run.train(settings, models.build, out=folder, resume=resume, workers=workers)
    network = classifier.load(None, folder / "last.safetensors")
    tests = exact_tests(settings.data)
    plain, both = network.evaluate(tests), network.evaluate(tests, flip_tta=True)
    return {
        "seed": settings.seed,
        "epochs": len(history),
        "test_images": plain.n,
        "right": plain.correct,
        "right_percent": plain.top1,
        "flip_tta_right_percent": both.top1,
        "minutes": sum(record.seconds for record in history) / 60,
    }


def exact_tests(name: str) -> Any:
    """The test images, without those that a list beside them calls inexact (in a copy of the data that has such)."""
    tests, listed = data.load(name, train=False), data_root() / "cifar-10-batches-bin" / NOT_EXACT
    if name != "cifar10" or not listed.is_file():
        return tests
    return tests.subset(np.setdiff1d(np.arange(len(tests)), np.load(listed)))


def ship(name: str, folder: Path) -> None:
    """Write the weights of the run in `folder` to minires/models/weights: matrices as float16, vectors as float32.

    The number of test images that come out right must not change by more than one in 5,000.
    """
    source, settings = folder / "last.safetensors", recipes.load(name).settings
    arrays = {key: np.asarray(array) for key, array in weights.load(source).items()}
    halved = {key: a.astype(np.float16) if a.ndim > 1 else a for key, a in arrays.items()}
    facts = {**checkpoint_metadata(source), "result": json.loads((RESULTS / f"{name}.json").read_text("utf-8"))}
    target = SHIPPED / f"{settings['model']}-{settings['data']}.safetensors"
    SHIPPED.mkdir(exist_ok=True)
    write(target, halved, {METADATA: json.dumps({"metadata": facts})})
    tests = exact_tests(settings["data"])
    before, after = (classifier.load(None, file).evaluate(tests) for file in (source, target))
    if abs(before.correct - after.correct) > max(1, len(tests) // 5000):
        target.unlink()
        raise SystemExit(f"float16 changes {before.correct} right to {after.correct}: nothing was shipped")
    print(f"{target}: {after.correct} of {after.n} right, {before.correct} before rounding")  # noqa: T201


# -- the page ---------------------------------------------------------------------------------------------------------


def page() -> str:
    """docs/results.md, from docs/results/*.json."""
    found = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob("*.json"))}
    return "\n".join([_INTRODUCTION, *paper_table(found), _RECIPES, *recipe_table(found), _HOW, *logs(found), ""])


_INTRODUCTION = """# Results

What networks trained with MiniRes reach, from logs that are in this repository. `scripts/train_results.py` writes this
page; no number is typed by hand. An accuracy is that of the last epoch, on the test images, which nothing is chosen on:
recipes are tuned on training images that are held out. After each epoch the test images are measured for the curves
alone.

## The paper's Table 6, and ours

CIFAR-10, test error in percent; ours as mean ± standard deviation over seeds, a row for each recipe that was run.

| network | parameters | paper | ours | seeds | epochs | minutes a run |
|---|---|---|---|---|---|---|"""

_RECIPES = """
## The recipes

Right test images in percent. A run may have fewer epochs than its recipe: then it is a first figure, and the recipe's
own is still to come. With flips means that the logits of each image and of its mirror image are averaged, which is
another quantity than the one in the table above, and is never mixed with it. Of CIFAR-10's 10,000 test images a copy of
the data may have some that are not the published ones: they do not count.

| recipe | network | data | epochs, of the recipe's | right | with flips | seeds | test images |
|---|---|---|---|---|---|---|---|"""

_HOW = """
## To run them

    minires train --recipe resnet20-fast --out runs/resnet20                     # one run
    python scripts/train_results.py resnet20-fast --seeds 0,1,2 --runs ../runs   # and into this page

Run folders stay outside the repository; a run that was interrupted goes on by the same command. Minutes are those of
the machine that trained, while it did other work too.

## Logs and curves
"""


def paper_table(found: dict[str, Any]) -> list[str]:
    """A row for each depth of the paper."""
    rows = []
    for depth, (millions, error) in PAPER.items():
        results = [r for r in found.values() if r["settings"]["model"] == f"resnet{depth}" and _is_cifar(r)]
        ours = [_our_cells(result) for result in results] or ["not run yet | | | |"]
        rows += [f"| ResNet-{depth} | {millions} M | {error:.2f} | {cells}" for cells in ours]
    return rows


def _our_cells(result: dict[str, Any]) -> str:
    spread = "" if result["sd"] is None else f" ± {result['sd']:.2f}"
    seeds = result["seeds"]
    error = f"{100 - result['mean']:.2f}{spread} (`{result['recipe']}`)"
    return f"{error} | {len(seeds)} | {seeds[0]['epochs']} | {result['minutes']:.0f} |"


def recipe_table(found: dict[str, Any]) -> list[str]:
    """A row for each recipe."""
    rows = []
    for name in recipes.NAMES:
        settings, result = recipes.load(name).settings, found.get(name)
        first = f"| `{name}` | {settings['model']} | {settings['data']} |"
        if result is None:
            rows.append(f"{first} 0 of {settings['epochs']} | not run yet | | | |")
            continue
        seeds = result["seeds"]
        spread = "" if result["sd"] is None else f" ± {result['sd']:.2f}"
        flips = statistics.mean(seed["flip_tta_right_percent"] for seed in seeds) if _is_cifar(result) else None
        rows.append(
            f"{first} {seeds[0]['epochs']} of {settings['epochs']} | {result['mean']:.2f}{spread} | "
            f"{'digits are not mirrored' if flips is None else f'{flips:.2f}'} | {len(seeds)} | "
            f"{seeds[0]['test_images']:,} |"
        )
    return rows


def logs(found: dict[str, Any]) -> list[str]:
    """A line for each run."""
    lines = []
    for name, result in found.items():
        for seed in result["seeds"]:
            stem = f"results/{name}-seed{seed['seed']}"
            lines.append(
                f"- `{name}`, seed {seed['seed']}: {seed['right']:,} of {seed['test_images']:,} right after "
                f"{seed['epochs']} epochs, {seed['minutes']:.1f} minutes; [log]({stem}.jsonl), [curves]({stem}.png), "
                f"[settings](results/{name}.json)"
            )
    return lines or ["None yet."]


def _is_cifar(result: dict[str, Any]) -> bool:
    return result["settings"]["data"] == "cifar10"


if __name__ == "__main__":
    main()
