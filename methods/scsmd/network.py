"""Convolutional autoencoder on images of genes, and assignment network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST_SIDE = 9
"""Smaller images are empty after the third convolution."""
_WIDTH = 64
"""Channels inside a bottleneck."""


def image_side(n_genes: int) -> int:
    """Return the side of the smallest square that holds ``n_genes``, at least 9."""
    return max(SMALLEST_SIDE, math.isqrt(n_genes - 1) + 1)


class Normed(nn.Module):
    """Convolution with batch norm, in evaluation mode merged into one convolution.

    The merge is exact, because a norm then scales and shifts each channel.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(convolution.out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        convolution = self.convolution
        if self.norm.training:
            normed: Tensor = self.norm(convolution(maps))
            return normed
        weight, bias = _fold(convolution, *_affine(self.norm))
        return functional.conv2d(
            maps, weight, bias, stride=convolution.stride, padding=convolution.padding
        )


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return factor and shift of each channel by a norm in evaluation mode."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - scale * norm.running_mean


def _fold(convolution: nn.Conv2d, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and bias of the convolution with ``scale`` and ``shift``."""
    bias = shift if convolution.bias is None else shift + scale * convolution.bias
    return convolution.weight * scale[:, None, None, None], bias


class DilatedAttention(nn.Module):
    """Attention gate x · (1 + g), g a sigmoid of parallel dilated convolutions.

    Shapes: (cells, channels, side, side). Where a dilation reaches the side of the map only the
    centre tap counts, and it alone is computed.
    """

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate) for rate in dilations
        )
        # Equal to one norm per branch, because a norm treats channels independently.
        self.norm = nn.BatchNorm2d(channels * len(dilations))
        self.vote = Normed(nn.Conv2d(channels * len(dilations), channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        branches = [branch for branch in self.branches if isinstance(branch, nn.Conv2d)]
        if self.norm.training:
            kernels = [(branch.weight, branch.bias) for branch in branches]
        else:
            parts = (part.chunk(len(branches)) for part in _affine(self.norm))
            kernels = [_fold(*part) for part in zip(branches, *parts, strict=True)]
        outputs = [
            dilated(maps, weight, bias, branch.dilation[0])
            for (weight, bias), branch in zip(kernels, branches, strict=True)
        ]
        joined = torch.cat(outputs, dim=1)
        if self.norm.training:
            joined = self.norm(joined)
        return maps * (1 + torch.sigmoid(self.vote(functional.relu(joined))))


def dilated(maps: Tensor, weight: Tensor, bias: Tensor | None, rate: int) -> Tensor:
    """Return a 3 × 3 convolution without the taps that read zeros only."""
    side = max(maps.shape[-2:])
    if rate >= side:
        return functional.conv2d(maps, weight[:, :, 1:2, 1:2], bias)
    if 2 * rate > side and maps.device.type == "cpu":
        convolved: Tensor = _DilatedConvolution.apply(maps, weight, bias, rate)
        return convolved
    return functional.conv2d(maps, weight, bias, padding=rate, dilation=rate)


class _DilatedConvolution(torch.autograd.Function):
    """Dilated 3 × 3 convolution whose weight gradient is one product per tap.

    PyTorch takes 2 to 8 times as long on a CPU if the dilation exceeds half the side.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, rate: int) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.rate = rate
        return functional.conv2d(maps, weight, bias, padding=rate, dilation=rate)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (gradient,) = gradients
        maps, weight = ctx.saved_tensors
        rate = ctx.rate
        flipped = weight.flip(2, 3).transpose(0, 1)
        flipped = flipped.contiguous(memory_format=torch.channels_last)
        d_maps = functional.conv2d(gradient, flipped, padding=rate, dilation=rate)
        row_taps, column_taps = (_tap_slices(side, rate) for side in maps.shape[-2:])
        d_weight = torch.empty_like(weight)
        for row, (out_rows, in_rows) in enumerate(row_taps):
            for column, (out_columns, in_columns) in enumerate(column_taps):
                out = gradient[:, :, out_rows, out_columns].permute(0, 2, 3, 1).flatten(0, 2)
                inputs = maps[:, :, in_rows, in_columns].permute(0, 2, 3, 1).flatten(0, 2)
                d_weight[:, :, row, column] = out.T @ inputs
        return d_maps, d_weight, gradient.sum(dim=(0, 2, 3)), None


def _tap_slices(side: int, rate: int) -> list[tuple[slice, slice]]:
    """Return output and input positions of the three taps."""
    low, high, whole = slice(0, side - rate), slice(rate, side), slice(0, side)
    return [(high, low), (whole, whole), (low, high)]


class SqueezeAttention(nn.Module):
    """b · a + b with convolutions of x (a) and of the pooled, then enlarged x (b)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine, self.coarse = _two_convolutions(channels), _two_convolutions(channels)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = self.coarse(functional.avg_pool2d(maps, 2))
        coarse = functional.interpolate(pooled, size=maps.shape[-2:], mode="nearest")
        return coarse * self.fine(maps) + coarse


def _two_convolutions(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [Normed(nn.Conv2d(channels, channels, 3, padding=1)), nn.ReLU()]
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Residual block around the attention gate, or around a 3 × 3 convolution."""

    def __init__(self, channels: int, attention: str, dilations: Sequence[int]) -> None:
        super().__init__()
        if attention == "mdsab":
            middle = nn.Sequential(DilatedAttention(_WIDTH, dilations), nn.BatchNorm2d(_WIDTH))
        else:
            middle = nn.Sequential(Normed(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)))
        self.inner = nn.Sequential(
            Normed(nn.Conv2d(channels, _WIDTH, 1, bias=False)), nn.ReLU(),
            *middle, nn.ReLU(),
            Normed(nn.Conv2d(_WIDTH, channels, 1, bias=False)),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(maps + self.inner(maps))


class ConvolutionalAutoencoder(nn.Module):
    """Genes as pixels of a square image, three strided convolutions to a code, and back.

    Values (cells, n_genes), code (cells, n_latent), image (cells, side²). Pixels after the last
    gene are zero and have no loss. ``attention``: ``mdsab`` (scSMD) or ``none`` (DeepScena).
    2,068,139 parameters for 784 genes, a code of 10 and the published dilations.
    """

    def __init__(
        self,
        n_genes: int,
        n_latent: int,
        *,
        attention: str = "mdsab",
        dilations: Sequence[int] = (2, 4, 6, 8),
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_genes, self.side = n_genes, image_side(n_genes)
        half = (self.side + 1) // 2
        quarter = (half + 1) // 2
        self.smallest = (quarter - 3) // 2 + 1
        flat = 128 * self.smallest**2
        squeeze = SqueezeAttention(32) if attention == "mdsab" else nn.Identity()
        self.corrupt = nn.Dropout(input_dropout)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 5, stride=2, padding=2, bias=False),
            squeeze, nn.BatchNorm2d(32), nn.ReLU(),
            Bottleneck(32, attention, dilations),
            nn.Conv2d(32, 64, 5, stride=2, padding=2), nn.ReLU(),
            Bottleneck(64, attention, dilations),
            nn.Conv2d(64, 128, 3, stride=2), nn.ReLU(),
            Bottleneck(128, attention, dilations),
            nn.Flatten(), nn.Linear(flat, n_latent),
        )  # fmt: skip
        self.widen = nn.Linear(n_latent, flat)
        # Sides 3, 7, 15, 28 by default; larger outputs are cropped.
        even = quarter - (2 * self.smallest + 1)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(128, 64, 3, stride=2, output_padding=even), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 5, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=2),
        )  # fmt: skip
        self.log_mean = nn.Linear(self.side**2, n_genes)
        self.dispersion = nn.Linear(self.side**2, n_genes)
        self.register_buffer("offset", torch.zeros(n_genes))
        self.offset: Tensor
        """Subtracted before encoding and added to the image."""
        self.apply(_initialize)

    def encode(self, values: Tensor) -> Tensor:
        """Return the code, (cells, n_latent)."""
        padded = self._padded(self.corrupt(values) - self.offset)
        image = padded.view(-1, 1, self.side, self.side)
        code: Tensor = self.encoder(image.contiguous(memory_format=torch.channels_last))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Return the reconstructed image, (cells, side²)."""
        maps = functional.relu(self.widen(code)).view(-1, 128, self.smallest, self.smallest)
        image = self.decoder(maps.contiguous(memory_format=torch.channels_last))
        return image[:, 0, : self.side, : self.side].flatten(1) + self._padded(self.offset)

    def _padded(self, values: Tensor) -> Tensor:
        return functional.pad(values, (0, self.side**2 - self.n_genes))

    def count_parameters(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return log mean without depth and inverse dispersion, (cells, n_genes).

        Clamped to 1e-5 … 1e6 and 1e-4 … 1e4.
        """
        log_mean = self.log_mean(image).clamp(math.log(1e-5), math.log(1e6))
        theta = functional.softplus(self.dispersion(image)).clamp(1e-4, 1e4)
        return log_mean, theta

    def count_heads(self) -> list[nn.Parameter]:
        """Return the parameters of the count model."""
        return [*self.log_mean.parameters(), *self.dispersion.parameters()]

    @torch.no_grad()
    def set_count_means(self, means: Tensor) -> None:
        """Set the first prediction of the count heads to the means, (n_genes,)."""
        for head in (self.log_mean, self.dispersion):
            nn.init.zeros_(head.weight)
        self.log_mean.bias.copy_(means.clamp_min(1e-4).log())


def _initialize(module: nn.Module) -> None:
    """Set Xavier-uniform weights and zero biases, not in transposed convolutions."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class AssignmentNetwork(nn.Module):
    """Code to the chance of each cluster, n_latent-128-128-K."""

    def __init__(self, n_latent: int, n_clusters: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_latent, 128), nn.BatchNorm1d(128), nn.ReLU(),
            nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(),
            nn.Linear(128, n_clusters), nn.Softmax(dim=1),
        )  # fmt: skip
        self.apply(_initialize)

    def forward(self, code: Tensor) -> Tensor:
        q: Tensor = self.layers(code)
        return q
