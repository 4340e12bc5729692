"""ResNet-32 on CIFAR-10 in a quarter of the paper's epochs.

As resnet20-fast, for a network with more layers; it has not been tuned by itself.
"""

from minires.training.recipes.resnet20_fast import SETTINGS as RESNET20

SETTINGS = {**RESNET20, "model": "resnet32", "epochs": 45}
