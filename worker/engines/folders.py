"""Models as folders of safetensors: what pins one down, and one made from a GGUF where there is no other."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path

from worker.errors import EngineUnavailableError

logger = logging.getLogger(__name__)

ORIGIN = "converted_from.json"
"""In a converted folder: the sha256 of the GGUF."""

HASHED_BYTES = 4 << 30  # read at 1 GB/s or so; of larger models we hash ends and sizes
END_BYTES = 1 << 20
REVISION_CHARS = 16


def revision_of(folder: Path) -> str:
    """Return what pins the weights down: a snapshot's commit, the GGUF's sha256, or a hash of the weights.

    A folder of more than 4 GiB is hashed by names, sizes and the ends of its files, and its revision says so.
    """
    if folder.parent.name == "snapshots":  # the hub's cache names a snapshot by its commit
        return folder.name[:REVISION_CHARS]
    origin = folder / ORIGIN
    if origin.is_file():
        converted_from: str = json.loads(origin.read_text(encoding="utf-8"))["sha256"]
        return f"{converted_from[:REVISION_CHARS]}-dequantised"
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("config.json")])
    whole = sum(file.stat().st_size for file in files) <= HASHED_BYTES
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            if whole:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
            else:
                digest.update(stream.read(END_BYTES))
                stream.seek(max(0, file.stat().st_size - END_BYTES))
                digest.update(stream.read(END_BYTES))
    return digest.hexdigest()[:REVISION_CHARS] + ("" if whole else "-ends")


def commit_of(name: str, revision: str | None = None, *, cache_dir: str | None = None) -> str | None:
    """Return the commit that a model of the hub stands at, or ``None`` when that cannot be found out.

    Asked before the model is loaded, so that what is loaded is what the record says, however the hub moves on. Without
    the network it is what the hub's cache on this machine holds.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - it comes with the engines that need it

    try:
        file = Path(hf_hub_download(name, "config.json", revision=revision, cache_dir=cache_dir))
    except Exception as error:  # noqa: BLE001 - of a dozen kinds; loading will tell it in the library's own words
        logger.warning("a model's commit is unknown", extra={"model": name, "error": str(error)})
        return None
    return file.parent.name if file.parent.parent.name == "snapshots" else None


def converted(gguf: Path, parent: Path) -> Path:
    """Return the folder in ``parent`` with the model of ``gguf``, dequantised to bfloat16; made when it is not there.

    Its name holds the file's sha256, so that another file of the same name, or the same one with new content, is never
    taken for it. Takes a minute for half a billion weights. It appears only when it is complete.

    Raises:
        EngineUnavailableError: The file cannot be converted or the folder not be written.
    """
    try:
        sha256 = _sha256_of(gguf)
        folder = parent / f"{gguf.stem}-{sha256[:REVISION_CHARS]}-bf16"
        if not (folder / ORIGIN).is_file():
            logger.info("converting weights", extra={"from": str(gguf), "to": str(folder)})
            _convert(gguf, folder, sha256=sha256)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineUnavailableError(f"{gguf} cannot be converted in {parent}: {error}") from error
    return folder


def _convert(gguf: Path, folder: Path, *, sha256: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as workshop:
        made = Path(workshop) / "model"
        _dequantise(gguf, made)
        if _sha256_of(gguf) != sha256:
            raise ValueError("it changed meanwhile")
        (made / ORIGIN).write_text(json.dumps({"file": gguf.name, "sha256": sha256}), encoding="utf-8")
        if not (folder / ORIGIN).is_file():  # or another worker made it meanwhile, and has it open
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch  # noqa: PLC0415 - seconds, and only this function needs them
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415 - likewise

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
