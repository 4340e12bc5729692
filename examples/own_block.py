"""ResNet with a block of your own: here with squeeze and excitation (Hu et al. 2018), trained on handwritten digits.

    python examples/own_block.py

y = ReLU(s(F(x)) · F(x) + x): s pools F(x) over all pixels and weighs its channels. The rest (stem, stages, initial
values, classifier) is `models.ResNet`. `models.BlockClass` says what it asks of a block.
"""

import argparse

import minires as mr
from minires import data, models, nn, optim, training
from minires import functional as F
from minires.data.transforms import Normalize


class SqueezeAndExcitation(nn.Module):
    """x (N, C, H, W) -> x, each channel multiplied by a weight between 0 and 1 that depends on all of them."""

    def __init__(self, channels: int) -> None:
        hidden = channels // 4
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return x * self.weigh(x)


class SEBlock(nn.Module):
    """Two 3×3 convolutions, weighed, plus the shortcut."""

    expansion = 1  # output channels / width

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str) -> None:
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.excite = SqueezeAndExcitation(width)
        self.shortcut = models.make_shortcut(shortcut, inputs, width, stride) or nn.Identity()

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.excite(self.bn2(self.conv2(y))) + self.shortcut(x))


def main(arguments: list[str] | None = None) -> float:
    """Train, and return the accuracy on the test set in percent."""
    parser = argparse.ArgumentParser(description="Train a ResNet of squeeze-and-excitation blocks on digits.")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, help="use only so many of the training images")
    options = parser.parse_args(arguments)

    mr.manual_seed(0)
    normalize = Normalize.preset("digits")
    train_set = data.load("digits", train=True)
    train_set = train_set.subset(range(options.limit or len(train_set)))
    train = data.Loader(train_set, batch_size=64, transform=normalize, shuffle=True)
    test = data.Loader(data.load("digits", train=False), batch_size=128, transform=normalize)
    model = models.ResNet(SEBlock, (1, 1, 1), num_classes=10, in_channels=1, stem="cifar")
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    history = training.Trainer(model, optimizer, train, test, epochs=options.epochs).fit()
    accuracy = history[-1].validation_accuracy
    print(f"{accuracy:.1f} % of the test images right")
    return accuracy


if __name__ == "__main__":
    main()
