"""ResNet-18 on photographs, step by step: weights, preprocessing, network, probabilities.

    python examples/classify_photo.py resnet18-f37072fd.pth dog.jpg

The checkpoint is torchvision's (https://download.pytorch.org/models/resnet18-f37072fd.pth), or any other file with the
same parameter names. `minires predict` is the same as a command.
"""

import argparse

import numpy as np

import minires as mr
from minires import data, inference, models, weights
from minires import functional as F
from minires.data.transforms import CenterCrop, Compose, Normalize, Resize


def main(arguments: list[str] | None = None) -> list[list[tuple[str, float]]]:
    """Print the five likeliest classes of each photograph; returns them as (name, probability)."""
    parser = argparse.ArgumentParser(description="Classify photographs with ResNet-18.")
    parser.add_argument("checkpoint", help="a .pth, .safetensors or .npz file with ResNet-18's weights")
    parser.add_argument("photos", nargs="+")
    options = parser.parse_args(arguments)

    # The file is data: whatever else a pickle could do is refused.
    model = models.resnet18()
    model.load_state_dict(weights.load(options.checkpoint))
    model.eval()  # batch norm by its running statistics

    # As in training: the short side scaled to 256 pixels, the middle 224×224, mean 0 and deviation 1 in each channel.
    prepare = Compose([Resize(256), CenterCrop(224), Normalize.preset("imagenet")])
    images = np.stack([prepare(data.open_image(path)) for path in options.photos])  # float32 (N, 3, 224, 224)

    # Ready to run: batch norms folded into the convolutions, weights packed, buffers planned. `model` gives the same.
    network = inference.compile(model, images)
    probabilities = F.softmax(mr.tensor(network(images)), 1).numpy()  # (N, 1000)

    names, found = data.imagenet_classes(), []
    for path, row in zip(options.photos, probabilities, strict=True):
        likeliest = np.argsort(-row)[:5]
        found.append([(names[index], float(row[index])) for index in likeliest])
        print(path)
        for name, probability in found[-1]:
            print(f"  {probability:6.1%}  {name}")
    return found


if __name__ == "__main__":
    main()
