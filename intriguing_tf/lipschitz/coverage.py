"""Which layers of the installed Keras and functions of `keras.ops` have a rule: a table.

python -m intriguing_tf.lipschitz.coverage docs/lipschitz-coverage.md
"""

from __future__ import annotations

import inspect
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import keras

from intriguing_tf.lipschitz import rules
from intriguing_tf.lipschitz.domain_rules import has_domain_rule
from intriguing_tf.lipschitz.evaluation_errors import has_error_rule
from intriguing_tf.lipschitz.registry import known_arguments, why_unbounded

NO_RULE = "no rule is registered"
ON_A_DOMAIN = "with a domain"
# Why layers and operations have no rule, by name.
REASONS = {
    "it is random, and changes its input in training only if at all; no rule is registered": (
        "AugMix AutoContrast CutMix MixUp Pipeline RandAugment RandomColorDegeneration "
        "RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale "
        "RandomHue RandomInvert RandomPerspective RandomPosterization RandomSaturation "
        "RandomSharpness RandomShear"
    ),
    "it resizes images that are smaller than its crop; use CenterCrop or Resizing": "RandomCrop",
    "its states depend on one another from step to step": (
        "Bidirectional GRUCell LSTMCell RNN SimpleRNN SimpleRNNCell StackedRNNCells "
        "associative_scan cond fori_loop map scan switch vectorized_map while_loop"
    ),
    "it takes integers or strings, or gives integers": (
        "CategoryEncoding HashedCrossing Hashing IntegerLookup StringLookup TextVectorization "
        "ReversibleEmbedding argmax argmin argpartition argsort bincount bitwise_and "
        "bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor "
        "count_nonzero digitize gcd histogram in_top_k lcm left_shift multi_hot nanargmax "
        "nanargmin nonzero one_hot right_shift searchsorted unravel_index"
    ),
    "what it computes is not known to Keras": (
        "FlaxLayer JaxLayer Lambda TorchModuleWrapper custom_gradient"
    ),
    "no layer that computes": "InputLayer InputSpec Layer Wrapper MaxNumBoundingBoxes",
    "it jumps": (
        "Equalization Solarization ContrastLimitedAdaptiveHistogramEqualization all any ceil "
        "equal fix floor floor_divide fmod greater greater_equal hard_shrink heaviside isclose "
        "isfinite isin isinf isnan isneginf isposinf isreal less less_equal logical_and "
        "logical_not logical_or logical_xor mod not_equal round sign signbit sparsemax threshold "
        "trunc unique allclose matrix_rank nextafter select view where"
    ),
    "its slope is not bounded": (
        "MelSpectrogram STFTSpectrogram arccos arccosh arcsin arctanh cbrt cosh cumprod det "
        "erfinv exp exp2 inv log log10 log1p log2 logdet nancumprod nanprod pinv "
        "power prod reciprocal rsqrt sinh slogdet solve sqrt square tan nanvar var "
        "moments normalize layer_normalization rms_normalization batch_normalization cholesky "
        "arctan2 cholesky_inverse eig eigh i0 lstsq lu_factor qr solve_triangular svd vander"
    ),
    "it multiplies or divides two things that both depend on the input, or may": (
        "cross divide_no_nan dot_product_attention einsum glu inner kron ldexp outer tensordot "
        "vdot correlate corrcoef cdist"
    ),
    "it makes a tensor that does not depend on the input": (
        "arange bartlett blackman empty empty_like eye full full_like geomspace hamming hanning "
        "identity kaiser linspace logspace meshgrid ones ones_like shape size ndim tri zeros "
        "zeros_like"
    ),
    "it works along the batch, or may": (
        "broadcast_to diag diagflat flipud scatter scatter_update segment_max segment_min "
        "segment_prod segment_sum slice slice_update vsplit vstack"
    ),
    "it is no function of one tensor that a model records": (
        "array convert_to_numpy convert_to_tensor dtype is_tensor jvp saturate_cast vectorize"
    ),
    "it is a loss": (
        "binary_crossentropy categorical_crossentropy ctc_loss ctc_decode psnr "
        "sparse_categorical_crossentropy"
    ),
    "it has complex numbers": (
        "angle conj conjugate fft fft2 ifft2 imag irfft istft polar real rfft stft view_as_complex "
        "view_as_real"
    ),
}

# Why radii are not certified through layers that have a rule.
NO_RADII = {
    "AveragePooling3D": "TensorFlow does not compute it in float64",
    "MaxPooling3D": "TensorFlow does not compute it in float64",
    "TimeDistributed": "no bound of its rounding errors; Dense works on every step as it is",
}


def _reasons() -> dict[str, str]:
    return {name: reason for reason, names in REASONS.items() for name in names.split()}


def layer_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yields name, whether it has a rule, whether radii are certified, and why not."""
    by_name = _reasons()
    ruled = known_arguments()
    assert rules.linear  # importing the rules fills the table
    for name in sorted(dir(keras.layers)):
        kind = getattr(keras.layers, name)
        if not inspect.isclass(kind) or name != kind.__name__:
            continue  # another name of the same class
        if kind in ruled:
            yield name, "rule", "yes" if has_error_rule(kind) else "no", NO_RADII.get(name, "")
        elif has_domain_rule(kind):
            yield name, ON_A_DOMAIN, "yes" if has_error_rule(kind) else "no", ""
        else:
            reason = why_unbounded(kind) or by_name.get(name, NO_RULE)
            yield name, "refused", "", reason.removesuffix(".")


def operation_rows() -> Iterator[tuple[str, str, str, str]]:
    """The same of the functions of `keras.ops`."""
    by_name = _reasons()
    for name in sorted(dir(keras.ops)):
        function = getattr(keras.ops, name)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        kind = operation_name(function)
        if kind in rules.calls.RULES:
            yield name, "rule", "yes" if has_error_rule(kind) else "no", ""
        elif has_domain_rule(kind):
            yield name, ON_A_DOMAIN, "yes" if has_error_rule(kind) else "no", ""
        else:
            yield name, "refused", "", by_name.get(name, NO_RULE)


def operation_name(function: Any) -> str | None:
    """The class of the operation that a function of `keras.ops` makes; `None` if there is none."""
    wanted = {"abs": "absolute"}.get(function.__name__, function.__name__).replace("_", "")
    kinds = vars(inspect.getmodule(function)).items()
    return next((name for name, k in kinds if inspect.isclass(k) and name.lower() == wanted), None)


def markdown() -> str:
    """Returns both tables as a page."""
    parts = [
        "# What the Lipschitz bounds cover",
        "",
        f"Of Keras {keras.__version__}, written by `python -m intriguing_tf.lipschitz.coverage "
        "docs/lipschitz-coverage.md` and compared in the tests. What is refused raises "
        "`NoBoundError` with its name; `itf.lipschitz.register` adds a rule. *With a domain*: "
        "bounded on a box of inputs, `bound(model, domain=(low, high))`, as are `multiply` and "
        "`divide` of two tensors, too. *Radii*: whether "
        "`certified_radius` takes it, with that domain if it needs one; there must be a bound of "
        "its rounding errors, too.",
    ]
    for title, rows in (("Layers", layer_rows()), ("keras.ops", operation_rows())):
        parts += ["", f"## {title}", "", "| name | bound | radii | why |", "|---|---|---|---|"]
        parts += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
