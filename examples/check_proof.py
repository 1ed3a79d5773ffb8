"""Check what `audit proof` wrote, with this file alone: python check_proof.py PROOF.json [HASH OF A SEAL]."""

import hmac
import json
import sys
from hashlib import sha256


def digest(group):
    if "text" not in group:  # redacted, or not shown
        return group["salted"]
    text, salt = group["text"].encode(), group.get("salt")
    return hmac.digest(bytes.fromhex(salt), text, "sha256").hex() if salt else sha256(text).hexdigest()


def leaf(row):
    if "groups" not in row:  # pruned: only a hash is left, and it may be one over several rows
        return bytes.fromhex(row["leaf"])
    told = json.dumps([row["name"], *map(digest, row["groups"])], separators=(",", ":"))
    return sha256(b"\0" + told.encode()).digest()


def root(nodes):  # RFC 6962, section 2.1
    half = 1 << ((len(nodes) - 1).bit_length() - 1) if len(nodes) > 1 else 0
    return sha256(b"\1" + root(nodes[:half]) + root(nodes[half:])).digest() if half else nodes[0]


def climb(node, index, size, path):  # RFC 6962, section 2.1.1
    if size == 1 or not path:
        return node if size == 1 and not path else b""
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        return sha256(b"\1" + climb(node, index, half, path[:-1]) + path[-1]).digest()
    return sha256(b"\1" + path[-1] + climb(node, index - half, size - half, path[:-1])).digest()


proof = json.load(open(sys.argv[1], encoding="utf-8"))
rows, seals, path = proof["rows"], proof["seals"], [bytes.fromhex(one) for one in proof["path"]]
hashes, says = [sha256(b"\2" + one.encode()).hexdigest() for one in seals], [json.loads(one) for one in seals]
found = climb(root([leaf(row) for row in rows]), proof["index"], says[0]["entries"], path).hex()
shown = [row for row in rows if "text" in row.get("groups", [{}])[0]]  # the first group has the outcome
named = f"decision {proof['decision']}" in [row["name"] for row in shown]
chained = all(after["previous"] == before for before, after in zip(hashes, says[1:]))
if found != says[0]["root"] or not named or not chained or (len(sys.argv) > 2 and sys.argv[2] not in hashes):
    sys.exit("FALSE: these rows are not what was sealed, or not under this hash")
hidden = sum("text" not in group for row in shown for group in row["groups"])
told = f"decision {proof['decision']} was sealed at {says[0]['sealed']} under {hashes[0]}"
told += f": {len(shown)} rows, {hidden} texts left out"
print(f"true: {told}" if shown == rows else f"IN PART: {told}, and others not shown")
sys.exit(0 if shown == rows else 2)
