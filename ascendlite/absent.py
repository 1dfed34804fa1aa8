"""Names of torch that are not here on purpose, and what to use instead: the text of the AttributeError.

By module: a pattern of names (see `fnmatch`) and the advice; the first that fits counts.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

_COMPLEX = "there are no complex numbers here; "
_SPARSE = "tensors are dense here; keep indices and values as two tensors, and use index_add or scatter_add"
_QUANTIZED = "there are no quantized tensors here; use x.to(al.float8_e4m3fn) or al.int8 with a scale of your own"
_PLATFORM = "use .npu(), or .to('npu'): devices are 'cpu', 'npu' and 'meta'"
_SCRIPT = "use al.compile: there is no TorchScript here"
_LEGACY = "write al.tensor(values, dtype=...) or al.empty(sizes, dtype=...)"
_STORAGE = "use Tensor.untyped_storage()"

ABSENT: dict[str, dict[str, str]] = {
    "": {
        "fft": _COMPLEX + "use numpy.fft on x.numpy()",
        "stft": _COMPLEX + "frame with x.unfold, then numpy.fft.rfft on x.numpy()",
        "istft": _COMPLEX + "use numpy.fft.irfft on x.numpy()",
        "eig": _COMPLEX + "use linalg.eigh for symmetric matrices, or numpy.linalg.eig on x.numpy()",
        "complex*": _COMPLEX + "keep real and imaginary parts as two tensors",
        "polar": _COMPLEX + "use cos and sin of the angle",
        "view_as_*": _COMPLEX + "keep real and imaginary parts in the last dim",
        "imag": _COMPLEX + "keep imaginary parts as a tensor of their own",
        "c*half": _COMPLEX + "keep two tensors",
        "c*float": _COMPLEX + "keep two tensors",
        "c*double": _COMPLEX + "keep two tensors",
        "symeig": "use linalg.eigh",
        "lobpcg": "use linalg.eigh, or scipy.sparse.linalg.lobpcg on x.numpy()",
        "solve": "use linalg.solve",
        "lstsq": "use linalg.lstsq",
        "matrix_rank": "use linalg.matrix_rank",
        "lu_solve": "use linalg.lu_solve",
        "ormqr": "use linalg.householder_product, then @",
        "lu": "use linalg.lu_factor or linalg.lu",
        "*_lowrank": "use linalg.svd(x, full_matrices=False), and cut",
        "histogramdd": "use numpy.histogramdd on x.numpy()",
        "chain_matmul": "use linalg.multi_dot",
        "nuclear_norm": "use linalg.matrix_norm(x, 'nuc')",
        "frobenius_norm": "use linalg.matrix_norm",
        "cuda": _PLATFORM,
        "xpu": _PLATFORM,
        "mps": _PLATFORM,
        "mtia": _PLATFORM,
        "hip": _PLATFORM,
        "jit": _SCRIPT,
        "fx": "use al.compile",
        "onnx": "save weights with al.save or safetensors",
        "distributed": "there is one process here",
        "distributions": "draw with al.normal, al.multinomial, al.bernoulli; log-probabilities from nn.functional",
        "sparse*": _SPARSE,
        "*spmm": _SPARSE,
        "smm": _SPARSE,
        "*addmm": _SPARSE,
        "hsmm": _SPARSE,
        "dsmm": _SPARSE,
        "masked": "use where or masked_fill, then the function",
        "*quant*": _QUANTIZED,
        "q_*": _QUANTIZED,
        "qscheme": _QUANTIZED,
        "int_repr": _QUANTIZED,
        "*Storage": _STORAGE,
        "*Tensor": _LEGACY,
        "set_default_tensor_type": "use al.set_default_dtype and al.set_default_device",
        "channels_last*": "memory is contiguous by dims here; leave it out",
        "*_copy": "use the function without _copy, then .clone()",
        "segment_reduce": "use scatter_reduce or index_reduce",
        "cond": "write a Python if",
        "while_loop": "write a Python while",
        "vulkan": _PLATFORM,
        "grid_sampler*": "use nn.functional.grid_sample",
        "affine_grid_generator": "use nn.functional.affine_grid",
        "*_with_indices": "use nn.functional.max_pool1d(..., return_indices=True) and its kin",
        "native_*": "use the function of nn.functional without native_",
        "as_strided_*": "use as_strided on a clone",
        "quantize_per_*": _QUANTIZED,
        "binomial": "use numpy.random.Generator.binomial and al.from_numpy",
        "poisson": "use numpy.random.Generator.poisson and al.from_numpy",
        "Storage": _STORAGE,
        "GradScaler": "use al.amp.GradScaler",
        "batch_norm": "use nn.functional.batch_norm, whose arguments come in another order",
        "instance_norm": "use nn.functional.instance_norm",
        "embedding*": "use nn.functional.embedding, which takes the indices first",
        "ctc_loss": "use nn.functional.ctc_loss",
        "*_loss": "use the function of nn.functional: reduction is a word there",
        "kl_div": "use nn.functional.kl_div",
        "*_entropy_with_logits": "use nn.functional.binary_cross_entropy_with_logits",
        "lstm*": "use nn.LSTM or nn.LSTMCell",
        "gru*": "use nn.GRU or nn.GRUCell",
        "rnn_*": "use nn.RNN or nn.RNNCell",
        "Stream": "use al.npu.Stream",
        "Event": "use al.npu.Event",
    },
    "Tensor": {
        "cuda": _PLATFORM,
        "xpu": _PLATFORM,
        "ipu": _PLATFORM,
        "hpu": _PLATFORM,
        "storage": _STORAGE,
        "new": "use new_empty, new_zeros, new_tensor",
        "set_": "assign to .data",
        "to_sparse": _SPARSE,
        "to_dense": "it is dense: leave it out",
        "coalesce": _SPARSE,
        "indices": _SPARSE,
        "values": _SPARSE,
        "stft": _COMPLEX + "frame with unfold, then numpy.fft.rfft on .numpy()",
        "istft": _COMPLEX + "use numpy.fft.irfft on .numpy()",
        "imag": _COMPLEX + "keep imaginary parts as a tensor of their own",
        "cfloat": _COMPLEX + "keep two tensors",
        "cdouble": _COMPLEX + "keep two tensors",
        "eig": _COMPLEX + "use linalg.eigh, or numpy.linalg.eig on .numpy()",
        "symeig": "use linalg.eigh",
        "solve": "use linalg.solve",
        "lstsq": "use linalg.lstsq",
        "lu": "use linalg.lu_factor",
        "lu_solve": "use linalg.lu_solve",
        "ormqr": "use linalg.householder_product, then @",
        "dequantize": _QUANTIZED,
        "q_scale": _QUANTIZED,
        "apply_": "write it with tensor operations, or copy_ what a loop over .tolist() made",
        "map_": "write it with tensor operations",
        "resize": "use resize_ or reshape",
        "to_mkldnn": "leave it out",
    },
    "nn": {
        "DataParallel": "there is one process and its threads here; leave it out",
        "SyncBatchNorm": "use BatchNorm2d: there is one process here",
        "CrossMapLRN2d": "use LocalResponseNorm",
        "NLLLoss2d": "use NLLLoss",
        "Container": "use Module",
        "FractionalMaxPool*": "use AdaptiveMaxPool2d or MaxPool2d",
        "AdaptiveLogSoftmaxWithLoss": "use CrossEntropyLoss",
        "LinearCrossEntropy*": "use Linear, then CrossEntropyLoss",
        "quantized": _QUANTIZED,
        "quantizable": _QUANTIZED,
        "intrinsic": _QUANTIZED,
        "parallel": "there is one process here",
    },
    "nn.functional": {
        "fractional_max_pool*": "use adaptive_max_pool2d",
        "*_with_indices": "pass return_indices=True to the pool",
        "conv_tbc": "use conv1d on x.permute(1, 2, 0)",
        "native_channel_shuffle": "use channel_shuffle",
        "scaled_*mm": "use grouped_mm, or matmul of x.to(al.bfloat16)",
        "linear_cross_entropy": "use linear, then cross_entropy",
    },
    "nn.init": {
        "uniform": "use uniform_",
        "normal": "use normal_",
        "constant": "use constant_",
        "eye": "use eye_",
        "dirac": "use dirac_",
        "xavier_*": "use xavier_*_",
        "kaiming_*": "use kaiming_*_",
        "orthogonal": "use orthogonal_",
        "sparse": "use sparse_",
    },
    "nn.utils": {
        "clip_grad_norm": "use clip_grad_norm_",
        "prune": "multiply a weight by a mask through nn.utils.parametrize",
        "stateless": "use al.func.functional_call",
        "convert_conv*": "memory is contiguous here; leave it out",
    },
    "optim": {
        "SparseAdam": "gradients are dense here; use Adam",
        "swa_utils": "average with p.lerp_(new, rate) after each step",
    },
    "linalg": {
        "eig": _COMPLEX + "use eigh for symmetric matrices, or numpy.linalg.eig on A.numpy()",
        "eigvals": _COMPLEX + "use eigvalsh for symmetric matrices, or numpy.linalg.eigvals on A.numpy()",
        "ldl_*": "use lu_factor and lu_solve, or cholesky",
    },
    "special": {
        "airy_ai": "use scipy.special.airy on x.numpy()",
        "bessel_j0": "use scipy.special.j0 on x.numpy()",
        "bessel_j1": "use scipy.special.j1 on x.numpy()",
        "bessel_y0": "use scipy.special.y0 on x.numpy()",
        "bessel_y1": "use scipy.special.y1 on x.numpy()",
        "*modified_bessel_i0": "use i0 or i0e",
        "*modified_bessel_i1": "use i1 or i1e",
        "modified_bessel_k0": "use scipy.special.k0 on x.numpy()",
        "modified_bessel_k1": "use scipy.special.k1 on x.numpy()",
        "scaled_modified_bessel_k0": "use scipy.special.k0e on x.numpy()",
        "scaled_modified_bessel_k1": "use scipy.special.k1e on x.numpy()",
        "spherical_bessel_j0": "use sinc(x / pi)",
        "*chebyshev_polynomial_*": "use scipy.special.eval_chebyt and its kin on x.numpy()",
        "hermite_polynomial_h": "use scipy.special.eval_hermite on x.numpy()",
        "hermite_polynomial_he": "use scipy.special.eval_hermitenorm on x.numpy()",
        "laguerre_polynomial_l": "use scipy.special.eval_laguerre on x.numpy()",
        "legendre_polynomial_p": "use scipy.special.eval_legendre on x.numpy()",
    },
}


def advice(module: str, name: str) -> str | None:
    """What to use instead of a name of torch, if there is something."""
    return next((text for pattern, text in ABSENT.get(module, {}).items() if fnmatchcase(name, pattern)), None)


def absent(module: str, name: str) -> AttributeError:
    """The error of a module ("": the package) that lacks a name."""
    text = None if name.startswith("_") else advice(module, name)
    where = f"ascendlite.{module}" if module else "ascendlite"
    return AttributeError(f"module '{where}' has no attribute {name!r}" + (f": {text}" if text else ""))


def absent_attribute(kind: str, name: str) -> AttributeError:
    """The error of a tensor (of class `kind`) that lacks a name."""
    text = ABSENT["Tensor"].get(name)
    return AttributeError(f"{kind!r} object has no attribute {name!r}" + (f": {text}" if text else ""))
