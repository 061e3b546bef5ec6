// The example repository on the playground's machines: all of it runs on the three, and on any two of them.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createWorkingCopy } from "../../agent/adapters/working-copy.ts";
import { examineTree, selectBlobs } from "../../agent/desired/desired.ts";
import { parseMachineId } from "../../agent/domain/names.ts";
import type { CandidateMachine, Placement } from "../../agent/domain/placement.ts";
import type { Unit } from "../../agent/domain/unit.ts";
import { schedule } from "../../agent/schedule/schedule.ts";

const machines = [
  { region: "eu", disk: "ssd" },
  { region: "eu", disk: "hdd" },
  { region: "us", disk: "ssd" },
].map((metadata, index): CandidateMachine => {
  const id = parseMachineId(String(index + 1).repeat(32));
  assert.ok(id.ok);
  return { id: id.value, metadata, standing: "present" };
});

async function readExample(): Promise<readonly Unit[]> {
  const tree = await createWorkingCopy().tree(join(fileURLToPath(new URL("../../units", import.meta.url)), "example"));
  const oids = selectBlobs(tree.entries);
  const blobs = new Map(await Promise.all(oids.map(async (oid) => [oid, await tree.read(oid)] as const)));
  return [...examineTree({ entries: tree.entries, blobs }).units.values()];
}

/** The placements after one pass; every unit has one. */
function place(
  wanted: readonly Unit[],
  { on, held }: { readonly on: readonly CandidateMachine[]; readonly held: readonly Placement[] },
): readonly Placement[] {
  const decisions = schedule({ wanted, machines: on, placements: held });
  assert.deepEqual(
    decisions.filter(({ kind }) => kind === "wait"),
    [],
  );
  return decisions.flatMap((each) => (each.kind === "keep" || each.kind === "place" ? [each] : []));
}

test("all of the example runs on three machines, and goes on when any one of them is lost", async () => {
  const wanted = await readExample();
  assert.equal(wanted.length, 11);
  const held = place(wanted, { on: machines, held: [] });
  assert.equal(held.length, wanted.length + 2, "the global one three times");
  for (const lost of machines) {
    const left = machines.filter((machine) => machine !== lost);
    const moved = place(wanted, { on: left, held });
    assert.equal(new Set(moved.map(({ unit }) => unit)).size, wanted.length);
    const back = place(wanted, { on: machines, held: moved });
    for (const { unit, on } of moved)
      assert.ok(
        back.some((each) => each.unit === unit && each.on === on),
        unit,
      );
  }
});
