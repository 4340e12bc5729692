"""ResNet-20 on CIFAR-10 in a quarter of the paper's epochs, meant for an hour on two cores.

The rate rises for a tenth of the run and falls to 0 along a line, so no epoch is spent at a rate that is only right for
a while. Nesterov's momentum and a decay of 5e-4 that spares batch norm and biases are usual for it. Two successive
epochs show each image from both sides. These values are usual ones, hardly tuned yet: a run of two epochs with 5,000
images held out showed that they train.
"""

SETTINGS = {
    "model": "resnet20",
    "data": "cifar10",
    "epochs": 40,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.2,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "decay_norms": False,
    "schedule": "linear",
    "warmup_epochs": 2.0,
    "flip": "alternating",
    "translate": 4,
    "padding": "reflect",
}
