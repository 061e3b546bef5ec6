import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StatusWorld, bootStatus, waitForBoot } from "../../../agent/bootstrap/boot-status.ts";
import type { BootResult, BootStatus } from "../../../agent/domain/boot-result.ts";
import type { UnitLook } from "../../../agent/ports/host-setup.ts";
import { bootText } from "../../../agent/report/boot.ts";
import { encodeBootResult } from "../../../agent/text/boot-result.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { FakeSetup, upUnit } from "../../fakes/fake-setup.ts";
import { MemoryDisk } from "../../fakes/memory-disk.ts";

const bootId = "b".repeat(32);
const startMs = 1_767_225_000_000;

const done: BootResult = {
  version: "1",
  bootId,
  pid: 7,
  state: "done",
  startedMs: startMs,
  endedMs: startMs + 1500,
  source: { name: "nocloud", where: "/seed", isKept: false },
  probes: [],
  findings: [],
  problems: [],
  steps: [{ id: "hostname", stage: "reach", does: "name the machine web", result: "done" }],
  left: [],
  watch: ["a.service"],
  stages: [{ name: "reach", tookMs: 12 }],
};
const refused: BootResult = {
  ...done,
  state: "failed",
  problems: [{ code: "x", message: "Cannot take it", hint: "Mend it", file: "user-data", line: 3 }],
  steps: [
    { id: "hostname", stage: "reach", does: "name the machine web", result: "done" },
    { id: "file /a", stage: "files", does: "write /a", result: "skipped" },
  ],
  watch: [],
};

interface Given {
  readonly result?: BootResult;
  readonly units?: Readonly<Record<string, Partial<UnitLook>>>;
  readonly discovery?: object;
  readonly holder?: number;
}

function world({ result, units = {}, discovery, holder }: Given): StatusWorld & { clock: FakeClock; setup: FakeSetup } {
  const disk = new MemoryDisk();
  const runDisk = new MemoryDisk();
  const setup = new FakeSetup();
  if (result !== undefined) disk.files.set("bootstrap/result.json", encodeBootResult(result));
  if (discovery !== undefined) runDisk.files.set("discovery.json", JSON.stringify(discovery));
  for (const [unit, look] of Object.entries(units)) setup.units.set(unit, { ...upUnit, sinceMs: startMs, ...look });
  return {
    bootId,
    disk,
    runDisk,
    setup,
    clock: new FakeClock({ wallMs: startMs + 10_000 }),
    lock: {
      take: () => Promise.reject(new Error("nobody takes it here")),
      holder: async () => (holder === undefined ? undefined : { pid: holder, sinceMs: startMs }),
    },
  };
}

