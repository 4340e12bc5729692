"""A pre-activation ResNet with stochastic depth, after Huang et al. (2016): a block is left out with probability p."""

import random

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class PreActBlock(nn.Module):
    def __init__(self, in_planes, planes, stride, survival_prob):
        super().__init__()
        self.survival_prob = survival_prob
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=1, padding=1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False)

    def forward(self, x):
        identity = self.shortcut(x) if hasattr(self, "shortcut") else x
        if self.training and random.random() >= self.survival_prob:
            return identity
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        if not self.training:
            out = out * self.survival_prob
        return identity + out


class StochasticDepthResNet(nn.Module):
    def __init__(self, num_blocks=(2, 2), num_classes=10, final_prob=0.5):
        super().__init__()
        self.in_planes = 8
        self.num_layers = sum(num_blocks)
        self.layer_idx = 0
        self.final_prob = final_prob
        self.register_buffer("mean", torch.tensor([0.49, 0.48, 0.45]).view(1, 3, 1, 1))
        self.scale = nn.Parameter(torch.ones(1))
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, padding=1, bias=False)
        self.layers = nn.ModuleList([self._make_layer(8, num_blocks[0], 1), self._make_layer(16, num_blocks[1], 2)])
        self.bn = nn.BatchNorm2d(16)
        self.linear = nn.Linear(16, num_classes)
        nn.init.xavier_uniform_(self.linear.weight, gain=nn.init.calculate_gain("relu"))

    def _make_layer(self, planes, num_blocks, stride):
        layers = []
        for s in [stride] + [1] * (num_blocks - 1):
            self.layer_idx += 1
            survival = 1 - self.layer_idx / self.num_layers * (1 - self.final_prob)
            layers.append(PreActBlock(self.in_planes, planes, s, survival))
            self.in_planes = planes
        return nn.Sequential(*layers)

    def forward(self, x):
        out = self.conv1((x - self.mean) * self.scale)
        for layer in self.layers:
            out = layer(out)
        out = F.relu(self.bn(out))
        out = out.mean(dim=(-2, -1))
        return self.linear(out)


def build():
    return StochasticDepthResNet()


def fit(model, images, labels, epochs):
    random.seed(7)
    loader = DataLoader(TensorDataset(images, labels), batch_size=4, shuffle=False)
    ema = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, steps_per_epoch=len(loader), epochs=epochs)
    losses = []
    model.train()
    for epoch in range(epochs):
        running_loss = 0.0
        for data, target in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), target, reduction="sum") / data.shape[0]
            loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss += loss.item() * data.size(0)
            with torch.no_grad():
                for average, p in zip(ema, model.parameters()):
                    average.mul_(0.9).add_(p, alpha=0.1)
        losses.append(running_loss / len(loader.dataset))
    losses += [average.norm().item() for average in ema]
    return losses
