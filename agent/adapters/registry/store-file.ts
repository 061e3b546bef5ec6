// The embedded registry's one durable file: a line with version and checksum, then the keys as JSON. Given to embedded.ts.
// A file that is not whole is set aside and refused, never taken for an empty store.
import { createHash } from "node:crypto";
import { Problem } from "../../domain/problem.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Entry } from "../../ports/registry.ts";

export const storeFile = "registry.db";
export const damagedStoreFile = `${storeFile}.damaged`;
const magic = "flotilla-registry-1";

export interface StoredState {
  /** No revision above this has been given out. */
  readonly ceiling: number;
  /** Without leases. */
  readonly entries: readonly Entry[];
}

type Row = readonly [key: string, value: string, createRevision: number, modRevision: number];

/**
 * What was last saved; undefined where nothing ever was. Rejects with "registry-damaged" when the file is damaged, after
 * setting it aside, and again at every later try until somebody has decided what becomes of it.
 */
export async function loadState(disk: Disk): Promise<StoredState | undefined> {
  const text = await disk.read(storeFile);
  if (text === undefined) {
    if ((await disk.read(damagedStoreFile)) !== undefined) throw damaged("It was set aside earlier");
    return undefined;
  }
  const state = decode(text);
  if (typeof state !== "string") return state;
  await disk.write(damagedStoreFile, text);
  await disk.remove(storeFile);
  throw damaged(state);
}

export async function saveState(disk: Disk, state: StoredState): Promise<void> {
  const rows = state.entries.map((entry): Row => [entry.key, entry.value, entry.createRevision, entry.modRevision]);
  const body = JSON.stringify({ ceiling: state.ceiling, entries: rows });
  await disk.write(storeFile, `${magic} ${checksum(body)}\n${body}\n`);
}

function damaged(why: string): Problem {
  return new Problem("registry-damaged", `Cannot read the embedded registry's file "${storeFile}"`, {
    hint: `It is kept as "${damagedStoreFile}": put a good copy back as "${storeFile}", or remove it to begin empty`,
    cause: new Error(why),
  });
}

/** The state, or in a word why the text is none. */
function decode(text: string): StoredState | string {
  const [head = "", body = ""] = text.split("\n", 2);
  const [word, sum] = head.split(" ");
  if (word !== magic) return "It does not begin as such a file does";
  if (sum !== checksum(body)) return "Its checksum does not match";
  const { ceiling, entries } = JSON.parse(body) as { ceiling: number; entries: readonly Row[] }; // vouched for by the checksum
  return {
    ceiling,
    entries: entries.map(([key, value, createRevision, modRevision]) => ({ key, value, createRevision, modRevision })),
  };
}

function checksum(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}
