"""Commands of the audit about seals: `seal`, `verify`, `proof`, `redact`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, fail, me, out, plain, print_json, tell, told
from cli.times import point_in_time
from worker.seals.checking import Tally, verify, verify_task
from worker.seals.findings import Finding
from worker.seals.proving import prove
from worker.seals.redacting import ALL_PARTS, redact
from worker.seals.sealing import seal_due
from worker.store.seals import Seal, last_seal
from worker.store.story import find_task

TaskArgument = Annotated[str, typer.Argument(help="A task id, or a custom_id (the newest one of that name).")]
BatchOption = Annotated[str | None, typer.Option(help="The batch in which to look for the custom_id.")]
ProcessesOption = Annotated[int, typer.Option(help="Hash with so many processes.", min=1, max=256)]
HASH_DIGITS = 64


def seal_command(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Look through the whole record, as after an import of old decisions."),
    ] = False,
    only_print: Annotated[
        bool, typer.Option("--print", help="Seal nothing; print the newest seal, to be kept elsewhere.")
    ] = False,
    processes: ProcessesOption = 1,
    as_json: JsonFlag = False,
) -> None:
    """Seal what was decided, labelled and calibrated and is in no seal yet; the clock does it every hour.

    Keep the last hash where whoever can write to the database cannot: only by it is it noticed when the newest seals
    are cut off.

    Examples:

        merge-reasoner audit seal

        merge-reasoner audit seal --print >> /elsewhere/seals.txt
    """
    with told(), reading(current_settings()) as store:
        if only_print:
            last = last_seal(store)
            if last is None:
                raise fail("nothing is sealed yet", Exit.SOME_FAILED)
            _tell_seal(last, as_json)
            return
        n = 0
        for seal in seal_due(store, who=me(), everything=everything, processes=processes):
            _tell_seal(seal, as_json)
            n += 1
        if n == 0 and not as_json:
            out.print("nothing to seal")


def verify_command(
    since: Annotated[
        str | None, typer.Option(help="Only seals with something of this time or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only seals with something from before this time.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only this task, by id or custom_id.")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="The hash of a seal that you kept elsewhere; it must be in the chain.")
    ] = None,
    processes: ProcessesOption = os.cpu_count() or 1,
    as_json: JsonFlag = False,
) -> None:
    """Compare the record with its seals; the exit code is 1 when anything differs, and each row that does is named.

    Looks at the seals of all tenants. What was pruned, redacted or imported on record is counted, and is no difference.

    Examples:

        merge-reasoner audit verify --anchor 3f0c...

        merge-reasoner audit verify --since 2026-05-01 --until 2026-06-01 --json

        merge-reasoner audit verify --task t-17
    """
    tally = Tally()
    with told():
        settings = current_settings()
        known = _anchor(anchor)
        with reading(settings) as store:
            if task is not None:
                task_id = find_task(store, task, tenant=settings.tenant)
                findings = verify_task(store, tally, task_id, anchor=known)
            else:
                findings = verify(
                    store,
                    tally,
                    since=point_in_time(since, option="--since"),
                    until=point_in_time(until, option="--until"),
                    anchor=known,
                    processes=processes,
                )
            differs = False
            for finding in findings:
                differs |= finding.is_difference
                _tell_finding(finding, as_json)
    _tell_tally(tally, as_json, differs=differs)
    raise typer.Exit(Exit.SOME_FAILED if differs else Exit.OK)


def proof_command(
    task: TaskArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the proof, JSON.")],
    batch: BatchOption = None,
    without_texts: Annotated[
        bool, typer.Option("--without-texts", help="Leave out prompts, chains' texts, answers and evidence.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the proof that a task's decision, with its chains and verdicts, is in a seal.

    Whoever has the seal's hash checks it with `examples/check_proof.py`, without a database and without us.

    Example:

        merge-reasoner audit proof t-17 -o proof.json
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            task_id = find_task(store, task, tenant=settings.tenant, batch=batch)
            proof = prove(store, task_id, with_texts=not without_texts)
        try:
            output.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise fail(f"cannot write {output}: {error.strerror}") from error
    gone = sum("groups" not in row for row in proof["rows"])
    but = f"; of {gone} rows, which were pruned, it has only a hash, so it proves the others" if gone else ""
    facts = {"file": str(output), "decision": proof["decision"], "pruned": gone}
    tell(as_json, f"{output}: decision {proof['decision']}{but}", **facts)


def redact_command(
    task: TaskArgument,
    why: Annotated[str, typer.Option(help="The reason, which stays on record.")],
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"What goes, repeatable: {', '.join(ALL_PARTS)}. Default: all of it."),
    ] = None,
    batch: BatchOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take personal text out of a task for good; its seals still verify, and who did it and why is on record.

    Backups and exported files keep what they have.

    Examples:

        merge-reasoner audit redact t-17 --why "request 2026-44"

        merge-reasoner audit redact t-17 --part prompt --part chains --why "request 2026-44"
    """
    parts = list(dict.fromkeys(part or ALL_PARTS))
    unknown = sorted(set(parts) - set(ALL_PARTS))
    if unknown:
        raise fail(f"--part {unknown[0]!r} is no part; the parts are {', '.join(ALL_PARTS)}")
    if not why.strip():
        raise fail("--why must say something")
    with told():
        settings = current_settings()
        with reading(settings) as store:
            task_id = find_task(store, task, tenant=settings.tenant, batch=batch)
            if not yes and not typer.confirm(f"take {', '.join(parts)} out of task {task_id} for good?"):
                raise typer.Exit(Exit.SOME_FAILED)
            gone = redact(store, task_id, tenant=settings.tenant, parts=parts, who=me(), why=why)
    text = ", ".join(f"{n} of {name}" for name, n in gone.items())
    tell(as_json, f"redacted task {task_id}: sealed texts gone: {text}", task_id=str(task_id), texts=gone)


