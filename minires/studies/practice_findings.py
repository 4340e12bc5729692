"""The claims, figures and table of the study of practice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minires.studies import drawing
from minires.studies.form import Claim, Figure, Table
from minires.studies.results import NotMeasuredError, Results, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

USUAL = "usual"


def effect(results: Results, config: str) -> dict[str, float]:
    """By how many points a variant's test error is larger than the usual recipe's, and the spread over the seeds."""
    difference = results.mean(config, "test_error") - results.mean(USUAL, "test_error")
    return {"difference": difference, "spread": spread(results, (config, USUAL), "test_error")}


def views(results: Results) -> dict[str, float]:
    """The test error of one network by way of testing."""
    return dict(results.seeds(USUAL, "views")[0])


def ensemble(results: Results) -> dict[str, float]:
    """The first network, the mean of all, and their ensemble."""
    errors = results.series(USUAL, "errors", "ensemble")
    singles = results.values(USUAL, "test_error")[: len(errors)]
    return {"mean_of_one": sum(singles) / len(singles), "ensemble": errors[-1]}


def _crossing(results: Results) -> dict[str, float]:
    """Training and test errors with and without augmentation; training as it was seen in the last epoch."""
    found = {}
    for config in (USUAL, "augmented"):
        record = results.seeds(config)[0]["epochs"][-1]
        found[f"{config}_train"] = 100 - record["train_accuracy"]
        found[f"{config}_test"] = 100 - record["validation_accuracy"]
    return found


CLAIMS = (
    Claim(
        id="anneal",
        text="A schedule that ends with a small rate is better than a constant rate.",
        source="He et al. 2015, §4.2 (÷10 at 32k and 48k)",
        criterion="min(onecycle, step, cosine) < constant",
        ours=lambda results: {
            "onecycle": results.mean(USUAL, "test_error"),
            **{name: results.mean(name, "test_error") for name in ("step", "cosine", "constant")},
        },
        otherwise="On a small data set the noise of a constant rate may not matter before the end.",
    ),
    Claim(
        id="augmentation-crosses",
        text="With augmentation the training error is higher and the test error lower: the curves cross.",
        source="He et al. 2015, §4.2 (crops and flips)",
        criterion="augmented_train > usual_train and augmented_test < usual_test",
        ours=_crossing,
        otherwise="Digits of 8 pixels are centred already, so shifting them by one makes another problem; and few "
        "epochs do not overfit, so there is little to prevent.",
    ),
    Claim(
        id="weight-decay",
        text="Without weight decay the test error is higher.",
        source="He et al. 2015, §4.2 (weight decay 1e-4)",
        criterion="difference > 0",
        ours=lambda results: effect(results, "no-weight-decay"),
        otherwise="In a short training weight decay has hardly acted; the difference is within the spread.",
    ),
    Claim(
        id="flip",
        text="Averaging over the image and its mirror image lowers the test error.",
        source="He et al. 2015, §3.4 (10-crop testing)",
        criterion="flip < one",
        ours=views,
        otherwise="A mirrored digit is another sign: a view must keep the class. On photographs it does.",
    ),
    Claim(
        id="ten-crop",
        text="Ten crops lower the test error.",
        source="He et al. 2015, §3.4",
        criterion="ten_crop < one",
        ours=views,
        otherwise="Half of the ten crops are mirrored, and small images lose what is at their border.",
    ),
    Claim(
        id="multi-scale",
        text="Averaging over several sizes lowers the test error.",
        source="He et al. 2015, §3.4 (sizes 224 to 640)",
        criterion="multi_scale < one",
        ours=views,
        otherwise="The network was trained at one size, and a digit of six pixels is hardly one.",
    ),
    Claim(
        id="ensemble",
        text="An ensemble of five is better than one network on average.",
        source="He et al. 2015, Table 5",
        criterion="ensemble < mean_of_one",
        ours=ensemble,
        paper="ImageNet top-5: 4.49 % alone, 3.57 % for an ensemble of six on the test set",
        otherwise="With a few hundred test images one image more or less decides.",
        certain=True,
    ),
)
NAMES = ("step", "cosine", "constant", "no-weight-decay", "augmented")


def figures(results: Results) -> list[Figure]:
    """The effects; the curves with and without augmentation; the ensemble."""
    return [
        Figure(
            "effects",
            "By how much the test error changes, in points; to the left is better. Bars: spread over the seeds. "
            "Below: one trained network, tested on several views, and the ensemble against its members' mean.",
            lambda canvas: _effects(canvas, results),
            (9.2, 4.2),
        ),
        Figure(
            "curves",
            "Left: errors by epoch with and without augmentation, on the training images as they are seen (thin) and "
            "on the test images (thick). Right: the test error of ensembles by number of networks.",
            lambda canvas: _curves(canvas, results),
        ),
    ]


def _effects(canvas: Canvas, results: Results) -> None:
    axes = canvas.subplots()
    rows = []
    for name in NAMES:
        if name in results.configs():
            found = effect(results, name)
            rows.append((f"{name.replace('-', ' ')} instead of usual", found["difference"], found["spread"]))
    tested = views(results)
    rows += [
        (f"tested: {name.replace('_', ' ')}", tested[name] - tested["one"], 0.0) for name in tested if name != "one"
    ]
    joint = ensemble(results)
    rows.append(("ensemble of five", joint["ensemble"] - joint["mean_of_one"], 0.0))
    for number, (_, difference, deviation) in enumerate(rows):
        color, hatch = (drawing.COLORS[0], "") if difference <= 0 else (drawing.COLORS[1], "//")
        axes.barh(-number, difference, xerr=deviation or None, color=color, hatch=hatch, ec="white", capsize=3)
    axes.set_yticks([-i for i in range(len(rows))], [row[0] for row in rows])
    axes.axvline(0, color=drawing.INK, linewidth=0.8)
    axes.set_xlabel("change of the test error (points)")
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _curves(canvas: Canvas, results: Results) -> None:
    curves, joint = canvas.subplots(1, 2)
    for number, config in enumerate((USUAL, "augmented")):
        records = results.seeds(config)[0]["epochs"]
        where, style = range(1, len(records) + 1), drawing.series(number, marker=False)
        for part, width in (("train", 1.0), ("validation", 2.4)):
            errors = [100 - record[f"{part}_accuracy"] for record in records]
            label = f"{config}, {'training' if part == 'train' else 'test'}"
            curves.plot(where, errors, label=label, **{**style, "linewidth": width})
    errors = results.series(USUAL, "errors", "ensemble")
    joint.plot(range(1, len(errors) + 1), errors, **drawing.series(2))
    curves.set(xlabel="epoch", ylabel="error (%)", yscale="log")
    joint.set(xlabel="networks", ylabel="test error (%)")
    curves.legend()
    for axes in (curves, joint):
        drawing.grid(axes)
        drawing.whole_numbers(axes)


def table(results: Results) -> Table:
    """Training and test errors of each recipe."""
    if USUAL not in results.configs():
        raise NotMeasuredError(f"{USUAL} was not measured")
    rows = [
        (name.replace("-", " "), results.text(name, "train_error"), results.text(name, "test_error"))
        for name in results.configs()
    ]
    return Table(("recipe", "training error (%)", "test error (%)"), tuple(rows), "Mean and deviation over the seeds.")


TEACHER = (
    (
        "Why must one change a single thing at a time?",
        "Otherwise a gain has several possible causes. And a gain smaller than the spread over seeds has none: it "
        "would go away with another seed.",
    ),
    (
        "Why do curves cross with augmentation?",
        "The augmented images are harder, so the error on them is higher in training. But they are many more, so less "
        "of what is learnt is true of the training images alone.",
    ),
)
