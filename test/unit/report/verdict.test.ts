import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Refusal } from "../../../agent/domain/placement.ts";
import type { MachineReference, UnitDetail, UnitFileReport, UnitReport } from "../../../agent/domain/report.ts";
import { type Evidence, type Goal, isSeen, judge } from "../../../agent/report/verdict.ts";

const machine = (letter: string, alive = true): MachineReference => ({
  id: letter.repeat(32),
  ip: alive ? `10.0.0.${letter.charCodeAt(0)}` : "",
  hostname: alive ? letter : "",
  alive,
});

/** On machine a, told to launch, started and running, unless said otherwise. */
function place(more: Partial<UnitReport> = {}): UnitReport {
  const usual = { load: "loaded", active: "active", sub: "running", result: "success", sinceMs: 1, restarts: 0 };
  const told = { target: "launched", hash: "h1", started: true } as const;
  return { name: "web.service", machine: machine("a"), knowledge: "reported", ...usual, ...told, ...more };
}

/** Left out of `place`, which exactOptionalPropertyTypes tells from undefined. */
function without(report: UnitReport, ...keys: readonly (keyof UnitReport)[]): UnitReport {
  return Object.fromEntries(
    Object.entries(report).filter(([key]) => !(keys as readonly string[]).includes(key)),
  ) as unknown as UnitReport;
}

const unstarted = (more: Partial<UnitReport> = {}): UnitReport => without(place(more), "started");
const pending = (): UnitReport => ({
  name: "web.service",
  machine: machine("a"),
  knowledge: "pending",
  target: "launched",
});
const lost = (more: Partial<UnitReport> = {}): UnitReport => ({
  ...pending(),
  machine: machine("c", false),
  knowledge: "lost",
  ...more,
});

interface Given {
  readonly desired?: UnitFileReport["desired"] | "none";
  readonly places?: readonly UnitReport[];
  readonly refusals?: readonly Refusal[];
  readonly file?: Partial<UnitFileReport>;
  readonly commitAtHand?: boolean;
}

function detail({
  desired = "launched",
  places = [],
  refusals = [],
  file = {},
  commitAtHand = true,
}: Given): UnitDetail {
  const own: UnitFileReport = {
    name: "web.service",
    source: "submitted",
    desired: desired === "none" ? "inactive" : desired,
    hash: "h1",
    global: false,
    template: false,
    file: "",
    ...file,
  };
  return { name: "web.service", commitAtHand, ...(desired === "none" ? {} : { file: own }), places, refusals };
}

/** In a word, and how long it has to stay so. */
function told(evidence: Pick<Evidence, "goal" | "now"> & Partial<Evidence>): string {
  const verdict = judge({ wasSeen: true, changed: true, ...evidence });
  switch (verdict.kind) {
    case "reached":
      return [`reached on ${verdict.places.length}`, verdict.note, verdict.steadyMs]
        .filter((each) => each !== undefined)
        .join(", ");
    case "failed":
      return `failed on ${verdict.places.length}, ${verdict.steadyMs}`;
    case "refused":
      return `refused: ${verdict.refusals.length} reasons, ${verdict.steadyMs}`;
    case "waiting":
      return `${verdict.why}${verdict.refusals.length === 0 ? "" : `: ${verdict.refusals.length} reasons`}`;
    case "overtaken":
      return `overtaken: ${verdict.why}`;
  }
}

const problem = { code: "systemd-job", message: "Cannot start it" };
const refusal: Refusal = { rule: "metadata", machines: 3, example: "needs disk=ssd" };
const a = "aaaaaaaa.../10.0.0.97";
const launched: Goal = { kind: "launched" };
const loaded: Goal = { kind: "loaded" };

