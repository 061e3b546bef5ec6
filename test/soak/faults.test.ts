// What a row of the table asserts beyond what the watch sees, where machines do no harm that it would find.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Scene, faults } from "./faults.ts";

type Values = Readonly<Record<string, unknown>>;

/** The whole store stands still for its time and comes back; `after` is what stands in it then. */
async function stall(
  name: string,
  after: { readonly events?: Values; readonly manifests?: Values },
  tick: (ms: number) => void,
) {
  const before = { e1: { kind: "machine-lost", message: "m3 is lost" } };
  const registry: Record<string, Values> = { events: before, manifests: { a: {}, b: {} } };
  let kept = 0;
  const store = {
    ...{ members: [{ name: "m" }], freeze: () => undefined, thaw: () => undefined },
    ...{ kill: () => Promise.resolve(), startAll: () => Promise.resolve() },
    values: (folder: string) => Promise.resolve(new Map(Object.entries(registry[folder] ?? {}))),
  };
  const watch = { keep: () => (kept++, () => kept--) };
  const scene = { site: { machines: [{ name: "m1", id: "a" }], store }, watch } as unknown as Scene;
  const fault = faults.find((each) => each.name === name);
  const grip = await fault?.begin(scene);
  assert.ok(fault && grip);
  const unfolding = grip.unfold?.();
  assert.equal(kept, 1, "machines keep what they have");
  tick(fault.lastsMs[1]);
  await unfolding;
  await grip.mend();
  Object.assign(registry, {
    events: { ...before, ...after.events },
    manifests: { ...registry["manifests"], ...after.manifests },
  });
  const ending = grip.end?.();
  tick(60_000);
  try {
    await ending;
  } finally {
    assert.equal(kept, 0);
  }
}

suite("a stall of the whole store", () => {
  for (const name of ["all of etcd frozen", "all of etcd killed"])
    test(name, async (context) => {
      context.mock.timers.enable({ apis: ["setTimeout"] });
      const tick = (ms: number): void => context.mock.timers.tick(ms);
      await stall(name, { events: { e2: { kind: "commit-adopted", message: "a commit" } } }, tick);
      const events = { e2: { kind: "machine-lost", message: "m2 is lost; it had job@1.service" } };
      await assert.rejects(stall(name, { events }, tick), /an event says: m2 is lost/);
      const many = { e2: { kind: "machines-lost", message: "2 of 3 machines are lost at once" } };
      await assert.rejects(stall(name, { events: many }, tick), /an event says: 2 of 3 machines/);
      await assert.rejects(stall(name, { manifests: { a: { givenUp: true } } }, tick), /m1 is given up/);
    });
});
