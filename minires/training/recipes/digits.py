"""The network of `minires demo` on the handwritten digits that MiniRes brings along: half a minute.

The settings are those of the demo, which trains the same network and a twin without shortcuts.
"""

SETTINGS = {
    "model": "resnet32",
    "data": "digits",
    "epochs": 8,
    "batch_size": 32,
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-3,
    "schedule": "onecycle",
    "label_smoothing": 0.1,
}