def _anchor(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != HASH_DIGITS or len(found) * 2 != HASH_DIGITS:
        raise fail(
            f"--anchor {text!r} is no hash: give the {HASH_DIGITS} digits that `audit seal --print` shows"
        )
    return found


def _tell_seal(seal: Seal, as_json: bool) -> None:
    facts = {
        "seal": seal.number,
        "hash": seal.hash.hex(),
        "entries": seal.n_entries,
        "until": seal.until_at.isoformat(),
        "sealed_at": seal.sealed_at.isoformat(),
    }
    sealed_at = seal.sealed_at.isoformat(timespec="seconds")
    text = f"seal {seal.number} of {sealed_at}: {seal.n_entries} entries, hash {seal.hash.hex()}"
    tell(as_json, text, **facts)


def _tell_finding(finding: Finding, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "what": finding.what.value,
                "row": finding.row,
                "task_id": finding.about,
                "seal": finding.seal,
                "groups": list(finding.groups),
                "note": finding.note,
            }
        )
    elif finding.is_difference:
        of = "" if finding.about is None else f" of task {finding.about}"
        groups = f" ({', '.join(finding.groups)})" if finding.groups else ""
        note = f": {finding.note}" if finding.note else ""
        seal = "" if finding.seal is None else f", seal {finding.seal}"
        row = finding.row if finding.row != "seal" or finding.seal is None else "the seal itself"
        out.print(plain(f"{finding.what.value.upper()} {row}{groups}{of}{seal}{note}"), soft_wrap=True)


def _tell_tally(tally: Tally, as_json: bool, *, differs: bool) -> None:
    last = tally.last
    facts = {
        "ok": not differs,
        "seals": tally.n_seals,
        "entries": tally.n_entries,
        "rows": tally.n_rows,
        "unsealed": tally.n_unsealed,
        "counts": tally.counts,
        "last_seal": None if last is None else last.number,
        "last_hash": None if last is None else last.hash.hex(),
    }
    if last is None:
        tell(as_json, f"nothing is sealed yet; {tally.n_unsealed} decisions wait for a seal", **facts)
        return
    counts = ", ".join(f"{n} {what}" for what, n in sorted(tally.counts.items()))
    text = (
        f"{'DIFFERS' if differs else 'as sealed'}: {tally.n_rows} rows in {tally.n_entries} entries of "
        f"{tally.n_seals} seals"
        f"{'; ' + counts if counts else ''}; {tally.n_unsealed} newer decisions wait for a seal\n"
        f"last seal {last.number}, hash {last.hash.hex()}"
    )
    tell(as_json, text, **facts)
