// Private machines: each is whole, alone, and gone without a trace when its power is cut, however that comes about.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createClock } from "../../agent/adapters/clock.ts";
import { machineHost } from "../../agent/adapters/machine-host.ts";
import { createSystemd } from "../../agent/adapters/systemd/systemd.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { Systemd } from "../../agent/ports/systemd.ts";
import { unit, unitName } from "../contract/systemd.ts";
import { silentLog } from "../fakes/silent-log.ts";
import { groupsBelow } from "./control-groups.ts";
import { type TestMachine, machinesMissing, startTestMachine } from "./machines.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const patience = (): AbortSignal => AbortSignal.timeout(20_000);

function open(machine: TestMachine): Systemd {
  return createSystemd({
    scope: "user",
    address: machine.systemdAddress,
    unitDirectory: machine.unitDirectory,
    runDirectory: join(machine.directory, "flotilla"),
    concurrency: 10,
    clock: createClock(),
    log: silentLog,
  });
}

/** Polls, since the kernel tells nobody of these; bounded. */
async function until(what: string, boundMs: number, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!(await condition())) {
    if (performance.now() > endMs) assert.fail(`Still not so after ${boundMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function namespaceOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/ns/pid`);
}

async function processesIn(namespace: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^[0-9]+$/.test(pid)) continue;
    const own = await readlink(`/proc/${pid}/ns/pid`).catch(() => undefined); // it ended meanwhile
    if (own === namespace) found.push(pid);
  }
  return found;
}

/** Control groups of private machines of these names. */
async function groupsOf(...names: string[]): Promise<string[]> {
  const found: string[] = [];
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  for (const [, point = "", type] of mounts) {
    if (type !== "cgroup2" || !(await exists(point))) continue; // one mount may cover another
    const groups = await groupsBelow(point);
    found.push(...groups.filter((group) => names.some((name) => group.includes(`flotilla-machine-${name}-`))));
  }
  return found;
}

const mountsNow = (): Promise<string> => readFile("/proc/self/mounts", "utf8");
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const missing = await machinesMissing();

