// The table of what one machine does with its share, case by case.
import assert from "node:assert/strict";
import { describe as suite, test } from "node:test";
import type { MachineView } from "../../../agent/domain/action.ts";
import type { CommitId, UnitHash, UnitName } from "../../../agent/domain/names.ts";
import type { ManifestTarget } from "../../../agent/domain/placement.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { SystemdState } from "../../../agent/domain/status.ts";
import type { OnChange, Unit } from "../../../agent/domain/unit.ts";
import { systemdHash } from "../../../agent/text/hash.ts";
import { plan } from "../../../agent/reconcile/reconcile.ts";
import { fc, tries } from "../../property.ts";

interface Case {
  /** Unit to target; after a space its hash, "1" if not given: "launched 2". */
  readonly told?: Readonly<Record<string, string>>;
  /** Unit to "loaded" or "launched", the hash that lies there, and if launched its active state: "launched 1 failed". */
  readonly here?: Readonly<Record<string, string>>;
  /** Names whose text is not at hand. */
  readonly unknown?: readonly string[];
  /** Units that leave and whose text is still at hand. */
  readonly leaving?: readonly string[];
  readonly conflicts?: Readonly<Record<string, readonly string[]>>;
  readonly onChange?: OnChange;
  readonly foreign?: Readonly<Record<string, string>>;
  readonly busy?: readonly string[];
  readonly stateless?: readonly string[];
  /** Hash with which a unit was last told to start, where it is not the one that lies there. */
  readonly toldWith?: Readonly<Record<string, string>>;
  /** Units of which an earlier agent left it open what became of a stop or a launch. */
  readonly unsettled?: Readonly<Record<string, "launch" | "stop">>;
  /** Units whose [Install] section nobody came to. */
  readonly installDue?: readonly string[];
  /** Units with OnPartition=stop; those here for which it is in force; those that may not be started, with a problem. */
  readonly fenced?: readonly string[];
  readonly inForce?: readonly string[];
  readonly barred?: Readonly<Record<string, string | undefined>>;
  readonly reloadDue?: boolean;
  /** The restart that everything is told, and the one that launched units were last told. */
  readonly restart?: string;
  readonly restarted?: string;
}

const hash = (digit: string): UnitHash => digit.repeat(40) as UnitHash;
const commit = "c".repeat(40) as CommitId;

/** Of 3 systemd makes the same as of 1. */
function textOf(digit: string): string {
  return digit === "3"
    ? `${textOf("1")}[X-Fleet]\nPriority=1\n`
    : `[Service]\nExecStart=/bin/sleep infinity\nEnvironment=A=${digit}\n`;
}

function unitOf(name: string, digit: string, given: Case): Unit {
  return {
    name: name as UnitName,
    source: "git",
    file: name,
    text: textOf(digit),
    dropIns: [],
    hash: hash(digit),
    target: "launched",
    options: {
      machineId: undefined,
      machineOf: [],
      metadata: [],
      conflicts: given.conflicts?.[name] ?? [],
      replaces: [],
      global: false,
    },
    onChange: given.onChange ?? "restart",
    ...(given.fenced?.includes(name) === true ? { fence: { stepMs: 5_000, stopMs: 5_000 } } : {}),
    description: undefined,
    hasInstall: false,
  };
}

