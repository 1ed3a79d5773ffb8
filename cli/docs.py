"""Commands about reference documents: what answers are checked against."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, clipped, err, fail, out, plain, print_json, shown, told
from verifiers.passages import Found
from worker.documents.importing import TOGETHER, Import, import_documents
from worker.documents.reading import read_all
from worker.documents.retriever import CollectionRetriever, Shelf
from worker.embedders.shelf import embedder_if_here
from worker.settings import Settings
from worker.store.documents import (
    collection_names,
    drop_collection,
    drop_documents,
    list_collections,
    list_documents,
)
from worker.store.transactions import Store
from worker.submission.lines import ReferenceDocument
from worker.submitting import ProblemLog

docs = typer.Typer(
    help="Reference documents: collections that answers are checked against.", no_args_is_help=True
)

Collection = Annotated[str, typer.Argument(help="The collection's name.")]
SHOWN_CHARS = 70  # of a passage in a table


@docs.callback()
def _docs() -> None:
    """Reference documents: collections that answers are checked against."""


@docs.command()
def add(
    collection: Collection,
    files: Annotated[
        list[Path],
        typer.Argument(
            help='JSON lines of {"id", "text", "title"?, "metadata"?}, or a text or Markdown file each.'
        ),
    ],
    errors: Annotated[
        Path | None,
        typer.Option(help="Where bad lines go. Default: FILE.errors.jsonl beside the first file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Put documents into a collection; the same again is no change, another wording replaces the one before.

    Bad lines are told, and the good ones go in. With the sentence model on this machine (`make embedding`) passages are
    embedded, too.

    Examples:

        merge-reasoner docs add handbook handbook.jsonl

        merge-reasoner docs add handbook docs/*.md
    """
    absent = next((file for file in files if not file.is_file()), None)
    if absent is not None:
        raise fail(f"there is no file {absent}")
    with told():
        settings = current_settings()
        log = ProblemLog(errors or Path(f"{files[0]}.errors.jsonl"))
        embedder, why = embedder_if_here(settings.models_dir)
        with contextlib.closing(log), reading(settings) as store:
            done = import_documents(
                store,
                _name(collection),
                _good(files, log, max_bytes=settings.max_line_bytes),
                tenant=settings.tenant,
                embedder=embedder,
                told=_told_progress,
            )
    _tell_import(collection, done, log, why_not_embedded=why, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if log.n else Exit.OK)


