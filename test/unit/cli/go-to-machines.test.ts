import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "../../../agent/cli/args.ts";
import { runFleetctl } from "../../../agent/cli/fleetctl.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { UnitReport } from "../../../agent/domain/report.ts";
import type { ApiClient } from "../../../agent/ports/api-client.ts";
import { FakeShell } from "../../fakes/fake-shell.ts";
import { FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";

const machine = (digit: string) => ({
  id: digit.repeat(32),
  ip: `10.0.0.${digit}`,
  hostname: `m${digit}`,
  alive: true,
});
const place = (name: string, digit: string, more: Partial<UnitReport> = {}): UnitReport => ({
  name,
  machine: machine(digit),
  knowledge: "reported",
  active: "active",
  target: "launched",
  ...more,
});
const places: UnitReport[] = [
  place("web@1.service", "1"),
  place("web@2.service", "2"),
  place("log.service", "1"),
  place("log.service", "2"),
  place("moving.service", "1", { target: "released" }),
  place("moving.service", "2"),
  place("lost.service", "3", { knowledge: "lost", machine: { ...machine("3"), ip: "", hostname: "", alive: false } }),
];

/** The cluster has changed. */
let changed: () => void = () => undefined;

const client: ApiClient = {
  get: async (path) => {
    const [, kind = "", word = ""] =
      /^\/v2\/(machines|status\/|units\?unit=)(.*)$/.exec(decodeURIComponent(path)) ?? [];
    if (kind === "machines") {
      const about = { metadata: {}, version: "1", leader: false, mayLead: true, cpus: 1, memoryBytes: 1, units: 0 };
      return { machines: ["1", "2"].map((digit) => ({ ...machine(digit), ...about })) };
    }
    if (kind === "status/") {
      const found = places.filter(({ name }) => name === word);
      if (found.length === 0 && word !== "idle.service")
        throw new Problem("unit-unknown", `Cannot find unit "${word}"`);
      return { name: word, commitAtHand: true, places: found, refusals: [] };
    }
    const begin = word.replace(/\*.*$/, "");
    return { units: places.filter(({ name }) => name.startsWith(begin)) };
  },
  post: () => Promise.reject(new Error("nothing is changed")),
  put: () => Promise.reject(new Error("nothing is changed")),
  delete: () => Promise.reject(new Error("nothing is changed")),
  changes: async function* (signal) {
    for (;;) {
      yield "changed";
      await new Promise<void>((resolve) => {
        changed = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      if (signal.aborted) throw new Problem("aborted", "Cannot wait");
    }
  },
};

async function flotilla(line: string, shell = new FakeShell(), stdout = new FakeOutput()) {
  const tools = fakeTools({ apiClient: async () => client, machineShell: async () => shell, stdout });
  const code = await runCommand(line.split(" "), tools);
  return { code, stdout: stdout.text, stderr: tools.stderr.text, ran: shell.ran };
}

test("journal asks each machine once for all its units", async () => {
  const { ran } = await flotilla("journal log web@1 web@2.service");
  assert.deepEqual(
    ran.map(
      ({ machine, command }) => `${machine} ${command?.filter((word) => word.startsWith("--unit")).join(" ") ?? ""}`,
    ),
    ["m1 --unit=log.service --unit=web@1.service", "m2 --unit=log.service --unit=web@2.service"],
  );
});

test("journal of one machine is as it says it, of several has names in front", async () => {
  assert.equal(
    (await flotilla("journal web@1 -o cat")).stdout,
    "(m1 runs: journalctl --unit=web@1.service --no-pager --lines=10 --output=cat)\n",
  );
  const several = await flotilla(
    "journal web@* -o cat",
    new FakeShell((name) => ({ stdout: `${name} speaks\n`, stderr: "hm\n" })),
  );
  assert.deepEqual([several.stdout, several.stderr], ["m1 | m1 speaks\nm2 | m2 speaks\n", "m1 | hm\nm2 | hm\n"]);
});

test("journal of a unit that moves is that of the machine it moves to", async () =>
  assert.deepEqual(
    (await flotilla("journal moving")).ran.map(({ machine }) => machine),
    ["m2"],
  ));

test("journal tells what has none, and goes on with the others", async () => {
  const { code, stderr, ran } = await flotilla("journal idle lost nothing web@1");
  assert.equal(code, 1);
  assert.deepEqual(
    ran.map(({ machine }) => machine),
    ["m1"],
  );
  assert.match(stderr, /Unit idle\.service does not appear to be running/);
  assert.match(stderr, /Cannot go to lost\.service: its machine 33333333\.\.\. does not answer/);
  assert.match(stderr, /Cannot find unit "nothing\.service"/);
});

test("a machine that cannot be reached does not keep others from speaking; the code is fleet's", async () => {
  const shell = new FakeShell((name) =>
    name === "m1" ? new Problem("ssh-refused", "Cannot reach m1") : { stdout: "here\n" },
  );
  for (const words of ["journal log", "journal -f log"]) {
    const { code, stdout, stderr } = await flotilla(words, shell);
    assert.deepEqual([code, stdout, stderr], [255, "m2 | here\n", "flotilla: Cannot reach m1\n"], words);
  }
  const { code, stdout, stderr } = await flotilla("status log", shell);
  assert.equal(code, 255);
  assert.match(stdout, /\nlog\.service on 22222222\.\.\.\/10\.0\.0\.2 \(m2\)\nhere\n$/);
  assert.equal(stderr, "flotilla: Cannot reach m1\n");
});

test("journal -f goes along when a unit comes to another machine, and ends when it is told to", async () => {
  const shell = new FakeShell((name, command) => ({
    stdout: `${name} ${command.filter((word) => word.startsWith("--unit")).join(" ")}\n`,
  }));
  shell.lasting.add("m1").add("m2");
  const tools = fakeTools({ apiClient: async () => client, machineShell: async () => shell });
  const ended = runCommand(["journal", "-f", "web@1"], tools);
  const until = async (condition: () => boolean) => {
    for (let tries = 0; tries < 1_000 && !condition(); tries++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(condition(), tools.stdout.text + tools.stderr.text);
  };
  await until(() => tools.stdout.text === "m1 --unit=web@1.service\n");
  const moved = place("web@1.service", "2");
  const coming = place("web@1.service", "2", { knowledge: "pending" });
  places.push(coming);
  const look = async () => {
    changed();
    await until(() => tools.clock.sleeping > 0);
    await tools.clock.advance(1_000);
  };
  try {
    await look();
    assert.equal(shell.ran.length, 1);
    places.splice(places.indexOf(coming), 1, moved);
    await look();
    await until(() => tools.stdout.text.endsWith("\nm2 | m2 --unit=web@1.service\n"));
    assert.equal(tools.stderr.text, "web@1.service on 22222222.../10.0.0.2 (m2), too\n");
    assert.equal(shell.ran.length, 2);
    tools.interrupt();
    assert.equal(await ended, 0);
    assert.equal(tools.clock.sleeping, 0);
  } finally {
    places.splice(places.indexOf(moved), 1);
  }
});

test("a reader that goes away ends it", async () => {
  const stdout = new FakeOutput();
  stdout.broken = "output-closed";
  for (const words of ["journal web@1", "journal log", "journal -f log"])
    assert.equal((await flotilla(words, new FakeShell(), stdout)).code, 0, words);
});

test("what a machine says is harmless on a terminal", async () => {
  const shell = new FakeShell(() => ({ stdout: "a\u001b[2Jb\n" }));
  const { stdout } = await flotilla("journal web@1", shell, new FakeOutput({ isTerminal: true }));
  assert.equal(stdout, "a\\x1b[2Jb\n");
});

const logins: readonly (readonly [line: string, machine: string, command: readonly string[] | undefined])[] = [
  ["ssh web@1", "m1", undefined],
  ["ssh 2222", "m2", undefined],
  ["ssh web@1 ls -la --unit x", "m1", ["ls", "-la", "--unit", "x"]],
  ["ssh web@1 -- ls -la", "m1", ["ls", "-la"]],
  ["ssh -A --ssh-port 22 web@1 df -h", "m1", ["df", "-h"]],
  ["ssh --machine 1 ls -la", "m1", ["ls", "-la"]],
  ["ssh --unit=web@2 ls -- -x", "m2", ["ls", "--", "-x"]],
];
for (const [line, on, command] of logins)
  test(line, async () => {
    const { code, ran, stderr } = await flotilla(line);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(ran, [{ how: "attach", machine: on, command }]);
  });

const asFleetctl: readonly (readonly [line: string, command: readonly string[]])[] = [
  ["ssh web@1 x --debug --f --full=true", ["x", "--debug", "--f", "--full=true"]],
  ["--driver api ssh --machine 1 x --driver y", ["x", "--driver", "y"]],
  ["ssh --A web@1 -- x --debug", ["x", "--debug"]],
];
for (const [line, command] of asFleetctl)
  test(`fleetctl ${line}`, async () => {
    const shell = new FakeShell();
    const tools = fakeTools({ apiClient: async () => client, machineShell: async () => shell });
    assert.equal(await runFleetctl(line.split(" "), tools), 0);
    assert.deepEqual(shell.ran, [{ how: "attach", machine: "m1", command }]);
    assert.equal(tools.stderr.text, "");
  });

test("ssh --all runs it everywhere, and ends with the first code that is none", async () => {
  const shell = new FakeShell((name) => ({ stdout: `${name}\n`, status: name === "m2" ? 7 : 0 }));
  const { code, stdout, ran } = await flotilla("ssh --all web@* uptime -p", shell);
  assert.deepEqual([code, stdout], [7, "m1 | m1\nm2 | m2\n"]);
  assert.deepEqual(
    ran.map(({ command }) => command),
    [
      ["sh", "-c", "uptime -p"],
      ["sh", "-c", "uptime -p"],
    ],
  );
});

const wrong: readonly (readonly [line: string, code: number, says: RegExp])[] = [
  ["journal", 2, /Name at least one unit/],
  ["journal -n many web@1", 2, /"many" as --lines/],
  ["journal -o json;x web@1", 2, /as --output/],
  ["ssh", 2, /One machine or unit must be provided/],
  ["ssh --machine 1 --unit web@1", 2, /Both machine and unit flags provided/],
  ["ssh --all log", 2, /Cannot log in on all machines at once/],
  ["ssh log", 1, /unit log is on 2 machines[^]*hint: Name one of them: 11111111 \(m1\), 22222222 \(m2\); or run/],
  ["ssh web@* ls", 2, /--all COMMAND/],
  ["ssh nothing", 1, /could not find matching unit or machine/],
];
for (const [line, code, says] of wrong)
  test(`wrong: ${line}`, async () => {
    const ended = await flotilla(line);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, says);
    assert.deepEqual(ended.ran, []);
  });

for (const [asked, has, expect] of [
  ["/x/api.sock", false, "/x/api.sock"],
  ["/var/run/fleet.sock", true, "/var/run/fleet.sock"],
  ["/var/run/fleet.sock", false, "/run/flotilla/flotilla.sock"],
] as const)
  test(`fd-forward ${asked}, which ${has ? "is" : "is not"} there`, async () => {
    let joined = "";
    const forward = async (socket: string) => void (joined = socket);
    const tools = fakeTools({ hasSocket: async () => has, forward });
    assert.equal(await runCommand(["fd-forward", asked], tools), 0);
    assert.equal(joined, expect);
  });
