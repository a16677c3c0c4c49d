"""Signs: the fixed random projection, +-1 / sqrt(dim) for every feature and dimension, and weighted sums of its rows.

The signs are kept as codes of two bits in rows that FBGEMM sums, 0 or 1 read as 2 * code - 1: exact, and 18 MB instead of 268 for 2^18
rows of 256, which makes sums several times as fast, for they wait for memory. Gradients and other devices need floats, made when asked for.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK = 8192  # rows drawn at once; a multiple of 64, so that each block ends with a whole random number
_CODES = 4  # in a byte
_sum_codes = getattr(torch.ops.quantized, "embedding_bag_2bit_rowwise_offsets", None)


class Signs(nn.Module):
    """(rows, dim) of +-1 / sqrt(dim), the same for a seed in every version of numpy (Philox is a counter-based standard).

    Drawn again whenever a model is loaded, so that a model file holds none of them.
    """

    packed: Tensor  # (rows, dim / 4 + 4) uint8: codes, the first in the lowest bits, then scale and bias as float16
    _floats: Tensor | None

    def __init__(self, rows: int, dim: int, seed: int) -> None:
        super().__init__()
        self.dim = dim
        width = -(-dim // _CODES)
        packed = np.empty((rows, width + 4), np.uint8)
        packed[:, width:] = np.array([2, -1], np.float16).view(np.uint8)
        random = np.random.Philox(key=seed)
        for start in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - start) * dim
            bits = np.unpackbits(random.random_raw(-(-size // 64)).view(np.uint8), count=size).reshape(-1, dim)
            codes = np.pad(bits, ((0, 0), (0, width * _CODES - dim))).reshape(-1, width, _CODES)
            packed[start : start + _BLOCK, :width] = codes @ (1 << 2 * np.arange(_CODES, dtype=np.uint8))
        self.register_buffer("packed", torch.from_numpy(packed), persistent=False)
        self.register_buffer("_floats", None, persistent=False)

    def train(self, mode: bool = True) -> "Signs":
        if mode:
            self.floats()  # now: trainings side by side would make them twice
        return super().train(mode)

    def floats(self) -> Tensor:
        """(rows, dim) float32 of +-1, on the device of the module; kept once made."""
        if self._floats is None:
            with torch.inference_mode(False):  # training may come after a first use without gradients
                shifts = 2 * torch.arange(_CODES, dtype=torch.uint8, device=self.packed.device)
                codes = (self.packed[:, :-4, None] >> shifts) & 1
                self._floats = codes.flatten(1)[:, : self.dim].to(torch.float32).mul_(2).sub_(1)
        return self._floats

    def forward(self, ids: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """(b, dim) weighted sums of rows.

        Args:
            ids: (r,) int32 rows, bag after bag.
            offsets: (b + 1,) int32 bounds of the bags in ``ids``.
            weights: (r,) float32 of each row.
        """
        weights = weights * self.dim**-0.5
        if _sum_codes is None or weights.requires_grad or weights.device.type != "cpu":
            return F.embedding_bag(
                ids, self.floats(), offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
            )
        summed = _sum_codes(self.packed, ids, offsets, per_sample_weights=weights, include_last_offset=True)
        return summed[:, : self.dim]
