"""Products: which rows of two blocks are alike, by matrix products in the fastest arithmetic that the processor has.

A product only proposes. Its low precision is made up for by a slack, and every pair is then measured from the embeddings themselves, so
the arithmetic costs time, never pairs. Likeness is an inner way to order pairs, high when near; what leaves this layer is a distance.
"""

import warnings
from bisect import bisect_left
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from siamese.distances import Energy

# bfloat16 keeps 8 bits: rounding two unit vectors moves their product by up to 2^-8, and rounding the product by 2^-9.
SLACK = 2.0**-7
SIZES = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384)
COARSE_QUERIES = 512  # from so many on, rounding the rows to 8 bits takes less time than it saves
QUERY_ROWS = 2048  # of a product at once: with a few hundred rows on the other side it stays in a core's cache


with warnings.catch_warnings():  # with the first one of a process comes a word that they are in beta
    warnings.filterwarnings("ignore", "Sparse CSR tensor support")
    torch.sparse_csr_tensor([0], [], [], (0, 0), check_invariants=False)


@lru_cache
def precision(energy: Energy) -> torch.dtype:
    """bfloat16 where the processor multiplies it by tiles (Intel AMX: eight times float32), else float32."""
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return torch.bfloat16 if has.get("amx_bf16") and energy is not Energy.MANHATTAN else torch.float32


def likeness(queries: Tensor, rows: Tensor, energy: Energy) -> Tensor:
    """(q, r) how alike: the cosine, or what the Manhattan distance leaves of the greatest there can be."""
    if energy is Energy.MANHATTAN:
        return 2 * queries.shape[1] ** 0.5 - torch.cdist(queries, rows, p=1)
    if (
        queries.dtype == torch.float32
    ):  # numpy's OpenBLAS: torch's MKL is half as fast on processors that are not Intel's
        return torch.from_numpy(queries.numpy() @ rows.numpy().T)
    # oneDNN compiles a kernel for every new shape, which takes a hundred times as long as the product: few shapes occur.
    return (_padded(queries) @ _padded(rows).T)[: len(queries), : len(rows)]


def products_of_pairs(
    left: NDArray[np.float32], left_rows: NDArray[np.int64], right: NDArray[np.float32], right_rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(m,) products of pairs of rows, the left ones ascending: read where they lie, for to copy them takes three times as long."""
    bounds = np.concatenate(([0], np.cumsum(np.bincount(left_rows, minlength=len(left)))))
    asked = torch.sparse_csr_tensor(
        torch.from_numpy(bounds),
        torch.from_numpy(right_rows),
        torch.zeros(len(right_rows)),
        (len(left), len(right)),
        check_invariants=False,
    )
    products = torch.sparse.sampled_addmm(asked, torch.from_numpy(left), torch.from_numpy(right).T, beta=0.0)
    return products.values().numpy()


def has_coarse(energy: Energy, queries: Tensor) -> bool:
    """Whether products of 8-bit integers are worth it for :func:`coarse_hits`: they take a fifth of the time of float32 where the
    processor adds four at once (AVX-512 VNNI)."""
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    able = bool(has.get("avx512_vnni")) and hasattr(torch, "_int_mm")
    return able and energy is not Energy.MANHATTAN and queries.dtype == torch.float32 and len(queries) >= COARSE_QUERIES


def coarse(rows: Tensor) -> tuple[Tensor, float]:
    """(r, dim) int8, and the step: the greatest number is 127 steps."""
    step = float(rows.abs().max()) / 127 or 1.0 if rows.numel() else 1.0
    return (rows * (1 / step)).round_().to(torch.int8), step


def coarse_hits(
    queries: tuple[Tensor, float], rows: Tensor, least: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(query, row) of all whose likeness may reach their query's threshold, and few others.

    Rounding moves no number by more than half a step, so no vector by more than half a step times the root of its dimensions, and the
    product of two unit vectors by the two of these, and their product.

    Args:
        queries: what :func:`coarse` gave for unit vectors.
        rows: (r, dim) float32 unit vectors.
        least: (q,) thresholds.
    """
    (asking, step), (other, other_step) = queries, coarse(rows)
    moved, other_moved = (each * rows.shape[1] ** 0.5 / 2 for each in (step, other_step))
    floor = (least - (moved + other_moved + moved * other_moved + 1e-5)) / (step * other_step)
    alike = torch._int_mm(_padded(asking), _padded(other).T)[: len(asking), : len(rows)]
    hits = alike.numpy() >= np.floor(floor).astype(np.int32)[:, None]
    query, row = np.divmod(np.flatnonzero(hits), max(len(rows), 1))
    return query, row


def _padded(rows: Tensor) -> Tensor:
    """With rows of zeros up to one of the SIZES."""
    size = SIZES[bisect_left(SIZES, len(rows))] if len(rows) <= SIZES[-1] else len(rows)
    return rows if size == len(rows) else F.pad(rows, (0, 0, 0, size - len(rows)))


def least_likeness(distance: Any, energy: Energy, dim: int) -> Any:
    """The likeness of unit vectors at a distance, or at each of several, less the slack."""
    if energy is Energy.MANHATTAN:
        return 2 * dim**0.5 - distance - 1e-3
    squared = 2 * distance if energy is Energy.COSINE else distance**2
    return 1 - squared / 2 - SLACK


def rounding(dim: int) -> float:
    """By how much a float32 product of two vectors that were brought to length 1 is wrong, at most, in whatever order it was summed."""
    return dim * 2.0**-23


def farthest(alike: NDArray[np.float32], energy: Energy, dim: int) -> NDArray[np.float32]:
    """(m,) how far apart unit vectors are at most, from their float32 products; not of the Manhattan distance."""
    squared = np.maximum(2 - 2 * (alike - np.float32(rounding(dim))), np.float32(0))
    return squared / 2 if energy is Energy.COSINE else np.sqrt(squared)


def slack(energy: Energy, dim: int) -> float:
    """By how much :func:`farthest` is too great, at most."""
    squared = 4 * rounding(dim)
    return {Energy.MANHATTAN: 0.0, Energy.COSINE: squared / 2}.get(energy, squared**0.5)


def reaches(alike: Tensor, least: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(q, r) which elements reach their row's threshold.

    Args:
        alike: (q, r) bfloat16 or float32.
        least: (q,) thresholds.
    """
    floor = torch.from_numpy(least).to(alike.dtype)
    above = len(least) and float(least.min()) > 0
    return bits(alike) >= bits(floor)[:, None] if above else (alike >= floor[:, None]).numpy()


def bits(numbers: Tensor) -> NDArray[np.integer]:
    """The bits of floats: as integers they are ordered as the floats are, among those above 0, and below them all others.

    Processors compare and sort such short integers many times faster than they do bfloat16.
    """
    return numbers.view(torch.int16 if numbers.dtype == torch.bfloat16 else torch.int32).numpy()


def greatest(alike: Tensor, k: int) -> NDArray[np.float32]:
    """(q,) the k-th greatest of each row, where it is above 0; else 0 or less."""
    found = np.partition(bits(alike), alike.shape[1] - k, axis=1)[:, alike.shape[1] - k]
    return torch.from_numpy(np.ascontiguousarray(found)).view(alike.dtype).float().numpy()