const cases: readonly (Given & {
  readonly name: string;
  readonly expect: Pick<BootStatus, "standing" | "code" | "isMoving">;
  readonly waits?: RegExp;
  readonly says?: RegExp;
})[] = [
  {
    name: "all is up",
    result: done,
    units: { "a.service": {} },
    expect: { standing: "whole", code: 0, isMoving: false },
  },
  {
    name: "a oneshot that is over",
    result: done,
    units: { "a.service": { active: "inactive", sub: "dead", isOneshot: true, sinceMs: 0 } },
    expect: { standing: "whole", code: 0, isMoving: false },
    says: /run to its end/,
  },
  {
    name: "a oneshot that was kept from starting",
    result: done,
    units: { "a.service": { active: "inactive", isOneshot: true, failedNeed: "b.service", sinceMs: 0 } },
    expect: { standing: "failed", code: 1, isMoving: false },
    says: /not started: b\.service, which it needs, failed/,
  },
  {
    name: "a unit whose condition does not hold",
    result: done,
    units: { "a.service": { active: "inactive", sub: "dead", isSkipped: true, sinceMs: 0 } },
    expect: { standing: "whole", code: 0, isMoving: false },
    says: /a condition does not hold/,
  },
  {
    name: "a unit that never started",
    result: done,
    units: { "a.service": { active: "inactive", sub: "dead", sinceMs: 0 } },
    expect: { standing: "failed", code: 1, isMoving: false },
    says: /not started/,
  },
  {
    name: "a unit that failed",
    result: done,
    units: { "a.service": { active: "failed", sub: "failed", result: "exit-code" } },
    expect: { standing: "failed", code: 1, isMoving: false },
    says: /failed \(exit-code\)/,
  },
  {
    name: "a unit that is not there",
    result: done,
    expect: { standing: "failed", code: 1, isMoving: false },
    says: /there is no such unit/,
  },
  {
    name: "a unit that starts",
    result: done,
    units: { "a.service": { active: "activating", sub: "start", job: "start" } },
    expect: { standing: "waiting", code: 2, isMoving: true },
    waits: /^a\.service: activating \(start\)$/,
    says: /for 10s/,
  },
  {
    name: "a unit that starts again and again",
    result: done,
    units: { "a.service": { active: "activating", sub: "auto-restart", result: "exit-code" } },
    expect: { standing: "waiting", code: 2, isMoving: true },
    waits: /after it failed \(exit-code\)/,
  },
  {
    name: "a unit that waits for its turn",
    result: done,
    units: { "a.service": { active: "inactive", sub: "dead", job: "start", sinceMs: 0 } },
    expect: { standing: "waiting", code: 2, isMoving: true },
    waits: /waits for its turn to start/,
  },
  {
    name: "a unit that failed while another starts",
    result: { ...done, watch: ["a.service", "b.service"] },
    units: {
      "a.service": { active: "failed", result: "timeout" },
      "b.service": { active: "activating", sub: "start" },
    },
    expect: { standing: "failed", code: 1, isMoving: true },
  },
  {
    name: "discovery that waits for others",
    result: done,
    units: { "a.service": {} },
    discovery: {
      state: "waiting",
      what: "waiting for 1 of 3 members",
      sinceMs: startMs,
      tries: 0,
      lastError: "",
      missing: 1,
    },
    expect: { standing: "waiting", code: 2, isMoving: true },
    waits: /^discovery: waiting for 1 of 3 members$/,
  },
  {
    name: "discovery that is done",
    result: done,
    units: { "a.service": {} },
    discovery: { state: "done", what: "member", sinceMs: startMs, tries: 0, lastError: "", missing: 0 },
    expect: { standing: "whole", code: 0, isMoving: false },
  },
  {
    name: "single steps failed",
    result: { ...done, steps: [...done.steps, { id: "run", stage: "late", does: "run it", result: "failed" }] },
    units: { "a.service": {} },
    expect: { standing: "partly", code: 2, isMoving: false },
    says: /1 failed/,
  },
  {
    name: "a refused document",
    result: refused,
    expect: { standing: "refused", code: 1, isMoving: false },
    says: /user-data:3: Cannot take it/,
  },
  {
    name: "a run that stopped in the middle",
    result: { ...refused, steps: [...refused.steps, { id: "b", stage: "files", does: "write /b", result: "failed" }] },
    expect: { standing: "failed", code: 1, isMoving: false },
  },
  {
    name: "a run at work",
    result: { ...done, state: "running", now: { what: "looking for user-data", sinceMs: startMs } },
    holder: 7,
    expect: { standing: "working", code: 2, isMoving: true },
    waits: /looking for user-data/,
  },
  {
    name: "a run whose process is gone",
    result: { ...done, state: "running", now: { what: "writing files", sinceMs: startMs } },
    expect: { standing: "failed", code: 1, isMoving: false },
    says: /its process ended/,
  },
  {
    name: "a result of an earlier boot says nothing of this one",
    result: { ...done, bootId: "a".repeat(32) },
    expect: { standing: "none", code: 1, isMoving: false },
  },
  {
    name: "the unit of the boot has its turn to come",
    units: { "flotilla-bootstrap.service": { active: "inactive", job: "start" } },
    expect: { standing: "working", code: 2, isMoving: true },
  },
  {
    name: "the first boot is switched off",
    units: { "flotilla-bootstrap.service": { active: "inactive", isSkipped: true } },
    expect: { standing: "none", code: 1, isMoving: false },
    says: /switched off/,
  },
];

describe("bootstrap status", () => {
  for (const { name, expect, waits, says, ...given } of cases)
    test(name, async () => {
      const asked = world(given);
      const status = await bootStatus(asked);
      const { standing, code, isMoving } = status;
      assert.deepEqual({ standing, code, isMoving }, expect);
      if (waits !== undefined) assert.match(status.waitsFor[0]?.what ?? "", waits);
      const text = bootText(status, { colour: false, nowMs: asked.clock.wallMs(), full: false });
      assert.match(text, /^ {3,}State: /);
      if (says !== undefined) assert.match(text, says);
    });

  test("a damaged result is no good news", async () => {
    const asked = world({ result: done });
    await asked.disk.write("bootstrap/result.json", "{");
    await assert.rejects(bootStatus(asked), { code: "boot-result" });
  });

  test("waiting ends when nothing moves any more", async () => {
    const asked = world({ result: done, units: { "a.service": { active: "activating", sub: "start" } } });
    const seen: string[] = [];
    const waiting = waitForBoot(asked, {
      timeoutMs: undefined,
      signal: new AbortController().signal,
      progress: ({ waitsFor }) => seen.push(waitsFor[0]?.what ?? ""),
    });
    await asked.clock.advanceUntil(() => seen.length >= 3, 10_000);
    asked.setup.units.set("a.service", upUnit);
    await asked.clock.advance(2000);
    assert.equal((await waiting).code, 0);
    assert.equal(asked.clock.sleeping, 0);
  });

  test("waiting ends at its limit, and by a signal", async () => {
    const given = { result: done, units: { "a.service": { active: "activating", sub: "start" } } };
    const late = world(given);
    const progress = (): void => undefined;
    const waiting = waitForBoot(late, { timeoutMs: 1200, signal: new AbortController().signal, progress });
    await late.clock.advance(5000);
    assert.equal((await waiting).code, 2);
    const over = new AbortController();
    const given2 = waitForBoot(world(given), { timeoutMs: undefined, signal: over.signal, progress });
    over.abort(new Error("told to"));
    await assert.rejects(given2, /told to/);
  });
});
