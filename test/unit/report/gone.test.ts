// The name of a machine that is gone is read off the event of its loss: both ends of that together.
import assert from "node:assert/strict";
import { test } from "node:test";
import { tellings } from "../../../agent/loops/tellings.ts";
import type { RegistryPicture } from "../../../agent/loops/picture.ts";
import type { MachineId } from "../../../agent/domain/names.ts";
import type { Manifest } from "../../../agent/domain/placement.ts";
import { nameOfGone } from "../../../agent/report/gone.ts";
import { lostByEvents } from "../../../agent/report/report.ts";

const [a, b] = ["a".repeat(32), "b".repeat(32)] as [MachineId, MachineId];

/** What the leader says of these machines, all of which it knows by these names. */
function lost(names: Readonly<Record<string, string>>) {
  const manifest = (machine: MachineId): Manifest => ({ machine, epoch: 1, generation: 1, units: [] });
  const ids = Object.keys(names) as MachineId[];
  const picture = { manifests: new Map(ids.map((id) => [id, manifest(id)])) } as unknown as RegistryPicture;
  const writes = ids.map((id): Manifest => ({ ...manifest(id), givenUp: true }));
  const outcome = { displaced: [], moved: [] } as never;
  const nameOf = (id: MachineId): string => names[id] ?? "";
  const told = tellings({ picture, writes, outcome, ended: [], nameOf }, { by: "a", nowMs: 1, nonce: "n" });
  return told.flatMap(({ said }) => said);
}

test("a machine that is gone is called as the leader called it", () => {
  const events = lost({ [a]: "m3.example", [b]: b.slice(0, 8) });
  assert.equal(events.length, 2);
  assert.equal(nameOfGone(events, a), "m3.example");
  assert.equal(nameOfGone(events, b), "", "the beginning of its id is no name");
  assert.equal(nameOfGone([], a), "");
  assert.equal(nameOfGone([...events, ...lost({ [a]: "m4" })], a), "m4", "the last name counts");
  assert.deepEqual(
    lostByEvents(events).map(({ id, hostname }) => [id, hostname]),
    [
      [a, "m3.example"],
      [b, ""],
    ],
  );
});
