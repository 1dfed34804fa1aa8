"""ResNet-18 (He et al. 2015, table 1), one training step, on a library with PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def make_resnet(lib: Any, width: int, classes: int) -> Any:
    """Four stages of two blocks; a block that changes the size has a 1x1 convolution beside it."""
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
            self.beside = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.beside = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
            return F.relu(y + self.beside(x))

    layers = [nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = width
    for stage in range(4):
        outputs = width << stage
        layers += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def train_resnet(lib: Any, batch: int, width: int, size: int, classes: int = 10) -> Callable[[], Any]:
    """A step of SGD with momentum on images of size x size."""
    lib.manual_seed(0)
    model = make_resnet(lib, width, classes)
    optimizer = lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = lib.randn(batch, 3, size, size), lib.randint(0, classes, (batch,))

    def run() -> None:
        optimizer.zero_grad()
        lib.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return run
