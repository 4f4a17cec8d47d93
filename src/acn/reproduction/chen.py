"""What Chen et al. 2017 (Variational Lossy Autoencoder, arXiv 1611.02731) print, by dataset.

All costs are of the test split, in nats per image, but those of CIFAR-10 in bits per dimension. Every one is as that
paper prints it, those of other models too.
"""

from collections.abc import Mapping
from functools import partial

from acn.evaluation.figures import CHEN, PUBLISHED, Published

_nats = _bits = partial(Published, source=CHEN, digits=2)

# Negative log-likelihoods by model, best last.
LIKELIHOODS: Mapping[str, Mapping[str, Published]] = {
    "static-mnist": {
        "normalizing flows": _nats(85.10),
        "Discrete VAE": _nats(81.01),
        "DRAW": _nats(80.97, at_most=True),
        "IAF VAE": PUBLISHED["vlae-iaf"]["nll"],
        "AF VAE": PUBLISHED["vlae-factorized"]["nll"],
        "PixelRNN": _nats(79.20),
        "VLAE": PUBLISHED["vlae"]["nll"],
    },
    "dynamic-mnist": {
        "unconditional decoder": _nats(87.55),
        "DLGM, two layers + IWAE": _nats(82.90),
        "ConvVAE + HVI": _nats(81.94),
        "LVAE": _nats(81.74),
        "Discrete VAE": _nats(80.04),
        "DRAW + VGP": _nats(79.88, at_most=True),
        "IAF VAE": _nats(79.10),
        "VLAE": _nats(78.53),
    },
    "omniglot": {
        "VAE": _nats(106.31),
        "IWAE": _nats(103.38),
        "RBM": _nats(100.46),
        "DRAW": _nats(96.50, at_most=True),
        "unconditional decoder": _nats(95.02),
        "ConvDRAW": _nats(91.00, at_most=True),
        "VLAE": _nats(90.98),
        "VLAE, fine-tuned": _nats(89.83),
    },
    "caltech": {
        "RWS SBN": _nats(113.3, digits=1),
        "RBM": _nats(107.8, digits=1),
        "NAIS NADE": _nats(100.0, digits=1),
        "Discrete VAE": _nats(97.6, digits=1),
        "unconditional decoder": _nats(89.26),
        "SpARN": _nats(88.48),
        "VLAE": _nats(77.36),
    },
    "cifar10": {
        "uniform": _bits(8.00),
        "Deep Diffusion": _bits(5.40),
        "Gaussian": _bits(4.70),
        "NICE": _bits(4.48),
        "Deep GMM": _bits(4.00),
        "ConvDRAW": _bits(3.58),
        "Real NVP": _bits(3.49),
        "PixelCNN": _bits(3.14),
        "ResNet VAE with IAF": _bits(3.11),
        "ResNet VLAE": _bits(3.04),
        "Gated PixelCNN": _bits(3.03),
        "PixelRNN": _bits(3.00),
        "DenseNet VLAE": _bits(2.95),
        "PixelCNN++": _bits(2.92),
    },
}
# The ablation on dynamic MNIST: NLL and KL by variant.
ABLATION: Mapping[str, tuple[Published, Published]] = {
    "vlae-dynamic-alone": (_nats(87.55), _nats(0.0, digits=0)),
    "vlae-dynamic-normal": (_nats(79.48), _nats(10.60)),
    "vlae-dynamic": (_nats(78.94), _nats(11.73)),
}
# The KL on static MNIST, by variant: the paper says 19.2 and 37.3 bits.
PLACEMENT: Mapping[str, Published] = {
    variant: PUBLISHED[variant]["kl_unconditional_own"] for variant in ("vlae-factorized", "vlae")
}
