// The real adapter keeps the contract, against a real systemd in a private machine.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, readFile, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, mock, test } from "node:test";
import { promisify } from "node:util";
import { createClock } from "../../agent/adapters/clock.ts";
import { managerInterface, managerPath } from "../../agent/adapters/systemd/connection.ts";
import { Jobs } from "../../agent/adapters/systemd/jobs.ts";
import { Peer } from "../../agent/adapters/systemd/peer.ts";
import { createSystemd } from "../../agent/adapters/systemd/systemd.ts";
import { UnitFiles } from "../../agent/adapters/systemd/unit-files.ts";
import { list, property, unitPath } from "../../agent/adapters/systemd/units.ts";
import type { UnitName } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { Systemd } from "../../agent/ports/systemd.ts";
import { systemdContract, texts, unit, unitName } from "../contract/systemd.ts";
import { silentLog } from "../fakes/silent-log.ts";
import { type TestMachine, machinesMissing, startTestMachine } from "./machines.ts";

const run = promisify(execFile);

/** Where its systemd sees files, and nobody else. */
async function inMountsOf({ pid }: TestMachine, command: readonly string[]): Promise<void> {
  await run("nsenter", ["-t", String(pid), "-m", ...command]);
}

function open(machine: TestMachine, concurrency = 20): Systemd {
  return createSystemd({
    scope: "user",
    address: machine.systemdAddress,
    unitDirectory: machine.unitDirectory,
    runDirectory: join(machine.directory, "flotilla"),
    concurrency,
    clock: createClock(),
    log: silentLog,
  });
}

const missing = await machinesMissing();

