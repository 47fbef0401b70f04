"""The attacks that are compared: this package's, and others' on the same network.

The others are adv-lib's and foolbox's. adv-lib attacks networks of PyTorch: `make_twin` makes one
of the Keras network by calling it from PyTorch, so that both attack the same numbers, at the same
cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Attack(NamedTuple):
    """An attack and how it is run.

    Attributes:
        name: of the rows, such as "DDN".
        budget: gradients of each image that it is given, about.
        kinds: of targets that it can attack: "random", "nearest".
        run: from a `Case` and the kind to adversarial images, and gradients of each image.
    """

    name: str
    budget: int
    kinds: tuple[str, ...]
    run: Callable

    @property
    def ours(self) -> bool:
        return self.name.startswith("L-BFGS")


_PHOTOGRAPH = 10_000  # values of an image; digits have less
BOTH, RANDOM, NEAREST = ("random", "nearest"), ("random",), ("nearest",)


def attacks() -> list[Attack]:
    """Returns all of them, the quick ones first."""
    listed = [_ours("L-BFGS", 100, BOTH), _ours("L-BFGS, cross-entropy", 100, RANDOM,
                                               loss="cross_entropy")]  # fmt: skip
    listed += [_ours("L-BFGS", 160, RANDOM, maxfun=160)]
    listed += [_ours("L-BFGS", 100 * k, BOTH if k == 5 else RANDOM, starts=k) for k in (2, 4, 5, 8)]
    for budget in (100, 1000):
        small = budget <= 100
        searches, steps = (10, budget // 10) if small else (20, budget // 20)
        listed += [
            _peer("DDN", budget, BOTH, "ddn", steps=budget, levels=None),
            _peer("ALMA", budget, BOTH, "alma", num_steps=budget, distance="l2",
                  init_lr_distance=0.5, α=0.5 if small else 0.9),
            _peer("PDGD", budget, BOTH, "pdgd", num_steps=budget),
            Attack("FMN", budget, BOTH, functools.partial(_fmn, budget)),
            Attack("APGD, minimal", budget, BOTH, functools.partial(_apgd, searches, steps)),
            _peer("FAB", budget, NEAREST, "fab", norm=2, n_iter=budget // 9,
                  targeted_restarts=True, restarts=9),
        ]  # fmt: skip
    listed.append(_peer("SuperDeepFool", 100, NEAREST, "sdf", steps=100, df_steps=100))
    listed.append(Attack("Brendel-Bethge after DDN-100", 300, RANDOM, _brendel_bethge))
    return listed


def _ours(name: str, budget: int, kinds: tuple[str, ...], **settings) -> Attack:
    def run(case, kind):
        import intriguing_tf as itf

        adversary = itf.LBFGSAdversary(case.model, **settings)
        aims = "nearest" if kind == "nearest" else case.targets

        def attack(rows):
            chosen = aims if isinstance(aims, str) else aims[rows]
            result = adversary(case.images[rows], case.labels[rows], chosen, verbose=False)
            return result.images, float(result.nfev.mean())

        photographs = case.images[0].size > _PHOTOGRAPH
        attack(slice(2 if photographs else None))  # traces; digits may need all of the search
        return lambda: attack(slice(None))

    return Attack(name, budget, kinds, run)


def _peer(name: str, budget: int, kinds: tuple[str, ...], function: str, **settings) -> Attack:
    def run(case, kind):
        import torch
        from adv_lib import attacks as theirs

        twin, x = make_twin(case.model), torch.from_numpy(case.images)
        targeted = kind == "random"
        labels = torch.from_numpy((case.targets if targeted else case.labels).astype(np.int64))
        options = dict(settings)
        if function == "alma" and case.images[0].size > _PHOTOGRAPH:
            options["init_lr_distance"] = 0.1  # what its authors take for photographs

        def attack():
            twin.gradients = 0
            torch.manual_seed(0)
            found = getattr(theirs, function)(twin, x.clone(), labels, targeted=targeted, **options)
            return found.detach().numpy(), twin.gradients / len(x)

        twin.check(case.images)
        return attack

    return Attack(name, budget, kinds, run)


def _apgd(searches: int, steps: int, case, kind):
    """APGD within balls of bisected radii. adv-lib's own bisection takes no targets."""
    import torch
    from adv_lib.attacks import apgd

    twin, x = make_twin(case.model), torch.from_numpy(case.images)
    targeted = kind == "random"
    labels = torch.from_numpy((case.targets if targeted else case.labels).astype(np.int64))
    widest = torch.full((len(x),), case.images[0].size ** 0.5 / 4)

    def attack():
        twin.gradients = 0
        torch.manual_seed(0)
        low, high, best = torch.zeros_like(widest), widest.clone(), x.clone()
        for _ in range(searches):
            middle = (low + high) / 2
            points = apgd(twin, x, labels, middle, 2, targeted=targeted, n_iter=steps)
            found = (twin(points).argmax(1) == labels) == targeted
            best[found] = points[found]
            high, low = torch.where(found, middle, high), torch.where(found, low, middle)
        return best.detach().numpy(), twin.gradients / len(x)

    return attack


