// Manifests that the registry does not take for their size: their machines go on as they are, which is told, and all others
// are told what is new.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { MachineId, UnitHash, UnitName } from "../../../agent/domain/names.ts";
import type { Manifest, ManifestEntry } from "../../../agent/domain/placement.ts";
import { type Fit, fitting } from "../../../agent/loops/manifest-writes.ts";
import { maxValueBytes } from "../../../agent/ports/registry.ts";
import type { NextManifests } from "../../../agent/schedule/manifests.ts";
import { House, idOf, name, service } from "./house.ts";

let house: House | undefined;
afterEach(async () => {
  await house?.close();
  house = undefined;
});

/** Far more than a manifest takes. */
const tooMany = 2_800;
const long = "n".repeat(200);

function crowd(count: number, ...fleet: readonly string[]): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`${long}${n}.service`, service(...fleet)]));
}

test("a machine with too many units goes on as it is and is told of; others get theirs, and it does once there are fewer", async () => {
  house = await House.open({ machines: "ab", leaders: "b" });
  await house.ready();
  const onA = `MachineID=${idOf("a")}`;
  const onB = `MachineID=${idOf("b")}`;
  const here = { "old.service": service(onA) };
  await house.deploy({ ...here, "away.service": service(onB) });
  await house.until(() => house!.isUp({ "old.service": "a", "away.service": "b" }));
  const before = (await house.held()).manifests.get(idOf("a"));
  await house.deploy({ ...here, ...crowd(tooMany, onA), "web.service": service(onB), "away.service": service(onA) });
  await house.until(() => house!.up()["web.service"] === "b");
  await house.clock.advance(30_000);
  assert.deepEqual(house.up(), { "old.service": "a", "web.service": "b", "away.service": "b" });
  assert.deepEqual((await house.held()).manifests.get(idOf("a")), before);
  const problem = await house.box("b").problem("manifest-oversize");
  assert.match(
    problem?.message ?? "",
    /^Cannot tell host-a \(\d+ bytes\) anything new: a manifest may have 1000000 bytes$/,
  );
  const quiet = (await house.operator.read("")).revision;
  await house.clock.advance(60_000);
  const { revision, entries } = await house.operator.read("");
  const writes = entries.filter(({ modRevision }) => modRevision > quiet).map(({ key }) => key);
  assert.equal(revision, quiet, `nothing is written again and again: ${writes.join(", ")}`);
  await house.deploy({
    ...here,
    "new.service": service(onA),
    "web.service": service(onB),
    "away.service": service(onA),
  });
  const wanted = { "old.service": "a", "new.service": "a", "web.service": "b", "away.service": "a" };
  await house.until(() => house!.isUp(wanted));
  assert.equal(await house.box("b").problem("manifest-oversize"), undefined);
});

const unit = (text: string, target: "launched" | "released" = "launched"): ManifestEntry => ({
  name: name(text),
  source: "submitted",
  hash: "0".repeat(64) as UnitHash,
  target,
});

const a = idOf("a");
const b = idOf("b");

/** What is written when `next` is to follow on `told`, with machine a gone where `gone` is set. */
function fit(
  { told, next }: Readonly<Record<"told" | "next", Readonly<Record<string, readonly ManifestEntry[]>>>>,
  { gone = false, handovers = [] }: { readonly gone?: boolean; readonly handovers?: NextManifests["handovers"] } = {},
): Fit {
  const manifests = (
    all: Readonly<Record<string, readonly ManifestEntry[]>>,
    generation: number,
  ): readonly Manifest[] =>
    Object.entries(all).map(([letter, units]) => ({ machine: idOf(letter), epoch: 1, generation, units }));
  return fitting(
    { writes: manifests(next, 2), handovers },
    {
      told: new Map(manifests(told, 1).map((each) => [each.machine, each])),
      unwritten: new Set(),
      isGone: (machine: MachineId) => gone && machine === a,
      isGlobal: (each: UnitName) => each === "log.service",
    },
  );
}

const written = ({ fitting: all }: Fit): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    all.map(({ manifest: { machine, units } }) => [
      machine.charAt(0),
      units.map((each) => `${each.name} ${each.target}`),
    ]),
  );

const filling = Array.from({ length: 9_000 }, (_, n) => unit(`w${n}.service`, "released"));

test("what a machine that is gone cannot be told to let go of nobody else is told to have", () => {
  const told = { a: [unit("db.service"), unit("log.service")], b: [unit("web.service")] };
  const released = [unit("db.service", "released"), unit("log.service", "released"), ...filling];
  const both = fit({ told, next: { a: released, b: [unit("db.service"), unit("web.service")] } }, { gone: true });
  assert.deepEqual(written(both), {}, "nothing is new in what is left of it");
  assert.deepEqual([...both.staying], ["db.service"]);
  assert.deepEqual(
    both.oversize.map(({ machine, bytes }) => [machine, bytes > maxValueBytes]),
    [[a, true]],
  );
  const more = fit(
    {
      told,
      next: { a: released, b: [unit("db.service"), unit("log.service"), unit("new.service"), unit("web.service")] },
    },
    { gone: true },
  );
  assert.deepEqual(written(more), { b: ["log.service launched", "new.service launched", "web.service launched"] });
});

test("what a machine cannot be told to have nobody else is told to let go of", () => {
  const told = { a: [], b: [unit("db.service"), unit("old.service")] };
  const next = { a: filling, b: [unit("db.service", "released"), unit("old.service", "released")] };
  const moved = fit({ told, next }, { handovers: [{ unit: name("db.service"), from: b, to: a }] });
  assert.deepEqual(written(moved), { b: ["db.service launched", "old.service released"] });
});
