"""CBAM3D and the light student of REACT-KD."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...attention import class_evidence

POOLS = ("liver", "tumor", "shell")
POOLINGS = ("contrast", "regions", "global")
LARGEST_SIZE = 1024  # a student file that asks for more would exhaust the memory


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
        self.channels = channels
        self.channel = ChannelAttention3D(channels, reduction)
        self.spatial = SpatialAttention3D(kernel)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``features`` (B, C, D, H, W) -> attended features of the same shape, spatial attention (B, 1, D, H, W)."""
        weighted = self.channel(features) * features
        attention = self.spatial(weighted)
        return attention * weighted, attention


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalization that knows no batch: the same alone, in a batch, on one process or several, in training and use."""
    return nn.GroupNorm(math.gcd(channels, 4), channels)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions beside a 1x1x1 shortcut; the first one carries the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = group_norm(channels_out)
        self.second = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = group_norm(channels_out)
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.first_norm(self.first(features)).relu()
        return (self.second_norm(self.second(inner)) + self.shortcut(features)).relu()


class Stem(nn.Module):
    """The first, strided convolution of one sequence."""

    def __init__(self, channels: int, stride_kji: tuple[int, int, int]) -> None:
        super().__init__()
        kernel = tuple(s + 1 - s % 2 for s in stride_kji)  # odd, so that feature voxels sit on input voxels
        halves = tuple(k // 2 for k in kernel)
        self.conv = nn.Conv3d(1, channels, kernel, stride_kji, halves, bias=False)  # type: ignore[arg-type]
        self.norm = group_norm(channels)

    def forward(self, image: Tensor) -> Tensor:
        normalized: Tensor = self.norm(self.conv(image))
        return normalized.relu()


def projection(channels_in: int, channels_out: int) -> nn.Module:
    """A 1x1x1 convolution between widths that differ, nothing between equal ones."""
    return nn.Identity() if channels_in == channels_out else nn.Conv3d(channels_in, channels_out, 1, bias=False)


def _check_sizes(*sizes: int) -> None:
    if not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in sizes):
        raise ValueError(f"sizes of the network must be whole numbers from 1 to {LARGEST_SIZE}, got {sizes}.")


class StudentOutput(NamedTuple):
    """Logits (B, K), attended map (B, C, d, h, w), what the head sees (B, F), spatial attention (B, 1, d, h, w)."""

    logits: Tensor
    features: Tensor
    pooled: Tensor
    attention: Tensor


class GradeStudent(nn.Module):
    """Light student: a strided stem per sequence, residual blocks, CBAM3D, region-wise pooling, one linear layer.

    Design choices, against the published code (SegResNet decoder at full resolution, 25 M head): the feature map has
    the resolution the region graph needs and no more; R9 pools over liver, tumors and shells instead of everywhere, so
    that a correction of the regions changes the grade; the head is linear, so that evidence per voxel is exact; the
    stems of the sequences beside the first are added through gates that open from 0, so that a case which has one of
    them does not disturb what is learned from the first alone.

    ``pooling``: "regions" shows the head the means of liver, tumors and shells; "contrast" those of tumors and shells
    less that of the liver (``against_organ``; the default of the recipe, while student files that say nothing have
    "regions"); "global" is R9 with plain global average pooling, for comparison. ``attention_channels`` is the width
    of the CBAM3D that is shared with the teachers; 0 is that of the last block, else a 1x1x1 convolution leads there.
    """

    def __init__(
        self,
        classes: int,
        sequences: int = 1,
        stem_stride: tuple[int, int, int] = (2, 4, 4),
        channels: tuple[int, ...] = (16, 32, 64),
        strides: tuple[int, ...] = (1, 2),
        pooling: str = "regions",
        attention_channels: int = 0,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f'pooling must be one of {", ".join(POOLINGS)}, got "{pooling}".')
        _check_sizes(classes, sequences, *stem_stride, *channels, *strides, attention_channels + 1)
        if len(stem_stride) != 3:
            raise ValueError(f"the stride of the stem needs 3 numbers, got {stem_stride}.")
        if len(strides) != len(channels) - 1:
            raise ValueError(f"{len(channels)} channel numbers need {len(channels) - 1} strides, got {len(strides)}.")
        self.stride_kji = tuple(s * math.prod(strides) for s in stem_stride)
        self.pooling = pooling
        self.stems = nn.ModuleList([Stem(channels[0], stem_stride)])
        pairs = zip(channels[:-1], channels[1:], strides, strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, stride) for a, b, stride in pairs))
        width = attention_channels or channels[-1]
        self.project = projection(channels[-1], width)
        self.cbam = CBAM3D(width)
        self.head = nn.Linear(width * (1 if pooling == "global" else len(POOLS)), classes)
        # Drawn last: whatever the sequences, one seed gives the same first weights to what students share.
        self.stems.extend(Stem(channels[0], stem_stride) for _ in range(sequences - 1))
        self.gates = nn.Parameter(torch.zeros(sequences - 1)) if sequences > 1 else None

    def forward(self, image: Tensor, pools: Tensor, present: Tensor | None = None) -> StudentOutput:
        """``image`` (B, S, D, H, W), soft masks ``pools`` (B, 3, d, h, w) of liver, tumors, shells -> output.

        ``present`` (B, S) says which sequences a case has; None stands for all.
        """
        features, attention = self.features(image, present)
        pooled = self.pooled(features, pools)
        return StudentOutput(self.head(pooled), features, pooled, attention)

    def features(self, image: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``image`` (B, S, D, H, W) -> attended feature map (B, C, d, h, w), spatial attention (B, 1, d, h, w)."""
        attended: tuple[Tensor, Tensor] = self.cbam(self.project(self.blocks(self._first(image, present))))
        return attended

    def _first(self, image: Tensor, present: Tensor | None) -> Tensor:
        """The stem of the first sequence and, through their gates, those of the others present, (B, C, d, h, w)."""
        if self.gates is None:
            stem: Tensor = self.stems[0](image)
            return stem
        there = image.new_ones(image.shape[:2]) if present is None else present.to(image.dtype)  # (B, S)
        weights = there * torch.cat([self.gates.new_ones(1), self.gates])
        # In training every stem takes part, so that each parameter has a gradient in every process.
        shown = [one for one in range(len(self.stems)) if self.training or bool(there[:, one].any())]
        maps = [self.stems[s](image[:, s : s + 1]) * weights[:, s, None, None, None, None] for s in shown]
        return torch.stack(maps).sum(dim=0)

    def classify(self, features: Tensor, pools: Tensor) -> Tensor:
        """Feature map (B, C, d, h, w) and soft masks (B, 3, d, h, w) -> logits (B, K)."""
        logits: Tensor = self.head(self.pooled(features, pools))
        return logits

    def pooled(self, features: Tensor, pools: Tensor) -> Tensor:
        """Feature map (B, C, d, h, w) and soft masks (B, 3, d, h, w) -> what the head sees, (B, F)."""
        means = pool(features, self._pools_used(pools))
        return (against_organ(means, pools) if self.pooling == "contrast" else means).flatten(1)

    def evidence(self, features: Tensor, pools: Tensor) -> Tensor:
        """Share of each voxel in each logit of one case: features (C, d, h, w), pools (3, d, h, w) -> (K, d, h, w).

        With the bias of the head they add up to the logits. Under "contrast" a voxel of a tumor or a shell speaks by
        what it has more or less than the mean of the liver.
        """
        evidence = class_evidence(features, self._pools_used(pools[None])[0], self.head.weight)
        if self.pooling == "contrast":
            organ = pool(features[None], pools[None, :1])[0, 0]  # (C,)
            taken = self.head.weight.view(-1, len(POOLS), len(organ))[:, 1:] @ organ  # (K, 2)
            others = pools[1:].flatten(1)  # (2, V)
            share = others / others.sum(dim=1, keepdim=True).clamp(min=1e-6)
            evidence = evidence - (taken @ share).view_as(evidence)
        return evidence

    def _pools_used(self, pools: Tensor) -> Tensor:
        """The soft masks that the head pools over, (B, R, d, h, w): all three, or one that is everywhere."""
        return torch.ones_like(pools[:, :1]) if self.pooling == "global" else pools