function view(given: Case): MachineView {
  const told = Object.entries(given.told ?? {}).map(([name, text]) => {
    const [target = "", digit = "1"] = text.split(" ");
    return { name, digit, target: target as ManifestTarget };
  });
  const here = Object.entries(given.here ?? {}).map(([name, text]) => {
    const [kind = "", digit = "1", active = kind === "launched" ? "active" : "inactive"] = text.split(" ");
    return { name, kind, digit, active };
  });
  const known = told.filter(({ name }) => given.unknown?.includes(name) !== true);
  const units = [...known, ...(given.leaving ?? []).map((name) => ({ name, digit: "1" }))];
  const state = (active: string): SystemdState => ({
    load: "loaded",
    active,
    sub: active,
    result: "success",
    sinceMs: 0,
    restarts: 0,
  });
  return {
    entries: told.map(({ name, digit, target }) => ({
      name: name as UnitName,
      source: "git",
      commit,
      hash: hash(digit),
      target,
      ...(given.restart === undefined ? {} : { restart: given.restart }),
    })),
    units: new Map(units.map(({ name, digit }) => [name as UnitName, unitOf(name, digit, given)])),
    placed: here.map(({ name, kind, digit }) => ({
      name: name as UnitName,
      hash: hash(digit),
      launched: kind === "launched" ? hash(given.toldWith?.[name] ?? digit) : undefined,
      ...(kind === "launched"
        ? {
            launchedAs: systemdHash({
              text: textOf(given.toldWith?.[name] ?? digit),
              dropIns: [],
              fence: given.inForce?.includes(name) === true ? { stepMs: 5_000 } : undefined,
            }),
          }
        : {}),
      ...(kind === "launched" ? { restarted: given.restarted } : {}),
      ...(given.unsettled?.[name] === undefined ? {} : { unsettled: given.unsettled[name] }),
      ...(given.installDue?.includes(name) === true ? { installDue: true } : {}),
      ...(given.inForce?.includes(name) === true ? { fenceStepMs: 5_000 } : {}),
    })),
    states: new Map(
      here
        .filter(({ name }) => given.stateless?.includes(name) !== true)
        .map(({ name, active }) => [name as UnitName, state(active)]),
    ),
    foreign: new Map(Object.entries(given.foreign ?? {}) as [UnitName, string][]),
    busy: new Set((given.busy ?? []) as UnitName[]),
    barred: new Map(
      Object.entries(given.barred ?? {}).map(([name, code]) => [
        name as UnitName,
        code === undefined ? undefined : new Problem(code, "Cannot start it"),
      ]),
    ),
    ...(given.reloadDue === undefined ? {} : { reloadDue: given.reloadDue }),
  };
}

/** e.g. `write a`, `reload`, `start a after b`, `refuse a unit-foreign`. */
function lines(given: Case): readonly string[] {
  const { plan: todo, problems } = plan(view(given));
  return [
    ...todo.write.map(({ unit }) => `write ${unit.name}`),
    ...(todo.reload ? ["daemon-reload"] : []),
    ...todo.jobs.map(
      ({ kind, unit, after }) => `${kind} ${unit}${after.length > 0 ? ` after ${after.join(" ")}` : ""}`,
    ),
    ...[...problems].map(([name, { code }]) => `refuse ${name} ${code}`),
  ];
}

