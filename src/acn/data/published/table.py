"""The table of published datasets: a new one is an entry here."""

from acn.data.published.batches import read_cifar10, read_imagenet32
from acn.data.published.dataset import Dataset
from acn.data.published.files import PublishedFile
from acn.data.published.image_files import read_characters, read_faces
from acn.data.published.matlab import read_omniglot, read_silhouettes
from acn.data.published.mnist import mnist_of_splits, read_mnist
from acn.data.published.static_mnist import ARCHIVE, read_static_mnist

TEXT = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
IDX = "https://ossci-datasets.s3.amazonaws.com/mnist"
LAKE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"

AS_IT_IS = "measured on these very bits: data.binarize=none, the default"
REDRAWN = "data.binarize=dynamic: training bits are redrawn at every visit, test bits are drawn once, by data.seed"
NOT_STATED = "not stated by its authors"

ENTRIES = (
    Dataset(
        name="static-mnist",
        title="MNIST in fixed bits (Salakhutdinov and Murray 2008)",
        counts={"train": 50_000, "valid": 10_000, "test": 10_000},
        shape=(28, 28, 1),
        source=TEXT,
        licence=NOT_STATED,
        figures=AS_IT_IS,
        convert=read_static_mnist,
        files=tuple(PublishedFile(f"{TEXT}/binarized_mnist_{split}.amat") for split in ("train", "valid", "test")),
        archive=ARCHIVE,
    ),
    Dataset(
        name="dynamic-mnist",
        title="MNIST in grey (LeCun et al. 1998)",
        counts={"train": 50_000, "valid": 10_000, "test": 10_000},
        shape=(28, 28, 1),
        source=IDX,
        licence=NOT_STATED,
        figures=REDRAWN,
        convert=read_mnist,
        convert_splits=mnist_of_splits,
        files=(
            PublishedFile(f"{IDX}/train-images-idx3-ubyte.gz"),
            PublishedFile(f"{IDX}/train-labels-idx1-ubyte.gz"),
            PublishedFile(f"{IDX}/t10k-images-idx3-ubyte.gz"),
            PublishedFile(f"{IDX}/t10k-labels-idx1-ubyte.gz"),
        ),
    ),
    Dataset(
        name="omniglot",
        title="OMNIGLOT in grey, 28 x 28 (Burda et al. 2016)",
        counts={"train": 23_000, "valid": 1_345, "test": 8_070},
        shape=(28, 28, 1),
        source="https://github.com/yburda/iwae",
        licence="MIT, of the drawings (Lake et al. 2015)",
        figures=REDRAWN,
        convert=read_omniglot,
        files=(
            PublishedFile(
                "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat",
                md5="21ecaf34373511aa7691cf2e0802aa3d",
            ),
        ),
    ),
    Dataset(
        name="omniglot-original",
        title="OMNIGLOT as drawn, 105 x 105 (Lake et al. 2015)",
        counts={"train": 19_280, "test": 13_180},
        shape=(105, 105, 1),
        source="https://github.com/brendenlake/omniglot",
        licence="MIT",
        figures="none: those of OMNIGLOT are of the dataset omniglot",
        convert=read_characters,
        files=(
            PublishedFile(f"{LAKE}/images_background.zip", md5="68d2efa1b9178cc56df9314c21c6e718"),
            PublishedFile(f"{LAKE}/images_evaluation.zip", md5="6b91aef0f799c5bb55b94e3f2daec811"),
        ),
    ),
    Dataset(
        name="caltech101-silhouettes",
        title="Caltech-101 silhouettes (Marlin et al. 2010)",
        counts={"train": 4_100, "valid": 2_264, "test": 2_307},
        shape=(28, 28, 1),
        source="https://people.cs.umass.edu/~marlin/data.shtml",
        licence=NOT_STATED,
        figures=AS_IT_IS,
        convert=read_silhouettes,
        files=(PublishedFile("https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat"),),
    ),
    Dataset(
        name="cifar10",
        title="CIFAR-10 (Krizhevsky 2009)",
        counts={"train": 50_000, "test": 10_000},
        shape=(32, 32, 3),
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence=NOT_STATED,
        figures="bits per dimension of the 256 levels, nothing binarized",
        convert=read_cifar10,
        files=(
            PublishedFile(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
                size=170_498_071,
            ),
        ),
    ),
    Dataset(
        name="imagenet32",
        title="ImageNet at 32 x 32 (Chrabaszcz et al. 2017)",
        counts={"train": 1_281_167, "test": 50_000},
        shape=(32, 32, 3),
        source="https://image-net.org/download-images",
        licence="research and education alone, by the terms of ImageNet",
        figures="bits per dimension; 3.83 and others of its time are of an older version, shrunk in another way",
        convert=read_imagenet32,
        local="the folder of its unpacked batches",
    ),
    Dataset(
        name="celeba32",
        title="CelebA, faces at 32 x 32 (Liu et al. 2015)",
        counts={"train": 162_770, "valid": 19_867, "test": 19_962},
        shape=(32, 32, 3),
        source="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="research alone, not commercial, by the terms of its authors",
        figures="bits per dimension; papers crop and shrink in ways of their own, so compare with care",
        convert=read_faces,
        local="the folder or the zip of the aligned photographs (img_align_celeba)",
        whole=False,
    ),
)
DATASETS = {entry.name: entry for entry in ENTRIES}
BY_ARCHIVE = {entry.file_name: entry for entry in ENTRIES}
