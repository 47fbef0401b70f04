"""Figure 6: a binary classifier on QuocNet's features, attacked both ways."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow_datasets as tfds

from intriguing_tf import datasets
from intriguing_tf.adversary import AdversarialResult
from intriguing_tf.adversary.targets import class_array
from intriguing_tf.checks import check_positive_integer, check_seed
from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments.networks import Images, papers_adversary
from intriguing_tf.experiments.quocnet import train_features
from intriguing_tf.experiments.results import Result
from intriguing_tf.models import QuocNetConfig, with_binary_classifier
from intriguing_tf.reporting import Picture, Table, adversarial_rows
from intriguing_tf.transfer.distortions import finite_images

_MNIST_SIZED = QuocNetConfig((28, 28, 1), (7, 5, 5), maps=8, pool_size=3, contrast_size=5)


@dataclasses.dataclass(frozen=True)
class Figure6:
    """Trains features without labels and one logit on top, then attacks test images.

    The paper's classifier told cars from the rest. Offline it is one digit of MNIST; with
    tensorflow-datasets any class of any data set of images of one size, such as the cars of
    CIFAR-10: `Figure6("cifar10", "automobile", QuocNetConfig((32, 32, 3), (7, 5, 5), 8, 3))`.

    Args:
        source: "mnist", or the name of a tensorflow-datasets data set.
        positive: which class is told from the rest: its name or index.
        config: sizes of the network.
        train_number: images that train it.
        test_number: images on which its error is measured.
        attacked: how many test images are attacked, half of them of the class.
        epochs: of each stage's unsupervised training.
        seed: of training.
        options: further keywords of `LBFGSAdversary`, without `bounds`.

    Raises:
        TypeError, ValueError: a seed that is none, other numbers that are not positive integers, or
            fewer than 2 attacked.

    Example:

        print(itf.experiments.Figure6(positive=4).run())
    """

    source: str = "mnist"
    positive: str | int = 4
    config: QuocNetConfig = _MNIST_SIZED
    train_number: int = 6000
    test_number: int = 2000
    attacked: int = 64
    epochs: int = 2
    seed: int = 0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("train_number", "test_number", "attacked", "epochs"):
            check_positive_integer(name, getattr(self, name))
        check_seed(self.seed)
        if self.attacked < 2:
            raise ValueError(f"`attacked` must be at least 2. Received: {self.attacked}.")

    def run(self, verbose: bool | str = "auto") -> Figure6Result:
        """Loads the data, trains, attacks and measures.

        Sets the random state of Python, NumPy and TensorFlow by `seed`.

        Raises:
            TypeError: options that are no dictionary.
            ValueError: an unknown class, images of another size than the configuration's, training
                images of one side alone, too few of a side among the test images, or options with
                `bounds`.
            FileNotFoundError: the data set is unavailable.
        """
        train = one_against_rest(self.source, self.positive, "train", self.train_number)
        test = one_against_rest(self.source, self.positive, "test", self.test_number)
        return dataclasses.replace(self.run_on(train, test, verbose), source=self.source)

    def run_on(
        self,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        verbose: bool | str = "auto",
    ) -> Figure6Result:
        """As `run`, on images and truths, 1 and 0, such as `one_against_rest` returns.

        Args:
            train: floats `[n, *config.image_shape]` in [0, 1], and integers `[n]`.
            test: others of the same shape.
            verbose: as in `train_features`.
        """
        images, truth = _with_truth(*test)
        train_images, train_truth = _with_truth(*train)
        chosen = self._chosen(truth)
        if not 0 < train_truth.mean() < 1:
            raise ValueError(
                "The training images must be of both sides. Received: "
                f"{int(train_truth.sum())} of {len(train_truth)} of the class."
            )
        features = train_features(
            self.config, train_images, epochs=self.epochs, seed=self.seed, verbose=verbose
        )
        classifier = _train_classifier(features, train_images, train_truth, self.seed)
        predicted = Classifier(classifier).predict(images, batch_size=64)
        result = papers_adversary(classifier, self.options)(
            images[chosen], truth[chosen], targets=1 - truth[chosen]
        )
        return Figure6Result(
            settings=self,
            model=classifier,
            missed=float(np.mean(predicted[truth == 1] == 0)),
            false_alarms=float(np.mean(predicted[truth == 0] == 1)),
            adversarial=result,
            truth=truth[chosen],
            trained_on=len(train_images),
            tested_on=len(images),
        )

    def _chosen(self, truth: np.ndarray) -> np.ndarray:
        """Returns which test images are attacked, first those of the class."""
        half = self.attacked // 2
        chosen = np.concatenate([np.flatnonzero(truth == side)[:half] for side in (1, 0)])
        if len(chosen) < 2 * half:
            raise ValueError(
                f"{len(truth)} test images must hold {half} of each side. "
                f"Received: {int(truth.sum())} of the class."
            )
        return chosen


@dataclasses.dataclass(frozen=True)
class Figure6Result(Result):
    """What `Figure6` measured; prints as a table.

    Attributes:
        settings: what was asked for.
        model: the trained classifier, one logit.
        missed: share of the class's test images that are classified as the rest.
        false_alarms: share of the rest's that are classified as the class.
        adversarial: the attacked images, first those of the class.
        truth: int64 `[n]`, 1 for the class.
        trained_on, tested_on: how many images.
        source: the data set; `None` for images that `run_on` was given.
    """

    settings: Figure6
    model: keras.Model
    missed: float
    false_alarms: float
    adversarial: AdversarialResult
    truth: np.ndarray
    trained_on: int
    tested_on: int
    source: str | None = None

    def table(self) -> Table:
        """Returns one row per side: class to rest and rest to class."""
        rows = []
        for side, name in ((1, "class to rest"), (0, "rest to class")):
            status = self.adversarial.status[self.truth == side]
            distortion = self.adversarial.distortion[self.truth == side]
            found = status == "found"
            distance = float(distortion[found].mean()) if found.any() else None
            already = int((status == "already").sum())
            rows.append((name, len(status), already, int(found.sum()), distance))
        s = self.settings
        data = "" if self.source is None else f" of {self.source}"
        which = "one class" if self.source is None else f"class {s.positive!r}"
        notes = [
            f"QuocNet with {s.config.parameters:,} weights trained without labels on "
            f"{self.trained_on} images{data}; {which} against the rest.",
            f"Errors on {self.tested_on} test images: {100 * self.missed:.1f} % of the class "
            f"missed, {100 * self.false_alarms:.1f} % false alarms.",
        ]
        head = ("", "images", "misclassified already", "attack succeeded", "average distortion")
        return Table("Figure 6: a binary classifier on QuocNet", head, rows, notes)

    def picture(self, shown: int = 4) -> Picture:
        """Draws originals, differences (ten times, around gray) and adversarial images."""
        found = self.adversarial.status == "found"
        sides = [np.flatnonzero((self.truth == side) & found)[:shown] for side in (1, 0)]
        picked = np.concatenate(sides)
        return adversarial_rows(
            np.asarray(self.adversarial.originals)[picked],
            self.adversarial.images[picked],
            ["class" if side else "rest" for side in self.truth[picked]],
            magnification=10,
            name="figure6",
            caption="Original, difference (ten times, around gray), classified as the other side.",
        )


def one_against_rest(
    source: str, positive: str | int, split: str, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first images of a split and whether each is of one class.

    Args:
        source: "mnist", or the name of a tensorflow-datasets data set of images of one size.
        positive: name or index of the class.
        split: "train" or "test".
        number: images, at most.

    Returns:
        Images, float32 `[n, height, width, channels]` in [0, 1], and int64 `[n]`, 1 for the class.

    Raises:
        ValueError: an unknown class.
        FileNotFoundError: the data set is unavailable.
    """
    if source == "mnist":
        images, labels = datasets.mnist(split)
        images, labels, names = images[:number], labels[:number], [str(d) for d in range(10)]
    else:
        images, labels, names = _from_tfds(source, f"{split}[:{number}]")
    if str(positive) in names:
        index = names.index(str(positive))
    elif isinstance(positive, int) and 0 <= positive < len(names):
        index = positive
    else:
        raise ValueError(
            f"{source!r} has the classes {', '.join(names[:12])}"
            f"{' ...' if len(names) > 12 else ''}. Received: {positive!r}."
        )
    return images, (labels == index).astype(np.int64)


