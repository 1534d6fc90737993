"""Checks of a prepared data set before anything is trained on it: what makes scores too good, labels wrong or splits unlike.

Reading order: `config` (levels and thresholds), `check` (the entry), `report` (what is written, and `refuse`), then one module
a question: `duplicates` on top of `near_images` and `near_texts`, `labels` on top of `confident`, `balance`, `sizes`,
`lengths`, `shift`; `sheets` draws the findings.
Does not belong here: refusing what cannot be prepared at all (`slipway.data.prepare`), judging a model (`slipway.evaluation`).
"""