/** The machine after every write and job of its plan has succeeded. */
function carriedOut(before: MachineView): MachineView {
  const { write, jobs } = plan(before).plan;
  const placed = new Map(before.placed.map((each) => [each.name, each]));
  for (const { unit, launched } of write) {
    const was = placed.get(unit.name);
    const lies = { name: unit.name, hash: unit.hash };
    if (launched === undefined) placed.set(unit.name, { ...was, ...lies, launched: was?.launched });
    else
      placed.set(unit.name, {
        ...lies,
        launched: launched.hash,
        restarted: launched.restart,
        launchedAs: systemdHash(unit),
      });
  }
  for (const { kind, unit } of jobs) {
    const each = placed.get(unit);
    assert.ok(each !== undefined, `a ${kind} of what is not there`);
    const restarted = before.entries.find((entry) => entry.name === unit)?.restart;
    if (kind === "remove") placed.delete(unit);
    else if (kind === "stop") placed.set(unit, { ...each, launched: undefined, restarted: undefined });
    else placed.set(unit, { ...each, launched: each.hash, restarted });
  }
  return { ...before, placed: [...placed.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

const cases: readonly (Case & { readonly name: string; readonly expect: readonly string[] })[] = [
  { name: "F-220, F-230, F-231: nothing told, nothing here", expect: [] },
  ...(["active", "deactivating", "inactive"] as const).map((active) => ({
    name: `an agent was killed while it stopped a unit that is called back since: ${active}`,
    told: { a: "launched" },
    here: { a: `launched 1 ${active}` },
    unsettled: { a: "stop" as const },
    expect: ["start a"],
  })),
  {
    name: "an agent was killed before it started a unit again that it had stopped",
    told: { a: "launched" },
    here: { a: "launched 1 inactive" },
    unsettled: { a: "launch" },
    expect: ["start a"],
  },
  {
    name: "an agent was killed before it restarted a unit on request",
    told: { a: "launched" },
    here: { a: "launched" },
    unsettled: { a: "launch" },
    restart: "r-1",
    expect: ["restart a"],
  },
  {
    name: "an agent was killed while it stopped a unit: it is stopped once more, or goes",
    told: { a: "loaded", b: "released", c: "loaded" },
    here: { a: "launched", b: "launched", c: "loaded" },
    unsettled: { a: "stop", b: "stop", c: "stop" },
    expect: ["stop a", "remove b", "stop c"],
  },
  {
    name: "an agent was killed while it stopped a unit that is called back with another text",
    told: { a: "launched 2" },
    here: { a: "launched 1 deactivating" },
    unsettled: { a: "stop" },
    expect: ["write a", "daemon-reload", "restart a"],
  },
  {
    name: "an agent was killed before it was known whether a unit has started: it is told again, and stopped if it shall not run",
    told: { a: "launched", b: "loaded", c: "loaded 2" },
    here: { a: "loaded", b: "loaded", c: "loaded" },
    unsettled: { a: "launch", b: "launch", c: "launch" },
    expect: ["write c", "daemon-reload", "start a", "stop b", "stop c"],
  },
  {
    name: "an agent was killed before it enabled what it had written: that is made good, and nothing runs anew",
    told: { a: "launched", b: "loaded", c: "launched" },
    here: { a: "launched", b: "loaded", c: "loaded" },
    installDue: ["a", "b", "c"],
    expect: ["write a", "write b", "write c", "daemon-reload", "start c"],
  },
  {
    name: "F-221, F-228: told is told, no constraint is judged again",
    told: { a: "launched" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  { name: "F-232: loaded and same hash", told: { a: "loaded" }, here: { a: "loaded" }, expect: [] },
  { name: "F-232, F-245: launched and same hash", told: { a: "launched" }, here: { a: "launched" }, expect: [] },
  {
    name: "a restart on request, once",
    told: { a: "launched", b: "loaded", c: "launched" },
    here: { a: "launched", b: "loaded", c: "launched 1 failed" },
    restart: "10-a",
    restarted: "9-z",
    expect: ["restart a", "restart c"],
  },
  {
    name: "a restart from before the last one, of a registry that was put back",
    told: { a: "launched" },
    here: { a: "launched" },
    restart: "9-z",
    restarted: "10-a",
    expect: [],
  },
  {
    name: "a restart that was carried out",
    told: { a: "launched" },
    here: { a: "launched" },
    restart: "r1",
    restarted: "r1",
    expect: [],
  },
  {
    name: "a restart that is no longer told",
    told: { a: "launched" },
    here: { a: "launched" },
    restarted: "r1",
    expect: [],
  },
  {
    name: "a restart of what is not here yet is its start",
    told: { a: "launched" },
    restart: "r1",
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "a restart and another text at once: no reload",
    onChange: "reload",
    told: { a: "launched 2" },
    here: { a: "launched 1" },
    restart: "r1",
    expect: ["write a", "daemon-reload", "restart a"],
  },
  {
    name: "F-233, F-565: other hash, launched: in place, restarted",
    told: { a: "launched 2" },
    here: { a: "launched 1" },
    expect: ["write a", "daemon-reload", "restart a"],
  },
  {
    name: "F-233: reloaded where the unit says so",
    onChange: "reload",
    told: { a: "launched 2" },
    here: { a: "launched 1" },
    expect: ["write a", "daemon-reload", "reload a"],
  },
  {
    name: "a unit still starting is restarted, for it cannot reload yet",
    onChange: "reload",
    told: { a: "launched 2" },
    here: { a: "launched 1 activating" },
    expect: ["write a", "daemon-reload", "restart a"],
  },
  {
    name: "other hash and failed: the new text is started",
    told: { a: "launched 2" },
    here: { a: "launched 1 failed" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "other hash and ended: the new text is started",
    onChange: "reload",
    told: { a: "launched 2" },
    here: { a: "launched 1 inactive" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "F-234: other hash, launched to loaded",
    told: { a: "loaded 2" },
    here: { a: "launched 1" },
    expect: ["write a", "daemon-reload", "stop a"],
  },
  {
    name: "other hash, loaded to loaded",
    told: { a: "loaded 2" },
    here: { a: "loaded 1" },
    expect: ["write a", "daemon-reload"],
  },
  {
    name: "F-235: other hash, loaded to launched",
    told: { a: "launched 2" },
    here: { a: "loaded 1" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "other hash, up though never told: it must not go on with the old text",
    onChange: "reload",
    told: { a: "launched 2" },
    here: { a: "loaded 1 active" },
    expect: ["write a", "daemon-reload", "restart a"],
  },
  { name: "F-236: released and absent", told: { a: "released" }, expect: [] },
  { name: "F-237: loaded and absent", told: { a: "loaded" }, expect: ["write a", "daemon-reload"] },
  {
    name: "F-238, F-243: launched and absent",
    told: { a: "launched" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "F-239, F-242: here but not in the manifest",
    here: { a: "loaded", b: "launched" },
    expect: ["remove a", "remove b"],
  },
  { name: "F-240: released", told: { a: "released" }, here: { a: "launched" }, expect: ["remove a"] },
  {
    name: "F-241: one reload for all",
    told: { foo: "loaded", bar: "loaded" },
    expect: ["write bar", "write foo", "daemon-reload"],
  },
  {
    name: "F-244: stop and start need no reload",
    told: { foo: "loaded", bar: "launched" },
    here: { foo: "launched", bar: "loaded" },
    expect: ["start bar", "stop foo"],
  },
  {
    name: "F-246, F-247: all is written before the one reload, jobs in name order",
    told: { b: "launched", a: "launched" },
    here: { c: "launched" },
    expect: ["write a", "write b", "daemon-reload", "start a", "start b", "remove c"],
  },
  {
    name: "Q-13: a failed start is not tried again",
    told: { a: "launched" },
    here: { a: "launched 1 failed" },
    expect: [],
  },
  {
    name: "a oneshot that ended is not started again",
    told: { a: "launched" },
    here: { a: "launched 1 inactive" },
    expect: [],
  },
  {
    name: "F-564: after a restart of the agent nothing is done",
    told: { a: "launched", b: "loaded" },
    here: { a: "launched", b: "loaded" },
    expect: [],
  },
  {
    name: "after a reboot nothing is here: all is written and started",
    told: { a: "launched", b: "launched" },
    expect: ["write a", "write b", "daemon-reload", "start a", "start b"],
  },
  {
    name: "loaded and up for another's sake: it is left",
    told: { a: "loaded" },
    here: { a: "loaded 1 active" },
    expect: [],
  },
  {
    name: "F-561, F-569: a unit whose text is not at hand is left, others go on",
    told: { a: "launched 2", b: "launched" },
    here: { a: "launched 1" },
    unknown: ["a"],
    expect: ["write b", "daemon-reload", "start b"],
  },
  {
    name: "F-560: no text at hand at all: nothing is done",
    told: { a: "launched 2", b: "loaded" },
    here: { a: "launched 1", b: "launched" },
    unknown: ["a", "b"],
    expect: [],
  },
  {
    name: "a unit whose state is not known is not changed",
    told: { a: "launched 2" },
    here: { a: "launched 1" },
    stateless: ["a"],
    expect: [],
  },
  {
    name: "a text written by a pass that was cut short is taken up",
    told: { a: "launched 2" },
    here: { a: "launched 2" },
    toldWith: { a: "1" },
    expect: ["daemon-reload", "restart a"],
  },
  {
    name: "a text written by a pass that was cut short, and put back: it runs with that one all the while",
    told: { a: "launched 1" },
    here: { a: "launched 2" },
    toldWith: { a: "1" },
    expect: ["write a", "daemon-reload"],
  },
  {
    name: "the same, and it has failed since",
    told: { a: "launched 2" },
    here: { a: "launched 2 failed" },
    toldWith: { a: "1" },
    expect: ["daemon-reload", "start a"],
  },
  ...(["active", "failed", "inactive"] as const).map((active) => ({
    name: `a change of what flotilla alone reads restarts nothing, nor does it start anew what ended: ${active}`,
    told: { a: "launched 3" },
    here: { a: `launched 1 ${active}` },
    onChange: "reload" as const,
    expect: ["write a", "daemon-reload"],
  })),
  {
    name: "the same of a unit whose running text is not the one that lies there",
    told: { a: "launched 3", b: "launched 3", c: "launched 3" },
    here: { a: "launched 1", b: "launched 2", c: "launched 3" },
    toldWith: { a: "2", b: "1", c: "1" },
    expect: ["write a", "write b", "write c", "daemon-reload", "restart a"],
  },
  {
    name: "the same of a unit that may have been stopped",
    told: { a: "launched 3" },
    here: { a: "launched 1 inactive" },
    unsettled: { a: "stop" },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "the same with a restart that is asked for",
    told: { a: "launched 3" },
    here: { a: "launched 1" },
    restart: "2026-01-01",
    expect: ["write a", "daemon-reload", "restart a"],
  },
  {
    name: "OnPartition=stop is not what flotilla alone reads: its stop is systemd's",
    told: { a: "launched 3", b: "launched 3" },
    here: { a: "launched 1", b: "launched 1" },
    fenced: ["a"],
    inForce: ["b"],
    expect: ["write a", "write b", "daemon-reload", "restart a", "restart b"],
  },
  {
    name: "a reload that is due is made, though nothing is written",
    told: { a: "loaded" },
    here: { a: "loaded" },
    reloadDue: true,
    expect: ["daemon-reload"],
  },
  {
    name: "a name of the host's own is refused, others go on",
    told: { "ssh.service": "launched", b: "launched" },
    foreign: { "ssh.service": "/usr/lib/systemd/system/ssh.service" },
    expect: ["write b", "daemon-reload", "start b", "refuse ssh.service unit-foreign"],
  },
  {
    name: "a unit that may not be started is neither written nor started, and it is said; one that runs runs on",
    told: { a: "launched", b: "launched 2", c: "launched", d: "launched", e: "loaded" },
    here: { b: "launched 1", c: "launched", d: "launched 1 inactive" },
    unsettled: { d: "stop" },
    fenced: ["a", "b", "c", "d", "e"],
    inForce: ["b", "c", "d"],
    barred: { a: "unit-fenced", b: "unit-fenced", c: "unit-fenced", d: undefined, e: "unit-fenced" },
    expect: ["write e", "daemon-reload", "refuse a unit-fenced", "refuse b unit-fenced"],
  },
  {
    name: "a unit that may not be started is not reloaded either",
    told: { a: "launched 2", b: "launched 2" },
    here: { a: "launched 1", b: "launched 1" },
    onChange: "reload",
    fenced: ["a", "b"],
    inForce: ["b"],
    barred: { a: "unit-fenced", b: undefined },
    expect: ["refuse a unit-fenced"],
  },
  {
    name: "a unit that gets OnPartition=stop is restarted, though it would rather be reloaded; one that has it is reloaded",
    told: { a: "launched 2", b: "launched 2", c: "launched 2" },
    here: { a: "launched 1", b: "launched 1", c: "launched 1" },
    onChange: "reload",
    fenced: ["a", "b"],
    inForce: ["b", "c"],
    expect: ["write a", "write b", "write c", "daemon-reload", "restart a", "reload b", "reload c"],
  },
  {
    name: "a unit that may not be started is stopped and taken away as any other",
    told: { a: "released", b: "loaded" },
    here: { a: "launched", b: "launched", c: "launched" },
    fenced: ["a", "b", "c"],
    inForce: ["a", "b", "c"],
    barred: { a: "unit-fenced", b: "unit-fenced", c: "unit-fenced" },
    expect: ["remove a", "stop b", "remove c"],
  },
  {
    name: "what OnPartition=stop asks for is put in force, and taken back, without a restart",
    told: { a: "launched", b: "launched", c: "launched" },
    here: { a: "launched", b: "launched", c: "launched" },
    fenced: ["a", "c"],
    inForce: ["b", "c"],
    expect: ["write a", "write b", "daemon-reload"],
  },
  {
    name: "a released name of the host's own is no problem and is not touched",
    told: { "ssh.service": "released" },
    foreign: { "ssh.service": "x" },
    expect: [],
  },
  {
    name: "a unit with a job under way is not touched",
    told: { a: "launched 2", b: "released" },
    here: { a: "launched 1", b: "launched", c: "launched" },
    busy: ["a", "b", "c"],
    expect: [],
  },
  {
    name: "F-250 better: each unit has a job of its own",
    told: { a: "launched", b: "launched" },
    here: { a: "loaded", b: "loaded" },
    expect: ["start a", "start b"],
  },
  {
    name: "a start waits for the removal of what it conflicts with",
    told: { a: "launched" },
    here: { b: "launched", c: "launched" },
    conflicts: { a: ["b"] },
    expect: ["write a", "daemon-reload", "start a after b", "remove b", "remove c"],
  },
  {
    name: "the same when only the other declares it",
    told: { a: "launched" },
    here: { b: "launched" },
    leaving: ["b"],
    conflicts: { b: ["a*"] },
    expect: ["write a", "daemon-reload", "start a after b", "remove b"],
  },
  {
    name: "a start waits for a removal that is under way",
    told: { "w@2": "launched", "w@1": "released" },
    here: { "w@1": "launched" },
    busy: ["w@1"],
    conflicts: { "w@2": ["w@*"] },
    expect: ["write w@2", "daemon-reload", "start w@2 after w@1"],
  },
  {
    name: "a start does not wait for a unit that stays",
    told: { a: "launched", b: "launched" },
    here: { b: "launched" },
    busy: ["b"],
    conflicts: { a: ["b"] },
    expect: ["write a", "daemon-reload", "start a"],
  },
  {
    name: "a start waits for the stop of what it conflicts with",
    told: { a: "launched", b: "loaded" },
    here: { b: "launched" },
    conflicts: { a: ["b"] },
    expect: ["write a", "daemon-reload", "start a after b", "stop b"],
  },
];

suite("one pass over a machine", () => {
  for (const { name, expect, ...given } of cases) test(name, () => assert.deepEqual(lines(given), expect));

  test("a refused name says where the host has it and what to do", () => {
    const { problems } = plan(view({ told: { "ssh.service": "launched" }, foreign: { "ssh.service": "/etc/x" } }));
    const problem = problems.get("ssh.service" as UnitName);
    assert.equal(problem?.message, 'Cannot place unit "ssh.service" over this machine\'s own (/etc/x)');
    assert.ok(problem.hint);
  });

  test("once carried out, nothing remains to be done", () => {
    const unitNames = ["a", "b", "c"];
    const perUnit = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> =>
      fc
        .tuple(...unitNames.map((name) => fc.option(value.map((each) => [name, each] as const))))
        .map((list) => Object.fromEntries(list.filter((each) => each !== null)));
    const told = perUnit(
      fc
        .tuple(fc.constantFrom("launched", "loaded", "released"), fc.constantFrom("1", "2", "3"))
        .map((parts) => parts.join(" ")),
    );
    const here = perUnit(
      fc
        .tuple(
          fc.constantFrom("launched", "loaded"),
          fc.constantFrom("1", "2", "3"),
          fc.constantFrom("active", "failed", "inactive"),
        )
        .map((parts) => parts.join(" ")),
    );
    const onChange = fc.constantFrom<OnChange>("restart", "reload");
    fc.assert(
      fc.property(told, here, onChange, perUnit(fc.constantFrom("1", "2")), (isTold, isHere, change, toldWith) => {
        const before = view({ told: isTold, here: isHere, onChange: change, toldWith });
        const after = carriedOut(before);
        assert.deepEqual(plan(after).plan, { write: [], reload: false, jobs: [] });
        assert.deepEqual(
          after.placed.map(
            (each) => `${each.name} ${each.launched === undefined ? "loaded" : "launched"} ${each.hash}`,
          ),
          before.entries
            .filter((each) => each.target !== "released")
            .map((each) => `${each.name} ${each.target} ${each.hash}`),
        );
      }),
      { numRuns: tries(500) },
    );
  });

  test("the order of the input has no meaning", () => {
    const given = view({
      told: { c: "launched", a: "loaded 2", b: "launched" },
      here: { z: "launched", a: "launched", y: "loaded" },
    });
    const turned = { ...given, entries: given.entries.toReversed(), placed: given.placed.toReversed() };
    assert.deepEqual(plan(turned), plan(given));
  });
});
