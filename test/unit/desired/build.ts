// Builders for the tests of desired/: a tree from a list of paths and texts.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type Blobs,
  type CommitReading,
  type ParseCache,
  type TreeEntryLike,
  readCommit,
  selectBlobs,
} from "../../../agent/desired/desired.ts";
import { type UnitName, parseCommitId, parseUnitName } from "../../../agent/domain/names.ts";
import { Problem, describeProblem, toRecord } from "../../../agent/domain/problem.ts";
import type { DesiredState, Unit } from "../../../agent/domain/unit.ts";

/** A file's text or bytes, a link's target, or a submodule. */
export type Content = string | Uint8Array | { readonly link: string } | { readonly submodule: true };

export const service = "[Service]\nExecStart=/bin/sleep infinity\n";

export function withFleet(...lines: readonly string[]): string {
  return [`${service}[X-Fleet]`, ...lines, ""].join("\n");
}

export function treeOf(files: Readonly<Record<string, Content>>): { entries: TreeEntryLike[]; blobs: Blobs } {
  const blobs = new Map<string, Uint8Array>();
  const entries = Object.entries(files).map(([path, content]): TreeEntryLike => {
    if (typeof content === "object" && "submodule" in content) return { path, kind: "submodule", oid: "0".repeat(40) };
    const isLink = typeof content === "object" && "link" in content;
    const bytes = Buffer.from(isLink ? content.link : content);
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    blobs.set(oid, bytes);
    return { path, kind: isLink ? "link" : "file", oid };
  });
  return { entries, blobs };
}

export const commit = (() => {
  const parsed = parseCommitId("c".repeat(40));
  assert.ok(parsed.ok);
  return parsed.value;
})();

/** Reads with exactly the blobs that selectBlobs asks for: a read that needs others throws. */
export function readTree(files: Readonly<Record<string, Content>>, cache?: ParseCache): CommitReading {
  const { entries, blobs } = treeOf(files);
  const wanted = selectBlobs(entries, cache);
  assert.equal(new Set(wanted).size, wanted.length);
  const given = new Map(wanted.map((oid) => [oid, blobs.get(oid) ?? new Problem("test", "Cannot be")]));
  return readCommit({ commit, entries, blobs: given, ...(cache === undefined ? {} : { cache }) });
}

export function good(files: Readonly<Record<string, Content>>, cache?: ParseCache): DesiredState {
  const reading = readTree(files, cache);
  assert.ok(reading.ok, reading.ok ? "" : reading.problems.map((each) => describeProblem(toRecord(each))).join("\n"));
  return reading.value;
}

/** `code@file:line` of each problem. */
export function faults(files: Readonly<Record<string, Content>>): readonly string[] {
  const reading = readTree(files);
  assert.ok(!reading.ok, "the commit was taken");
  for (const { message, hint } of reading.problems) {
    assert.ok(!message.endsWith("."), message);
    assert.ok(hint === undefined || !hint.endsWith("."), hint);
  }
  return reading.problems.map(briefly);
}

export function warnings(files: Readonly<Record<string, Content>>): readonly string[] {
  return good(files).warnings.map(briefly);
}

function briefly({ code, at }: Problem): string {
  return `${code}@${at?.file ?? ""}${at?.line === undefined ? "" : `:${at.line}`}`;
}

export function nameOf(text: string): UnitName {
  const parsed = parseUnitName(text);
  assert.ok(parsed.ok, text);
  return parsed.value;
}

export function unitOf(state: DesiredState, name: string): Unit {
  const unit = state.units.get(nameOf(name)) ?? state.templates.get(nameOf(name));
  assert.ok(unit !== undefined, `no ${name}`);
  return unit;
}