@docs.command("list")
def list_command(
    collection: Annotated[
        str | None, typer.Argument(help="Its documents; the collections when left out.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the collections, or the documents of one.

    Example:

        merge-reasoner docs list handbook
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            if collection is None:
                _tell_collections(store, settings, as_json=as_json)
                return
            _must_exist(store, collection, settings)
            table = Table("id", "title", "passages", "revision", "embedded with")
            for one in list_documents(store, collection, tenant=settings.tenant):
                if as_json:
                    print_json(asdict(one))
                    continue
                cells = (
                    one.id,
                    clipped(one.title, n_chars=SHOWN_CHARS),
                    str(one.n_passages),
                    str(one.revision),
                )
                table.add_row(*map(plain, cells), one.embedder or "-")
    if not as_json:
        out.print(table)


@docs.command()
def search(
    collection: Collection,
    query: Annotated[str, typer.Argument(help="A statement, a question or words.")],
    n: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many passages.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Show the passages that the `facts` verifier would judge a statement by, best first.

    Example:

        merge-reasoner docs search handbook "How many days of leave are there?"
    """
    with told():
        settings = current_settings()
        embedder, why = embedder_if_here(settings.models_dir)
        with reading(settings) as store:
            _must_exist(store, collection, settings)
            found = CollectionRetriever(
                store,
                Shelf(store),
                collection,
                tenant=settings.tenant,
                embedder=embedder,
                why_no_embedder=why,
            ).retrieve(query, n=n)
    if as_json:
        for one in found.found:
            print_json(_found_line(one))
        return
    table = Table("document", "passage", "BM25", "cosine", "text")
    for one in found.found:
        scores = (_ranked(one.bm25, one.bm25_rank), _ranked(one.cosine, one.cosine_rank))
        text = clipped(one.passage.text, n_chars=SHOWN_CHARS)
        table.add_row(plain(one.passage.document), str(one.passage.ordinal), *scores, plain(text))
    out.print(table)
    if "no_embeddings" in found.source:
        err.print(plain(f"by words alone: {found.source['no_embeddings']}"), soft_wrap=True)


@docs.command()
def remove(
    collection: Collection,
    ids: Annotated[list[str] | None, typer.Argument(help="Documents, by their ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The collection with all its documents.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take documents out of a collection, or drop it. Verdicts that rest on them keep what they quote.

    Examples:

        merge-reasoner docs remove handbook leave-2019

        merge-reasoner docs remove handbook --all
    """
    if everything == bool(ids):
        raise fail("name the documents to remove, or give --all to drop the whole collection")
    with told():
        settings = current_settings()
        with reading(settings) as store:
            _must_exist(store, collection, settings)
            if everything:
                n = drop_collection(store, collection, tenant=settings.tenant)
            else:
                n = drop_documents(store, collection, ids or [], tenant=settings.tenant)
    n_asked = len(set(ids or []))
    if as_json:
        print_json({"collection": collection, "removed": n, "dropped": everything})
    else:
        out.print(f"removed {n} documents")
    raise typer.Exit(Exit.OK if everything or n == n_asked else Exit.SOME_FAILED)


def _name(collection: str) -> str:
    if not 0 < len(collection) <= 200 or not collection.isprintable():
        raise fail("a collection's name has 1 to 200 printable characters")
    return collection


def _must_exist(store: Store, collection: str, settings: Settings) -> None:
    names = collection_names(store, tenant=settings.tenant)
    if collection not in names:
        known = ", ".join(sorted(names)[:20]) or "none yet; `docs add` makes one"
        raise fail(f'there is no collection "{collection}"; there are: {known}')


def _good(files: Sequence[Path], log: ProblemLog, *, max_bytes: int) -> Iterator[ReferenceDocument]:
    for found in read_all(files, max_bytes=max_bytes):
        if isinstance(found, ReferenceDocument):
            yield found
        else:
            log.add(found)


def _told_progress(done: Import) -> None:
    n = done.n_added + done.n_changed + done.n_unchanged
    if n >= TOGETHER:
        err.print(f"· {n} documents", end="\r" if err.is_terminal else "\n")


def _tell_import(
    collection: str, done: Import, log: ProblemLog, *, why_not_embedded: str, as_json: bool
) -> None:
    for problem in log.first:
        err.print(plain(str(problem)), soft_wrap=True)
    if log.n:
        err.print(plain(f"{log.n} bad lines; all of them are in {log.path}"), soft_wrap=True)
    if as_json:
        values = {**asdict(done), "n_rejected_lines": log.n, "no_embeddings": why_not_embedded or None}
        print_json({"collection": collection, **values})
        return
    out.print(
        plain(
            f"{collection}: {done.n_added} added, {done.n_changed} changed, {done.n_unchanged} unchanged"
            + (f"; now revision {done.revision}" if done.revision is not None else "")
        )
    )
    if why_not_embedded:
        err.print(plain(f"not embedded, found by words alone: {why_not_embedded}"), soft_wrap=True)


def _tell_collections(store: Store, settings: Settings, *, as_json: bool) -> None:
    found = list_collections(store, tenant=settings.tenant)
    table = Table("collection", "documents", "passages", "revision", "changed")
    for one in found:
        if as_json:
            values = asdict(one)
            print_json({name: values[name] for name in values if name not in {"id", "tenant", "n_terms"}})
            continue
        changed = f"{one.changed_at:%Y-%m-%d %H:%M}" if one.changed_at else "-"
        table.add_row(plain(one.name), str(one.n_documents), str(one.n_passages), str(one.revision), changed)
    if not as_json:
        out.print(table)


def _ranked(score: float | None, rank: int | None) -> str:
    return "-" if score is None else f"{shown(score)} (#{rank})"


def _found_line(one: Found) -> dict[str, object]:
    values = {name: getattr(one, name) for name in ("fused", "bm25", "bm25_rank", "cosine", "cosine_rank")}
    return {
        "document": one.passage.document,
        "passage": one.passage.ordinal,
        "revision": one.passage.revision,
        "title": one.passage.title,
        "text": one.passage.text,
        **values,
    }
