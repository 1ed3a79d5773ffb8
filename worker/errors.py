"""What can go wrong in the worker room, by the party at fault."""

from __future__ import annotations


class WorkerError(Exception):
    """Root of the worker's errors."""


class ConfigurationError(WorkerError):
    """Raised when a setting is missing, unknown or malformed; never retried."""


class GenerationError(WorkerError):
    """Raised when an engine could not answer a request."""


class EngineUnavailableError(GenerationError):
    """Raised when an engine cannot be reached or loaded now; worth a retry."""


class EngineFaultError(GenerationError):
    """Raised when an engine breaks its promises, e.g. gives too few chains; retried, but not for ever."""


class RequestRefusedError(GenerationError):
    """Raised when an engine cannot honour a request as it stands; never retried."""


class PromptTooLongError(RequestRefusedError):
    """Raised when the prompt and its token budget exceed the model's context."""


class ServiceError(WorkerError):
    """Raised when an embedded server cannot be started or reached."""


class ModelFetchError(WorkerError):
    """Raised when a model's weights cannot be fetched or do not have the promised sha256."""


class StoreError(WorkerError):
    """Raised by the store."""


class StoreUnavailableError(StoreError):
    """Raised when the database cannot be reached, or gave up on a deadlock; worth a retry."""


class UnknownTaskError(StoreError):
    """Raised when there is no such row; never retried."""


class MessageError(WorkerError):
    """Raised when a message is of an unknown version or not ours; the reconciler publishes what it meant again."""


class WeightsError(WorkerError):
    """Raised when a file of model weights cannot be read or used; never retried."""


class SubmissionError(WorkerError):
    """Raised when nothing of a file can be submitted."""


class CalibrationError(WorkerError):
    """Root of what can go wrong with a calibration."""


class CalibrationBusyError(CalibrationError):
    """Raised when another run of the same tenant is at work; worth a retry."""


class UnknownCalibrationError(CalibrationError):
    """Raised when there is no such calibration, or it cannot be put in force; never retried."""


class PlotsUnavailableError(CalibrationError):
    """Raised when plots are asked for and the extra that draws them is not installed; never retried."""


class ReplayError(WorkerError):
    """Raised when a replay could not go on, whatever it was about to find."""
