"""The network of CCSD: shared and specific encoders, a composition for any subset of sequences, one decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

LARGEST_SIZE = 1024  # a student file that asks for more would exhaust the memory

Size = tuple[int, int, int]
_Maps = list[Tensor | None]


class Encoded(NamedTuple):
    """What the encoders say of B cases, computed once whatever the number of subsets that are decoded.

    ``shared`` and ``composed``: for each level, finest first, the maps a_m of C1 and f_m of C2 of every sequence
    (M of (B, C, d, h, w); None for a sequence that no case has). ``specific`` (B, M, C): the deepest b_m of C1, its
    mean over voxels, 0 where absent. ``present`` (B, M).
    """

    shared: list[_Maps]
    composed: list[_Maps]
    specific: Tensor
    present: Tensor


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalization that knows no batch, and no other sequence: maps are the same alone and together."""
    return nn.GroupNorm(math.gcd(channels, 4), channels)


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int, kernel: Size) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(channels, channels, kernel), group_norm(channels)
        self.second, self.second_norm = _convolution(channels, channels, kernel), group_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.first_norm(self.first(features)).relu()
        return (self.second_norm(self.second(inner)) + features).relu()


class Encoder(nn.Module):
    """Maps of one sequence at every level, finest first.

    The stem is one strided convolution; each further level halves the resolution by a convolution whose kernel is its
    stride, then has a residual block. Windows of even size lie symmetric about the voxels they make, so all levels
    share one field of view.
    """

    def __init__(self, channels: Sequence[int], kernel: Size, stem_stride: Size, level_stride: Size) -> None:
        super().__init__()
        window = tuple(stride + size - 1 for stride, size in zip(stem_stride, kernel, strict=True))
        halves = tuple(size // 2 for size in kernel)
        self.stem = nn.Conv3d(1, channels[0], window, stem_stride, halves, bias=False)  # type: ignore[arg-type]
        self.stem_norm = group_norm(channels[0])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(nn.Conv3d(a, b, level_stride, level_stride) for a, b in pairs)
        self.blocks = nn.ModuleList(ResidualBlock(b, kernel) for _, b in pairs)

    def forward(self, image: Tensor) -> list[Tensor]:
        """``image`` (B, 1, D, H, W) -> L maps (B, C, d, h, w)."""
        maps = [self.stem_norm(self.stem(image)).relu()]
        for down, block in zip(self.down, self.blocks, strict=True):
            maps.append(block(down(maps[-1])))
        return maps


class Decoder(nn.Module):
    """Fused maps of all levels -> logits at the resolution of the image; fine maps are added on the way up."""

    def __init__(self, regions: int, channels: Sequence[int], kernel: Size, stem_stride: Size, level_stride: Size):
        super().__init__()
        pairs = list(zip(channels[1:], channels[:-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose3d(a, b, level_stride, level_stride) for a, b in pairs)
        self.blocks = nn.ModuleList(ResidualBlock(b, kernel) for _, b in pairs)
        self.head = nn.ConvTranspose3d(channels[0], regions, stem_stride, stem_stride)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """L ``maps`` (B, C, d, h, w), finest first -> logits (B, R, D, H, W)."""
        features = maps[-1]
        for level in range(len(maps) - 2, -1, -1):
            features = self.blocks[level](maps[level] + self.up[level](features))
        logits: Tensor = self.head(features)
        return logits


class CompositionalNet(nn.Module):
    """One shared encoder, one specific encoder per sequence, C1 to C3 at every level, and a decoder.

    Design choices, against the backbone the paper builds on (ShaSpec: 188 M parameters, skips from features of zeros):
    the slot of a missing sequence is filled with the mean shared features of the present ones at EVERY level, so
    nothing of a zero image reaches the decoder; the composition C2 is one convolution per level for all sequences; the
    finest level is a strided stem, and the head is a transposed convolution back to the image.
    ``kernel`` (1, 3, 3) with strides 1 along D makes it a network for slices. Spatial sizes must be multiples of
    ``stride_kji``. The buffer ``criticality`` (M,) holds what training estimated for C6.
    """

    criticality: Tensor

    def __init__(
        self,
        sequences: int = 4,
        regions: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128),
        kernel: Sequence[int] = (3, 3, 3),
        stem_stride: Sequence[int] = (2, 2, 2),
        level_stride: Sequence[int] = (2, 2, 2),
    ) -> None:
        super().__init__()
        kernel_kji, stem, step = _checked(sequences, regions, channels, kernel, stem_stride, level_stride)
        self.channels = tuple(channels)
        self.stride_kji = tuple(a * b ** (len(channels) - 1) for a, b in zip(stem, step, strict=True))
        self.shared_encoder = Encoder(channels, kernel_kji, stem, step)
        self.specific_encoders = nn.ModuleList(Encoder(channels, kernel_kji, stem, step) for _ in range(sequences))
        self.compose = nn.ModuleList(_convolution(2 * width, width, kernel_kji) for width in channels)
        self.fuse = nn.ModuleList(nn.Conv3d(sequences * width, width, 1) for width in channels)
        self.decoder = Decoder(regions, channels, kernel_kji, stem, step)
        self.register_buffer("criticality", torch.zeros(sequences))

    def encode(self, images: Tensor, present: Tensor) -> Encoded:
        """C1 and C2 of ``images`` (B, M, D, H, W); ``present`` (B, M) says which sequences each case has.

        What the voxels of an absent sequence hold, NaN too, changes nothing. Each encoder runs once per sequence; in
        use those of sequences that no case has do not run, in training all do, so that in several processes every
        parameter has a gradient. Raises ValueError for a size that does not fit the strides or a case without sequence.
        """
        self._check(images, present)
        shared, composed, pooled = [], [], []
        for sequence in range(images.shape[1]):
            a, f, b = self._encode_one(images, present, sequence)
            shared.append(a)
            composed.append(f)
            pooled.append(b)
        return Encoded(_by_level(shared), _by_level(composed), torch.stack(pooled, dim=1), present)

    def decode(self, encoded: Encoded, subset: Tensor) -> Tensor:
        """C3 and the decoder for the sequences of ``subset`` (B, M) -> logits (B, R, D, H, W).

        Raises ValueError for a subset that is empty or has a sequence that its case does not have.
        """
        if not bool((subset.any(dim=1) & ~(subset & ~encoded.present).any(dim=1)).all()):
            raise ValueError(
                f"the subset {subset.int().tolist()} must name at least one sequence of each case, "
                f"and none that the case does not have; present are {encoded.present.int().tolist()}."
            )
        levels = zip(encoded.composed, encoded.shared, self.fuse, strict=True)
        logits: Tensor = self.decoder([fusion(f, a, subset, convolution) for f, a, convolution in levels])
        return logits

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """``images`` (B, M, D, H, W) and ``present`` (B, M) -> logits (B, R, D, H, W) of all that is present."""
        return self.decode(self.encode(images, present), present)

    def _encode_one(self, images: Tensor, present: Tensor, sequence: int) -> tuple[_Maps, _Maps, Tensor]:
        """a_m and f_m at every level and the pooled deepest b_m of one sequence."""
        there = present[:, sequence]  # (B,)
        if not self.training and not bool(there.any()):
            none: _Maps = [None] * len(self.channels)
            return none, none, images.new_zeros(len(images), self.channels[-1])
        image = torch.where(there[:, None, None, None, None], images[:, sequence : sequence + 1], 0.0)
        a, b = shared_and_specific(self.shared_encoder, self.specific_encoders[sequence], image)
        f = [composition(*one) for one in zip(a, b, self.compose, strict=True)]
        return [*a], [*f], b[-1].mean(dim=(2, 3, 4)) * there[:, None]

    def _check(self, images: Tensor, present: Tensor) -> None:
        if images.dim() != 5 or images.shape[:2] != present.shape or images.shape[1] != len(self.specific_encoders):
            raise ValueError(
                f"images {tuple(images.shape)} and presence {tuple(present.shape)} do not fit a network of "
                f"{len(self.specific_encoders)} sequences: (B, M, D, H, W) and (B, M) are needed."
            )
        if any(size % stride for size, stride in zip(images.shape[2:], self.stride_kji, strict=True)):
            raise ValueError(f"the size {tuple(images.shape[2:])} of an image must be a multiple of {self.stride_kji}.")
        if not bool(present.any(dim=1).all()):
            raise ValueError(f"each case needs a sequence, got the presence {present.int().tolist()}.")


def shared_and_specific(shared: nn.Module, specific: nn.Module, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """C1: a_m = E_sh(x_m), b_m = E_m(x_m), the maps of one sequence at every level."""
    return shared(image), specific(image)


def composition(shared: Tensor, specific: Tensor, convolution: nn.Module) -> Tensor:
    """C2: f_m = a_m + conv3([a_m ; b_m]), maps (B, C, d, h, w)."""
    composed: Tensor = shared + convolution(torch.cat([shared, specific], dim=1))
    return composed


def fusion(
    composed: Sequence[Tensor | None], shared: Sequence[Tensor | None], subset: Tensor, convolution: nn.Module
) -> Tensor:
    """C3: F_S = conv1(concat_m(f_m if m in S else mean_{j in S} a_j)), (B, C, d, h, w).

    M maps f_m of C2 and a_m of C1, None for a sequence in no subset; ``subset`` (B, M). The mean is a design choice;
    the released code of ShaSpec takes the first present sequence.
    """
    chosen = subset[:, :, None, None, None, None]  # (B, M, 1, 1, 1, 1)
    parts = [torch.where(chosen[:, m], a, 0.0) for m, a in enumerate(shared) if a is not None]
    mean = torch.stack(parts).sum(dim=0) / chosen.sum(dim=1)
    slots = [mean if f is None else torch.where(chosen[:, m], f, mean) for m, f in enumerate(composed)]
    fused: Tensor = convolution(torch.cat(slots, dim=1))
    return fused


def _by_level(maps: Sequence[_Maps]) -> list[_Maps]:
    return [list(level) for level in zip(*maps, strict=True)]


def _convolution(channels_in: int, channels_out: int, kernel: Size) -> nn.Conv3d:
    k, j, i = (size // 2 for size in kernel)
    return nn.Conv3d(channels_in, channels_out, kernel, padding=(k, j, i), bias=False)


def _checked(
    sequences: int,
    regions: int,
    channels: Sequence[int],
    kernel: Sequence[int],
    stem_stride: Sequence[int],
    level_stride: Sequence[int],
) -> tuple[Size, Size, Size]:
    """Kernel, stride of the stem and stride of the levels; ValueError for a number that cannot be."""
    sizes = (sequences, regions, *channels, *kernel, *stem_stride, *level_stride)
    if not channels or not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in sizes):
        raise ValueError(f"sizes of the network must be whole numbers from 1 to {LARGEST_SIZE}, got {sizes}.")
    if not len(kernel) == len(stem_stride) == len(level_stride) == 3:
        raise ValueError(f"kernel and strides need 3 numbers, got {kernel}, {stem_stride} and {level_stride}.")
    if not all(size % 2 for size in kernel):
        raise ValueError(f"a kernel needs odd sizes, so that it has a middle, got {tuple(kernel)}.")
    return tuple(kernel), tuple(stem_stride), tuple(level_stride)  # type: ignore[return-value]
