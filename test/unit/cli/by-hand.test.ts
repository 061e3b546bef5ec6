import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createApi } from "../../../agent/api/api.ts";
import { runCommand } from "../../../agent/cli/args.ts";
import { runFleetctl } from "../../../agent/cli/fleetctl.ts";
// Loaded beforehand: no clock of a test waits for a disk
import "../../../agent/cli/agent.ts";
import "../../../agent/cli/resolve.ts";
import "../../../agent/cli/local-text.ts";
import type { UnitOutcome } from "../../../agent/cli/carry-out.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { unitNameParts, type UnitName } from "../../../agent/domain/names.ts";
import type { LocalDropIn, LocalUnits } from "../../../agent/ports/local-units.ts";
import type { MachineShell } from "../../../agent/ports/machine-shell.ts";
import { DirectClient } from "../../fakes/direct-client.ts";
import { FakeOutput, type FakeTools, fakeTools } from "../../fakes/fake-tools.ts";
import { silentLog } from "../../fakes/silent-log.ts";
import { House, type HouseOptions, changed, name, service } from "../loops/house.ts";

let house: House;
let client: DirectClient;
let files: Record<string, string>;
let logs: Record<string, string | Problem>;
/** Of the command under way, or the last one. */
let tools: FakeTools;

afterEach(() => house.close());

/** Machines a, b, ... with a client on a; a leads. `git`: the repository's units. */
async function open(options: HouseOptions & { readonly units?: Readonly<Record<string, string>> } = {}): Promise<void> {
  house = await House.open({ machines: "ab", leaders: "a", ...options });
  await house.ready();
  if (options.units !== undefined) {
    await house.deploy(options.units);
    await house.clock.advance(5_000);
  }
  const { view, hands } = house.box("a").agent;
  client = new DirectClient(createApi({ view, hands, clock: house.clock, log: silentLog, version: "1" }));
  files = {};
  logs = {};
}

const localUnits: LocalUnits = {
  find: async (path, { name: unit }) => {
    const text = files[path];
    if (text === undefined) return undefined;
    const { template } = unitNameParts(unit);
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    const named = [...new Set([template, unit])];
    const dropIns = named.flatMap((each) => (each === undefined ? [] : dropInsOf(folder, each)));
    return { path, bytes: Buffer.from(text), dropIns };
  },
};

function dropInsOf(folder: string, unit: UnitName): readonly LocalDropIn[] {
  const within = `${folder}${unit}.d/`;
  return Object.entries(files).flatMap(([path, text]) =>
    path.startsWith(within) ? [{ unit, name: path.slice(within.length), path, bytes: Buffer.from(text) }] : [],
  );
}

const shell: MachineShell = {
  isHere: async () => true,
  capture: async ({ id }, command) => {
    const said = logs[`${id.charAt(0)} ${command.find((word) => word.startsWith("--unit=")) ?? ""}`];
    if (said instanceof Problem) throw said;
    return { status: 0, stdout: said ?? "", stderr: "" };
  },
  stream: async () => 0,
  attach: async () => 0,
};

function begin(line: string, more: { readonly isTerminal?: boolean } = {}): Promise<number> {
  tools = {
    ...fakeTools({
      apiClient: async () => client,
      localUnits: async () => localUnits,
      machineShell: async () => shell,
      stdout: new FakeOutput(more),
    }),
    ...(more.isTerminal === true ? { stderr: new FakeOutput(more) } : {}),
    clock: house.clock,
  };
  const words = Array.from(line.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? "");
  return words[0] === "fleetctl" ? runFleetctl(words.slice(1), tools) : runCommand(words, tools);
}

/** The command with what it says and its exit code, as golden files have it. */
function transcript(line: string, code: number): string {
  const errors = tools.stderr.text.replaceAll(/^(?=.)/gm, "[stderr] ");
  // Units are told in the order in which they end, which is nobody's promise
  const lines = tools.stdout.text.split(/(?<=\n)/);
  const said = lines.every((each) => /^(Unit|Destroyed) /.test(each)) ? lines.sort() : lines;
  const text = `${said.join("")}${errors}`.replaceAll(/2026-01-01 \d\d:\d\d:\d\d UTC/g, "TIME");
  return `$ ${line}\n${text}[exit ${code}]\n`;
}

/** What it settles as, with time passing meanwhile: slowly enough for modules that are loaded on the way. */
async function settle<T>(work: Promise<T>, mostMs = 60_000): Promise<T> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  work.then(end, end);
  await until(() => isOver, mostMs);
  return work;
}

