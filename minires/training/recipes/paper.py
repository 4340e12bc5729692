"""The protocol of the paper for CIFAR-10 (He et al. 2015, section 4.2), for ResNet-20; --model takes another depth.

64,000 steps of 128 images at a rate of 0.1, divided by ten after 32,000 and 48,000: in whole epochs of 391 steps that
is 164, 82 and 123. Images are normalised by one mean and deviation for each colour, where the paper subtracts a mean
for each pixel. The paper held out 5,000 images to find this protocol; so does --hold-out 5000.
"""

SETTINGS = {
    "model": "resnet20",
    "data": "cifar10",
    "epochs": 164,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "multistep",
    "milestones": (82, 123),
    "flip": "random",
    "translate": 4,
}
