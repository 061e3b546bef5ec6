// Units as a machine keeps them for itself, made of their texts anew. Given to desired.ts.
import type { Problem } from "../domain/problem.ts";
import type { Unit } from "../domain/unit.ts";
import { unitHash } from "../text/hash.ts";
import { type KeptText, parseKeptTexts } from "../text/kept-texts.ts";
import type { WantedReader } from "./wanted.ts";

export interface KeptUnits {
  readonly units: readonly Unit[];
  /** Of lines that are damaged, and of texts of which this version makes no unit. */
  readonly problems: readonly Problem[];
}

export function readKept(text: string, reader: WantedReader): KeptUnits {
  const read = parseKeptTexts(text);
  const units: Unit[] = [];
  const problems = [...read.problems];
  for (const kept of read.units) {
    const unit = unitOf(kept, reader);
    if (unit.ok) units.push({ ...unit.value, ...authored(kept) });
    else problems.push(...unit.problems);
  }
  return { units, problems };
}

function unitOf({ name, text, dropIns }: KeptText, reader: WantedReader): ReturnType<WantedReader["unit"]> {
  // The reader applies drop-ins by name, and an author's may already be as long as a name can be
  const inOrder = dropIns.map((each, at) => ({ ...each, name: `${String(at).padStart(4, "0")}.conf` }));
  return reader.unit({ name, text, dropIns: inOrder, target: "launched", by: "", atMs: 0 });
}

/** What the reader does not know, or was told otherwise. */
function authored({ source, text, dropIns }: KeptText): Pick<Unit, "source" | "dropIns" | "hash"> {
  return { source, dropIns: dropIns.map((each) => ({ ...each, file: "" })), hash: unitHash(text, dropIns) };
}
