// What every systemd adapter must do: each sentence of ports/systemd.ts as a test. Run against the fake
// (systemd.fake.test.ts) and against a real systemd in a private machine (test/system/systemd.test.ts).
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import type { PlacedUnit } from "../../agent/domain/action.ts";
import { type UnitName, parseUnitName, unknownText } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { Unit } from "../../agent/domain/unit.ts";
import type { JobResult, Systemd } from "../../agent/ports/systemd.ts";
import { systemdHash, unitHash } from "../../agent/text/hash.ts";

/** What a unit's text does when it is started; a fake has to be told, a real systemd does it. */
export type Behaviour = "stays" | "ends" | "fails" | "hangs" | "missing-dependency" | "failed-dependency";

export interface SystemdHarness {
  /** An agent's handle; after `close` of one the next stands for the restarted agent. */
  open(): Systemd;
  /** Before a unit of this name is started. */
  behave(name: UnitName, behaviour: Behaviour): void;
  /** Before a unit whose stop takes so long: a fake has to be told that, too. */
  stopsWithin(name: UnitName, ms: number): void;
  /** The process of a unit that "ends" comes to its end: a fake has to be told. */
  ended(name: UnitName): Promise<void>;
  /** A unit that the host has of its own, as a file in the runtime folder or elsewhere in systemd's search path. */
  addHostUnit(name: UnitName, where: "runtime" | "elsewhere"): Promise<void>;
  /** A slice that systemd makes as soon as a unit names it. */
  addMadeSlice(name: UnitName): Promise<void>;
  /** Another name of such a unit of the host's. */
  addHostAlias(alias: UnitName, of: UnitName): Promise<void>;
  /** Somebody writes another text over the one that lies there. */
  edit(name: UnitName, text: string): Promise<void>;
  /** Whether [Install] of this unit is in force: a target wants it. */
  isWanted(name: UnitName): Promise<boolean>;
  /** Whether the host's unit is still as it was. */
  hostUnitIntact(name: UnitName): Promise<boolean>;
  /** systemd ends all units, and what lies in /run stays: a soft reboot, or another target and back. */
  endUnits(): Promise<void>;
  close(): Promise<void>;
}

/** Bound on every wait of these tests. */
const patienceMs = 20_000;

export const texts: Readonly<Record<Behaviour, string>> = {
  stays: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
  ends: "[Service]\nType=exec\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n",
  fails: "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n",
  hangs: "[Service]\nType=oneshot\nExecStart=/bin/sleep 600\nTimeoutStopSec=2\n",
  "missing-dependency": "[Unit]\nRequires=nowhere.service\n[Service]\nExecStart=/bin/true\n",
  "failed-dependency":
    "[Unit]\nRequires=contract-broken.service\nAfter=contract-broken.service\n[Service]\nExecStart=/bin/true\n",
};

export function unitName(text: string): UnitName {
  const name = parseUnitName(text);
  assert.ok(name.ok, text);
  return name.value;
}

export function unit(name: UnitName, text: string, dropIns: readonly { name: string; text: string }[] = []): Unit {
  return {
    name,
    source: "git",
    file: name,
    text,
    dropIns: dropIns.map((each) => ({ ...each, file: `${name}.d/${each.name}` })),
    hash: unitHash(text, dropIns),
    target: "launched",
    options: {
      machineId: undefined,
      machineOf: [],
      metadata: [],
      conflicts: [],
      replaces: [],
      global: false,
    },
    onChange: "restart",
    description: undefined,
    hasInstall: [text, ...dropIns.map((each) => each.text)].some((each) => each.includes("[Install]")),
  };
}