if (missing !== undefined) test("systemd on a private machine", { skip: missing }, () => undefined);
else {
  systemdContract("systemd", async () => {
    const machine = await startTestMachine("contract");
    const elsewhere = join(machine.directory, "units");
    const file = (name: UnitName, where: string): string =>
      join(where === "runtime" ? machine.unitDirectory : elsewhere, name);
    const hostText = `# the host's own\n${texts.stays}`;
    const places = new Map<UnitName, string>();
    return {
      open: () => open(machine),
      behave: () => undefined,
      stopsWithin: () => undefined,
      ended: async () => undefined,
      addHostUnit: async (name, where) => {
        places.set(name, file(name, where));
        await writeFile(file(name, where), hostText);
      },
      addMadeSlice: async () => undefined,
      addHostAlias: (alias, of) => symlink(of, file(alias, "elsewhere")),
      isWanted: async (name) => {
        const entries = await readdir(machine.unitDirectory, { recursive: true });
        return entries.some((entry) => entry.endsWith(`.wants/${name}`));
      },
      edit: (name, text) => writeFile(join(machine.unitDirectory, name), text),
      hostUnitIntact: async (name) => (await readFile(places.get(name) ?? "", "utf8")) === hostText,
      endUnits: () => isolate(machine),
      close: () => machine.dispose(),
    };
  });

  describe("systemd on a private machine", () => {
    let machine: TestMachine;
    let systemd: Systemd;
    const patience = (): AbortSignal => AbortSignal.timeout(20_000);

    before(async () => {
      machine = await startTestMachine("adapter");
      systemd = open(machine);
    });
    after(async () => {
      await systemd.close();
      await machine.dispose();
    });

    test("what a crash left half done is healed", async () => {
      const folder = join(machine.directory, "flotilla");
      const [unlinked, foreign] = [unitName("heal-a.service"), unitName("heal-b.service")];
      await systemd.write([unit(unlinked, texts.stays), unit(foreign, texts.stays)]);
      await rm(join(machine.unitDirectory, unlinked));
      await rm(join(machine.unitDirectory, foreign));
      await symlink("/dev/null", join(machine.unitDirectory, foreign));
      await symlink(join(folder, "units", "heal-c.service"), join(machine.unitDirectory, "heal-c.service"));
      await mkdir(join(folder, "unfinished"), { recursive: true });
      await writeFile(join(folder, "unfinished", "99"), "half a un");
      await systemd.close();
      systemd = open(machine);
      const placed = (await systemd.placed()).map((each) => each.name);
      assert.deepEqual(placed, [unlinked], "what the host took since is not ours any more");
      assert.equal(await readlink(join(machine.unitDirectory, unlinked)), join(folder, "units", unlinked));
      assert.equal(await readlink(join(machine.unitDirectory, foreign)), "/dev/null");
      await assert.rejects(readlink(join(machine.unitDirectory, "heal-c.service")), { code: "ENOENT" });
      await assert.rejects(readFile(join(folder, "unfinished", "99")), { code: "ENOENT" });
      await rm(join(machine.unitDirectory, foreign));
    });

    describe("a unit that something starts again while it is removed", () => {
      const running = "[Service]\nExecStart=/bin/sleep infinity\n";
      const place = async (name: UnitName): Promise<void> => {
        const wants = unitName(`wants-${name}`);
        await systemd.write([unit(name, running), unit(wants, `[Unit]\nWants=${name}\n${running}`)]);
        await systemd.reload();
        for (const each of [wants, name])
          assert.deepEqual(await systemd.run("start", each, patience()), { result: "done" });
        assert.deepEqual(await systemd.run("stop", name, patience()), { result: "done" });
      };
      const isPlaced = async (name: UnitName): Promise<boolean> =>
        (await systemd.placed()).some((each) => each.name === name);
      const stateOf = async (name: UnitName) => (await systemd.states([name])).get(name);
      /** Something else starts the unit at the last moment at which that can be done. */
      const startedBetween = (machine: TestMachine, name: UnitName) => {
        const mocked = mock.method(UnitFiles.prototype, "unlink", function (this: UnitFiles, each: UnitName) {
          mocked.mock.restore();
          startPastAdapter(machine, name);
          this.unlink(each);
        });
        return mocked;
      };

      test("stays, and is told, where it was started before", async () => {
        const name = unitName("again-before.service");
        await place(name);
        await ask(machine, "StartUnit", [name, "replace"]);
        await assert.rejects(systemd.remove(name), (error: Problem) => error.code === "unit-up");
        assert.equal((await stateOf(name))?.load, "loaded");
        assert.ok(await isPlaced(name));
        await systemd.run("stop", name, patience());
        await systemd.remove(name);
        assert.equal((await stateOf(name))?.active, "inactive");
        assert.ok(!(await isPlaced(name)));
      });

      for (const isWanted of [true, false])
        test(`is stopped where systemd still had its text, ${isWanted ? "" : "not "}for another unit`, async () => {
          const name = unitName(`again-between-${isWanted}.service`);
          if (isWanted) await place(name);
          else {
            await systemd.write([unit(name, running)]);
            await systemd.reload();
          }
          const mocked = startedBetween(machine, name);
          try {
            await systemd.remove(name);
          } finally {
            mocked.mock.restore();
          }
          const state = await stateOf(name);
          assert.deepEqual([state?.active, state?.load], ["inactive", "not-found"]);
          assert.ok(!(await isPlaced(name)));
        });

      test("has no start left that waits", async () => {
        const name = unitName("again-waiting.service");
        const first = unitName("again-first.service");
        await systemd.write([unit(first, `[Service]\nType=oneshot\nExecStart=/bin/sleep 30\n`)]);
        await place(name);
        await systemd.write([unit(name, `[Unit]\nAfter=${first}\n${running}`)]);
        await systemd.reload();
        await ask(machine, "StartUnit", [first, "replace"]);
        const mocked = startedBetween(machine, name);
        try {
          await systemd.remove(name);
        } finally {
          mocked.mock.restore();
        }
        assert.deepEqual(await jobOf(machine, name), "");
        await systemd.run("stop", first, patience());
        assert.equal((await stateOf(name))?.active, "inactive");
      });

      test("lies as before where it would not stop, and goes with a later try", async () => {
        const name = unitName("again-slow.service");
        await place(name);
        const mocked = startedBetween(machine, name);
        const refuses = mock.method(Jobs.prototype, "runAtOnce", async () => ({ result: "failed" }) as const);
        try {
          await assert.rejects(systemd.remove(name), (error: Problem) => error.code === "unit-up");
        } finally {
          mocked.mock.restore();
          refuses.mock.restore();
        }
        const state = await stateOf(name);
        assert.deepEqual([state?.active, state?.load], ["active", "loaded"]);
        assert.ok(await isPlaced(name));
        await systemd.run("stop", name, patience());
        await systemd.remove(name);
        assert.equal((await stateOf(name))?.active, "inactive");
      });

      test("is found by the next agent where the first one was killed meanwhile", async () => {
        const name = unitName("again-killed.service");
        await place(name);
        await systemd.noteAhead(name, "stop");
        await systemd.close();
        const killed = new UnitFiles({
          unitDirectory: machine.unitDirectory,
          runDirectory: join(machine.directory, "flotilla"),
          log: silentLog,
        });
        startPastAdapter(machine, name);
        killed.unlink(name);
        const peer = await connect(machine);
        await peer.call({ path: managerPath, interface: managerInterface, member: "Reload" });
        peer.close();
        systemd = open(machine);
        await untilReached(systemd);
        assert.equal((await stateOf(name))?.load, "not-found");
        const found = (await systemd.placed()).find((each) => each.name === name);
        assert.equal(found?.unsettled, "stop");
        const state = await stateOf(name);
        assert.deepEqual(
          [state?.active, state?.load],
          ["active", "loaded"],
          "with its text, and a fence where it has one",
        );
        await systemd.run("stop", name, patience());
        await systemd.remove(name);
        assert.equal((await stateOf(name))?.active, "inactive");
      });

      test("is not taken away from whoever takes it up again meanwhile", async () => {
        const name = unitName("again-wanted.service");
        await place(name);
        let takenUp: Promise<void> | undefined;
        const mocked = mock.method(UnitFiles.prototype, "unlink", function (this: UnitFiles, each: UnitName) {
          mocked.mock.restore();
          this.unlink(each);
          takenUp = systemd.noteAhead(name, { hash: unit(name, running).hash, restart: undefined });
        });
        try {
          await assert.rejects(systemd.remove(name), (error: Problem) => error.code === "aborted");
          await takenUp;
        } finally {
          mocked.mock.restore();
        }
        assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
        assert.ok(await isPlaced(name));
        await systemd.run("stop", name, patience());
        await systemd.remove(name);
      });
    });

    test("a reload that an agent did not come to do is done by the next", async () => {
      const name = unitName("due.service");
      await systemd.write([unit(name, texts.stays)]);
      await systemd.reload();
      assert.equal((await systemd.run("start", name, patience())).result, "done");
      await systemd.write([unit(name, texts.fails)]);
      await systemd.close();
      systemd = open(machine);
      assert.equal((await systemd.run("restart", name, patience())).result, "failed", "the new text is in force");
    });

    test("a systemd that refuses to read units anew is reached all the same, and reads them when it takes it", async () => {
      const name = unitName("late.service");
      await systemd.write([unit(name, texts.stays)]);
      await systemd.reload();
      assert.equal((await systemd.run("start", name, patience())).result, "done");
      await systemd.write([unit(name, texts.fails)]);
      await systemd.close();
      // It wants 16 MiB free there
      await inMountsOf(machine, ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/run/systemd"]);
      systemd = open(machine);
      try {
        await assert.rejects(systemd.reload(), (error: Problem) => error.code === "systemd-reload");
        assert.equal((await systemd.run("restart", name, patience())).result, "done", "the old text is in force");
      } finally {
        await inMountsOf(machine, ["umount", "/run/systemd"]);
      }
      await systemd.reload();
      assert.equal((await systemd.run("restart", name, patience())).result, "failed", "the new text is in force");
    });

    test("a stop is noted also where no byte is free, and what could not be written leaves nothing behind", async () => {
      const full = join(machine.directory, "full");
      await mkdir(full);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "flotilla-test", full]);
      try {
        const files = new UnitFiles({ unitDirectory: join(full, "system"), runDirectory: full, log: silentLog });
        const made = unit(unitName("full.service"), texts.stays);
        files.write(made);
        files.noteLaunched(made.name, { hash: made.hash, restart: undefined });
        assert.throws(() => writeFileSync(join(full, "rest"), Buffer.alloc(1 << 20)), { code: "ENOSPC" });
        const launch = { note: { hash: made.hash, restart: undefined }, invocation: "" };
        assert.throws(
          () => files.noteAhead(made.name, launch),
          (error: Problem) => error.code === "disk-write",
        );
        assert.deepEqual(await readdir(join(full, "unfinished")), []);
        files.noteAhead(made.name, "stop");
        assert.equal(files.placed()[0]?.ahead, "stop");
      } finally {
        execFileSync("umount", [full]);
      }
    });

    test("the first agent that looks for an end of userspace forgets nothing, nor does one whose systemd is executed anew", async () => {
      const name = unitName("kept.service");
      const folder = join(machine.directory, "flotilla");
      const made = unit(name, texts.stays);
      await systemd.write([made]);
      await systemd.reload();
      await systemd.run("start", name, patience());
      await systemd.noteLaunched(name, { hash: made.hash });
      const launched = async (): Promise<unknown> => {
        await systemd.states([name]);
        return (await systemd.placed()).find((each) => each.name === name)?.launched;
      };
      // As an older version leaves it
      await systemd.close();
      await ask(machine, "StopUnit", ["flotilla-up.target", "replace"]);
      await untilEnded(machine);
      for (const each of [
        join(folder, "up"),
        join(folder, "userspace"),
        join(machine.unitDirectory, "flotilla-up.target"),
      ])
        await rm(each, { recursive: true });
      systemd = open(machine);
      assert.equal(await launched(), made.hash);
      await systemd.close();
      await execAnew(machine);
      systemd = open(machine);
      assert.equal(await launched(), made.hash);
      assert.equal((await systemd.states([name])).get(name)?.active, "active");
      await systemd.run("stop", name, patience());
      await systemd.remove(name);
    });

    test("starts that hang do not hold up the others", async () => {
      await systemd.close();
      systemd = open(machine, 1);
      const [hanging, good] = [unitName("hanging.service"), unitName("good.service")];
      await systemd.write([unit(hanging, texts.hangs), unit(good, texts.stays)]);
      await systemd.reload();
      const over = new AbortController();
      const hung = systemd.run("start", hanging, over.signal);
      assert.deepEqual(await systemd.run("start", good, patience()), { result: "done" });
      over.abort();
      await assert.rejects(hung, Problem);
      await systemd.run("stop", hanging, patience());
      await systemd.close();
      systemd = open(machine);
    });

    test("a systemd that is executed anew is found again, and a job that ended meanwhile is known", async () => {
      const name = unitName("slow.service");
      const text = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n";
      await systemd.write([unit(name, text)]);
      await systemd.reload();
      const back = new Promise<void>((resolve) => {
        const stop = systemd.onChange((names) => {
          if (names !== undefined) return;
          stop();
          resolve();
        });
      });
      const started = systemd.run("start", name, patience());
      await execAnew(machine);
      await back;
      assert.deepEqual(await started, { result: "done" });
      assert.equal((await systemd.states([name])).get(name)?.active, "active");
    });

    test("a machine that is gone rejects calls, in time, and ends waits on close", async () => {
      const other = await startTestMachine("gone");
      const lost = open(other);
      const name = unitName("lost.service");
      await lost.write([unit(name, texts.hangs)]);
      await lost.reload();
      const waiting = lost.run("start", name, patience());
      const ended = assert.rejects(waiting, (error) => error instanceof Problem);
      await other.kill();
      await assert.rejects(
        lost.states([name]),
        (error) => error instanceof Problem && error.code === "systemd-unreachable",
      );
      await lost.close();
      await ended;
      await other.dispose();
    });

    /** Resolves with how long it took until the unit was down. */
    const untilDown = async (name: UnitName): Promise<number> => {
      const beganMs = performance.now();
      await new Promise<void>((resolve, reject) => {
        const look = async (): Promise<void> => {
          const active = (await systemd.states([name])).get(name)?.active;
          if (active !== "inactive" && active !== "failed") return;
          stop();
          resolve();
        };
        const stop = systemd.onChange((names) => {
          if (names?.has(name) !== false) look().catch(reject);
        });
        patience().addEventListener("abort", () => reject(new Error(`${name} is not down`)));
        look().catch(reject);
      });
      return performance.now() - beganMs;
    };

    test("what a unit and its drop-ins say takes nothing off a permit's end, nor adds to the time of its stop", async () => {
      const name = unitName("stubborn.service");
      const text = `[Unit]\nRequisite=\nAfter=\n[Service]\nExecStart=/bin/sh -c 'trap "" TERM; while :; do sleep 1; done'\nRestart=always\nRestartSec=0\n`;
      const late = { name: "zzzz.conf", text: "[Unit]\nRequisite=\nAfter=\n[Service]\nTimeoutStopSec=infinity\n" };
      await systemd.write([{ ...unit(name, text, [late]), fence: { stepMs: 1_000, stopMs: 1_000 } }]);
      await systemd.reload();
      await systemd.grantPermit(performance.now() + 60_000);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      await systemd.extendPermit(performance.now() + 200);
      const tookMs = await untilDown(name);
      assert.ok(tookMs >= 1_000 && tookMs < 5_000, `${tookMs} ms`);
      assert.equal((await systemd.run("start", name, patience())).result, "dependency", "it is not restarted either");
      await systemd.remove(name);
    });

    test("nobody starts a unit without a permit: no timer, and no unit that wants it", async () => {
      const [fenced, alarm, wants] = ["kept-down.service", "kept-down.timer", "wants-it.service"].map(unitName) as [
        UnitName,
        UnitName,
        UnitName,
      ];
      await systemd.write([
        { ...unit(fenced, "[Service]\nExecStart=/bin/sleep 600\n"), fence: { stepMs: 1_000, stopMs: 1_000 } },
        unit(alarm, "[Timer]\nOnActiveSec=100ms\nAccuracySec=1ms\nRemainAfterElapse=no\n"),
        unit(wants, `[Unit]\nWants=${fenced}\nAfter=${fenced}\n${texts.stays}`),
      ]);
      await systemd.reload();
      await systemd.grantPermit(performance.now() - 1);
      assert.deepEqual(await systemd.run("start", alarm, patience()), { result: "done" });
      assert.deepEqual(await systemd.run("start", wants, patience()), { result: "done" });
      await untilDown(alarm); // it has fired, and its unit could not start
      assert.equal((await systemd.states([fenced])).get(fenced)?.active, "inactive");
      await systemd.grantPermit(performance.now() + 60_000);
      assert.deepEqual(await systemd.run("start", fenced, patience()), { result: "done" });
      for (const name of [wants, fenced]) await systemd.run("stop", name, patience());
      for (const name of [wants, fenced, alarm]) await systemd.remove(name);
    });

    test("a permit ends when it was said to, though systemd reads its units anew and executes itself anew meanwhile", async () => {
      const name = unitName("through.service");
      const text = "[Service]\nExecStart=/bin/sleep 600\n";
      await systemd.write([{ ...unit(name, text), fence: { stepMs: 1_000, stopMs: 1_000 } }]);
      await systemd.reload();
      const endMs = performance.now() + 2_500;
      await systemd.grantPermit(endMs);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      await systemd.reload();
      const back = new Promise<void>((resolve) => {
        const stop = systemd.onChange((names) => {
          if (names !== undefined) return;
          stop();
          resolve();
        });
      });
      await execAnew(machine);
      await back;
      assert.equal((await systemd.states([name])).get(name)?.active, "active");
      await untilDown(name);
      const lateMs = performance.now() - endMs;
      assert.ok(lateMs > -50 && lateMs < 1_500, `${lateMs} ms late`);
      await systemd.remove(name);
    });

    /** Its stop takes a second and a half, in which somebody may want it up. */
    const slow = "[Service]\nExecStart=/bin/sleep 600\nExecStop=/bin/sleep 1.5\n";
    const fence = { stepMs: 2_000, stopMs: 4_000 };
    const activeOf = async (name: UnitName) => (await systemd.states([name])).get(name)?.active;
    const refusesPermit = (): Promise<void> =>
      assert.rejects(
        systemd.grantPermit(performance.now() + 60_000),
        (error) => error instanceof Problem && error.code === "systemd-permit",
      );
    /** It is stopped by the end of the permit, and nobody calls that off. */
    const goesDown = async (name: UnitName): Promise<void> => {
      while ((await activeOf(name)) !== "deactivating") await pause(20);
      assert.equal((await systemd.run("start", name, patience())).result, "refused");
      assert.equal(await systemd.extendPermit(performance.now() + 60_000), false);
      await untilDown(name);
      assert.equal((await systemd.run("start", name, patience())).result, "dependency");
    };

    test("whoever asks for a unit while the end of its permit stops it: paths and sockets, with no agent", async () => {
      const [fenced, socket, path] = ["asked-for.service", "asked-for.socket", "asked-for.path"].map(unitName) as [
        UnitName,
        UnitName,
        UnitName,
      ];
      const client = unit(
        unitName("client.service"),
        `[Service]\nExecStart=/bin/sh -c 'while :; do ${clientCommand} && :; done'\n`,
      );
      await systemd.write([
        { ...unit(fenced, slow), fence },
        unit(socket, "[Socket]\nListenStream=%t/asked-for\n"),
        unit(path, "[Path]\nPathExists=/\n"),
        client,
      ]);
      await systemd.reload();
      await systemd.grantPermit(performance.now() + 1_500);
      for (const name of [socket, path, fenced, client.name]) {
        assert.equal((await systemd.run("start", name, patience())).result, "done", name);
        await systemd.noteLaunched(name, { hash: client.hash });
      }
      await systemd.close();
      await pause(4_500);
      systemd = open(machine);
      assert.equal(await activeOf(fenced), "inactive");
      assert.equal(await systemd.extendPermit(performance.now() + 60_000), false);
      const down = new Set(await systemd.grantPermit(performance.now() + 60_000));
      for (const name of [socket, path]) {
        const isUp = (await activeOf(name)) === "active";
        assert.equal(down.has(name), !isUp, name);
        if (!isUp) assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      }
      assert.deepEqual(await systemd.run("start", fenced, patience()), { result: "done" });
      for (const name of [client.name, path, socket, fenced]) await systemd.run("stop", name, patience());
      for (const name of [client.name, path, socket, fenced]) await systemd.remove(name);
    });

    test("a fence that comes to a unit with a drop-in folder of the host's is in force", async () => {
      const name = unitName("edited.service");
      await systemd.write([unit(name, slow)]);
      await systemd.reload();
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      // As `systemctl edit --runtime` does
      const folder = join(machine.unitDirectory, `${name}.d`);
      await mkdir(folder);
      await writeFile(join(folder, "override.conf"), "[Service]\nEnvironment=THEIRS=1\n");
      const gained = unit(name, slow, [{ name: "10.conf", text: "[Service]\nEnvironment=OURS=1\n" }]);
      assert.deepEqual(await systemd.write([{ ...gained, fence }]), new Map());
      await systemd.reload();
      await systemd.run("stop", name, patience());
      await systemd.grantPermit(performance.now() + 1_000);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      const found = (await systemd.placed()).find((each) => each.name === name);
      assert.deepEqual([found?.hash, found?.fenceStepMs], [gained.hash, fence.stepMs]);
      const peer = await connect(machine);
      const which = { interface: "org.freedesktop.systemd1.Service", name: "Environment" };
      const environment = await property(unitPath(name), which, (call) => peer.call(call));
      peer.close();
      assert.deepEqual(environment, ["OURS=1", "THEIRS=1"]);
      await goesDown(name);
      await systemd.remove(name);
      assert.deepEqual(await readdir(folder), ["override.conf"]);
      await rm(folder, { recursive: true });
    });

    test("a unit whose permit ended again and again, or that is restarted so, is started all the same", async () => {
      const limits = "[Unit]\nStartLimitIntervalSec=10min\nStartLimitBurst=2\n";
      const name = unitName("often.service");
      // What is wanted stays loaded, and systemd counts on
      const target = unitName("often.target");
      await systemd.write([
        unit(target, `[Unit]\nWants=${name}\n`),
        { ...unit(name, `${limits}${texts.stays}`), fence },
      ]);
      await systemd.reload();
      await systemd.run("start", target, patience());
      for (let permits = 0; permits < 4; permits++) {
        await systemd.grantPermit(performance.now() + 500);
        // As what wants it does
        await ask(machine, "StartUnit", [name, "replace"]);
        while ((await jobOf(machine, name)) !== "") await pause(20);
        assert.equal(await activeOf(name), "active", `permit ${permits}`);
        await untilDown(name);
      }
      await systemd.grantPermit(performance.now() + 60_000);
      for (const job of ["start", "restart", "restart", "restart", "stop", "start"] as const)
        assert.deepEqual(await systemd.run(job, name, patience()), { result: "done" }, job);
      for (const each of [target, name]) await systemd.run("stop", each, patience());
      for (const each of [target, name]) await systemd.remove(each);
    });

    test("a permit and its end outlive `systemctl isolate`, and its end a systemd that is executed anew meanwhile", async () => {
      const name = unitName("isolated.service");
      const text = `${slow}[Install]\nWantedBy=other.target\n`;
      await systemd.write([{ ...unit(name, text), fence }]);
      await systemd.enable([name]);
      await systemd.reload();
      const endMs = performance.now() + 2_500;
      await systemd.grantPermit(endMs);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      await isolate(machine);
      assert.equal(await activeOf(name), "active");
      await pause(endMs - performance.now() + 100);
      await execAnew(machine);
      await untilReached(systemd);
      await goesDown(name);
      await systemd.remove(name);
    });

    test("a permit that stands under the texts of an older version ends as one of this one", async () => {
      const name = unitName("upgraded.service");
      await systemd.write([{ ...unit(name, slow), fence }]);
      await systemd.reload();
      const folder = join(machine.directory, "flotilla", "permit");
      const leaveOlder = async (): Promise<void> => {
        for (const [file, text] of olderTexts) await writeFile(join(folder, file), text);
        await systemd.reload();
        const began = await managerStartUs(machine);
        const moment = process.hrtime.bigint() / 1_000n - began + 1_000_000n;
        await ask(machine, "StartUnit", [`flotilla-permit@${moment}.timer`, "replace"]);
        while ((await systemd.run("start", name, patience())).result !== "done") await pause(20);
      };
      // Its timer was armed by the older one
      await leaveOlder();
      await systemd.close();
      systemd = open(machine);
      await systemd.placed();
      assert.equal(await systemd.extendPermit(performance.now() + 1_500), true);
      await goesDown(name);
      // It fell under the older one, whose target of the fence is up since
      await systemd.grantPermit(performance.now() - 1);
      await leaveOlder();
      await untilDown(name);
      await pause(100);
      assert.equal(await systemd.extendPermit(performance.now() + 60_000), false);
      await systemd.grantPermit(performance.now() + 500);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      await goesDown(name);
      await systemd.remove(name);
    });

    test("a permit that cannot end by itself is none: where one of its units is masked only those that need it are down", async () => {
      const [name, free] = [unitName("masked.service"), unitName("not-masked.service")];
      await systemd.write([{ ...unit(name, slow), fence }, unit(free, slow)]);
      await systemd.reload();
      assert.deepEqual(await systemd.run("start", free, patience()), { result: "done" });
      const etc = join(machine.directory, "home", ".config", "systemd", "user");
      await mkdir(etc, { recursive: true });
      for (const part of ["fence.target", "down.target", "never.target", "permit.target", "permit-more@.timer"]) {
        const mask = join(etc, `flotilla-${part}`);
        await systemd.grantPermit(performance.now() + 60_000);
        assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" }, part);
        await symlink("/dev/null", mask);
        await systemd.reload();
        assert.equal(await systemd.extendPermit(performance.now() + 60_000), false, part);
        await untilDown(name);
        if (part !== "permit-more@.timer") await refusesPermit();
        await rm(mask);
        await systemd.reload();
      }
      await symlink("/dev/null", join(etc, "flotilla-permit@.timer"));
      await systemd.reload();
      await refusesPermit();
      await rm(join(etc, "flotilla-permit@.timer"));
      // As `systemctl mask --runtime --force` does
      const link = join(machine.unitDirectory, "flotilla-fence.target");
      await rm(link);
      await symlink("/dev/null", link);
      await refusesPermit();
      await rm(link);
      await systemd.grantPermit(performance.now() + 60_000);
      assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
      assert.equal(await activeOf(free), "active");
      for (const each of [name, free]) await systemd.run("stop", each, patience());
      for (const each of [name, free]) await systemd.remove(each);
    });

    test("a machine is shut down as ever while the end of a permit stops a unit, and before it", async () => {
      for (const afterMs of [800, 0]) {
        const other = await startTestMachine("shutdown");
        const direct = open(other);
        const name = unitName("last.service");
        await direct.write([{ ...unit(name, slow), fence }]);
        await direct.reload();
        await direct.grantPermit(performance.now() + 500);
        assert.deepEqual(await direct.run("start", name, patience()), { result: "done" });
        await pause(afterMs);
        const beganMs = performance.now();
        await ask(other, "StartUnit", ["exit.target", "replace-irreversibly"]).catch(() => undefined); // it may be gone
        await other.exited;
        const tookMs = performance.now() - beganMs;
        assert.ok(tookMs < 5_000, `${tookMs} ms`);
        await direct.close();
        await other.dispose();
      }
    });

    const busProgram = "/usr/bin/dbus-daemon";
    const busMissing = existsSync(busProgram) ? false : "needs dbus-daemon";
    test("over a message bus it is the same", { skip: busMissing }, async () => {
      const other = await startTestMachine("bus");
      const direct = open(other);
      try {
        const bus = [
          unit(unitName("dbus.socket"), "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n"),
          unit(
            unitName("dbus.service"),
            `[Unit]\nRequires=dbus.socket\n[Service]\nType=notify\nExecStart=${busProgram} --session --address=systemd: --nofork --nopidfile --syslog-only\n`,
          ),
        ];
        await direct.write(bus);
        await direct.reload();
        for (const { name } of bus) assert.deepEqual(await direct.run("start", name, patience()), { result: "done" });
        const systemd = createSystemd({
          scope: "user",
          address: `unix:path=${join(other.directory, "run", "bus")}`,
          unitDirectory: other.unitDirectory,
          runDirectory: join(other.directory, "flotilla"),
          concurrency: 5,
          clock: createClock(),
          log: silentLog,
        });
        try {
          const name = unitName("by-bus.service");
          await systemd.write([unit(name, texts.stays)]);
          await untilReached(systemd);
          await systemd.reload();
          const told = new Promise<void>((resolve) => {
            systemd.onChange((names) => {
              if (names?.has(name) === true) resolve();
            });
          });
          assert.deepEqual(await systemd.run("start", name, patience()), { result: "done" });
          await told;
          assert.equal((await systemd.states([name])).get(name)?.active, "active");
        } finally {
          await systemd.close();
        }
      } finally {
        await direct.close();
        await other.dispose();
      }
    });

    test("200 units cost one listing", async () => {
      const names = Array.from({ length: 200 }, (_, at) => unitName(`many@${at}.service`));
      await systemd.write(names.map((name) => unit(name, texts.stays)));
      await systemd.reload();
      const results = await Promise.all(names.map((name) => systemd.run("start", name, patience())));
      assert.deepEqual(new Set(results.map((each) => each.result)), new Set(["done"]));
      const states = await systemd.states(names);
      assert.deepEqual(new Set([...states.values()].map((each) => each.active)), new Set(["active"]));
      await Promise.all(names.map((name) => systemd.run("stop", name, patience())));
      for (const name of names) await systemd.remove(name);
      assert.ok((await systemd.placed()).every((each) => !each.name.startsWith("many@")));
    });
  });
}

