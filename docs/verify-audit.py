#!/usr/bin/env python3
"""Verifies an export of Chancery's audit log (docs/audit.md): python3 verify-audit.py FILE. Exit code 1 if it was changed."""
import base64, hashlib, json, sys


def octets(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def event_of(line, row):
    """The octets of an event: they stand between the member's name and the last brace of the line."""
    if row.get("octets"):
        return octets(row["octets"])
    return line.rstrip("\n").split(',"event":', 1)[1][:-1].encode()


def verify(lines):
    faults, links, anchors, ends = [], {}, [], {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            links.setdefault((row["node"], row["link"]), []).append((row, octets(row["id"]), event_of(line, row)))
            if (row["event"] or {}).get("act", {}).get("act") == "anchored":
                anchors += [(number, head) for head in row["event"]["act"]["heads"]]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            faults.append(f"line {number} can't be read: {error!r}")
    for (node, link), events in sorted(links.items()):
        first, where = events[0][0], f"link {link} of node {node}"
        if [row["place"] for row, _, _ in events] != list(range(1, first["of"] + 1)):
            faults.append(f"{where}: events are missing or in another order")
        text = bytes.fromhex(first["previous"]) + link.to_bytes(8, "big")
        for _, name, event in events:
            text += len(name).to_bytes(8, "big") + name + hashlib.sha256(event).digest()
        if hashlib.sha256(text).hexdigest() != first["hash"]:
            faults.append(f"{where}: its hash is not that of the one before it and its events")
        before = ends.get(node, (link - 1, "0" * 64 if link == 1 else first["previous"]))
        if before != (link - 1, first["previous"]):
            faults.append(f"{where}: it does not follow from link {before[0]}")
        ends[node] = (link, first["hash"])
    for number, head in anchors:
        place = (head["node"], head["sequence"])
        if place in links and links[place][0][0]["hash"] != head["hash"]:
            faults.append(f"line {number}: the anchor names link {place[1]} of node {place[0]} with another hash")
        if place[0] in ends and place[1] > ends[place[0]][0]:
            faults.append(f"line {number}: the anchor names link {place[1]} of node {place[0]}, which is not there")
    return faults, ends


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
        found, chains = verify(file)
    for node, (link, digest) in chains.items():
        print(f"node {node} ends with link {link}, {digest}")
    sys.exit("\n".join(found) or 0)
