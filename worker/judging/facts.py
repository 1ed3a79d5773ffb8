"""What answers state against the task's documents, or a collection of its tenant's."""

from __future__ import annotations

from collections.abc import Sequence

from verifiers.claims import SupportClaim
from verifiers.entailment.nli import TransformersNli
from verifiers.errors import DocumentsUnavailableError
from verifiers.facts.chunking import passages_of
from verifiers.facts.conclusion import Bars
from verifiers.facts.verifier import FactsVerifier
from verifiers.nli import NliModel
from verifiers.passages import Passage, Retriever
from worker.claims import answers_of, candidate_key, distinct_answers, specs_of
from worker.documents.retriever import CollectionRetriever, Shelf
from worker.embedders.protocol import Embedder
from worker.judging.protocol import Said
from worker.store.texts import digest
from worker.store.transactions import Store
from worker.store.verdicts import Judged
from worker.submission.lines import ANSWER, FactsVerification, ReferenceDocument, TaskLine


class FactsJudge:
    """A verdict for each distinct answer and each of the task's sets of documents.

    Args:
        verifier: Asked about every statement.
        nli: The verifier's model; closed with the judge.
        store: Where collections are; ``None`` where commands judge without a database.
        embedder: For collections; ``None`` searches them by words alone.
        why_no_embedder: Stands in the evidence when there is none.
    """

    def __init__(
        self,
        verifier: FactsVerifier,
        nli: NliModel,
        *,
        store: Store | None,
        embedder: Embedder | None,
        why_no_embedder: str = "",
    ) -> None:
        self._verifier = verifier
        self._nli = nli
        self._store = store
        self._shelf = None if store is None else Shelf(store)
        self._embedder = embedder
        self._why_no_embedder = why_no_embedder

    def judge(self, line: TaskLine, said: Sequence[Said], *, tenant: str) -> list[Judged]:
        """See ``Judge``."""
        forms = distinct_answers(line, answers_of(said))
        specs = specs_of(line, FactsVerification)
        return [one for i, spec in specs for one in self._spec(i, spec, forms, tenant=tenant)]

    def _spec(self, i: int, spec: FactsVerification, forms: dict[str, str], *, tenant: str) -> list[Judged]:
        source = self._source(spec, tenant=tenant)
        claims = [
            SupportClaim(statement=spec.statement.replace(ANSWER, answer), source=source)
            for answer in forms.values()
        ]
        verdicts = self._verifier.verify_many(claims, timeout_s=spec.timeout_s)
        return [
            Judged(
                candidate=candidate_key(i, form),
                claim={"kind": "support", "spec": i, "answer": digest(form), "collection": spec.collection},
                verdict=verdict,
                limits={"timeout_s": spec.timeout_s},
            )
            for form, verdict in zip(forms, verdicts, strict=True)
        ]

    def _source(self, spec: FactsVerification, *, tenant: str) -> Sequence[Passage] | Retriever:
        """Return the task's own passages, or what searches its collection.

        Raises:
            DocumentsUnavailableError: It names a collection, and there is no database here.
        """
        if spec.collection is None:
            return cut(spec.documents or [])
        if self._store is None or self._shelf is None:
            raise DocumentsUnavailableError(
                f'the collection "{spec.collection}" is in the database, which this command does without; '
                "submit the task, or give it its documents"
            )
        return CollectionRetriever(
            self._store,
            self._shelf,
            spec.collection,
            tenant=tenant,
            embedder=self._embedder,
            why_no_embedder=self._why_no_embedder,
        )

    def close(self) -> None:
        """See ``Judge``."""
        self._nli.close()


def bars_of(nli: TransformersNli) -> Bars:
    """Return the thresholds that the model was calibrated to, or the careful defaults.

    Raises:
        ModelUnavailableError: The model is not on this machine.
    """
    found = nli.checkpoint.calibration
    return Bars(entails=found.confirm, contradicts=found.refute, label=found.label)


def cut(documents: Sequence[ReferenceDocument]) -> list[Passage]:
    """Return the passages of all documents, in their order."""
    return [one for each in documents for one in passages_of(each.id, each.text, title=each.title)]
