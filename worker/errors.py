"""What can go wrong in the worker room, by the party at fault."""

from __future__ import annotations


class WorkerError(Exception):
    """Root of the worker's errors."""


class ConfigurationError(WorkerError):
    """Raised when a setting is missing, unknown or malformed; never retried."""


class GenerationError(WorkerError):
    """Raised when an engine could not answer a request."""


class EngineUnavailableError(GenerationError):
    """Raised when an engine cannot be reached or loaded now; worth a retry.

    Args:
        message: For people.
        retry_after_s: How long it wants to be left alone, where it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineFaultError(GenerationError):
    """Raised when an engine breaks its promises, e.g. gives too few chains; retried, but not for ever."""


class SamplingCancelledError(GenerationError):
    """Raised when chains under way are no longer wanted by whoever asked for them; nothing is wrong."""


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


class StoreBusyError(StoreError):
    """Raised when a table, or a piece of work, is held by somebody else for now; worth a retry later."""


class StoreRightsError(StoreError):
    """Raised when the database's login may not do what was asked; never retried."""


class UnknownTaskError(StoreError):
    """Raised when there is no such row; never retried."""


class QueryError(StoreError):
    """Raised when a search names what cannot be searched for, or a cursor that is not its own; never retried."""


class MessageError(WorkerError):
    """Raised when a message is of an unknown version or not ours; the reconciler publishes what it meant again."""


class WeightsError(WorkerError):
    """Raised when a file of model weights cannot be read or used; never retried."""


class SubmissionError(WorkerError):
    """Raised when nothing of a file can be submitted."""


class BackupError(WorkerError):
    """Raised when a backup cannot be written or restored; nothing was changed."""


class LedgerFileError(WorkerError):
    """Raised when a ledger file cannot be written or imported; nothing was changed."""


class CalibrationError(WorkerError):
    """Root of what can go wrong with a calibration."""


class UnreadableDecisionError(WorkerError):
    """What stands in a decision's document is not what a decision is made of, or does not go with its chains."""


class CalibrationBusyError(CalibrationError):
    """Raised when another run of the same tenant is at work; worth a retry."""


class UnknownCalibrationError(CalibrationError):
    """Raised when there is no such calibration, or it cannot be put in force; never retried."""


class PlotsUnavailableError(CalibrationError):
    """Raised when plots are asked for and the extra that draws them is not installed; never retried."""


class ReplayError(WorkerError):
    """Raised when a replay could not go on, whatever it was about to find."""


class SealError(WorkerError):
    """Root of what can go wrong with seals; raised when what is asked for cannot be done as the record stands."""


class SealBusyError(SealError):
    """Raised when another process is sealing; worth a retry."""


class KeeperRefusedError(SealError):
    """Raised when this login may not act as the keeper, who alone changes sealed rows; never retried."""
