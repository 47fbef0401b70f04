"""Recipes as data: complete, checked, the paper's; and what training by one gives."""

import copy
import json

import keras
import numpy as np
import pytest

from intriguing_tf import datasets, lipschitz, training
from intriguing_tf.classifier import Classifier
from intriguing_tf.experiments import paper
from intriguing_tf.keras_graph import up_to
from intriguing_tf.publishing import (
    Minibatches,
    Recipe,
    SparseAutoencoder,
    adversarial_model,
    build,
    load_recipe,
    recipe_names,
    recipes,
    train_on,
)
from intriguing_tf.publishing import training as publishing_training
from intriguing_tf.publishing.autoencoder import filters_figure, sparse_reconstruction

NAMES = [
    "mnist/ae400-10",
    "mnist/certified-0.3",
    "mnist/certified-1.58",
    "mnist/conv",
    "mnist/conv-gradient",
    "mnist/conv-lipschitz",
    "mnist/conv-pools",
    "mnist/fc10-1",
    "mnist/fc10-1e-2",
    "mnist/fc10-1e-4",
    "mnist/fc100-100-10",
    "mnist/fc100-100-10-certified",
    "mnist/fc100-100-10-combined",
    "mnist/fc100-100-10-gradient",
    "mnist/fc100-100-10-lipschitz",
    "mnist/fc100-100-10-p1",
    "mnist/fc100-100-10-p2",
    "mnist/fc100-100-10-pools",
    "mnist/fc123-456-10-p1",
    "mnist/fc200-200-10",
]
pytestmark = pytest.mark.usefixtures("without_xla")
BRIEF = Minibatches("adam", 0.01, "cosine", epochs=8, batch_size=50)


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.mnist_sample()
    return images[:300], labels[:300]


@pytest.fixture
def values():
    return copy.deepcopy(load_recipe("mnist/ae400-10").json())


def test_every_mnist_entry_has_its_recipe():
    assert recipe_names() == NAMES
    assert [load_recipe(name).name for name in NAMES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_recipe_survives_the_round_trip(name):
    recipe = load_recipe(name)
    assert Recipe.from_json(json.loads(json.dumps(recipe.json()))) == recipe


def test_what_explains_may_be_left_out():
    recipe = load_recipe(NAMES[0])
    values = {k: v for k, v in recipe.json().items() if k not in ("selection", "paper")}
    bare = Recipe.from_json(values)
    assert bare.json() == values and recipes.fingerprint(bare) == recipes.fingerprint(recipe)


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name in paper.ZOO.values()))
def test_recipe_states_the_papers_figures(name):
    facts = load_recipe(name).paper
    assert paper.ZOO[facts.model] == name
    row = paper.TABLE_1.get(facts.model)
    if row is not None:
        stated = (facts.train_error, facts.test_error, facts.distortion)
        assert stated == tuple(row)


def test_softmax_regression_has_the_papers_decay():
    for name in ("mnist/fc10-1", "mnist/fc10-1e-2", "mnist/fc10-1e-4"):
        recipe = load_recipe(name)
        assert recipe.arguments["weight_decay"] == recipe.paper.weight_decay


