"""A GAN with two optimisers in a loop of your own, which can be stopped and resumed to the same bits.

    python examples/gan.py
    python examples/gan.py --epochs 20 --checkpoint gan.safetensors      then the same with --epochs 40 goes on

The generator learns to put points on a circle of radius 1. Both networks play by the least-squares losses of Mao et al.
2017: the discriminator wants 1 for real points and 0 for made ones, the generator wants 1 for what it makes.
"""

import argparse
from pathlib import Path

import numpy as np

import minires as mr
from minires import data, nn, optim, training
from minires import functional as F

NOISE, BATCH = 4, 64


def circle(count: int) -> np.ndarray:
    """Points (count, 2) at random angles, at distances of 1 ± 0.02."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, count), 1 + 0.02 * rng.standard_normal(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def main(arguments: list[str] | None = None) -> np.ndarray:
    """Train, and return 500 points (500, 2) that the generator makes."""
    parser = argparse.ArgumentParser(description="Learn to draw a circle.")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--points", type=int, default=1024, help="how many real points there are")
    parser.add_argument("--checkpoint", type=Path, help="save after each epoch; continue from it if it exists")
    options = parser.parse_args(arguments)

    mr.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(NOISE, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 2)
    )
    discriminator = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    for_generator = optim.Adam(generator.parameters(), lr=0.001, betas=(0.5, 0.999))
    for_discriminator = optim.Adam(discriminator.parameters(), lr=0.002, betas=(0.5, 0.999))
    loader = data.Loader(data.TensorDataset(circle(options.points)), BATCH, shuffle=True, drop_last=True)
    real, made = mr.ones(BATCH, 1), mr.zeros(BATCH, 1)

    # Everything that the next epoch depends on: both networks, both optimisers, the random numbers, the epoch.
    networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    optimizers, start = [for_generator, for_discriminator], 0
    if options.checkpoint is not None and options.checkpoint.exists():
        saved = training.load_checkpoint(options.checkpoint)
        saved.load_into(networks, optimizers)
        start = saved.epoch

    for epoch in range(start, options.epochs):
        for (points,) in loader.epoch(epoch):
            fake = generator(mr.randn(BATCH, NOISE))

            for_discriminator.zero_grad()  # also clears what the generator's loss left there
            says = discriminator(mr.tensor(points)), discriminator(fake.detach())
            judged = F.mse_loss(says[0], real) + F.mse_loss(says[1], made)
            judged.backward()
            for_discriminator.step()

            for_generator.zero_grad()
            fooled = F.mse_loss(discriminator(fake), real)
            fooled.backward()
            for_generator.step()
        if options.checkpoint is not None:
            training.Checkpoint.of(networks, optimizers, epoch=epoch + 1).save(options.checkpoint)
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}: discriminator {judged.item():.3f}, generator {fooled.item():.3f}", flush=True)

    with mr.no_grad():
        points = generator(mr.randn(500, NOISE)).numpy()
    radius = np.hypot(*points.T)
    print(f"500 points at distances of {radius.mean():.2f} ± {radius.std():.2f} from the centre (real: 1.00 ± 0.02)")
    return points


if __name__ == "__main__":
    main()
