"""Train a small residual network on the digits that come with MiniRes, and measure it on digits it has not seen.

    python examples/train_digits.py                                  more than 97 %, half a minute
    python examples/train_digits.py --epochs 1 --limit 200           a quick look
    python examples/train_digits.py --out runs/digits                also keeps checkpoints and training curves

A run with --out that was stopped (Ctrl-C) goes on where it was with --resume.
"""

import argparse

import minires as mr
from minires import data, models, optim, training
from minires.data.transforms import Normalize


def main(arguments: list[str] | None = None) -> float:
    """Train, print the accuracy on the test set, and return it in percent."""
    parser = argparse.ArgumentParser(description="Train a small residual network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use only so many of the training images")
    parser.add_argument("--out", help="folder for checkpoints and curves")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    options = parser.parse_args(arguments)

    # 1,438 grey images of 8×8 pixels to train on, 359 to test.
    train_set, test_set = data.load("digits", train=True), data.load("digits", train=False)
    if options.limit is not None:
        train_set = train_set.subset(range(options.limit))
    normalize = Normalize.preset("digits")
    train = data.Loader(train_set, batch_size=64, transform=normalize, shuffle=True)
    test = data.Loader(test_set, batch_size=128, transform=normalize)

    # Depth 8: a stem, three stages of one residual block each, and a classifier.
    mr.manual_seed(0)
    model = models.build("resnet8", num_classes=10, in_channels=1)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = optim.Cosine(optimizer, total=options.epochs * len(train))

    # `Trainer` is this loop, with progress, validation and checkpoints:
    #     loss = F.cross_entropy(model(images), labels);  optimizer.zero_grad();  loss.backward();  optimizer.step()
    trainer = training.Trainer(
        model, optimizer, train, test, epochs=options.epochs, schedule=schedule, out=options.out,
        metadata={"model": "resnet8", "classes": list(train_set.classes)},
    )  # fmt: skip
    trainer.fit(resume=options.resume)

    result = training.evaluate(model, test)
    print(f"{result.correct} of {result.n} test images right: {result.top1:.1f} %")
    return result.top1


if __name__ == "__main__":
    main()
