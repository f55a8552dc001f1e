"""Optimizers: TensorFlow's RMSProp to the digit, and who is decayed."""

import pytest
import torch
from prerequisites import NEEDS

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.torch_network import Network
from edgekit.training.optimizers import RMSpropTF, make_optimizer
from edgekit.training.recipe import OPTIMIZERS, Recipe


def test_rmsprop_follows_tensorflows_formula():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = RMSpropTF([parameter], lr=0.1)
    value, mean_square, velocity = parameter.detach().clone(), torch.ones(2), torch.zeros(2)
    for step in range(5):
        gradient = torch.tensor([0.3, -0.1]) * (step + 1)
        parameter.grad = gradient.clone()
        optimizer.step()
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        velocity = 0.9 * velocity + 0.1 * gradient / (mean_square + 1e-3).sqrt()
        value = value - velocity
        torch.testing.assert_close(parameter.detach(), value)


def test_rmsprop_updates_each_parameter_by_its_own_gradient():
    shapes = [(3, 2), (4,), (2,)]
    start = [torch.randn(shape) for shape in shapes]
    gradients = [torch.randn(shape) for shape in shapes[:2]]

    def trained(indices):
        parameters = [torch.nn.Parameter(start[i].clone()) for i in indices]
        optimizer = RMSpropTF(parameters, lr=0.1, weight_decay=0.01)
        for _ in range(3):
            for i, parameter in zip(indices, parameters, strict=True):
                parameter.grad = gradients[i].clone() if i < len(gradients) else None
            optimizer.step()
        return [parameter.detach() for parameter in parameters]

    together = trained([0, 1, 2])
    torch.testing.assert_close(together[:2], [*trained([0]), *trained([1])])
    assert torch.equal(together[2], start[2])  # it had no gradient


@pytest.mark.slow  # imports TensorFlow
def test_rmsprop_equals_tensorflow_itself():
    tf = pytest.importorskip("tensorflow", reason=NEEDS["tensorflow"].reason)
    start, gradients = [1.0, -2.0], [[0.3, -0.1], [0.1, 0.4], [-0.2, 0.2]]
    # One update of the kernel that the published code trains with.
    ours = torch.nn.Parameter(torch.tensor(start))
    optimizer = RMSpropTF([ours], lr=0.05)
    graph = tf.Graph()
    with graph.as_default():
        theirs = tf.compat.v1.get_variable("x", initializer=tf.constant(start))
        fed = tf.compat.v1.placeholder(tf.float32, [2])
        rmsprop = tf.compat.v1.train.RMSPropOptimizer(0.05, decay=0.9, momentum=0.9, epsilon=1e-3)
        update = rmsprop.apply_gradients([(fed, theirs)])
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for gradient in gradients:
                session.run(update, {fed: gradient})
                ours.grad = torch.tensor(gradient)
                optimizer.step()
            expected = session.run(theirs)
    torch.testing.assert_close(ours.detach(), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_kernels_are_decayed(name):
    network = Network(build_graph(SPECS["lite0"], classes=3, resolution=32))
    optimizer = make_optimizer(network, Recipe(epochs=1, optimizer=name, weight_decay=0.01))
    decayed, others = optimizer.param_groups
    assert decayed["weight_decay"] == 0.01
    assert others["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in others["params"])
    counted = len(decayed["params"]) + len(others["params"])
    assert counted == len(list(network.parameters()))
