"""What Graves, Menick and van den Oord 2018 (arXiv 1804.02476) print of images in colour, by study.

All is of the test split: Tables 4 to 7, and the accuracies of sections 4.2 and 4.3.
"""

from collections.abc import Mapping
from functools import partial

from acn.evaluation.figures import TOP5, Published

_bits = partial(Published, digits=2)
# Bits per dimension by model, that of the paper's own ACN, whose order is kept, last.
LIKELIHOODS: Mapping[str, Mapping[str, Published]] = {
    "acn-cifar10": {
        "DRAW": _bits(4.13, "Gregor et al., 2015"),
        "ConvDRAW": _bits(4.00, "Gregor et al., 2016"),
        "PixelCNN": _bits(3.14, "Oord et al., 2016a"),
        "Gated PixelCNN": _bits(3.03, "Oord et al., 2016b"),
        "PixelRNN": _bits(3.00, "Oord et al., 2016a"),
        "PixelCNN++": _bits(2.92, "Salimans et al., 2017"),
        "PixelSNAIL": _bits(2.85, "Chen et al., 2017"),
        "ACN": _bits(3.07),
    },
    "acn-imagenet32": {
        "ConvDRAW": _bits(4.40, "Gregor et al., 2016"),
        "PixelRNN": _bits(3.86, "Oord et al., 2016a"),
        "Gated PixelCNN": _bits(3.83, "Oord et al., 2016b"),
        "PixelSNAIL": _bits(3.80, "Chen et al., 2017"),
        "ACN": _bits(3.82),
    },
}
# Of the paper's own ACN: nats per image by `acn.evaluation.figures.FIGURES`.
COSTS: Mapping[str, Mapping[str, Published]] = {
    "acn-cifar10": {
        "reconstruction": Published(6536.7),
        "kl_k1": Published(5.4),
        "kl_k5": Published(6.2),
        "kl_k10": Published(6.7),
        "kl_tour_greedy": Published(6.3),
        "kl_unconditional_mixture": Published(14.4),
        "tour": Published(6543.0, at_most=True),
    },
    "acn-imagenet32": {
        "reconstruction": Published(8112.8),
        "kl_k1": Published(2.9),
        "kl_k5": Published(8.7),
        "kl_k10": Published(10.3),
        "kl_tour_greedy": Published(10.6),
        "kl_unconditional_mixture": Published(18.2),
        "tour": Published(8123.4, at_most=True),
    },
}
ACCURACIES: Mapping[str, Mapping[str, Published]] = {
    "acn-cifar10": {"codes": Published(55.3), "pixels": Published(38.4)},
    "acn-imagenet32": {
        "codes": Published(18.5),
        f"codes{TOP5}": Published(40.5),
        "pixels": Published(3.0),
        f"pixels{TOP5}": Published(9.0),
    },
}
