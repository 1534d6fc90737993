"""Every error a caller can act on.

SlipwayError                    something went wrong; `retryable` says whether trying again helps
├── UserError                   the caller can fix it (exit code 2; HTTP 4xx)
│   ├── ConfigError             a setting, a parameter, a flag
│   ├── DataError               the data set, an item of it, a column
│   ├── BundleError             a bundle or release: damaged, incomplete, of a newer format
│   ├── RequestError            a request to the server
│   ├── NotFoundError           a model, version, run, data set that is not there
│   └── ConflictError           the world changed since the caller looked
├── GateRefusedError            the gate said no (exit code 3)
├── ParityError                 the exported model does not answer as the trained one
├── ToolError                   a tool in an environment of its own cannot be set up, or fails
├── StoreError                  the artifact store does not answer or refuses (retryable)
├── TrackingError               the MLflow server does not answer or refuses (retryable)
├── ClusterError                Kubernetes or KFP does not answer or refuses (retryable)
├── ServerError                 a model server does not answer, has no room (retryable), or fails
└── StepFailedError             a pipeline step failed; the message is the step's own

A message is one line: what, where, what it got, what is allowed, what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SlipwayError(Exception):
    """Base of all errors of Slipway."""

    retryable = False
    run_id = ""
    """The run that failed, where one did."""


class UserError(SlipwayError, ValueError):
    """The caller can fix it."""


class ConfigError(UserError):
    """A setting, parameter or flag is unknown or out of range."""


class DataError(UserError):
    """A data set, or an item of it, cannot be used."""


class BundleError(UserError):
    """A bundle or release is damaged, incomplete or of a newer format."""


class RequestError(UserError):
    """A request to the model server is malformed."""


class NotFoundError(UserError):
    """A model, version, run or data set is not there."""


class ConflictError(UserError):
    """The world changed since the caller looked: look again."""


class GateRefusedError(SlipwayError):
    """The gate refused the model; the message lists its reasons."""


class ParityError(SlipwayError):
    """The exported model does not answer as the trained one does."""


class ToolError(SlipwayError):
    """A tool that runs in an environment of its own cannot be set up, or fails."""


class StoreError(SlipwayError):
    """The artifact store does not answer or refuses."""

    retryable = True


class TrackingError(SlipwayError):
    """The MLflow server does not answer or refuses."""

    retryable = True


class ClusterError(SlipwayError):
    """Kubernetes or Kubeflow Pipelines does not answer or refuses."""

    retryable = True
    status = 0
    """HTTP status of the API server's refusal; 0 where it did not answer."""
    said = ""
    """What the API server said, without our words."""


class ServerError(SlipwayError):
    """A model server does not answer, has no room, or fails; in the last case trying again does not help."""

    def __init__(self, message: str, *, retryable: bool = True, retry_after_s: float = 0.0) -> None:
        """`retry_after_s`: the server asks to leave it alone for so long."""
        super().__init__(message)
        self.retryable, self.retry_after_s = retryable, retry_after_s


class StepFailedError(SlipwayError):
    """A pipeline step failed; the message is the step's own."""


def unknown(what: str, got: str, known: Iterable[str]) -> str:
    """One line for a name that is not in a table: offers the near match and lists what is known.

    >>> unknown("family", "cvv", ["cv", "nlp"])
    "family: unknown 'cvv'; did you mean 'cv'? Known: cv, nlp"
    """
    names = sorted(known)
    near = get_close_matches(got, names, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"{what}: unknown '{got}'{hint} Known: {', '.join(names) or 'none'}"