/** Speaks to the socket of asked-for.service. */
const clientCommand = `/usr/bin/env python3 -c "import socket,time; s=socket.socket(socket.AF_UNIX); s.connect(\\"%t/asked-for\\"); time.sleep(0.05)"`;

/** What stood for a permit in the versions before. */
const olderTimer = (dependency: string): string =>
  `[Unit]\nDefaultDependencies=no\n${dependency}=flotilla-permit.target\nAfter=flotilla-permit.target\n[Timer]\nOnStartupSec=%ius\nAccuracySec=10ms\nRemainAfterElapse=no\nUnit=flotilla-fence.target\n`;
const olderTexts: readonly (readonly [string, string])[] = [
  ["flotilla-permit.target", "[Unit]\nDefaultDependencies=no\n"],
  ["flotilla-fence.target", "[Unit]\nDefaultDependencies=no\nConflicts=flotilla-permit.target\n"],
  ["flotilla-permit@.timer", olderTimer("Wants")],
  ["flotilla-permit-more@.timer", olderTimer("Requisite")],
];

async function managerStartUs(machine: TestMachine): Promise<bigint> {
  const peer = await connect(machine);
  const which = { interface: managerInterface, name: "UserspaceTimestampMonotonic" };
  const value = await property(managerPath, which, (call) => peer.call(call));
  peer.close();
  return value as bigint;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Has systemd end what another target does not want, as for `systemctl isolate rescue.target`: that is all of ours. */
async function isolate(machine: TestMachine): Promise<void> {
  // By the door we came in
  const text = "[Unit]\nAllowIsolate=yes\nRequires=door.socket\nWants=door.service\n";
  await writeFile(join(machine.unitDirectory, "other.target"), text);
  await ask(machine, "StartUnit", ["other.target", "isolate"]);
  await untilEnded(machine);
}

async function untilEnded(machine: TestMachine): Promise<void> {
  const peer = await connect(machine);
  const path = unitPath("flotilla-up.target");
  const which = { interface: "org.freedesktop.systemd1.Unit", name: "ActiveState" };
  while ((await property(path, which, (call) => peer.call(call))) !== "inactive")
    await new Promise((resolve) => setTimeout(resolve, 20));
  peer.close();
}

/** Sent past the adapter. */
async function ask(machine: TestMachine, member: string, body: readonly string[]): Promise<void> {
  const peer = await connect(machine);
  await peer.call({ path: managerPath, interface: managerInterface, member, signature: "ss", body });
  peer.close();
}

/** In the midst of what the adapter does at once. */
function startPastAdapter(machine: TestMachine, name: UnitName): void {
  const env = { ...process.env, XDG_RUNTIME_DIR: join(machine.directory, "run") };
  const enter = ["-t", String(machine.pid), "-m", "-p", "systemctl", "--user"];
  execFileSync("nsenter", [...enter, "--no-block", "start", name], { env, stdio: "pipe" });
}

async function jobOf(machine: TestMachine, name: UnitName): Promise<string> {
  const peer = await connect(machine);
  const row = (await list([name], (call) => peer.call(call))).get(name);
  peer.close();
  return row?.jobType ?? "";
}

function connect(machine: TestMachine): Promise<Peer> {
  return Peer.connect(machine.systemdAddress.replace("unix:path=", ""), AbortSignal.timeout(20_000));
}

/** Resolves when the connection stands: systemd may come to the bus a little after we do. */
function untilReached(systemd: Systemd): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("systemd was not reached")), 20_000);
    const stop = systemd.onChange((names) => {
      if (names !== undefined) return;
      clearTimeout(timer);
      stop();
      resolve();
    });
  });
}

/** Has the machine's systemd execute itself anew; the call ends without an answer, with the connection. */
async function execAnew(machine: TestMachine): Promise<void> {
  const peer = await connect(machine);
  const call = { path: managerPath, interface: managerInterface, member: "Reexecute" };
  await assert.rejects(peer.call(call), (error) => error instanceof Problem && error.code === "systemd-unreachable");
  await peer.closed;
}