def test_halves_are_trained_on_halves():
    data = {name: load_recipe(name).data for name in NAMES}
    assert {name for name in NAMES if data[name] == "p1"} == {n for n in NAMES if "-p1" in n}
    assert {name for name in NAMES if data[name] == "p2"} == {n for n in NAMES if "-p2" in n}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["epochs"], 3, r"unknown field `epochs`"),
        (["data"], "p3", r"data: Invalid enum value 'p3'\. Received: 'p3'"),
        (["seed"], -1, r"seed: Expected `int` >= 0\. Received: -1"),
        (["builder"], "eval", r"builder: .*'eval'"),
        (["fitting", "method"], "magic", r"fitting\.method: .*'magic'"),
        (["autoencoder", "sparsity"], 1.5, r"autoencoder\.sparsity: .* < 1\.0\. Received: 1\.5"),
        (["pools"], [{"layer": "fc2"}], "no `autoencoder`"),
        (
            ["autoencoder", "fitting", "epochs"],
            0,
            r"autoencoder\.fitting\.epochs: .* >= 1",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_place(values, place, value, message):
    *folder, last = place
    part = values
    for key in folder:
        part = part[key]
    part[last] = value
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(values)


def test_a_missing_field_is_named(values):
    del values["seed"]
    with pytest.raises(ValueError, match="missing required field `seed`"):
        Recipe.from_json(values)


def test_the_schema_names_what_is_stored():
    schema = Recipe.schema()["$defs"]
    assert {"arguments", "initialisation"} <= schema["Recipe"]["properties"].keys()
    assert "optimiser" in schema["Minibatches"]["required"]


def test_unknown_names_and_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'mnist/fc11'.*mnist/fc10-1e-4"):
        load_recipe("mnist/fc11")
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json"):
        load_recipe(tmp_path / "broken.json")


def test_a_recipe_may_be_a_file(values, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(values))
    assert load_recipe(tmp_path / "own.json") == load_recipe("mnist/ae400-10")


def brief(name):
    return load_recipe(name).replace(fitting=BRIEF)


@pytest.mark.slow
def test_training_repeats_for_a_seed_and_only_for_it(digits):
    recipe = brief("mnist/fc100-100-10").replace(fitting=BRIEF.replace(epochs=2))
    first, again = (train_on(recipe, *digits) for _ in range(2))
    other = train_on(recipe.replace(seed=recipe.seed + 1), *digits)
    for a, b in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.model.get_weights()[0], other.model.get_weights()[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist/fc10-1", "mnist/fc100-100-10"])
def test_every_seed_of_the_schema_trains(name, digits):
    values = load_recipe(name).json() | {"seed": 2**32 - 1}
    recipe = Recipe.from_json(values)
    if name != "mnist/fc10-1":
        recipe = recipe.replace(fitting=BRIEF.replace(epochs=1))
    assert train_on(recipe, *digits, verbose=False).recipe.seed == 2**32 - 1


def test_batches_are_not_larger_than_the_data(digits, monkeypatch):
    monkeypatch.setattr(publishing_training, "build", None)  # it is told before
    for recipe in (
        brief("mnist/fc10-1").replace(fitting=BRIEF.replace(batch_size=301)),
        load_recipe("mnist/fc100-100-10-pools").replace(fitting=BRIEF.replace(batch_size=301)),
        load_recipe("mnist/conv").replace(fitting=BRIEF.replace(batch_size=301)),
    ):
        with pytest.raises(ValueError, match=r"300 images.*`batch_size`\. Received: 301"):
            train_on(recipe, *digits)
    stage = load_recipe("mnist/ae400-10").autoencoder
    stage = stage.replace(fitting=BRIEF.replace(batch_size=301))
    with pytest.raises(ValueError, match="`batch_size`"):
        train_on(brief("mnist/ae400-10").replace(autoencoder=stage), *digits)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_the_builder_does_not_take_are_named(name):
    recipe = load_recipe(name)
    with pytest.raises(
        ValueError, match=rf"'{name}'.*Valid: .*kernel_initializer.*Received: 'foo'"
    ):
        build(recipe.replace(arguments={"foo": 1}))


@pytest.mark.slow
def test_training_learns_and_tells_the_truth_about_it(digits):
    recipe = brief("mnist/conv").replace(arguments={"filters": 4, "units": 32})
    trained = train_on(recipe, *digits)
    errors = Classifier(trained.model).predict(digits[0]) != digits[1]
    assert trained.train_error == errors.mean() < 0.4
    assert trained.data_sha256 == datasets.fingerprint(*digits)
    assert len(trained.curve.loss) == 8
    assert trained.figures() == {}
    assert "mnist/conv" in str(trained)


def with_parts(**parts):
    values = brief("mnist/fc100-100-10").json() | parts
    return Recipe.from_json(json.loads(json.dumps(values)))


def test_pools_and_penalties_are_data():
    recipe = with_parts(
        pools=[{"size": 64, "refresh": 16}, {"layer": "fc2", "distortion": 0.1}],
        penalties=[{"kind": "lipschitz", "total": 9.0}, {"kind": "gradient", "weight": 0.2}],
    )
    assert Recipe.from_json(recipe.json()) == recipe
    trainer = adversarial_model(recipe, build(recipe), 300)
    assert [(pool.layer, pool.distortion) for pool in trainer.pools] == [(None, None), ("fc2", 0.1)]
    lipschitz, gradient = trainer.penalties
    assert (lipschitz.total, gradient.weight) == (9.0, 0.2)


@pytest.mark.parametrize(
    ("intervals", "steps"),
    [([], 50), ([None], 50), ([0], 50), ([75], 50), ([50], 50), ([5], 5), ([0, None, 7, 100], 7)],
)
def test_pools_are_new_as_often_as_their_recipe_says(intervals, steps, digits, monkeypatch):
    """They are renewed between calls, of which none may be longer than an interval."""
    pools = [
        {"distortion": 0.1} | ({} if interval is None else {"interval": interval})
        for interval in intervals
    ]
    recipe = with_parts(penalties=[{"kind": "gradient"}], **({"pools": pools} if pools else {}))
    found = []

    def fit(self, **_):
        found.append(self.steps_per_execution)
        return keras.callbacks.History()

    monkeypatch.setattr(training.AdversarialModel, "fit", fit)
    train_on(recipe, *digits)
    assert found == [steps]


@pytest.mark.slow
def test_a_short_interval_is_kept(digits, monkeypatch):
    pool = {"layer": None, "size": 8, "refresh": 8, "interval": 2, "distortion": 0.1}
    recipe = with_parts(pools=[pool]).replace(fitting=BRIEF.replace(epochs=1))
    renewed = []
    original = training.AdversarialModel.renew_pools

    def renew(self):
        made = original(self)
        renewed.extend(int(self.steps.numpy()) for _ in made)
        return made

    monkeypatch.setattr(training.AdversarialModel, "renew_pools", renew)
    train_on(recipe, *digits, verbose=False)
    assert renewed == [2, 4, 6]


@pytest.mark.parametrize(
    "penalty", [{"weight": 1.0}, {"kind": "lipschitz", "of": "loss"}, {"kind": "decay"}]
)
def test_penalties_that_are_none_are_refused(penalty):
    with pytest.raises(ValueError, match="penalties"):
        with_parts(penalties=[penalty])


@pytest.mark.slow
def test_a_recipe_with_a_penalty_trains_with_it(digits):
    plain, held = (
        train_on(with_parts(**parts), *digits, verbose=False)
        for parts in ({}, {"penalties": [{"kind": "lipschitz", "total": 2.0}]})
    )
    totals = [lipschitz.bound(trained.model, method="product").total for trained in (plain, held)]
    assert totals[1] < 3 < totals[0]
    assert len(held.curve.loss) == BRIEF.epochs


def certified_recipe(**changes):
    fitting = Minibatches("adam", 0.003, "cosine", epochs=2, batch_size=50)
    values = with_parts(
        builder="group_sort",
        arguments={"units": 16},
        penalties=[{"kind": "certified", "radius": 0.5, "ramp": 0.5}],
        **changes,
    ).json()
    del values["initialisation"]
    return Recipe.from_json(values).replace(fitting=fitting)


def test_a_certified_radius_grows_over_a_part_of_the_training():
    recipe = certified_recipe()
    assert Recipe.from_json(recipe.json()) == recipe
    (margin,) = adversarial_model(recipe, build(recipe), 300).penalties
    assert [float(margin.radius(step)) for step in (0, 3, 6, 12)] == [0.0, 0.25, 0.5, 0.5]


def test_a_certified_radius_grows_within_a_step_where_its_part_is_less():
    values = certified_recipe().json()
    values["penalties"][0]["ramp"] = 0.01
    recipe = Recipe.from_json(values)
    (margin,) = adversarial_model(recipe, build(recipe), 100).penalties
    assert [float(margin.radius(step)) for step in (0, 1, 2)] == [0.0, 0.5, 0.5]


def test_constraint_and_shift_are_of_training_with_parts():
    values = load_recipe("mnist/conv").json()
    for part in ({"constraint": "orthogonal"}, {"shift": 1}):
        with pytest.raises(ValueError, match="need `pools` or `penalties`"):
            Recipe.from_json(values | part)


@pytest.fixture(scope="module")
def certified(digits, tmp_path_factory):
    """A recipe with a constraint, a shift and rounding, and what training by it gives."""
    recipe = certified_recipe(constraint="orthogonal", shift=1, rounding="float16")
    backup = tmp_path_factory.mktemp("certified")
    return recipe, train_on(recipe, *digits, verbose=False, backup=backup)


@pytest.mark.slow
def test_certified_training_keeps_to_its_constraint_and_publishes_none(certified):
    model = certified[1].model
    for weights in model.get_weights():
        assert weights.dtype == np.float32 and (weights == weights.astype(np.float16)).all()
    for name in ("fc1", "fc2"):
        values = np.linalg.svd(model.get_layer(name).kernel.numpy(), compute_uv=False)
        np.testing.assert_allclose(values, 1, atol=0.01)
        assert model.get_layer(name).kernel_constraint is None
    assert "OrthogonalConstraint" not in model.to_json()


@pytest.mark.slow
def test_training_resumes_from_its_backup(certified, digits, tmp_path, monkeypatch):
    recipe, whole = certified
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / (1 - epoch))
    original = training.AdversarialModel.fit

    def stopping(self, *args, callbacks, **options):
        return original(self, *args, callbacks=[*callbacks, stop], **options)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(training.AdversarialModel, "fit", stopping)
        train_on(recipe, *digits, verbose=False, backup=tmp_path)
    for _ in range(2):  # the second time nothing is left to do
        resumed = train_on(recipe, *digits, verbose=False, backup=tmp_path)
        # To the last bit: with the order and the shifts that the second epoch would have had.
        np.testing.assert_array_equal(resumed.curve.loss, whole.curve.loss)
        for a, b in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_recipe_that_is_no_json_names_its_file(tmp_path):
    for content in (b"[" * 100_000, b"\xff\xfe", b"{"):
        (tmp_path / "mine.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.json: not JSON"):
            load_recipe(tmp_path / "mine.json")


@pytest.mark.slow
def test_softmax_regression_is_trained_to_its_optimum(digits):
    trained = train_on(load_recipe("mnist/fc10-1"), *digits)
    assert trained.curve.gradient_norm <= 1e-6


@pytest.fixture(scope="module")
def autoencoder_recipe():
    stage = SparseAutoencoder(
        sparsity=0.05,
        penalty=10.0,
        weight_decay=1e-4,
        fitting=BRIEF.replace(epochs=40),
    )
    return brief("mnist/ae400-10").replace(autoencoder=stage)


@pytest.fixture(scope="module")
def autoencoder(autoencoder_recipe, digits):
    return train_on(autoencoder_recipe, *digits)


@pytest.mark.slow
def test_features_come_from_reconstruction_alone(autoencoder, autoencoder_recipe, digits):
    """Other labels give the same first layer, and another classifier."""
    other = train_on(autoencoder_recipe, digits[0], (digits[1] + 1) % 10)
    for a, b in zip(
        autoencoder.model.get_layer("fc1").get_weights(),
        other.model.get_layer("fc1").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    kernels = [t.model.get_layer("logits").kernel.numpy() for t in (autoencoder, other)]
    assert not np.allclose(*kernels)
    assert autoencoder.train_error < 0.3


@pytest.mark.slow
def test_sparsity_is_enforced(autoencoder, autoencoder_recipe, digits):
    def mean_activation(trained):
        return float(up_to(trained.model, "fc1")(digits[0]).numpy().mean())

    stage = autoencoder_recipe.autoencoder.replace(penalty=0.0)
    free = autoencoder_recipe.replace(autoencoder=stage)
    assert mean_activation(autoencoder) < 0.12
    assert mean_activation(train_on(free, *digits)) > 0.2


@pytest.mark.slow
def test_filters_are_drawn(autoencoder, tmp_path):
    figures = autoencoder.figures()
    assert list(figures) == ["filters"]
    figures["filters"].savefig(tmp_path / "filters.png")
    assert (tmp_path / "filters.png").stat().st_size > 10_000


def test_filters_are_placed_row_by_row_each_on_its_own_scale():
    kernel = np.zeros((784, 3))
    kernel[0, 0], kernel[783, 1], kernel[28, 2] = 2.0, -5.0, 1e-3
    (axes,) = filters_figure(kernel, columns=2).axes
    page = np.asarray(axes.images[0].get_array())
    assert page.shape == (60, 60)
    assert (page[1, 1], page[28, 58], page[32, 1]) == (1.0, -1.0, 1.0)


def test_sparse_reconstruction_has_its_closed_form():
    images = np.array([[0.0, 1.0], [0.5, 0.25]], np.float32).reshape(2, 2, 1, 1)
    logits = np.array([[0.3, -0.7], [1.0, 2.0]], np.float32)
    code = np.array([[0.2, 0.9], [0.4, 0.5]], np.float32)
    p = 1 / (1 + np.exp(-logits.astype(float)))
    x = images.reshape(2, 2)
    entropy = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    mean = np.array([0.3, 0.7])
    divergence = (0.1 * np.log(0.1 / mean) + 0.9 * np.log(0.9 / (1 - mean))).sum()
    got = sparse_reconstruction(images, (logits, code), sparsity=0.1, penalty=2.0)
    assert float(got) == pytest.approx(entropy + 2 * divergence, rel=1e-5)


@pytest.mark.slow
def test_saved_model_is_read_back(autoencoder, digits, tmp_path):
    autoencoder.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(autoencoder.model(digits[0]).numpy(), again(digits[0]).numpy())