async function until(condition: () => boolean, mostMs = 60_000): Promise<void> {
  await house.until(async () => {
    await pause(1);
    return condition();
  }, mostMs);
}

async function say(line: string, mostMs?: number): Promise<string> {
  return transcript(line, await settle(begin(line), mostMs));
}

/** Until systemd on a is starting the unit, and everybody had a moment to see that. */
async function isStarting(unit: string): Promise<void> {
  await until(() => house.box("a").systemd.state(name(unit)).active === "activating");
  await house.clock.advance(2_000);
}

/** Runs the commands of a transcript and compares the whole. */
async function plays(expected: string): Promise<void> {
  const text = expected.replace(/^\n/, "").replaceAll(/^ +/gm, "");
  const lines = text.split("\n").filter((line) => line.startsWith("$ "));
  let actual = "";
  for (const line of lines) actual += await say(line.slice(2));
  assert.equal(actual, text);
}

const hello = service("MachineID=aaaaaaaa");

describe("the life cycle by hand (fleet-scenarios Q)", () => {
  test("F-419: one unit from a file, through all of its states", async () => {
    await open();
    files["hello.service"] = hello;
    await plays(`
      $ submit hello.service
      Unit hello.service inactive
      [exit 0]
      $ submit hello.service
      [exit 0]
      $ load hello.service
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ start hello
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ start hello
      [exit 0]
      $ stop hello
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [stderr] Successfully stopped units [hello.service].
      [exit 0]
      $ stop hello
      [stderr] Unit hello.service is loaded already
      [exit 0]
      $ fleetctl stop hello
      [stderr] Successfully stopped units [].
      [exit 0]
      $ unload hello
      Unit hello.service inactive
      [stderr] Successfully unloaded units [hello.service].
      [exit 0]
      $ unload hello
      [stderr] Unit hello.service is inactive already
      [exit 0]
      $ stop hello
      [stderr] flotilla: Unable to stop unit hello.service in state inactive
      [stderr] hint: flotilla load hello.service places it without starting it
      [exit 1]
      $ destroy hello
      Destroyed hello.service
      [exit 0]
      $ destroy hello
      [stderr] flotilla: Cannot find unit "hello.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
    `);
  });

  test("F-410, F-414, F-415: known, unknown, mixed and no names", async () => {
    await open();
    for (const each of ["a1", "a2", "a3"]) files[`${each}.service`] = hello;
    await plays(`
      $ start --no-block a1.service a2.service a3.service
      Triggered unit a1.service start
      Triggered unit a2.service start
      Triggered unit a3.service start
      [exit 0]
      $ stop a1 nosuch
      Unit a1.service loaded on aaaaaaaa.../10.0.0.97
      [stderr] Successfully stopped units [a1.service].
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ stop --no-block a2
      Triggered unit a2.service stop
      [exit 0]
      $ unload 'a[12]'
      Unit a1.service inactive
      Unit a2.service inactive
      [stderr] Successfully unloaded units [a1.service a2.service].
      [exit 0]
      $ stop
      [stderr] flotilla: Cannot tell which units to stop
      [stderr] hint: Name at least one
      [exit 2]
      $ destroy 'a*' nosuch
      Destroyed a1.service
      Destroyed a2.service
      Destroyed a3.service
      [stderr] flotilla: Cannot find unit "nosuch.service"
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ destroy 'a*'
      [stderr] flotilla: Cannot find a unit that "a*" names
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
    `);
  });

  test("F-411, F-412, F-416: one argument that is wrong, and nothing is changed", async () => {
    await open();
    files["good.service"] = hello;
    files["bad.service"] = "[Service\nExecStart=/bin/true\n";
    await plays(`
      $ start good bad nosuch nosuch@1 'no*'
      [stderr] flotilla: bad.service:1: Cannot read the section header "[Service"
      [stderr] hint: The header has no end "]"
      [stderr] flotilla: unable to find Unit(nosuch.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch.service", and flotilla list-unit-files shows no such unit
      [stderr] flotilla: failed getting Unit(nosuch@1) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [stderr] flotilla: Cannot find a unit that "no*" names
      [stderr] hint: flotilla list-unit-files shows every unit
      [exit 1]
      $ submit good good good.service
      Unit good.service inactive
      [exit 0]
      $ submit 'good*'
      [stderr] flotilla: Cannot find the file "good*"
      [stderr] hint: Your shell expands patterns over files; leave out the quotes
      [exit 1]
      $ load a..b/we$b
      [stderr] flotilla: Cannot take "we$b.service" as a unit name: it holds the character "$"
      [stderr] hint: Letters, digits and : - _ . \\ @ are allowed; systemd-escape(1) writes others
      [exit 1]
    `);
    assert.deepEqual(
      client.asked.filter((line) => line.startsWith("PUT")),
      ["PUT /v2/unit-files/good.service"],
    );
  });

  test("F-413, F-417, F-420: instances of templates, the cluster's and those beside them", async () => {
    await open();
    files["here/web@.service"] = service("Conflicts=web@*.service");
    files["here/web@.service.d/10.conf"] = "[Service]\nEnvironment=ALL=1\n";
    files["here/web@2.service.d/20.conf"] = "[Service]\nEnvironment=TWO=1\n";
    await plays(`
      $ start here/web@1 here/web@2.service here/web@1
      Unit web@1.service launched on aaaaaaaa.../10.0.0.97
      Unit web@2.service launched on bbbbbbbb.../10.0.0.98
      [exit 0]
      $ cat web@2
      [Service]
      ExecStart=/bin/sleep infinity
      [X-Fleet]
      Conflicts=web@*.service

      # web@2.service.d/10.conf
      [Service]
      Environment=ALL=1

      # web@2.service.d/20.conf
      [Service]
      Environment=TWO=1
      [exit 0]
      $ start web@3
      [stderr] flotilla: failed getting Unit(web@3) from template: unable to find template Unit(web@.service) in Registry or on filesystem
      [stderr] hint: There is no file "web@.service"
      [exit 1]
      $ submit here/web@.service
      Unit web@.service inactive
      [exit 0]
      $ load --timeout 3 web@3
      [stderr] Unit web@3.service waits, no machine takes it: 2 machines: conflicts with web@1.service (conflict)
      [stderr] flotilla: Timed out waiting for unit web@3.service to report state loaded: no machine takes it: 2 machines: conflicts with web@1.service (conflict)
      [stderr] hint: The change stands: flotilla status web@3.service
      [exit 1]
      $ start web@.service
      [stderr] flotilla: Cannot start "web@.service": a template is never run itself
      [stderr] hint: Name an instance of it: web@1.service
      [exit 1]
      $ stop 'web@*'
      Unit web@1.service loaded on aaaaaaaa.../10.0.0.97
      Unit web@2.service loaded on bbbbbbbb.../10.0.0.98
      [stderr] Successfully stopped units [web@1.service web@2.service].
      [exit 0]
      $ destroy 'web@*'
      Destroyed web@.service
      Destroyed web@1.service
      Destroyed web@2.service
      Destroyed web@3.service
      [exit 0]
    `);
  });

  test("F-418: restart starts what is loaded, creates what is not there, and leaves alone what is inactive", async () => {
    await open();
    files["hello.service"] = hello;
    await plays(`
      $ restart hello.service
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ restart hello
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ stop hello
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [stderr] Successfully stopped units [hello.service].
      [exit 0]
      $ restart hello
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ unload hello
      Unit hello.service inactive
      [stderr] Successfully unloaded units [hello.service].
      [exit 0]
      $ restart hello
      [stderr] flotilla: Unable to restart unit hello.service in state inactive
      [stderr] hint: flotilla start hello.service starts it
      [exit 1]
      $ restart nosuch@1
      [stderr] flotilla: failed getting Unit(nosuch@1) from template: unable to find template Unit(nosuch@.service) in Registry or on filesystem
      [stderr] hint: There is no file "nosuch@.service"
      [exit 1]
    `);
    const jobs = house.box("a").systemd.asked.filter((line) => /^(re)?start|^stop/.test(line));
    assert.deepEqual(jobs, [
      "start hello.service",
      "restart hello.service",
      "stop hello.service",
      "start hello.service",
      "stop hello.service",
    ]);
  });

  test("F-421, Q-33: a global unit is waited for and restarted on every machine", async () => {
    await open({ machines: "abc" });
    files["log.service"] = service("Global=true", "MachineMetadata=disk=ssd");
    files["all.service"] = service("Global=true");
    files["nowhere.service"] = service("MachineMetadata=disk=ssd");
    await plays(`
      $ start all.service
      Unit all.service launched on aaaaaaaa.../10.0.0.97
      Unit all.service launched on bbbbbbbb.../10.0.0.98
      Unit all.service launched on cccccccc.../10.0.0.99
      [exit 0]
      $ restart all
      Unit all.service launched on aaaaaaaa.../10.0.0.97
      Unit all.service launched on bbbbbbbb.../10.0.0.98
      Unit all.service launched on cccccccc.../10.0.0.99
      [exit 0]
      $ stop all
      Unit all.service loaded on aaaaaaaa.../10.0.0.97
      Unit all.service loaded on bbbbbbbb.../10.0.0.98
      Unit all.service loaded on cccccccc.../10.0.0.99
      [stderr] Successfully stopped units [all.service].
      [exit 0]
      $ unload all
      Unit all.service inactive
      [stderr] Successfully unloaded units [all.service].
      [exit 0]
      $ start --no-block nowhere.service
      Triggered unit nowhere.service start
      [exit 0]
      $ start log.service
      [stderr] flotilla: Cannot start unit "log.service": no machine takes it: 3 machines: needs disk=ssd (metadata)
      [stderr] hint: flotilla explain log.service says what would change that
      [exit 1]
      $ restart log
      [stderr] flotilla: Cannot restart unit "log.service": no machine takes it: 3 machines: needs disk=ssd (metadata)
      [stderr] hint: flotilla explain log.service says what would change that
      [exit 1]
      $ restart nowhere
      [stderr] flotilla: Cannot restart unit "nowhere.service": no machine takes it: 3 machines: needs disk=ssd (metadata)
      [stderr] hint: flotilla explain nowhere.service says what would change that
      [exit 1]
      $ fleetctl start log
      Unit log.service launched
      [stderr] Unit log.service: no machine fits it now
      [exit 0]
    `);
    for (const { systemd } of house.machines)
      assert.equal(systemd.asked.filter((line) => line === "restart all.service").length, 1);
  });

  test("F-422, F-404: how long is waited", async () => {
    await open();
    files["nowhere.service"] = service("MachineMetadata=planet=mars");
    const refusals = "no machine takes it: 2 machines: needs planet=mars (metadata)";
    await plays(`
      $ start --block-attempts=1 nowhere.service
      [stderr] Unit nowhere.service waits, ${refusals}
      [stderr] flotilla: Timed out waiting for unit nowhere.service to report state launched: ${refusals}
      [stderr] hint: The change stands: flotilla status nowhere.service
      [exit 1]
      $ start --no-block --block-attempts=1 --timeout 1min nowhere
      [exit 0]
      $ start --block-attempts two nowhere
      [stderr] flotilla: Cannot take "two" as --block-attempts
      [stderr] hint: It is a number; 0 waits for ever
      [exit 2]
      $ start --timeout never nowhere
      [stderr] flotilla: Cannot take "never" as --timeout
      [stderr] hint: It is a span such as 90s, 5min or 2h, a week at most
      [exit 2]
    `);
    for (const words of ["--block-attempts=0", "--block-attempts=-1", ""]) {
      const waiting = begin(`start ${words} nowhere`);
      await until(() => tools.stderr.text.includes("no machine takes it"));
      await house.clock.advance(30_000);
      assert.equal(tools.stderr.text.split("\n").length, 2, "it is said once");
      tools.interrupt();
      assert.equal(await settle(waiting), 130);
    }
  });

  test("F-425, F-426, F-427: a file that differs, and --replace", async () => {
    await open();
    files["hello.service"] = hello;
    files["web@.service"] = hello;
    await say("start hello.service web@1");
    files["hello.service"] = changed("MachineID=aaaaaaaa");
    files["web@.service"] = changed("MachineID=aaaaaaaa");
    await plays(`
      $ start hello.service web@1
      [stderr] WARNING: Unit hello.service in registry differs from local unit file hello.service. Add --replace to override.
      [stderr] WARNING: Unit web@1.service in registry differs from local template unit file web@.service. Add --replace to override.
      [exit 0]
      $ submit --replace hello.service
      [stderr] flotilla: Cannot submit unit "hello.service" with a new text: it is launched
      [stderr] hint: flotilla start --replace hello.service puts the text in place and keeps it launched
      [exit 1]
      $ load --replace hello.service web@1 --json
      [stderr] flotilla: Cannot load unit "hello.service" with a new text: it is launched
      [stderr] hint: flotilla start --replace hello.service puts the text in place and keeps it launched
      [stderr] flotilla: Cannot load unit "web@1.service" with a new text: it is launched
      [stderr] hint: flotilla start --replace web@1 puts the text in place and keeps it launched
      [exit 1]
      $ fleetctl submit --replace hello.service
      [stderr] Warning: can not replace Unit(hello.service) in state 'launched', use the appropriate command
      [exit 0]
      $ start --replace hello.service web@1
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      Unit web@1.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ submit --replace web@1
      Found same Unit(web@1.service) in Registry, nothing to do
      [exit 0]
      $ start --replace elsewhere/hello.service
      [stderr] flotilla: Cannot replace unit "hello.service": there is no file "elsewhere/hello.service"
      [stderr] hint: --replace takes the text of a file, or of the template beside it
      [exit 1]
      $ load hello
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [exit 0]
    `);
    files["hello.service"] = hello;
    await plays(`
      $ submit --replace hello
      [stderr] flotilla: Cannot submit unit "hello.service" with a new text: it is loaded
      [stderr] hint: flotilla load --replace hello puts the text in place and keeps it loaded
      [exit 1]
      $ load --replace hello
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [exit 0]
    `);
    assert.equal(house.box("a").systemd.textOf(name("hello.service")), hello);
  });

  test("F-424, Q-30: a start that takes its time is waited for", async () => {
    await open();
    files["slow.service"] = hello;
    house.box("a").systemd.onStart(name("slow.service"), { kind: "hangs" });
    const waiting = begin("start slow.service");
    await isStarting("slow.service");
    await house.clock.advance(20_000);
    assert.equal(tools.stdout.text, "");
    house.box("a").systemd.finish(name("slow.service"), "done");
    assert.equal(
      transcript("start slow.service", await settle(waiting)),
      "$ start slow.service\nUnit slow.service launched on aaaaaaaa.../10.0.0.97\n[exit 0]\n",
    );
  });
});