def _fmn(budget: int, case, kind):
    """foolbox's: adv-lib's finds nothing for half of the digits."""
    from foolbox.attacks import L2FMNAttack

    arguments = _foolbox_arguments(case, kind)
    attack = L2FMNAttack(steps=budget)
    return lambda: (attack(*arguments, epsilons=None)[1].numpy(), float(budget))


def _brendel_bethge(case, kind):
    from foolbox.attacks import DDNAttack, L2BrendelBethgeAttack

    arguments = _foolbox_arguments(case, kind)
    first, second = DDNAttack(steps=100), L2BrendelBethgeAttack(steps=200)

    def attack():
        start = first(*arguments, epsilons=None)[1]
        return second(*arguments, epsilons=None, starting_points=start)[1].numpy(), 300.0

    return attack


def _foolbox_arguments(case, kind):
    import foolbox
    import tensorflow as tf

    wrapped = foolbox.TensorFlowModel(case.model, bounds=(0, 1))
    criterion = (
        foolbox.criteria.TargetedMisclassification(tf.constant(case.targets))
        if kind == "random"
        else foolbox.criteria.Misclassification(tf.constant(case.labels.astype(np.int64)))
    )
    return wrapped, tf.constant(case.images), criterion


def make_twin(model):
    """Returns a module of PyTorch that gives the logits of a Keras model, with their gradients.

    TensorFlow keeps what the forward pass leaves for the gradient, as PyTorch would: a gradient
    costs no second forward pass. `gradients` counts those of single images.
    """
    import tensorflow as tf
    import torch

    from intriguing_tf.classifier import Classifier

    classifier = Classifier(model)
    shape = [None, *classifier.input_shape]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(shape, tf.float32)])
    def logits(x):
        return classifier.logits(x)

    class Logits(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, counter):
            ctx.counter, point = counter, tf.convert_to_tensor(x.detach().numpy())
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(point)
                value = logits(point)
            ctx.tape, ctx.point, ctx.value = tape, point, value
            return torch.from_numpy(value.numpy())

        @staticmethod
        def backward(ctx, outer):
            ctx.counter.gradients += len(outer)
            outer = tf.convert_to_tensor(outer.numpy())
            gradient = ctx.tape.gradient(ctx.value, ctx.point, outer)
            return torch.from_numpy(gradient.numpy()), None

    class Module(torch.nn.Module):
        gradients = 0

        def forward(self, x):
            if torch.is_grad_enabled() and x.requires_grad:
                return Logits.apply(x, self)
            return torch.from_numpy(logits(tf.convert_to_tensor(x.detach().numpy())).numpy())

        def check(self, images):
            """Raises unless its logits and gradients are those of the network."""
            x = torch.from_numpy(images[:4]).requires_grad_()
            ours = self(x)
            direct = classifier.predict_logits(images[:4])
            (gradient,) = torch.autograd.grad(ours[:, 1].sum(), x)
            point = tf.constant(images[:4])
            with tf.GradientTape() as tape:
                tape.watch(point)
                value = tf.reduce_sum(logits(point)[:, 1])
            scale = np.abs(direct).max()
            assert np.abs(ours.detach().numpy() - direct).max() <= 1e-5 * scale
            expected = tape.gradient(value, point).numpy()
            assert np.abs(gradient.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()

    return Module()