if (missing !== undefined) test("private machines", { skip: missing }, () => undefined);
else {
  describe("private machines", () => {
    const machines: TestMachine[] = [];
    let mountsBefore: string;

    before(async () => {
      mountsBefore = await mountsNow();
      machines.push(...(await Promise.all(["host-a", "host-b", "host-c"].map(startTestMachine))));
    });
    after(async () => {
      for (const machine of machines) await machine.dispose();
    });

    test("nothing of them is mounted on the host", async () => {
      assert.equal(await mountsNow(), mountsBefore);
    });

    test("units, timers, sockets and paths work", async () => {
      const [machine] = machines;
      const systemd = open(machine!);
      try {
        const out = (name: string): string => join(machine!.directory, `${name}-ran`);
        const service = (name: string): string =>
          `[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo $$USER >${out(name)}'\n`;
        const units = [
          unit(unitName("ticks.service"), service("ticks")),
          unit(unitName("ticks.timer"), "[Timer]\nOnActiveSec=0.1\nAccuracySec=10ms\n"),
          unit(unitName("looks.service"), service("looks")),
          unit(unitName("looks.path"), `[Path]\nPathExists=${join(machine!.directory, "look-now")}\n`),
          unit(unitName("takes@.service"), "[Service]\nStandardInput=socket\nExecStart=/bin/cat\n"),
          unit(unitName("takes.socket"), `[Socket]\nListenStream=${join(machine!.directory, "takes")}\nAccept=yes\n`),
        ];
        assert.deepEqual(await systemd.write(units), new Map());
        await systemd.reload();
        for (const name of ["ticks.timer", "looks.path", "takes.socket"]) {
          assert.deepEqual(await systemd.run("start", unitName(name), patience()), { result: "done" }, name);
        }
        await until("the timer's service has run", 10_000, () => exists(out("ticks")));
        assert.equal(await exists(out("looks")), false);
        await mkdir(join(machine!.directory, "look-now"));
        await until("the path's service has run", 10_000, () => exists(out("looks")));
        assert.ok((await stat(join(machine!.directory, "takes"))).isSocket());
      } finally {
        await systemd.close();
      }
    });

    test("the host's files are out of their reach", async () => {
      const machine = machines[1]!;
      const systemd = open(machine);
      const probe = `flotilla-probe-${process.pid}`;
      try {
        const places = ["/etc", "/usr", "/var/lib", "/tmp", "/var/tmp"];
        const script = places.map((place) => `touch ${place}/${probe} && echo ${place}`).join("; ");
        const text = `[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{ ${script}; } >${machine.directory}/wrote; true'\n`;
        await systemd.write([unit(unitName("probe.service"), text)]);
        await systemd.reload();
        assert.deepEqual(await systemd.run("start", unitName("probe.service"), patience()), { result: "done" });
        const wrote = (await readFile(join(machine.directory, "wrote"), "utf8")).trim().split("\n");
        assert.deepEqual(wrote, ["/tmp", "/var/tmp"], "only what is the machine's own");
        for (const place of places) assert.equal(await exists(join(place, probe)), false, place);
      } finally {
        await systemd.close();
      }
    });

    test("a power cut ends every process at once, and only this machine's", async () => {
      const [, , machine] = machines;
      const systemd = open(machine!);
      await systemd.write([
        unit(unitName("stays.service"), "[Service]\nExecStart=/bin/sleep 1000\n"),
        unit(
          unitName("leaves.service"),
          "[Service]\nType=forking\nExecStart=/bin/sh -c 'setsid sleep 1000 & exit 0'\n",
        ),
      ]);
      await systemd.reload();
      for (const name of ["stays.service", "leaves.service"]) {
        assert.deepEqual(await systemd.run("start", unitName(name), patience()), { result: "done" });
      }
      const namespace = await namespaceOf(machine!.pid);
      assert.ok((await processesIn(namespace)).length >= 4);
      await systemd.close();
      await machine!.kill();
      await until("no process of it is left", 1_000, async () => (await processesIn(namespace)).length === 0);
      assert.deepEqual(await groupsOf("host-c"), []);
      assert.equal(await mountsNow(), mountsBefore);
      for (const other of machines.slice(0, 2)) {
        const still = open(other);
        await still.states([unitName("any.service")]);
        await still.close();
      }
      await machine!.kill(); // once more does nothing
    });

    test("a machine whose power is back starts in the same folder, with nothing running", async () => {
      const machine = machines[2]!;
      const again = await machineHost.startMachine({ directory: machine.directory, name: "host-c" });
      try {
        const systemd = open({ ...machine, systemdAddress: again.systemdAddress });
        const name = unitName("stays.service");
        assert.equal((await systemd.states([name])).get(name)?.active, "inactive");
        await systemd.close();
      } finally {
        await again.kill();
      }
    });

    test("an orderly stop runs what units have to do at their end", async () => {
      const machine = await startTestMachine("host-d");
      try {
        const systemd = open(machine);
        const name = unitName("tidy.service");
        const text = `[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sh -c 'echo bye >${machine.directory}/bye'\n`;
        await systemd.write([unit(name, text)]);
        await systemd.reload();
        await systemd.run("start", name, patience());
        await systemd.close();
        await machine.stop();
        assert.equal(await readFile(join(machine.directory, "bye"), "utf8"), "bye\n");
        assert.deepEqual(await groupsOf("host-d"), []);
      } finally {
        await machine.dispose();
      }
    });

    test("when the process that started it is killed, the machine goes with it", async () => {
      const directory = await mkdtemp(join(tmpdir(), "flotilla-"));
      const parent = startElsewhere(directory, "host-e", {});
      try {
        const pid = Number(await firstLine(parent));
        const namespace = await namespaceOf(pid);
        assert.ok((await processesIn(namespace)).length >= 2);
        parent.kill("SIGKILL");
        await until("no process of it is left", 5_000, async () => (await processesIn(namespace)).length === 0);
        await until("its control group is gone", 5_000, async () => (await groupsOf("host-e")).length === 0);
        assert.equal(await mountsNow(), mountsBefore);
      } finally {
        parent.kill("SIGKILL");
        await rm(directory, { recursive: true, force: true });
      }
    });

    test("giving up a start leaves nothing", async () => {
      const directory = await mkdtemp(join(tmpdir(), "flotilla-"));
      const over = new AbortController();
      const start = machineHost.startMachine({ directory, name: "host-f", signal: over.signal });
      setImmediate(() => over.abort(new Error("Enough")));
      try {
        await assert.rejects(start, (error) => error instanceof Problem && error.code === "aborted");
        assert.deepEqual(await groupsOf("host-f"), []);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });

    const cases = [
      { what: "a folder whose path is too long for a socket", directory: `/tmp/${"x".repeat(100)}`, name: "a" },
      {
        what: "a folder that shell or systemd would read as something else",
        directory: "/tmp/flotilla-a:b",
        name: "a",
      },
      { what: "a name that is a path", directory: "/tmp/flotilla-never", name: "../a" },
    ];
    for (const { what, directory, name } of cases) {
      test(`${what} is refused in words`, async () => {
        try {
          await assert.rejects(machineHost.startMachine({ directory, name }), (error) => {
            assert.ok(error instanceof Problem && error.code === "machine-host");
            assert.ok((error.hint ?? "").length > 0);
            return true;
          });
        } finally {
          await rm(directory, { recursive: true, force: true });
        }
      });
    }

    const nobody = 65534;
    test(
      "an ordinary user without a control group is told so",
      { skip: process.getuid?.() !== 0 && "needs root" },
      async () => {
        const directory = await mkdtemp(join(tmpdir(), "flotilla-"));
        await chmod(directory, 0o777);
        const child = startElsewhere(join(directory, "m"), "host-g", { uid: nobody, gid: nobody });
        try {
          assert.match(await firstLine(child), /^machine-host: Cannot start a private machine: .+ \(.+\)$/);
        } finally {
          child.kill("SIGKILL");
          await rm(directory, { recursive: true, force: true });
        }
      },
    );
  });
}

/** A process of its own that starts a machine, prints its pid, and waits to be killed. */
function startElsewhere(directory: string, name: string, options: { uid?: number; gid?: number }): ChildProcess {
  const args = ["--import", "tsx", join(here, "machine-parent.ts"), directory, name];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], ...options });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`Only heard: ${text}`)), 20_000);
    child.stdout?.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const [line, rest] = text.split("\n");
      if (rest === undefined) return;
      clearTimeout(timer);
      resolve(line ?? "");
    });
    child.once("exit", () => reject(new Error(`It ended, having said: ${text}`)));
  });
}