def _from_tfds(source: str, split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images in [0, 1], labels and the classes' names."""
    try:
        builder = tfds.builder(source)
        builder.download_and_prepare()
    except (AssertionError, OSError, tfds.core.DatasetNotFoundError) as error:
        raise FileNotFoundError(
            f"tensorflow-datasets cannot load {source!r}. It says: {error}"
        ) from error
    pairs = list(tfds.as_numpy(builder.as_dataset(split=split, as_supervised=True)))
    images = np.stack([image for image, _ in pairs]).astype(np.float32) / 255
    labels = np.array([label for _, label in pairs])
    return images, labels, builder.info.features["label"].names


def _with_truth(images: Any, truth: Any) -> Images:
    """Returns images as an array, and whether each is of the class as int64 `[n]`."""
    images = finite_images("images", images)
    return images, class_array("truth", truth, len(images), classes=2)


def _train_classifier(
    features: keras.Model, images: np.ndarray, labels: np.ndarray, seed: int
) -> keras.Model:
    """Trains the logit on features that stay as they are."""
    features.trainable = False
    keras.utils.set_random_seed(seed)
    classifier = with_binary_classifier(features)
    values = features.predict(images, batch_size=64, verbose=0).reshape(len(images), -1)
    logit = classifier.get_layer("logit")
    logit.kernel_regularizer = keras.regularizers.L2(1e-4)
    top = keras.Sequential([keras.Input(values.shape[1:]), logit])
    top.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
        steps_per_execution=10,
    )
    positive = labels.mean()  # both sides count alike, however rare the class is
    weights = {0: 0.5 / (1 - positive), 1: 0.5 / positive}
    top.fit(values, labels, batch_size=64, epochs=40, class_weight=weights, verbose=0)
    return classifier
