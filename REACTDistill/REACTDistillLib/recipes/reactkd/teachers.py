"""The teachers of REACT-KD: structure and function (CT with PET), and dose-aware (CT at simulated doses)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .networks import CBAM3D, LARGEST_SIZE, POOLS, against_organ, group_norm, pool, projection

FUSIONS = ("gate", "sigmoid", "concat")


@dataclass(frozen=True)
class TeacherConfig:
    """Sizes of the teachers; the defaults are the paper's.

    ``level`` is the deepest map of the Swin encoder that is used: 0 after the patches, 4 the last, at 1/32 of the grid
    when the patch is 2. ``finest`` is the first one that is: the maps from it to ``level`` are added at its resolution,
    so that small tumors are seen. ``attention_channels`` is the width of the shared CBAM3D. ``normalize``: maps are
    normalized over the channels of each voxel (layer norm, as in MONAI's SwinUNETR), and what the heads see over all
    voxels of a case (group norm). Without it the heads see how high an uptake or a density is, of which both norms
    leave little more than the sign.
    """

    feature_size: int = 48
    depths: tuple[int, ...] = (2, 2, 2, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window_kji: tuple[int, int, int] = (7, 7, 7)
    patch_kji: tuple[int, int, int] = (2, 2, 2)
    level: int = 4
    finest: int = 4
    attention_channels: int = 64
    fusion: str = "gate"
    pooling: str = "global"
    normalize: bool = True

    def __post_init__(self) -> None:
        sizes = (self.feature_size, *self.depths, *self.heads, *self.window_kji, *self.patch_kji)
        if not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in (*sizes, self.attention_channels)):
            raise ValueError(f"sizes of the teachers must be whole numbers from 1 to {LARGEST_SIZE}, got {sizes}.")
        if not (len(self.depths) == len(self.heads) == 4 and 0 <= self.finest <= self.level <= 4):
            raise ValueError(
                "a Swin encoder has 4 stages and maps 0 to 4, "
                f"got the depths {self.depths} and the maps {self.finest} to {self.level}."
            )
        widths = [self.feature_size * 2**stage for stage in range(4)]
        if any(width % heads for width, heads in zip(widths, self.heads, strict=True)):
            raise ValueError(f"the heads {self.heads} must divide the widths {tuple(widths)} of the four stages.")
        if self.fusion not in FUSIONS:
            raise ValueError(f'fusion must be one of {", ".join(FUSIONS)}, got "{self.fusion}".')
        if self.pooling not in ("global", "contrast"):
            raise ValueError(f'pooling must be "global" or "contrast", got "{self.pooling}".')
        if type(self.normalize) is not bool:
            raise ValueError(f"normalize must be true or false, got {self.normalize!r}.")

    @property
    def stride_kji(self) -> tuple[int, int, int]:
        """Voxels of the grid per voxel of the feature map, along K, J, I."""
        k, j, i = (size * 2**self.finest for size in self.patch_kji)
        return (k, j, i)

    @property
    def channels(self) -> list[int]:
        """Width of each map that is used, finest first."""
        return [self.feature_size * 2**level for level in range(self.finest, self.level + 1)]


class SwinEncoder(nn.Module):
    """R4: F_m = E_m(x_m), the encoder of MONAI's SwinUNETR without its decoder, brought to the shared width.

    Several maps are added at the resolution of the finest, each through a 1x1x1 convolution (Lin et al. 2017, feature
    pyramid).
    """

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinTransformer

        self.config = config
        self.swin = SwinTransformer(
            in_chans=1,
            embed_dim=config.feature_size,
            window_size=config.window_kji,
            patch_size=config.patch_kji,
            depths=config.depths,
            num_heads=config.heads,
            spatial_dims=3,
        )
        for stage in (self.swin.layers1, self.swin.layers2, self.swin.layers3, self.swin.layers4)[config.level :]:
            stage.requires_grad_(False)  # makes maps that are not used
        self.project = nn.ModuleList(projection(width, config.attention_channels) for width in config.channels)

    def forward(self, image: Tensor) -> Tensor:
        """``image`` (B, 1, D, H, W) -> map (B, A, d, h, w)."""
        maps = [project(one) for project, one in zip(self.project, self._maps(image), strict=True)]
        size = maps[0].shape[2:]
        finer = [functional.interpolate(one, size=size, mode="trilinear") for one in maps[1:]]
        return torch.stack([maps[0], *finer]).sum(dim=0)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The maps that are used, finest first; the stages after them are not computed."""
        swin = self.swin
        features: list[Tensor] = [swin.pos_drop(swin.patch_embed(image))]
        for stage in (swin.layers1, swin.layers2, swin.layers3, swin.layers4)[: self.config.level]:
            features.append(stage[0](features[-1].contiguous()))
        return [swin.proj_out(one, normalize=self.config.normalize) for one in features[self.config.finest :]]


class Fusion(nn.Module):
    """R8: the maps of several modalities become one, whichever of them are present.

    Each map goes through a 1x1x1 convolution of its own; the sum over the present modalities, through a sigmoid, is
    the gate. ``"gate"`` (default, design choice): the gate weighs the mean of the maps; ``"sigmoid"``: the gate is the
    fused map, as the figure of the paper draws it; ``"concat"``: the maps side by side, absent ones 0, as in the
    published code, brought back to one width by a 1x1x1 convolution.
    """

    def __init__(self, modalities: int, channels: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "concat":
            self.join = nn.Conv3d(modalities * channels, channels, 1)
        else:
            self.convolutions = nn.ModuleList(nn.Conv3d(channels, channels, 1) for _ in range(modalities))

    def forward(self, maps: Sequence[Tensor], present: Tensor) -> Tensor:
        """M ``maps`` (B, A, d, h, w) and ``present`` (B, M) -> fused map (B, A, d, h, w)."""
        weights = [present[:, m, None, None, None, None].to(maps[0].dtype) for m in range(len(maps))]
        shown = [one * weight for one, weight in zip(maps, weights, strict=True)]
        if self.kind == "concat":
            joined: Tensor = self.join(torch.cat(shown, dim=1))
            return joined
        pairs = zip(self.convolutions, maps, weights, strict=True)
        gate = torch.stack([conv(one) * weight for conv, one, weight in pairs]).sum(dim=0).sigmoid()
        if self.kind == "sigmoid":
            return gate
        return gate * torch.stack(shown).sum(dim=0) / torch.stack(weights).sum(dim=0).clamp(min=1.0)


class TeacherOutput(NamedTuple):
    """Logits (B, K) of both teachers, fused map (B, A, d, h, w) of the first, what its head sees (B, F)."""

    structure_function: Tensor
    dose_aware: Tensor
    features: Tensor
    pooled: Tensor


class Teachers(nn.Module):
    """Both teachers; they share the encoder of the main sequence and one CBAM3D.

    The structure-function teacher sees the main sequence and the privileged ones (R4, R7, R8, R9), the privileged ones
    through an encoder of their own; the dose-aware teacher sees the main sequence at a simulated dose.
    """

    def __init__(self, classes: int, privileged: int, config: TeacherConfig) -> None:
        super().__init__()
        width = config.attention_channels
        self.pooling = config.pooling
        self.main_encoder = SwinEncoder(config)
        self.privileged_encoder = SwinEncoder(config)
        self.cbam = CBAM3D(width)
        self.fusion = Fusion(1 + privileged, width, config.fusion)
        pooled = width * (len(POOLS) if config.pooling == "contrast" else 1)
        self.fused_norm, self.dose_norm = (group_norm(width) if config.normalize else nn.Identity() for _ in range(2))
        self.structure_function_head = nn.Linear(pooled, classes)
        self.dose_aware_head = nn.Linear(pooled, classes)

    def forward(self, exam: Tensor, present: Tensor, dosed: Tensor, pools: Tensor) -> TeacherOutput:
        """Return what both teachers say.

        ``exam`` (B, M, D, H, W) has the main sequence first, ``present`` (B, M) says which sequences each case has,
        ``dosed`` (B, 1, D, H, W) is the main sequence at a simulated dose, ``pools`` (B, 3, d, h, w) are soft masks.
        """
        maps = [self.cbam(self._encoder(m)(exam[:, m : m + 1]))[0] for m in range(exam.shape[1])]
        fused = self.fused_norm(self.fusion(maps, present))
        pooled = self._pooled(fused, pools)
        return TeacherOutput(self.structure_function_head(pooled), self.dose_aware(dosed, pools), fused, pooled)

    def dose_aware(self, dosed: Tensor, pools: Tensor) -> Tensor:
        """The dose-aware teacher alone: ``dosed`` (B, 1, D, H, W), ``pools`` (B, 3, d, h, w) -> logits (B, K)."""
        degraded = self.dose_norm(self.cbam(self.main_encoder(dosed))[0])
        logits: Tensor = self.dose_aware_head(self._pooled(degraded, pools))
        return logits

    def _encoder(self, modality: int) -> nn.Module:
        return self.main_encoder if modality == 0 else self.privileged_encoder

    def _pooled(self, features: Tensor, pools: Tensor) -> Tensor:
        if self.pooling == "global":
            return pool(features, torch.ones_like(pools[:, :1])).flatten(1)
        return against_organ(pool(features, pools), pools).flatten(1)