describe("what comes of it", () => {
  test("a reader that goes away does not change the exit code", async () => {
    await open();
    files["bad.service"] = hello;
    files["good.service"] = hello;
    house.box("a").systemd.onStart(name("bad.service"), { kind: "fails", status: 3 });
    for (const line of ["start good bad", "start good bad --json"]) {
      const work = begin(line);
      tools.stdout.broken = "output-closed";
      tools.stderr.broken = "output-closed";
      assert.equal(await settle(work), 1, line);
    }
    assert.equal(house.box("a").systemd.state(name("good.service")).active, "active");
  });

  test("a unit that fails: where, how, the last lines of its log, and the others all the same", async () => {
    await open();
    files["bad.service"] = hello;
    files["mute.service"] = hello;
    files["good.service"] = service("MachineID=bbbbbbbb");
    for (const each of ["bad.service", "mute.service"])
      house.box("a").systemd.onStart(name(each), { kind: "fails", status: 3 });
    logs["a --unit=bad.service"] = "Nov 25 09:34:31 a bad[1]: one\nNov 25 09:34:31 a bad[1]: two \u001b[2J\n";
    logs["a --unit=mute.service"] = new Problem("ssh-denied", "Cannot log in to 10.0.0.97", { hint: "Add a key" });
    await plays(`
      $ start bad.service mute.service good.service
      Unit good.service launched on bbbbbbbb.../10.0.0.98
      [stderr] flotilla: Cannot start unit "bad.service": it is failed (failed) on aaaaaaaa.../10.0.0.97 (host-a), result exit-code
      [stderr] hint: flotilla status bad.service
      [stderr] The machine says: Cannot start unit "bad.service" (Its main process exited with status 3)
      [stderr] Last lines of the log of bad.service on aaaaaaaa.../10.0.0.97:
      [stderr]   Nov 25 09:34:31 a bad[1]: one
      [stderr]   Nov 25 09:34:31 a bad[1]: two \\x1b[2J
      [stderr] flotilla: Cannot start unit "mute.service": it is failed (failed) on aaaaaaaa.../10.0.0.97 (host-a), result exit-code
      [stderr] hint: flotilla status mute.service
      [stderr] The machine says: Cannot start unit "mute.service" (Its main process exited with status 3)
      [stderr] No log lines of mute.service on aaaaaaaa.../10.0.0.97: Cannot log in to 10.0.0.97 (Add a key)
      [exit 1]
      $ start good bad
      [stderr] flotilla: Cannot start unit "bad.service": it is failed (failed) on aaaaaaaa.../10.0.0.97 (host-a), result exit-code
      [stderr] hint: flotilla restart bad.service starts it again
      [stderr] The machine says: Cannot start unit "bad.service" (Its main process exited with status 3)
      [stderr] Last lines of the log of bad.service on aaaaaaaa.../10.0.0.97:
      [stderr]   Nov 25 09:34:31 a bad[1]: one
      [stderr]   Nov 25 09:34:31 a bad[1]: two \\x1b[2J
      [exit 1]
    `);
  });

  test("Ctrl-C ends the waiting and not the change", async () => {
    await open();
    files["slow.service"] = hello;
    house.box("a").systemd.onStart(name("slow.service"), { kind: "hangs" });
    const waiting = begin("start slow.service");
    await isStarting("slow.service");
    tools.interrupt();
    assert.equal(await settle(waiting), 130);
    assert.equal(
      tools.stderr.text,
      "Not waiting any longer; what was asked for slow.service stands: flotilla status slow.service\n",
    );
    house.box("a").systemd.finish(name("slow.service"), "done");
    await house.until(() => house.isUp({ "slow.service": "a" }), 5_000);
  });

  test("on a terminal one line tells what is waited for, and gives way to what is said", async () => {
    await open();
    files["slow.service"] = hello;
    files["nowhere.service"] = service("MachineMetadata=planet=mars");
    house.box("a").systemd.onStart(name("slow.service"), { kind: "hangs" });
    const waiting = begin("start --timeout 20 slow.service nowhere.service", { isTerminal: true });
    await isStarting("slow.service");
    house.box("a").systemd.finish(name("slow.service"), "done");
    assert.equal(await settle(waiting, 30_000), 1);
    const drawn = tools.stderr.text.split("\r\u001b[K");
    assert.ok(
      drawn.includes("Waiting for slow.service: it is activating (start) on aaaaaaaa.../10.0.0.97 (and 1 more)"),
    );
    assert.ok(drawn.includes("Waiting for nowhere.service: no machine takes it"));
    assert.ok(
      drawn.every((line) => line.length < 100 || line.includes("\n")),
      "nothing wraps",
    );
    assert.match(drawn.at(-1) ?? "", /^flotilla: Timed out/, "the line is gone before the last word");
    assert.equal(tools.stdout.text, "Unit slow.service launched on aaaaaaaa.../10.0.0.97\n");
  });

  test("an agent that goes away is waited for, and said once", async () => {
    await open();
    files["slow.service"] = hello;
    house.box("a").systemd.onStart(name("slow.service"), { kind: "hangs" });
    const waiting = begin("start slow.service");
    await isStarting("slow.service");
    client.away = new Problem("agent-unreachable", "Cannot reach the agent");
    house.box("a").systemd.finish(name("slow.service"), "done");
    await house.clock.advance(30_000);
    assert.equal(tools.stderr.text, "flotilla: Cannot reach the agent\n");
    client.away = undefined;
    assert.equal(await settle(waiting), 0);
    assert.equal(tools.stdout.text, "Unit slow.service launched on aaaaaaaa.../10.0.0.97\n");
  });

  test("an agent that is lost in the middle: what was changed is told, and what is not certain", async () => {
    await open();
    for (const each of ["a", "b", "c"]) files[`${each}.service`] = hello;
    const put = client.put.bind(client);
    client.put = (path, ...more) =>
      path.includes("a.service")
        ? put(path, ...more)
        : Promise.reject(new Problem("agent-unreachable", "Cannot reach the agent"));
    await plays(`
      $ start a b c
      Triggered unit a.service start
      [stderr] flotilla: Cannot reach the agent
      [stderr] Lost the agent before it was certain what becomes of 2 units: flotilla status b.service
      [exit 3]
      $ start b c
      [stderr] flotilla: Cannot reach the agent
      [exit 3]
    `);
    assert.equal(await settle(begin("start a b --replace --json")), 3);
    const { units } = JSON.parse(tools.stdout.text) as { readonly units: readonly UnitOutcome[] };
    assert.deepEqual(
      units.map(({ unit, outcome, problems }) => [unit, outcome, problems?.[0]?.code]),
      [
        ["a.service", "done", undefined],
        ["b.service", "failed", "agent-unreachable"],
      ],
    );
  });

  test("who waits is told when somebody else decides otherwise", async () => {
    await open();
    files["slow.service"] = hello;
    house.box("a").systemd.onStart(name("slow.service"), { kind: "hangs" });
    const waiting = begin("start slow.service");
    await isStarting("slow.service");
    const { hands } = house.box("b").agent;
    await house.settle(hands.setTarget({ name: name("slow.service"), target: "inactive", by: "bob@desk" }));
    assert.equal(await settle(waiting), 1);
    assert.equal(
      tools.stderr.text,
      'flotilla: Cannot wait for unit "slow.service" any longer: it was changed meanwhile: it is to be inactive\n' +
        "hint: flotilla events shows who did what\n",
    );
  });

  test("what a machine cannot place, or cannot stop, is a failure", async () => {
    await open();
    files["own.service"] = hello;
    files["stuck.service"] = hello;
    house.box("a").systemd.addHostUnit(name("own.service"), "/etc/systemd/system/own.service");
    house.box("a").stops.set(name("stuck.service"), "fails");
    assert.match(
      await say("start own.service"),
      /The machine says: Cannot place unit "own.service" .*\n.*\n\[exit 1\]/,
    );
    assert.match(await say("start stuck.service"), /\[exit 0\]/);
    assert.match(await say("stop stuck"), /Cannot stop unit "stuck.service": it is active \(running\) on aaaaaaaa/);
  });

  test("a unit that ran and ended well has been started", async () => {
    await open();
    files["once.service"] = hello;
    house.box("a").systemd.onStart(name("once.service"), { kind: "hangs" });
    const waiting = begin("start once.service");
    await isStarting("once.service");
    house.box("a").systemd.finish(name("once.service"), "done");
    house.box("a").systemd.setState(name("once.service"), { active: "inactive", sub: "dead", sinceMs: 0 });
    assert.equal(await settle(waiting), 0);
    assert.equal(tools.stdout.text, "Unit once.service launched on aaaaaaaa.../10.0.0.97\n");
  });

  test("a machine that does not answer holds up nothing that is to go away", async () => {
    await open({ machines: "abc" });
    files["far.service"] = service("MachineID=cccccccc");
    await say("start far.service");
    await house.box("c").kill();
    assert.equal(
      await say("destroy far", 120_000),
      "$ destroy far\nDestroyed far.service\n" +
        "[stderr] Unit far.service: it may still run on cccccccc..., which does not answer\n[exit 0]\n",
    );
  });

  test("a document for programs, in the order of the arguments", async () => {
    await open({ units: { "git.service": hello } });
    files["bad.service"] = hello;
    files["good.service"] = hello;
    house.box("a").systemd.onStart(name("bad.service"), { kind: "fails", status: 3 });
    logs["a --unit=bad.service"] = "one\n";
    const code = await settle(begin("start --json bad.service good.service git"), 60_000);
    assert.equal(code, 1);
    assert.equal(tools.stderr.text, "");
    const machine = { id: "a".repeat(32), ip: "10.0.0.97", hostname: "host-a", alive: true };
    const up = { machine, active: "active", sub: "running", result: "success" };
    assert.deepEqual(JSON.parse(tools.stdout.text), {
      command: "start",
      units: [
        {
          unit: "bad.service",
          change: "created",
          outcome: "failed",
          machines: [{ machine, active: "failed", sub: "failed", result: "exit-code", log: { lines: ["one"] } }],
          problems: [
            {
              code: "unit-failed",
              message:
                'Cannot start unit "bad.service": it is failed (failed) on aaaaaaaa.../10.0.0.97 (host-a), result exit-code',
              hint: "flotilla status bad.service",
            },
            {
              code: "systemd-job",
              message: 'Cannot start unit "bad.service"',
              hint: "Its main process exited with status 3",
            },
          ],
        },
        { unit: "good.service", change: "created", outcome: "done", state: "launched", machines: [up] },
        { unit: "git.service", change: "unchanged", outcome: "done", state: "launched", machines: [up] },
      ],
    });
    await settle(begin("destroy --json good git nosuch"));
    const { units, problems } = JSON.parse(tools.stdout.text) as Record<string, readonly Record<string, unknown>[]>;
    assert.deepEqual(
      units?.map(({ unit, outcome }) => `${String(unit)} ${String(outcome)}`),
      ["good.service done", "git.service failed"],
    );
    assert.deepEqual(
      problems?.map(({ code: each }) => each),
      ["unit-unknown"],
    );
  });
});