const cases: readonly (readonly [name: string, goal: Goal, now: Given | undefined, expect: string])[] = [
  ["it runs", launched, { places: [place()] }, "reached on 1, 500"],
  [
    "it runs with another text",
    { kind: "launched", hash: "h2" },
    { places: [place()] },
    "overtaken: its text was replaced meanwhile",
  ],
  [
    "its new text is not there yet",
    launched,
    { file: { hash: "h2" }, places: [place()] },
    `its text is on its way on ${a}`,
  ],
  [
    "systemd has not come to it",
    launched,
    { places: [unstarted({ active: "inactive", sub: "dead" })] },
    `it is inactive (dead) on ${a}`,
  ],
  [
    "it starts",
    launched,
    { places: [unstarted({ active: "activating", sub: "start" })] },
    `it is activating (start) on ${a}`,
  ],
  ["it is up, its job has not ended", launched, { places: [unstarted()] }, `it is active (running) on ${a}`],
  ["it has run and ended well", launched, { places: [place({ active: "inactive", sub: "dead" })] }, "reached on 1, 0"],
  [
    "it has run and ended badly",
    launched,
    { places: [place({ active: "inactive", sub: "dead", result: "exit-code" })] },
    "failed on 1, 0",
  ],
  ["it failed", launched, { places: [place({ active: "failed", sub: "failed" })] }, "failed on 1, 500"],
  [
    "its machine says why it failed",
    launched,
    { places: [place({ active: "failed", sub: "failed", problem })] },
    "failed on 1, 500",
  ],
  [
    "its machine cannot place it",
    launched,
    { places: [unstarted({ active: "inactive", problem })] },
    "failed on 1, 2000",
  ],
  [
    "an old problem, while it starts",
    launched,
    { places: [unstarted({ active: "activating", sub: "start", problem })] },
    `it is activating (start) on ${a}`,
  ],
  [
    "it ends again and again",
    launched,
    { places: [place({ active: "activating", sub: "auto-restart", restarts: 3 })] },
    "failed on 1, 0",
  ],
  [
    "it ended once or twice",
    launched,
    { places: [place({ active: "activating", sub: "auto-restart", restarts: 2 })] },
    `it is activating (auto-restart) on ${a}`,
  ],
  [
    "a restart that is asked for",
    { kind: "launched", restart: "100-a" },
    { places: [place({ restart: "99-z" })] },
    `it is to be restarted, active (running) on ${a}`,
  ],
  [
    "a restart that was carried out",
    { kind: "launched", restart: "100-a" },
    { places: [place({ restart: "100-a" })] },
    "reached on 1, 500",
  ],
  [
    "a restart that somebody else asked for later",
    { kind: "launched", restart: "99-z" },
    { places: [place({ restart: "100-a" })] },
    "reached on 1, 500",
  ],
  [
    "a restart of which nothing is known there",
    { kind: "launched", restart: "99-z" },
    { places: [place()] },
    `it is to be restarted, active (running) on ${a}`,
  ],
  ["it is placed, nothing heard", launched, { places: [pending()] }, `it is on its way on ${a}`],
  [
    "it is to leave one machine for another",
    launched,
    { places: [place({ target: "released" }), { ...pending(), machine: machine("b") }] },
    "it is on its way on bbbbbbbb.../10.0.0.98",
  ],
  ["it has no machine yet", launched, {}, "it has no machine yet"],
  ["no machine takes it", launched, { refusals: [refusal] }, "no machine takes it: 1 reasons"],
  ["its machine does not answer", launched, { places: [lost()] }, "it was on cccccccc..., which does not answer"],
  [
    "a global unit on all",
    launched,
    { file: { global: true }, places: [place(), place({ machine: machine("b") })] },
    "reached on 2, 2000",
  ],
  [
    "a global unit, failed on one",
    launched,
    { file: { global: true }, places: [place(), place({ machine: machine("b"), active: "failed" })] },
    "failed on 1, 500",
  ],
  [
    "a global unit that fits nowhere",
    launched,
    { file: { global: true }, refusals: [refusal] },
    "refused: 1 reasons, 2000",
  ],
  ["the agent lacks the commit", launched, { desired: "none", commitAtHand: false }, "the change is on its way"],
  ["it was taken away", launched, { desired: "none" }, "overtaken: it was taken away meanwhile"],
  [
    "somebody holds it",
    launched,
    { desired: "loaded", file: { hold: { unit: "web.service", target: "loaded", by: "bob", atMs: 1 } } },
    "overtaken: it was changed meanwhile: it is to be loaded, held by bob",
  ],
  [
    "loaded",
    loaded,
    { desired: "loaded", places: [unstarted({ target: "loaded", active: "inactive" })] },
    "reached on 1, 0",
  ],
  [
    "loaded, once failed",
    loaded,
    { desired: "loaded", places: [unstarted({ target: "loaded", active: "failed" })] },
    "reached on 1, 0",
  ],
  [
    "to be loaded, and stops",
    loaded,
    { desired: "loaded", places: [place({ target: "loaded", active: "deactivating", sub: "stop" })] },
    `it is deactivating (stop) on ${a}`,
  ],
  [
    "loaded, and started by its timer",
    loaded,
    { desired: "loaded", places: [unstarted({ target: "loaded" })] },
    `reached on 1, it is active (running) on ${a}, started by another unit, 2000`,
  ],
  [
    "stopped, and started by its timer",
    { kind: "stopped" },
    { desired: "loaded", places: [unstarted({ target: "loaded" })] },
    `reached on 1, it is active (running) on ${a}, started by another unit, 2000`,
  ],
  [
    "stopped where it is",
    { kind: "stopped" },
    { desired: "loaded", places: [unstarted({ target: "loaded", active: "inactive" })] },
    "reached on 1, 0",
  ],
  [
    "stopped, and it never had a machine",
    { kind: "stopped" },
    { desired: "loaded", refusals: [refusal] },
    "reached on 0, 0",
  ],
  [
    "to be stopped, nothing heard",
    { kind: "stopped" },
    { desired: "loaded", places: [pending()] },
    `it is to be stopped on ${a}`,
  ],
  [
    "it still stops",
    { kind: "stopped" },
    { desired: "loaded", places: [place({ target: "loaded", active: "deactivating", sub: "stop", problem })] },
    `it is deactivating (stop) on ${a}`,
  ],
  [
    "its machine cannot stop it",
    { kind: "stopped" },
    { desired: "loaded", places: [place({ target: "loaded", problem })] },
    "failed on 1, 5000",
  ],
  ["unloaded", { kind: "inactive" }, { desired: "inactive" }, "reached on 0, 0"],
  [
    "still there",
    { kind: "inactive" },
    { desired: "inactive", places: [place({ target: "released" })] },
    `it is active (running) on ${a}`,
  ],
  [
    "unloaded, but for a lost machine",
    { kind: "inactive" },
    { desired: "inactive", places: [lost({ target: "released" })] },
    "reached on 0, it may still run on cccccccc..., which does not answer, 0",
  ],
  ["destroyed", { kind: "gone" }, undefined, "reached on 0, 0"],
  [
    "destroyed, and stops",
    { kind: "gone" },
    { desired: "none", places: [place({ target: "released" })] },
    `it is active (running) on ${a}`,
  ],
  ["not destroyed yet", { kind: "gone" }, { places: [place()] }, "it is still there"],
  [
    "who knows",
    { kind: "gone" },
    { desired: "none", commitAtHand: false },
    "this agent has not got the adopted commit",
  ],
];

describe("verdicts", () => {
  for (const [name, goal, now, expect] of cases)
    test(`${goal.kind}: ${name}`, () =>
      assert.equal(told({ goal, now: now === undefined ? undefined : detail(now) }), expect));

  test("what was so before any change needs no time", () => {
    assert.equal(told({ goal: launched, now: detail({ places: [place()] }), changed: false }), "reached on 1, 0");
    const failed = detail({ places: [place({ active: "failed" })] });
    assert.equal(told({ goal: launched, now: failed, changed: false }), "failed on 1, 0");
  });

  test("a change that was not seen yet is on its way, and nobody else's", () => {
    const old = detail({ desired: "inactive" });
    assert.equal(told({ goal: launched, now: old, wasSeen: false }), "the change is on its way");
    assert.equal(told({ goal: launched, now: undefined, wasSeen: false }), "the change is on its way");
    assert.equal(isSeen({ goal: launched, now: old }), false);
    assert.equal(isSeen({ goal: { kind: "launched", hash: "h2" }, now: detail({}) }), false);
    assert.equal(isSeen({ goal: launched, now: detail({}) }), true);
    assert.equal(isSeen({ goal: { kind: "gone" }, now: undefined }), true);
  });
});
