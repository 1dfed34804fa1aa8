"""Weight normalisation, spectral normalisation and orthogonal matrices, as parametrizations."""

from __future__ import annotations

from typing import Any

from ...core import Tensor, no_grad
from ...linalg import householder_product, matrix_exp, qr, solve
from ...linalg.triangular import geqrf
from ...ops.compare import where
from ...ops.create import eye
from ...ops.movement import cat
from .. import functional as F
from ..module import Module
from .parametrize import register_parametrization


def norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The 2-norm of each slice along `dim`, with that dim kept (None: of all)."""
    if dim is None or dim == -1:
        return v.norm()
    dim %= v.ndim
    others = [d for d in range(v.ndim) if d != dim]
    return v.norm(2, others, keepdim=True) if others else v.abs()


class _WeightNorm(Module):
    """w = g v / |v|: size (original0) and direction (original1)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight.clone()


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Separate size and direction of a weight (Salimans and Kingma, arXiv:1602.07868), one size for each slice along dim."""
    _find(module, name)
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def _find(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{type(module).__name__}' has no parameter or buffer with name '{name}'")
    return weight


class SpectralNorm(Module):
    """w / sigma, where power iteration keeps estimates u and v of the first singular vectors (Miyato et al., arXiv:1802.05957)."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = self._matrix(weight.detach())
            self.register_buffer("_u", F.normalize(matrix.new_empty(matrix.shape[0]).normal_(), dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0, eps=eps))
            with no_grad():
                self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        for _ in range(times):
            self._u = F.normalize(matrix.mv(self._v), dim=0, eps=self.eps)
            self._v = F.normalize(matrix.mT.mv(self._u), dim=0, eps=self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            with no_grad():
                self._iterate(matrix.detach(), self.n_power_iterations)
        return weight / self._u.clone().dot(matrix.mv(self._v.clone()))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a weight by its largest singular value; training mode refines the estimate at each access."""
    weight = _find(module, name)
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return register_parametrization(module, name, SpectralNorm(weight, n_power_iterations, dim, eps))


class _Orthogonal(Module):
    """A matrix with orthonormal rows or columns from a free one, by one of three maps, and turned by `base` (if any)."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = X.shape[-2] < X.shape[-1]
        Q = self._map(X.mT if wide else X)
        base = self._buffers.get("base")
        if base is not None:
            Q = base @ Q
        return Q.mT if wide else Q

    def _map(self, X: Tensor) -> Tensor:
        n, k = X.shape[-2:]
        if self.orthogonal_map == "householder":
            A = X.tril(-1)
            Q = householder_product(A, 2.0 / (1.0 + (A * A).sum(-2)))
            return Q * X.diagonal(0, -2, -1).detach().sign().unsqueeze(-2)
        A = F.pad(X.tril(), (0, n - k))
        A = A - A.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(A)[..., :k]
        one = eye(n, dtype=A.dtype, device=A.device)
        return solve(one - 0.5 * A, one + 0.5 * A)[..., :k]

    def right_inverse(self, Q: Tensor) -> Tensor:
        if tuple(Q.shape) != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {tuple(Q.shape)}.")
        wide = Q.shape[-2] < Q.shape[-1]
        tall = Q.mT if wide else Q
        if "base" in self._buffers:
            self._buffers["base"] = _completed(tall)
            free = Q.new_zeros(self.shape)
            free.diagonal(0, -2, -1).fill_(-1.0)
            return free
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when use_trivialization=False."
            )
        A, tau = geqrf(tall)
        diagonal = A.diagonal(0, -2, -1)
        diagonal.copy_(where(tau == 0, -1.0, 1.0) * diagonal.sign())
        return A.mT if wide else A


def _completed(tall: Tensor) -> Tensor:
    """A square orthogonal matrix that starts with the columns of an orthogonal one, and with those nearest in order for any other."""
    n, k = tall.shape[-2:]
    noise = tall.new_empty((*tall.shape[:-1], n - k)).normal_()
    q, r = qr(cat([tall, noise], -1))
    return q * where(r.diagonal(0, -2, -1) < 0, -1.0, 1.0).to(q.dtype).unsqueeze(-2)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a matrix orthogonal; maps: matrix_exp (default of square matrices), cayley, householder (default of others)."""
    weight = _find(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    free: Any = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, free, unsafe=True)