describe("beside git", () => {
  test("stop, unload and start place, change and lift a hold, and say so", async () => {
    await open({ units: { "static/hello.service": hello } });
    await plays(`
      $ stop hello --for 2h --reason 'disk is replaced'
      Unit hello.service loaded on aaaaaaaa.../10.0.0.97
      [stderr] Unit hello.service is held at loaded for 2h (disk is replaced); the repository wants it launched: flotilla resume hello.service
      [stderr] Successfully stopped units [hello.service].
      [exit 0]
      $ list-holds --fields unit,target,declared,by,why
      UNIT		TARGET	DECLARED	BY		WHY
      hello.service	loaded	launched	ann@desk	disk is replaced
      [exit 0]
      $ restart hello
      [stderr] flotilla: Unable to restart unit hello.service: ann@desk holds it at loaded (disk is replaced)
      [stderr] hint: flotilla start hello.service lifts the hold and starts it
      [exit 1]
      $ unload hello
      Unit hello.service inactive
      [stderr] Unit hello.service is held at inactive; the repository wants it launched: flotilla resume hello.service
      [stderr] Successfully unloaded units [hello.service].
      [exit 0]
      $ start hello
      Unit hello.service launched on aaaaaaaa.../10.0.0.97
      [stderr] The hold on unit hello.service is lifted: it is launched again, as the repository wants it
      [exit 0]
      $ destroy hello
      [stderr] flotilla: Cannot destroy unit "hello.service": the repository has it in static/hello.service
      [stderr] hint: Remove static/hello.service there and commit; flotilla unload hello.service holds it meanwhile
      [exit 1]
    `);
  });

  test("restart holds what the repository wants loaded at launched, for as long as it is said", async () => {
    await open({
      units: { "batch.service": service("MachineID=aaaaaaaa", "DesiredState=loaded"), "up.service": hello },
    });
    await plays(`
      $ restart batch --for 2h --reason 'by hand, once'
      Unit batch.service launched on aaaaaaaa.../10.0.0.97
      [stderr] Unit batch.service is held at launched for 2h (by hand, once); the repository wants it loaded: flotilla resume batch.service
      [exit 0]
      $ restart up --for 2h
      Unit up.service launched on aaaaaaaa.../10.0.0.97
      [stderr] Unit up.service is launched already: it is restarted, and no hold is placed
      [exit 0]
      $ list-holds --fields unit,target,declared,by,why
      UNIT		TARGET		DECLARED	BY		WHY
      batch.service	launched	loaded		ann@desk	by hand, once
      [exit 0]
    `);
  });

  test("a file whose name is the repository's is refused, with the path there", async () => {
    await open({ units: { "static/hello.service": hello, "web@.service": hello } });
    files["hello.service"] = changed("MachineID=aaaaaaaa");
    files["same/hello.service"] = hello;
    const refusal = (verb: string): string =>
      `[stderr] flotilla: Cannot ${verb} unit "hello.service" from "hello.service": the repository has it in static/hello.service
      [stderr] hint: Change static/hello.service there and commit, or use another name`;
    await plays(`
      $ submit hello.service
      ${refusal("submit")}
      [exit 1]
      $ start hello.service
      ${refusal("start")}
      [exit 1]
      $ load --replace hello
      ${refusal("load")}
      [exit 1]
      $ start hello
      [stderr] WARNING: Unit hello.service in the repository differs from local unit file hello.service. The repository's counts.
      [exit 0]
      $ start same/hello.service
      [exit 0]
      $ start web@7
      Unit web@7.service launched on aaaaaaaa.../10.0.0.97
      [exit 0]
      $ start --reason why web@7
      [stderr] flotilla: Cannot use --reason with web@7.service: it is not in the repository
      [stderr] hint: It is for holds, and only units of the repository are held
      [exit 2]
    `);
  });

  test("hold and resume: names, patterns, all; list-holds and events", async () => {
    await open({ units: { "a.service": hello, "b.service": hello, "web@1.service": hello } });
    files["hand.service"] = hello;
    await plays(`
      $ hold 'web@*' b --state inactive --reason 'too loud'
      Unit b.service is held at inactive (too loud)
      Unit web@1.service is held at inactive (too loud)
      [exit 0]
      $ resume web@1
      Resumed web@1.service
      [exit 0]
      $ hold --all b
      [stderr] flotilla: Cannot use --all together with names of units
      [stderr] hint: --all means every unit
      [exit 2]
      $ hold b --state up
      [stderr] flotilla: Cannot hold units at "up"
      [stderr] hint: States are inactive, loaded, launched
      [exit 2]
      $ hold
      [stderr] flotilla: Cannot tell which units to hold
      [stderr] hint: Name at least one
      [exit 2]
      $ list-holds --no-legend --fields unit,target
      b.service	inactive
      [exit 0]
      $ resume --all
      Resumed b.service
      [exit 0]
      $ resume --all
      Nothing is held
      [exit 0]
      $ submit hand.service
      Unit hand.service inactive
      [exit 0]
      $ events hand 'b*' --lines 2
      TIME  ann@desk lifted the hold on b.service
      TIME  ann@desk submitted hand.service
      [exit 0]
    `);
  });

  test("events are followed, each one once", async () => {
    await open();
    files["hello.service"] = hello;
    const following = begin("events --follow --json");
    await until(() => tools.stdout.text !== "");
    const followed = tools;
    await say("submit hello.service");
    await say("destroy hello");
    await house.clock.advance(2_000);
    followed.interrupt();
    assert.equal(await settle(following), 0);
    const kinds = followed.stdout.text
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { kind: string }).kind);
    assert.deepEqual(kinds, ["commit-adopted", "unit-submitted", "unit-destroyed"]);
  });
});
