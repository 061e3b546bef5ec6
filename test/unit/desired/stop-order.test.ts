// When a unit with OnPartition=stop is surely down: after what systemd stops first.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { faults, good, nameOf, readTree } from "./build.ts";

const stop = "[X-Fleet]\nOnPartition=stop\n";
const text = (unit: string, { sec, more = "" }: { readonly sec?: number; readonly more?: string } = {}): string =>
  `[Unit]\n${unit}\n[Service]\nExecStart=/bin/a\n${sec === undefined ? "" : `TimeoutStopSec=${sec}\n`}${more}`;

/** Of each unit with OnPartition=stop, in seconds. */
function stopSeconds(files: Readonly<Record<string, string | { readonly link: string }>>): Record<string, number> {
  const found = [...good(files).units.values()].flatMap(({ name, fence }) =>
    fence === undefined ? [] : [[name, fence.stopMs / 1_000] as const],
  );
  return Object.fromEntries(found);
}

const db = { "db.service": text("", { sec: 5, more: stop }) };

describe("what is stopped before a unit with OnPartition=stop", () => {
  for (const [what, one, expected] of [
    ["requires it and is ordered after it", "Requires=db.service\nAfter=db.service", 25],
    ["is bound to it", "BindsTo=db.service\nAfter=net.target db.service", 25],
    ["is part of it", "PartOf=db.service\nAfter=db.service", 25],
    ["needs it to be there", "Requisite=db.service\nAfter=db.service", 25],
    ["takes its stop", "StopPropagatedFrom=db.service\nAfter=db.service", 25],
    ["requires it, and no order is asked for", "Requires=db.service", 5],
    ["is only ordered after it, and stays up", "After=db.service\nWants=db.service", 5],
    ["is ordered before it", "Requires=db.service\nBefore=db.service", 5],
  ] as const)
    test(`${what}: ${expected} s`, () => {
      assert.deepEqual(stopSeconds({ ...db, "web.service": text(one, { sec: 20 }) }), { "db.service": expected });
    });

  test("has systemd's own time where it says none, and its commands as well", () => {
    const after = "Requires=db.service\nAfter=db.service";
    assert.deepEqual(stopSeconds({ ...db, "web.service": text(after) }), { "db.service": 95 });
    const more = "ExecStop=/bin/b\n";
    assert.deepEqual(stopSeconds({ ...db, "web.service": text(after, { sec: 2, more }) }), { "db.service": 9 });
  });

  test("counts along the longest way, whoever says the order, also where only a third is stopped with it", () => {
    const files = {
      "db.service": text("Before=a.service\nPropagatesStopTo=b.service", { sec: 5, more: stop }),
      "a.service": text("Requires=db.service", { sec: 3 }),
      "b.service": text("After=a.service", { sec: 4 }),
      "c.service": text("PartOf=b.service\nAfter=b.service", { sec: 7 }),
      "d.service": text("After=db.service", { sec: 600 }),
    };
    assert.deepEqual(stopSeconds(files), { "db.service": 19 });
  });

  test("counts among those that a machine stops together, which need nothing of each other", () => {
    const files = { ...db, "web.service": text("After=db.service", { sec: 20, more: stop }) };
    assert.deepEqual(stopSeconds(files), { "db.service": 25, "web.service": 20 });
  });

  test("is found by specifiers, for each instance, and by drop-ins", () => {
    const files = {
      "db@.service": text("", { sec: 5, more: stop }),
      "db@1.service": { link: "db@.service" },
      "db@2.service": { link: "db@.service" },
      "side@.service": text("BindsTo=db@%i.service", { sec: 20 }),
      "side@.service.d/order.conf": "[Unit]\nAfter=db@%i.service\n",
      "side@1.service": { link: "side@.service" },
    };
    assert.deepEqual(stopSeconds(files), { "db@1.service": 25, "db@2.service": 5 });
  });

  test("is the service that a socket hands its connections to, where that needs the socket", () => {
    const files = {
      "web.socket": `[Socket]\nListenStream=80\nTimeoutSec=5\n${stop}`,
      "web.service": text("Requires=web.socket", { sec: 20 }),
    };
    assert.deepEqual(stopSeconds(files), { "web.socket": 20 });
  });
});

describe("a unit of which nobody can say when it is down is refused", () => {
  const after = "Requires=db.service\nAfter=db.service";
  for (const [what, files, expected] of [
    [
      "what stops first is never killed",
      { "web.service": text(after, { more: "TimeoutStopSec=infinity\n" }) },
      ["unit-partition@web.service:6"],
    ],
    [
      "what stops first is of a type that may be in use",
      { "data.mount": `[Unit]\n${after}\n[Mount]\nWhat=/dev/x\nWhere=/data\n` },
      ["unit-partition@data.mount"],
    ],
    ["it takes too long with it", { "web.service": text(after, { sec: 3_599 }) }, ["unit-partition@db.service"]],
    [
      "both wait for each other, which systemd refuses",
      {
        "db.service": text("After=web.service", { more: stop }),
        "web.service": text("After=db.service", { more: stop }),
      },
      ["unit-partition@db.service"],
    ],
  ] as const)
    test(what, () => assert.deepEqual(faults({ ...db, ...files }), expected));

  test("with the ring named", () => {
    const files = {
      "a.service": text("After=c.service", { more: stop }),
      "b.service": text("After=a.service\nPartOf=a.service"),
      "c.service": text("After=b.service\nPartOf=b.service"),
    };
    const reading = readTree(files);
    assert.match(reading.ok ? "" : (reading.problems[0]?.hint ?? ""), /one of a\.service b\.service c\.service$/);
  });

  test("but a ring of units that are not stopped with one is systemd's business", () => {
    const files = { ...db, "a.service": text("After=b.service"), "b.service": text("After=a.service") };
    assert.equal(good(files).units.get(nameOf("db.service"))?.fence?.stopMs, 5_000);
  });
});
