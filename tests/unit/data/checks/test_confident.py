"""Confident learning against the authors' library."""

import numpy as np

from slipway.data.checks.confident import confident_classes

CLEANLAB_JOINT = [[8, 1, 2], [1, 5, 1], [0, 2, 5]]
CLEANLAB_OFF_DIAGONAL = [1, 4, 5, 13, 20, 32, 35]
"""cleanlab 2.9: compute_confident_joint(labels, probabilities, calibrate=False, return_indices_of_off_diagonals=True)."""


def test_joint_and_items_are_those_of_cleanlab():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 40)
    probabilities = rng.dirichlet([0.7] * 3, 40)
    probabilities[np.arange(40), labels] += 0.6
    probabilities = (probabilities / probabilities.sum(1, keepdims=True)).round(3)
    probabilities /= probabilities.sum(1, keepdims=True)
    labels[:6] = (labels[:6] + 1) % 3
    confident = confident_classes(labels, probabilities)
    joint = np.zeros((3, 3), int)
    np.add.at(joint, (labels[confident >= 0], confident[confident >= 0]), 1)
    assert joint.tolist() == CLEANLAB_JOINT
    assert np.flatnonzero((confident >= 0) & (confident != labels)).tolist() == CLEANLAB_OFF_DIAGONAL


def test_class_without_items_is_never_confident():
    assert confident_classes(np.array([0, 0]), np.array([[0.4, 0.6], [0.6, 0.4]])).tolist() == [-1, 0]
