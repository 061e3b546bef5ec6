// Commits: whole trees of unit files, links, drop-ins and whatever else lies about; and the same as units submitted by hand.
import { createHash } from "node:crypto";
import {
  createParseCache,
  createWantedReader,
  examineTree,
  readCommit,
  selectBlobs,
} from "../../../agent/desired/desired.ts";
import type { TreeEntryLike } from "../../../agent/desired/desired.ts";
import { parseCommitId, parseUnitName } from "../../../agent/domain/names.ts";
import { type Target, mustHold, reasons } from "../target.ts";

const commit = (() => {
  const parsed = parseCommitId("c".repeat(40));
  mustHold(parsed.ok, "a commit's id");
  return parsed.value;
})();

/** `=== PATH`, `=== PATH -> TARGET` and `=== PATH submodule` begin an entry; what follows is its text. */
function treeIn(input: Uint8Array): { entries: TreeEntryLike[]; blobs: Map<string, Uint8Array> } {
  const text = Buffer.from(input).toString("latin1");
  const blobs = new Map<string, Uint8Array>();
  const byPath = new Map<string, TreeEntryLike>();
  for (const part of text.split(/^=== /m).slice(1)) {
    const end = part.indexOf("\n");
    const head = end < 0 ? part : part.slice(0, end);
    const arrow = head.indexOf(" -> ");
    const path = utf8(arrow < 0 ? head.replace(/ submodule$/, "") : head.slice(0, arrow));
    const kind = arrow >= 0 ? "link" : head.endsWith(" submodule") ? "submodule" : "file";
    const bytes = Buffer.from(arrow >= 0 ? head.slice(arrow + 4) : end < 0 ? "" : part.slice(end + 1), "latin1");
    const oid = createHash("sha1").update(bytes).digest("hex");
    blobs.set(oid, bytes);
    byPath.set(path, { path, kind, oid });
  }
  return { entries: [...byPath.values()], blobs };
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

export const target: Target = {
  name: "commit",
  reads: "commits: unit files, links and drop-ins",
  maxBytes: 256 * 1024,
  readings: 5,
  words: [
    ...[
      "=== ",
      "=== web@1.service -> web@.service\n",
      "=== web.service\n",
      "=== a/web@.service\n",
      "=== web.service.d/a.conf\n",
    ],
    ...[
      " -> ",
      " submodule\n",
      "../",
      "/",
      ".service",
      ".timer",
      ".d/",
      ".conf",
      "web@",
      "web@.service",
      "README.md\n",
    ],
    ...[
      "[Unit]\n",
      "[Service]\nExecStart=/bin/true\n",
      "[X-Fleet]\n",
      "[Install]\n",
      "MachineID=",
      "MachineOf=",
      "Conflicts=",
    ],
    ...[
      "MachineMetadata=",
      "Global=true\n",
      "Replaces=",
      "Spread=",
      "Prefer=",
      "Priority=",
      "DesiredState=",
      "OnPartition=",
    ],
    ...[
      "MemoryReserve=1G\n",
      "CPUReserve=50%\n",
      "CollocatedWith=",
      "*",
      "?",
      "[a-z]",
      "[^",
      "\\",
      "%i",
      "%p",
      "%H",
      "true",
      "a=b",
    ],
  ],
  run(input) {
    const { entries, blobs } = treeIn(input);
    const cache = createParseCache();
    const wanted = selectBlobs(entries, cache);
    const given = new Map(wanted.flatMap((oid) => (blobs.has(oid) ? [[oid, blobs.get(oid) ?? input]] : [])));
    const reading = readCommit({ commit, entries, blobs: given, cache });
    const seen = examineTree({ entries, blobs });
    const problems = reading.ok ? [] : reasons(reading.problems);
    const warnings = reading.ok ? reading.value.warnings : reading.warnings;
    mustHold(problems.length === seen.problems.length, "the same reading with and without a cache");
    for (const { at, message } of [...problems, ...warnings])
      mustHold(at?.file !== undefined || message.startsWith("Cannot take "), `a place for: ${message}`);
    const back = readCommit({ commit, entries: [...entries].reverse(), blobs });
    const inWords = (all: typeof problems): string => all.map(({ code, message }) => `${code} ${message}`).join("\n");
    mustHold(inWords(problems) === (back.ok ? "" : inWords(back.problems)), "the same reading in any order");
    if (reading.ok) {
      for (const [name, unit] of reading.value.units)
        mustHold(name === unit.name && parseUnitName(name).ok, "good names");
      mustHold(back.ok && [...back.value.units.keys()].join() === [...reading.value.units.keys()].join(), "one order");
    }
    return {
      outcome: reading.ok ? (reading.value.units.size === 0 ? "nothing" : "taken") : "refused",
      problems: [...problems, ...warnings, ...byHand(entries, blobs)],
    };
  },
};

/** The first entry that is named as a unit, as somebody's own submission. */
function byHand(entries: readonly TreeEntryLike[], blobs: ReadonlyMap<string, Uint8Array>) {
  for (const { path, oid } of entries) {
    const name = parseUnitName(path);
    if (!name.ok) continue;
    const text = Buffer.from(blobs.get(oid) ?? []).toString("utf8");
    const dropIns = [{ name: "a.conf", text }];
    const read = createWantedReader().unit({ name: name.value, text, dropIns, target: "launched", by: "me", atMs: 1 });
    return read.ok ? [] : reasons(read.problems);
  }
  return [];
}
