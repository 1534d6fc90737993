"""Torch's threads wait here as in the commands: without spinning, which on shared cores would be measured instead of us."""

from slipway.models.runtime import before_torch

before_torch()
