"""Slipway builds, inspects and launches models on Kubernetes. Imports nothing, so that it is always cheap to import."""

__version__ = "0.1.0"
