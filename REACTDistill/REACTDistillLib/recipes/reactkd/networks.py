"""Networks of REACT-KD: CBAM3D and the light CT student."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

POOLS = ("liver", "tumor", "shell")


class ChannelAttention3D(nn.Module):
    """R5: M_c = sigmoid(W2 relu(W1 avg(F)) + W2 relu(W1 max(F))), shared weights, no bias (CBAM, Woo et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.shrink = nn.Conv3d(channels, hidden, 1, bias=False)
        self.grow = nn.Conv3d(hidden, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """``features`` (B, C, D, H, W) -> weights (B, C, 1, 1, 1) from 0 to 1."""
        average = features.mean(dim=(2, 3, 4), keepdim=True)
        highest = features.amax(dim=(2, 3, 4), keepdim=True)
        return torch.sigmoid(self.grow(self.shrink(average).relu()) + self.grow(self.shrink(highest).relu()))


class SpatialAttention3D(nn.Module):
    """R6: M_s = sigmoid(conv7([mean_c F'; max_c F'])), no bias."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """``features`` (B, C, D, H, W) -> weights (B, 1, D, H, W) from 0 to 1."""
        summary = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(summary))


class CBAM3D(nn.Module):
    """R7: CBAM(F) = M_s * (M_c * F), channel attention first."""

    def __init__(self, channels: int, reduction: int = 8, kernel: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention3D(channels, reduction)
        self.spatial = SpatialAttention3D(kernel)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``features`` (B, C, D, H, W) -> attended features of the same shape, spatial attention (B, 1, D, H, W)."""
        weighted = self.channel(features) * features
        attention = self.spatial(weighted)
        return attention * weighted, attention


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions beside a 1x1x1 shortcut; the first one carries the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm3d(channels_out)
        self.second = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm3d(channels_out)
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.first_norm(self.first(features)).relu()
        return (self.second_norm(self.second(inner)) + self.shortcut(features)).relu()


class StudentOutput(NamedTuple):
    """Logits (B, K), attended map (B, C, d, h, w), what the head sees (B, F), spatial attention (B, 1, d, h, w)."""

    logits: Tensor
    features: Tensor
    pooled: Tensor
    attention: Tensor


class GradeStudent(nn.Module):
    """Light CT student: strided stem, residual blocks, CBAM3D, region-wise pooling, one linear layer.

    Design choices, against the published code (SegResNet decoder at full resolution, 25 M head): the feature map has
    the resolution the region graph needs and no more; R9 pools over liver, tumors and shells instead of everywhere, so
    that a correction of the regions changes the grade; the head is linear, so that evidence per voxel is exact.
    ``pooling="global"`` gives R9 with plain global average pooling, for comparison.
    """

    def __init__(
        self,
        classes: int,
        stem_stride: tuple[int, int, int] = (2, 4, 4),
        channels: tuple[int, ...] = (16, 32, 64),
        strides: tuple[int, ...] = (1, 2),
        pooling: str = "regions",
    ) -> None:
        super().__init__()
        if pooling not in ("regions", "global"):
            raise ValueError(f'pooling must be "regions" or "global", got "{pooling}".')
        sizes = (classes, *stem_stride, *channels, *strides)
        if not all(type(size) is int and 1 <= size <= 256 for size in sizes) or len(stem_stride) != 3:
            raise ValueError(f"sizes of the network must be whole numbers from 1 to 256, got {sizes}.")
        if len(strides) != len(channels) - 1:
            raise ValueError(f"{len(channels)} channel numbers need {len(channels) - 1} strides, got {len(strides)}.")
        # Odd kernels, so that feature voxels sit on input voxels.
        depth, height, width = (s + 1 - s % 2 for s in stem_stride)
        self.stride_kji = tuple(s * math.prod(strides) for s in stem_stride)
        self.pooling = pooling
        halves = (depth // 2, height // 2, width // 2)
        self.stem = nn.Conv3d(1, channels[0], (depth, height, width), stem_stride, halves, bias=False)
        self.stem_norm = nn.BatchNorm3d(channels[0])
        pairs = zip(channels[:-1], channels[1:], strides, strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, stride) for a, b, stride in pairs))
        self.cbam = CBAM3D(channels[-1])
        self.head = nn.Linear(channels[-1] * (len(POOLS) if pooling == "regions" else 1), classes)

    def forward(self, image: Tensor, pools: Tensor) -> StudentOutput:
        """``image`` (B, 1, D, H, W) and soft masks ``pools`` (B, 3, d, h, w) of liver, tumors, shells -> output."""
        features, attention = self.features(image)
        pooled = self.pooled(features, pools)
        return StudentOutput(self.head(pooled), features, pooled, attention)

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``image`` (B, 1, D, H, W) -> attended feature map (B, C, d, h, w), spatial attention (B, 1, d, h, w)."""
        attended: tuple[Tensor, Tensor] = self.cbam(self.blocks(self.stem_norm(self.stem(image)).relu()))
        return attended

    def classify(self, features: Tensor, pools: Tensor) -> Tensor:
        """Feature map (B, C, d, h, w) and soft masks (B, 3, d, h, w) -> logits (B, K)."""
        logits: Tensor = self.head(self.pooled(features, pools))
        return logits

    def pooled(self, features: Tensor, pools: Tensor) -> Tensor:
        """Feature map (B, C, d, h, w) and soft masks (B, 3, d, h, w) -> what the head sees, (B, F)."""
        return pool(features, self.pools_used(pools)).flatten(1)

    def pools_used(self, pools: Tensor) -> Tensor:
        """The soft masks that the head pools over, (B, R, d, h, w): all three, or one that is everywhere."""
        return pools if self.pooling == "regions" else torch.ones_like(pools[:, :1])


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """R10 in a batch: mean of ``features`` (B, C, d, h, w) over each soft mask (B, R, d, h, w) -> (B, R, C).

    An empty mask (no tumor) gives zeros: the head hears nothing from it.
    """
    weights = masks.flatten(2)  # (B, R, V)
    total = weights.sum(dim=2, keepdim=True).clamp(min=1e-6)  # (B, R, 1)
    return weights @ features.flatten(2).transpose(1, 2) / total