def pool(features: Tensor, masks: Tensor) -> Tensor:
    """R10 in a batch: mean of ``features`` (B, C, d, h, w) over each soft mask (B, R, d, h, w) -> (B, R, C).

    An empty mask (no tumor) gives zeros: the head hears nothing from it.
    """
    weights = masks.flatten(2)  # (B, R, V)
    total = weights.sum(dim=2, keepdim=True).clamp(min=1e-6)  # (B, R, 1)
    return weights @ features.flatten(2).transpose(1, 2) / total


def against_organ(means: Tensor, pools: Tensor) -> Tensor:
    """Means (B, 3, C) over the organ, tumors and shells; those of tumors and shells become less that of the organ.

    What all cases have in common would hide what differs between them: the offset that the means share makes the
    first steps of a head learn nothing but that (design choice). An empty region stays 0. ``pools`` (B, 3, d, h, w).
    """
    return torch.cat([means[:, :1], (means[:, 1:] - means[:, :1]) * _there(pools)[:, 1:]], dim=1)


def _there(pools: Tensor) -> Tensor:
    """1 for each soft mask (B, R, d, h, w) that is not empty, 0 for the others, (B, R, 1)."""
    return (pools.flatten(2).sum(dim=2, keepdim=True) > 0).to(pools.dtype)