export function systemdContract(name: string, start: () => Promise<SystemdHarness>): void {
  describe(`systemd contract: ${name}`, () => {
    let harness: SystemdHarness;
    let systemd: Systemd;
    let count = 0;
    /** A unit of each test's own. */
    const fresh = (behaviour: Behaviour, type = "service"): Unit => {
      const made = unit(unitName(`contract-${++count}@a.${type}`), texts[behaviour]);
      harness.behave(made.name, behaviour);
      return made;
    };
    const place = async (...units: Unit[]): Promise<void> => {
      assert.deepEqual(await systemd.write(units), new Map());
      assert.deepEqual(await systemd.enable(units.map((each) => each.name)), new Map());
      await systemd.reload();
    };
    const run = (job: "start" | "stop" | "restart" | "reload", which: UnitName): Promise<JobResult> =>
      systemd.run(job, which, AbortSignal.timeout(patienceMs));
    const stateOf = async (which: UnitName) => (await systemd.states([which])).get(which)!;
    const placedNames = async () => (await systemd.placed()).map((each) => each.name);
    /** Resolves when a change was told after which `condition` holds. */
    const until = (which: UnitName, condition: (active: string) => boolean): Promise<void> =>
      new Promise((resolve, reject) => {
        const signal = AbortSignal.timeout(patienceMs);
        const look = async (): Promise<void> => {
          const { active } = await stateOf(which);
          if (!condition(active)) return;
          stop();
          resolve();
        };
        const stop = systemd.onChange((names) => {
          if (names === undefined || names.has(which)) look().catch(reject);
        });
        signal.addEventListener("abort", () => {
          stop();
          reject(new Error(`${which} did not change as expected`));
        });
        look().catch(reject);
      });

    before(async () => {
      harness = await start();
      systemd = harness.open();
    });
    after(async () => {
      await systemd.close();
      await harness.close();
    });

    test("what was written is placed, with its own hash, in name order", async () => {
      const [second, first] = [fresh("stays"), fresh("stays")].sort((a, b) => (a.name < b.name ? 1 : -1));
      await place(second!, first!);
      const placed = await systemd.placed();
      assert.deepEqual(
        placed.map((each) => each.name),
        placed.map((each) => each.name).sort(),
      );
      for (const each of [first!, second!]) {
        assert.deepEqual(
          placed.find((other) => other.name === each.name),
          { name: each.name, hash: each.hash, launched: undefined },
        );
      }
    });

    test("a started unit is active, and stays so until it is stopped", async () => {
      const made = fresh("stays");
      await place(made);
      const before = await stateOf(made.name);
      assert.deepEqual([before.load, before.active], ["loaded", "inactive"]);
      assert.deepEqual(await run("start", made.name), { result: "done" });
      const state = await stateOf(made.name);
      assert.deepEqual(
        [state.load, state.active, state.sub, state.result, state.restarts],
        ["loaded", "active", "exited", "success", 0],
      );
      assert.ok(Math.abs(Date.now() - state.sinceMs) < patienceMs, `since ${state.sinceMs}`);
      assert.deepEqual(await run("start", made.name), { result: "done" }, "once more changes nothing");
      assert.deepEqual(await run("restart", made.name), { result: "done" });
      assert.deepEqual(await run("stop", made.name), { result: "done" });
      assert.equal((await stateOf(made.name)).active, "inactive");
    });

    test("a change of state is told by name", async () => {
      const made = fresh("stays");
      await place(made);
      const active = until(made.name, (state) => state === "active");
      await run("start", made.name);
      await active;
      const inactive = until(made.name, (state) => state === "inactive");
      await run("stop", made.name);
      await inactive;
    });

    test("a unit is in its state since that began, whatever it does within it", async () => {
      const made = fresh("ends");
      await place(made);
      await run("start", made.name);
      const begun = await stateOf(made.name);
      assert.deepEqual([begun.active, begun.sub], ["active", "running"]);
      await harness.ended(made.name);
      let over = await stateOf(made.name);
      const signal = AbortSignal.timeout(20_000);
      while (over.sub !== "exited") {
        await sleep(20, undefined, { signal });
        over = await stateOf(made.name);
      }
      assert.deepEqual([over.active, over.sub], ["active", "exited"]);
      assert.equal(over.sinceMs, begun.sinceMs, "it has been active all the time");
      const again = harness.open();
      try {
        assert.equal(
          (await again.states([made.name])).get(made.name)?.sinceMs,
          over.sinceMs,
          "also for one who asks anew",
        );
      } finally {
        await again.close();
      }
      await run("stop", made.name);
      const { active, sinceMs } = await stateOf(made.name);
      assert.ok(active === "inactive" && sinceMs > begun.sinceMs, `${active} since ${sinceMs}`);
    });

    test("a unit that fails to start is that unit's problem, in words", async () => {
      const [bad, good] = [fresh("fails"), fresh("stays")];
      await place(bad, good);
      const [failed, done] = await Promise.all([run("start", bad.name), run("start", good.name)]);
      assert.equal(failed.result, "failed");
      assert.equal(failed.problem?.message, `Cannot start unit "${bad.name}"`);
      assert.match(failed.problem.hint ?? "", /status 3/);
      assert.deepEqual(done, { result: "done" });
      const state = await stateOf(bad.name);
      assert.deepEqual([state.active, state.sub, state.result], ["failed", "failed", "exit-code"]);
    });

    test("a unit that requires one that does not exist is refused, with its name", async () => {
      const made = fresh("missing-dependency");
      await place(made);
      const { result, problem } = await run("start", made.name);
      assert.equal(result, "refused");
      assert.match(problem?.hint ?? "", /nowhere\.service/);
      assert.ok(problem?.cause instanceof Error);
    });

    test("a unit whose requirement fails says which", async () => {
      const broken = unit(unitName("contract-broken.service"), texts.fails);
      harness.behave(broken.name, "fails");
      const made = fresh("failed-dependency");
      await place(broken, made);
      const { result, problem } = await run("start", made.name);
      assert.equal(result, "dependency");
      assert.match(problem?.hint ?? "", /contract-broken\.service/);
    });

    test("giving up a wait leaves the job as it is; stopping the unit cancels it", async () => {
      const made = fresh("hangs");
      await place(made);
      const over = new AbortController();
      const given = systemd.run("start", made.name, over.signal);
      const waiting = run("start", made.name);
      await until(made.name, (active) => active === "activating");
      over.abort(new Error("Enough"));
      await assert.rejects(given, (error) => error instanceof Problem && error.code === "aborted");
      assert.equal((await stateOf(made.name)).active, "activating");
      assert.deepEqual(await run("stop", made.name), { result: "done" });
      const { result, problem } = await waiting;
      assert.equal(result, "canceled");
      assert.ok(problem instanceof Problem);
    });

    test("of a job that is called back and another, the last one counts; one that was called back before is not asked for", async () => {
      const made = fresh("stays");
      await place(made);
      await run("start", made.name);
      const over = new AbortController();
      const given = systemd.run("stop", made.name, over.signal);
      over.abort(new Error("Enough"));
      const again = run("start", made.name);
      // It may have ended already
      await given.catch((error: unknown) => assert.ok(error instanceof Problem && error.code === "aborted"));
      assert.deepEqual(await again, { result: "done" });
      await assert.rejects(
        systemd.run("stop", made.name, over.signal),
        (error) => error instanceof Problem && error.code === "aborted",
      );
      assert.deepEqual(await run("start", made.name), { result: "done" });
      assert.equal((await stateOf(made.name)).active, "active");
    });

    test("of two notes of a launch the last one counts", async () => {
      const made = fresh("stays");
      await place(made);
      const notes = [undefined, { hash: made.hash, restart: "r1" }].map((note) =>
        systemd.noteLaunched(made.name, note),
      );
      await Promise.all(notes);
      assert.equal((await systemd.placed()).find(({ name: each }) => each === made.name)?.restarted, "r1");
    });

    test("a reload of what cannot be reloaded is refused", async () => {
      const made = fresh("stays", "target");
      await place(made);
      await run("start", made.name);
      assert.equal((await run("reload", made.name)).result, "refused");
      assert.equal((await stateOf(made.name)).active, "active");
    });

    test("a job of a unit that does not exist is refused", async () => {
      const { result, problem } = await run("start", unitName("never-written.service"));
      assert.equal(result, "refused");
      assert.equal(problem?.message, 'Cannot start unit "never-written.service"');
    });

    test("changed text takes the old one's place", async () => {
      const made = fresh("stays");
      await place(made);
      await run("start", made.name);
      const changed = unit(made.name, `${made.text}# no change to systemd\nEnvironment=A=1\n`);
      await place(changed);
      assert.equal((await stateOf(made.name)).active, "active", "writing alone restarts nothing");
      assert.deepEqual(await run("restart", made.name), { result: "done" });
      const placed = await systemd.placed();
      assert.equal(placed.find((each) => each.name === made.name)?.hash, changed.hash);
    });

    test("a socket is restarted with its service, which is up again where it was up, also while that is restarted", async () => {
      const [socket, service] = [unitName("contract-sock.socket"), unitName("contract-sock.service")];
      const made = unit(service, "[Service]\nExecStart=/bin/sleep 600\n");
      await place(unit(socket, "[Socket]\nListenStream=%t/contract-sock\n"), made);
      for (const each of [socket, service]) {
        assert.deepEqual(await run("start", each), { result: "done" });
        await systemd.noteLaunched(each, { hash: made.hash });
      }
      const lies = (await systemd.placed()).find((each) => each.name === service);
      const states = async () => [(await stateOf(socket)).active, (await stateOf(service)).active];
      for (const order of [[socket], [socket, service], [service, socket]]) {
        const results = await Promise.all(order.map((each) => run("restart", each)));
        assert.deepEqual(new Set(results.map(({ result }) => result)), new Set(["done"]), order.join());
        assert.deepEqual(await states(), ["active", "active"]);
        assert.deepEqual(
          (await systemd.placed()).find((each) => each.name === service),
          lies,
        );
      }
      await run("stop", service);
      assert.deepEqual(await run("restart", socket), { result: "done" });
      assert.deepEqual(await states(), ["active", "inactive"]);
      await run("stop", socket);
      for (const each of [socket, service]) await systemd.remove(each);
    });

    test("a socket that is new beside its running service is started with it; a later start takes nothing down", async () => {
      const [socket, service] = [unitName("contract-late.socket"), unitName("contract-late.service")];
      const made = unit(service, "[Service]\nExecStart=/bin/sleep 600\n");
      await place(made);
      assert.deepEqual(await run("start", service), { result: "done" });
      await place(unit(socket, "[Socket]\nListenStream=%t/contract-late\n"));
      const lies = (await systemd.placed()).find((each) => each.name === service);
      assert.deepEqual(await run("start", socket), { result: "done" });
      assert.deepEqual([(await stateOf(socket)).active, (await stateOf(service)).active], ["active", "active"]);
      assert.deepEqual(
        (await systemd.placed()).find((each) => each.name === service),
        lies,
      );
      await systemd.noteLaunched(socket, { hash: made.hash });
      await run("stop", socket);
      await run("start", socket);
      assert.equal((await stateOf(service)).active, "active");
      for (const each of [socket, service]) await run("stop", each);
      for (const each of [socket, service]) await systemd.remove(each);
    });

    test("what systemd reads of the text that a unit was launched with has a hash, noted with it where that lies there", async () => {
      const base = fresh("stays");
      const dropIns = [{ name: "10-a.conf", text: "[Service]\nEnvironment=A=1\n[X-Other]\nA=1\n" }];
      const given = [
        base,
        unit(base.name, `${base.text}[X-Fleet]\nPriority=1\n`),
        unit(base.name, base.text, dropIns),
        { ...unit(base.name, base.text, dropIns), fence: { stepMs: 2_000, stopMs: 2_000 } },
      ];
      const hashes: string[] = [];
      for (const each of given) {
        await systemd.write([each]);
        await systemd.noteLaunched(each.name, { hash: each.hash });
        const lies = (await systemd.placed()).find(({ name }) => name === each.name);
        assert.deepEqual([lies?.launched, lies?.launchedAs], [each.hash, systemdHash(each)]);
        hashes.push(lies?.launchedAs ?? "");
      }
      await systemd.noteLaunched(base.name, { hash: fresh("stays").hash, restart: "r-1" });
      assert.equal((await systemd.placed()).find(({ name }) => name === base.name)?.launchedAs, undefined);
      assert.equal(hashes[1], hashes[0]);
      assert.equal(new Set(hashes).size, 3);
    });

    test("drop-ins count, in the order given and not in that of their names", async () => {
      const base = fresh("fails");
      const made = unit(base.name, base.text, [
        { name: "90-first.conf", text: "[Service]\nRemainAfterExit=no\nExecStart=\nExecStart=/bin/false\n" },
        { name: "10-second.conf", text: "[Service]\nRemainAfterExit=yes\nExecStart=\nExecStart=/bin/true\n" },
      ]);
      await place(made);
      harness.behave(made.name, "stays");
      assert.equal((await systemd.placed()).find((each) => each.name === made.name)?.hash, made.hash);
      assert.deepEqual(await run("start", made.name), { result: "done" });
      assert.equal((await stateOf(made.name)).active, "active");
      await place(base);
      harness.behave(made.name, "fails");
      assert.equal((await systemd.placed()).find((each) => each.name === made.name)?.hash, base.hash);
      assert.equal((await run("restart", made.name)).result, "failed", "dropped drop-ins count no longer");
    });

    test("a name that the host uses is foreign, and its unit is not touched", async () => {
      for (const where of ["runtime", "elsewhere"] as const) {
        const made = unit(unitName(`contract-host-${where}.service`), texts.stays);
        await harness.addHostUnit(made.name, where);
        const other = fresh("stays");
        const foreign = await systemd.foreign([other.name, made.name]);
        assert.deepEqual([...foreign.keys()], [made.name]);
        assert.match(foreign.get(made.name) ?? "", /contract-host/);
        if (where === "runtime") {
          const problems = await systemd.write([made, other]);
          assert.deepEqual([...problems.keys()], [made.name]);
          assert.equal(problems.get(made.name)?.code, "unit-foreign");
          assert.ok((await placedNames()).includes(other.name), "the others are written");
          await assert.rejects(systemd.remove(made.name), Problem);
        }
        assert.ok(!(await placedNames()).includes(made.name));
        assert.ok(await harness.hostUnitIntact(made.name));
      }
    });

    describe("a name that is an alias of a unit of the host's", () => {
      const [host, alias] = [unitName("contract-host-server.service"), unitName("contract-host-short.service")];
      before(async () => {
        await harness.addHostUnit(host, "elsewhere");
        await harness.addHostAlias(alias, host);
        harness.behave(host, "stays");
      });

      test("is foreign, whether that unit runs or not, and [Install] may not name it", async () => {
        const where = new Map([[alias, `a name of ${host}`]]);
        assert.deepEqual(await systemd.foreign([alias]), where);
        assert.deepEqual(await run("start", host), { result: "done" });
        assert.deepEqual(await systemd.foreign([alias]), where);
        const made = unit(fresh("stays").name, `${texts.stays}[Install]\nAlias=${alias}\n`);
        await systemd.write([made]);
        const problems = await systemd.enable([made.name]);
        assert.match(problems.get(made.name)?.hint ?? "", /contract-host-short\.service/);
        await systemd.remove(made.name);
      });

      test("has no job done, and no state of ours", async () => {
        await run("start", host);
        for (const job of ["stop", "restart", "start", "reload"] as const) {
          const { result, problem } = await run(job, alias);
          assert.equal(result, "refused", job);
          assert.match(problem?.hint ?? "", /contract-host-server\.service/);
        }
        assert.equal((await stateOf(host)).active, "active");
        assert.equal((await stateOf(alias)).load, "not-found");
        await run("stop", host);
      });
    });

    test("a slice that systemd has made for a unit in it may be given a text; the machine's own may not", async () => {
      const slice = unit(unitName("contract-made.slice"), "[Slice]\nTasksMax=1234\n");
      const inside = unit(fresh("stays").name, `${texts.stays}Slice=${slice.name}\n`);
      await place(inside);
      await harness.addMadeSlice(slice.name);
      await run("start", inside.name);
      assert.equal((await stateOf(slice.name)).active, "active");
      const root = unitName("-.slice");
      await harness.addMadeSlice(root);
      assert.deepEqual([...(await systemd.foreign([slice.name, root])).keys()], [root]);
      await place(slice);
      assert.deepEqual(await run("start", slice.name), { result: "done" });
      assert.ok((await placedNames()).includes(slice.name));
      for (const each of [inside, slice]) {
        await run("stop", each.name);
        await systemd.remove(each.name);
      }
    });

    test("units of ours are not foreign", async () => {
      const made = fresh("stays");
      await place(made);
      await run("start", made.name);
      assert.deepEqual(await systemd.foreign([made.name]), new Map());
    });

    test("a unit that systemd does not know is not-found and dead", async () => {
      const name = unitName("contract-unknown.service");
      assert.deepEqual(
        await systemd.states([name]),
        new Map([[name, { load: "not-found", active: "inactive", sub: "dead", result: "", sinceMs: 0, restarts: 0 }]]),
      );
      assert.deepEqual(await systemd.states([]), new Map());
    });

    test("a removed unit is gone, its failure too, and may be removed again", async () => {
      const [good, bad] = [fresh("stays"), fresh("fails")];
      await place(good, bad);
      await run("start", good.name);
      await run("start", bad.name);
      await run("stop", good.name);
      for (const each of [good, bad, good]) await systemd.remove(each.name);
      const names = await placedNames();
      assert.ok(!names.includes(good.name) && !names.includes(bad.name));
      await systemd.reload();
      for (const each of [good, bad]) assert.equal((await stateOf(each.name)).load, "not-found");
    });

    test("[Install] is honoured, but never at the cost of the host's own units", async () => {
      const host = unitName("contract-host-alias.service");
      await harness.addHostUnit(host, "elsewhere");
      const good = unit(fresh("stays").name, `${texts.stays}[Install]\nWantedBy=default.target\n`);
      const bad = unit(fresh("stays").name, `${texts.stays}[Install]\nAlias=${host}\n`);
      const beside = unit(fresh("stays").name, `${texts.stays}[Install]\nAlso=${bad.name}\n`);
      assert.deepEqual(await systemd.write([good, bad, beside]), new Map());
      const problems = await systemd.enable([good.name, bad.name, beside.name]);
      assert.deepEqual([...problems.keys()], [bad.name, beside.name]);
      for (const problem of problems.values()) assert.match(problem.hint ?? "", /contract-host-alias\.service/);
      assert.ok(await harness.hostUnitIntact(host));
      await systemd.reload();
      // A second text that asks for less, then the removal: each leaves the unit's own files whole or gone.
      await place(unit(good.name, texts.stays));
      assert.deepEqual(await run("start", good.name), { result: "done" });
      await run("stop", good.name);
      await systemd.remove(good.name);
      for (const each of [bad, beside]) await systemd.remove(each.name);
      assert.ok(!(await placedNames()).includes(good.name));
    });

    test("what enabling one unit and the other with it (Also=) has done is undone for each by itself", async () => {
      const service = unitName("contract-also.service");
      const socket = unitName("contract-also.socket");
      const text = `${texts.stays}[Install]\nWantedBy=default.target\nAlso=${socket}\n`;
      const listens =
        "[Socket]\nListenStream=%t/contract-also\n[Install]\nWantedBy=sockets.target\nAlso=contract-also.service\n";
      await place(unit(service, text), unit(socket, listens));
      assert.deepEqual(await run("start", socket), { result: "done" });
      const standing = async () => [
        (await stateOf(socket)).load,
        (await stateOf(socket)).active,
        await harness.isWanted(socket),
      ];
      await place(unit(service, `${text}# changed\n`));
      assert.deepEqual(await standing(), ["loaded", "active", true]);
      assert.ok(await harness.isWanted(service));
      await systemd.remove(service);
      await systemd.reload();
      assert.deepEqual(await standing(), ["loaded", "active", true]);
      assert.ok(!(await harness.isWanted(service)));
      await run("stop", socket);
      await systemd.remove(socket);
      assert.ok(!(await harness.isWanted(socket)));
    });

    test("a text that has lost its [Install] section is wanted by nobody", async () => {
      const made = fresh("stays");
      await place(unit(made.name, `${texts.stays}[Install]\nWantedBy=default.target\n`));
      assert.ok(await harness.isWanted(made.name));
      assert.deepEqual(await systemd.write([made]), new Map());
      assert.ok(!(await harness.isWanted(made.name)));
      await systemd.reload();
      await systemd.remove(made.name);
    });

    test("what a unit on its way out asked for in [Install] is forgotten before it stops; called back, it is due again", async () => {
      const wants = fresh("stays");
      const text = `${texts.stays}[Install]\nWantedBy=${wants.name}\n`;
      const made = unit(fresh("stays").name, text);
      await place(wants, made);
      await run("start", wants.name);
      await run("start", made.name);
      await systemd.letGo(made.name);
      assert.equal((await stateOf(made.name)).active, "active");
      assert.equal((await placedOf(made.name))?.installDue, true);
      await run("stop", made.name);
      await run("restart", wants.name);
      assert.equal((await stateOf(made.name)).active, "inactive");
      await systemd.letGo(made.name);
      await systemd.remove(made.name);
      await systemd.letGo(wants.name);
      await run("stop", wants.name);
      await systemd.remove(wants.name);
    });

    test("a removed unit is not started again by one that has it as Wants=", async () => {
      const made = fresh("stays");
      const wants = unit(fresh("stays").name, `[Unit]\nWants=${made.name}\n${texts.stays}`);
      await place(made, wants);
      await run("start", made.name);
      await run("start", wants.name);
      await run("stop", made.name);
      await systemd.remove(made.name);
      assert.deepEqual(await run("restart", wants.name), { result: "done" });
      assert.deepEqual([(await stateOf(made.name)).load, (await stateOf(made.name)).active], ["not-found", "inactive"]);
      await run("stop", wants.name);
      await systemd.remove(wants.name);
    });

    const placedOf = async (which: UnitName) => (await systemd.placed()).find((each) => each.name === which);
    /** The agent is killed and started again. */
    const again = async (): Promise<void> => {
      await systemd.close();
      systemd = harness.open();
    };

    test("a launch that was noted ahead counts once the unit has been started, and not before", async () => {
      const made = fresh("stays");
      await place(made);
      await systemd.noteAhead(made.name, { hash: made.hash, restart: "r-1" });
      await again();
      const before = { name: made.name, hash: made.hash, launched: undefined };
      assert.deepEqual(await placedOf(made.name), { ...before, unsettled: "launch" });
      await run("start", made.name);
      await again();
      const launched = { launched: made.hash, launchedAs: systemdHash(made) };
      assert.deepEqual(await placedOf(made.name), { ...before, ...launched, restarted: "r-1" });
      // The next one is another start: what runs now has nothing to do with it.
      await systemd.noteLaunched(made.name, { hash: made.hash, restart: "r-1" });
      await systemd.noteAhead(made.name, { hash: made.hash, restart: "r-2" });
      const noted = { ...before, ...launched, restarted: "r-1" };
      assert.deepEqual(await placedOf(made.name), { ...noted, unsettled: "launch" });
      await run("restart", made.name);
      assert.deepEqual(await placedOf(made.name), { ...noted, restarted: "r-2" });
      const said = await systemd.noteLaunched(made.name, { hash: made.hash, restart: "r-2" });
      assert.deepEqual(said, { ...launched, restarted: "r-2" });
      assert.deepEqual(await placedOf(made.name), { ...noted, restarted: "r-2" });
    });

    test("a launch that was noted ahead and failed counts as well", async () => {
      const made = fresh("fails");
      await place(made);
      await systemd.noteAhead(made.name, { hash: made.hash });
      assert.equal((await run("start", made.name)).result, "failed");
      await again();
      assert.equal((await placedOf(made.name))?.launched, made.hash);
    });

    test("a stop that was noted ahead is known until its end is noted", async () => {
      const made = fresh("stays");
      await place(made);
      await run("start", made.name);
      await systemd.noteLaunched(made.name, { hash: made.hash });
      await systemd.noteAhead(made.name, "stop");
      await again();
      const lies = { name: made.name, hash: made.hash };
      const launched = { launched: made.hash, launchedAs: systemdHash(made) };
      assert.deepEqual(await placedOf(made.name), { ...lies, ...launched, unsettled: "stop" });
      await run("stop", made.name);
      assert.deepEqual(await placedOf(made.name), { ...lies, ...launched, unsettled: "stop" });
      assert.deepEqual(await systemd.noteLaunched(made.name, undefined), { launched: undefined });
      assert.deepEqual(await placedOf(made.name), { ...lies, launched: undefined });
    });

    describe("a unit whose text was edited by hand", () => {
      const edited = `${texts.stays}Environment=EDITED=yes\n`;
      const running = async (): Promise<Unit> => {
        const made = fresh("stays");
        await place(made);
        await run("start", made.name);
        await systemd.noteLaunched(made.name, { hash: made.hash, restart: "r-1" });
        await harness.edit(made.name, edited);
        await systemd.reload();
        return made;
      };
      const notLaunchedAnew = (made: Unit): PlacedUnit => {
        const launched = { launched: made.hash, launchedAs: systemdHash(made), restarted: "r-1" };
        return { name: made.name, hash: unitHash(edited, []), ...launched };
      };

      test("runs on with what it was launched with, also when the edit followed the start at once", async () => {
        for (let round = 0; round < 10; round += 1) {
          const made = await running();
          assert.deepEqual(await placedOf(made.name), notLaunchedAnew(made), `round ${round}`);
        }
      });

      test("is not taken for started with another text when it is down", async () => {
        const made = await running();
        await run("stop", made.name);
        assert.deepEqual(await placedOf(made.name), notLaunchedAnew(made));
      });

      test("and was started again runs with nobody knows what, also when the text is put back, until it is launched", async () => {
        const made = await running();
        await run("restart", made.name);
        const noted = { name: made.name, launched: unknownText, restarted: "r-1" };
        assert.deepEqual(await placedOf(made.name), { ...noted, hash: unitHash(edited, []) });
        await again();
        await systemd.write([made]);
        await systemd.reload();
        assert.deepEqual(await placedOf(made.name), { ...noted, hash: made.hash });
        await run("restart", made.name);
        await systemd.noteLaunched(made.name, { hash: made.hash, restart: "r-1" });
        assert.deepEqual(await placedOf(made.name), {
          ...noted,
          hash: made.hash,
          launched: made.hash,
          launchedAs: systemdHash(made),
        });
      });
    });

    test("[Install] that nobody came to is due, also for a restarted agent", async () => {
      const made = unit(fresh("stays").name, `${texts.stays}[Install]\nWantedBy=default.target\n`);
      await systemd.write([made]);
      await again();
      assert.equal((await placedOf(made.name))?.installDue, true);
      await systemd.enable([made.name]);
      assert.equal((await placedOf(made.name))?.installDue, undefined);
      await systemd.remove(made.name);
    });

    describe("a permit", () => {
      const service = "[Service]\nExecStart=/bin/sleep 600\n";
      /** A unit with OnPartition=stop, and one without. */
      const pair = async (): Promise<readonly [UnitName, UnitName]> => {
        const [one, other] = [fresh("stays"), fresh("stays")];
        const fenced: Unit = { ...unit(one.name, service), fence: { stepMs: 5_000, stopMs: 5_000 } };
        await place(fenced, unit(other.name, service));
        assert.equal((await systemd.placed()).find((each) => each.name === one.name)?.hash, fenced.hash);
        return [one.name, other.name];
      };
      const soon = (ms: number): number => performance.now() + ms;
      const states = async (...names: readonly UnitName[]): Promise<readonly string[]> =>
        Promise.all(names.map(async (each) => (await stateOf(each)).active));

      test("that nobody ever gave cannot be extended, whatever lies here", async () => {
        assert.equal(await systemd.extendPermit(soon(60_000)), false);
      });

      test("is needed to start; its end stops the unit and keeps it down, and nothing else; another lets it start", async () => {
        const [fenced, free] = await pair();
        assert.equal((await run("start", fenced)).result, "dependency");
        assert.equal(await systemd.extendPermit(soon(60_000)), false, "there is none to extend");
        await systemd.grantPermit(soon(1_000));
        assert.deepEqual(await run("start", fenced), { result: "done" });
        assert.deepEqual(await run("start", free), { result: "done" });
        const beganMs = performance.now();
        await until(fenced, (active) => active === "inactive");
        assert.ok(performance.now() - beganMs < 3_000, "it was not left to its own end");
        assert.deepEqual(await states(fenced, free), ["inactive", "active"]);
        const { result, problem } = await run("start", fenced);
        assert.equal(result, "dependency");
        assert.ok(problem instanceof Problem);
        assert.equal(await systemd.extendPermit(soon(60_000)), false, "it is over");
        await systemd.grantPermit(soon(60_000));
        assert.deepEqual(await run("start", fenced), { result: "done" });
        await run("stop", fenced);
        await run("stop", free);
      });

      test("is extended while it stands, any number of times, and ends when it was last said to", async () => {
        const [fenced] = await pair();
        await systemd.grantPermit(soon(500));
        await run("start", fenced);
        // Side by side as well: whichever comes last counts, and none takes away another's end
        for (let each = 0; each < 3; each++) {
          const extended = [systemd.extendPermit(soon(1_500)), systemd.extendPermit(soon(1_501))];
          assert.deepEqual(await Promise.all(extended), [true, true]);
        }
        await new Promise((resolve) => setTimeout(resolve, 700));
        assert.deepEqual(await states(fenced), ["active"], "the first end does not count");
        await systemd.grantPermit(soon(400));
        await until(fenced, (active) => active === "inactive");
      });

      test("that was over when it was given is none", async () => {
        const [fenced] = await pair();
        await systemd.grantPermit(soon(60_000));
        await run("start", fenced);
        await systemd.extendPermit(soon(-1_000));
        await until(fenced, (active) => active === "inactive");
        assert.equal(await systemd.extendPermit(soon(60_000)), false);
      });

      test("that has ended is not called back by a start while the unit stops; the next is given when it is down, which is told", async () => {
        const [fenced, free] = await pair();
        const slow = unit(fenced, `${service}ExecStop=/bin/sleep 1\n`);
        const wants = unit(fresh("stays").name, `[Unit]\nWants=${fenced}\n${texts.stays}`);
        const requires = unit(fresh("stays").name, `[Unit]\nRequires=${fenced}\n${texts.stays}`);
        harness.stopsWithin(fenced, 1_000);
        await place({ ...slow, fence: { stepMs: 5_000, stopMs: 10_000 } }, wants, requires);
        await systemd.grantPermit(soon(300));
        await run("start", fenced);
        await until(fenced, (active) => active === "deactivating");
        for (const each of [fenced, wants.name, requires.name, fenced])
          assert.equal((await run("start", each)).result, "refused", each);
        assert.equal(await systemd.extendPermit(soon(60_000)), false);
        const told = new Promise<void>((resolve) => {
          const stop = systemd.onChange((names) => {
            if (names !== undefined) return;
            stop();
            resolve();
          });
        });
        await assert.rejects(
          systemd.grantPermit(soon(60_000)),
          (error) => error instanceof Problem && error.code === "systemd-permit",
        );
        assert.deepEqual(await run("start", free), { result: "done" }, "others start as ever");
        assert.deepEqual(await states(fenced, wants.name), ["deactivating", "inactive"]);
        await told;
        assert.deepEqual(await states(fenced), ["inactive"]);
        assert.equal((await run("start", fenced)).result, "dependency");
        assert.deepEqual(await run("start", wants.name), { result: "done" });
        await systemd.grantPermit(soon(60_000));
        assert.deepEqual(await run("start", requires.name), { result: "done" });
        assert.deepEqual(await states(fenced), ["active"]);
        for (const each of [requires.name, wants.name, fenced, free]) {
          await run("stop", each);
          await systemd.remove(each);
        }
      });

      test("that ends takes along what depends on its units; with the next that counts as not launched, and nothing else", async () => {
        const [fenced, free] = await pair();
        const requires = unit(fresh("stays").name, `[Unit]\nRequires=${fenced}\nAfter=${fenced}\n${texts.stays}`);
        const part = unit(
          fresh("stays").name,
          `[Unit]\nPartOf=${requires.name}\nAfter=${requires.name}\n${texts.stays}`,
        );
        const wants = unit(fresh("stays").name, `[Unit]\nWants=${fenced}\nAfter=${fenced}\n${texts.stays}`);
        const all = [fenced, requires.name, part.name, wants.name, free];
        await place(requires, part, wants);
        await systemd.grantPermit(soon(1_000));
        for (const each of all) {
          assert.deepEqual(await run("start", each), { result: "done" });
          await systemd.noteLaunched(each, { hash: requires.hash });
        }
        await until(fenced, (active) => active === "inactive");
        assert.deepEqual(await states(...all), ["inactive", "inactive", "inactive", "active", "active"]);
        assert.deepEqual(await systemd.grantPermit(soon(60_000)), [requires.name, part.name].sort());
        const lying = await systemd.placed();
        assert.deepEqual(
          all.filter((name) => lying.find((each) => each.name === name)?.launched === undefined).sort(),
          [requires.name, part.name].sort(),
        );
        assert.deepEqual(await systemd.grantPermit(soon(60_000)), [], "it stands");
        for (const each of all) await run("stop", each);
      });

      test("outlives the agent, ends without it, and is taken over by the next", async () => {
        const [fenced] = await pair();
        await systemd.grantPermit(soon(1_000));
        await run("start", fenced);
        await systemd.close();
        systemd = harness.open();
        assert.equal(await systemd.extendPermit(soon(2_500)), true);
        await new Promise((resolve) => setTimeout(resolve, 1_300));
        assert.deepEqual(await states(fenced), ["active"], "what the earlier agent said does not count");
        await systemd.close();
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        systemd = harness.open();
        await until(fenced, (active) => active === "inactive");
        assert.equal(await systemd.extendPermit(soon(60_000)), false);
      });

      test("is nothing to a unit that no longer has OnPartition=stop, and is to one that has it now", async () => {
        const [was, becomes] = await pair();
        await systemd.grantPermit(soon(60_000));
        await run("start", was);
        await run("start", becomes);
        const fence = { stepMs: 2_000, stopMs: 2_000 };
        await place(unit(was, service), { ...unit(becomes, service), fence });
        const placed = new Map((await systemd.placed()).map((each) => [each.name, each]));
        assert.deepEqual([placed.get(was)?.fenceStepMs, placed.get(becomes)?.fenceStepMs], [undefined, 2_000]);
        assert.equal(placed.get(becomes)?.hash, placed.get(was)?.hash);
        await systemd.extendPermit(soon(100));
        await until(becomes, (active) => active === "inactive");
        assert.deepEqual(await states(was), ["active"]);
        await run("stop", was);
      });
    });

    test("a restarted agent finds everything as it was", async () => {
      const made = fresh("stays");
      await place(made);
      await run("start", made.name);
      await systemd.noteLaunched(made.name, { hash: made.hash, restart: "r-1" });
      const before = [await systemd.placed(), await stateOf(made.name)];
      await systemd.close();
      await assert.rejects(stateOf(made.name), Problem);
      systemd = harness.open();
      assert.deepEqual([await systemd.placed(), await stateOf(made.name)], before);
      const noted = (await systemd.placed()).find((each) => each.name === made.name);
      assert.deepEqual([noted?.launched, noted?.restarted], [made.hash, "r-1"]);
      await systemd.noteLaunched(made.name, { hash: made.hash });
      assert.equal((await systemd.placed()).find((each) => each.name === made.name)?.restarted, undefined);
      await systemd.noteLaunched(made.name, undefined);
      assert.equal((await systemd.placed()).find((each) => each.name === made.name)?.launched, undefined);
    });

    test("launches are forgotten when systemd has ended all units meanwhile, by the next agent and once", async () => {
      const [made, stopping] = [fresh("stays"), fresh("stays")];
      await place(made, stopping);
      for (const each of [made, stopping]) {
        await run("start", each.name);
        await systemd.noteLaunched(each.name, { hash: each.hash, restart: "r-1" });
      }
      await systemd.noteAhead(stopping.name, "stop");
      await systemd.close();
      await harness.endUnits();
      systemd = harness.open();
      for (const each of [made, stopping]) {
        assert.equal((await stateOf(each.name)).active, "inactive");
        const lying = (await systemd.placed()).find(({ name }) => name === each.name);
        assert.deepEqual(lying, { name: each.name, hash: each.hash, launched: undefined });
      }
      await run("start", made.name);
      await systemd.noteLaunched(made.name, { hash: made.hash });
      await systemd.close();
      systemd = harness.open();
      assert.equal((await stateOf(made.name)).active, "active");
      assert.equal((await systemd.placed()).find(({ name }) => name === made.name)?.launched, made.hash);
    });
  });
}
