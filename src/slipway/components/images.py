"""The image every component names: a placeholder, which submission replaces (see `slipway.runs.cluster`)."""

TRAIN_IMAGE = "slipway-train:set-at-submission"
