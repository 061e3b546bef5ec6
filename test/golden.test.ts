// What the commands print, against text files: a command above, what it prints below. The real API on a real unix socket,
// asked by the real client; only the cluster is made up. UPDATE_GOLDEN=1 writes the files anew: read the difference.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createApi } from "../agent/api/api.ts";
import { serveApi } from "../agent/adapters/api-server.ts";
import { runCommand } from "../agent/cli/args.ts";
import { runFleetctl } from "../agent/cli/fleetctl.ts";
import { Problem } from "../agent/domain/problem.ts";
import type { ApiServer } from "../agent/ports/api-server.ts";
import type { ClusterView } from "../agent/ports/cluster.ts";
import type { Log } from "../agent/ports/log.ts";
import { FakeClock } from "./fakes/fake-clock.ts";
import {
  FakeCluster,
  alonePicture,
  crowdedPicture,
  emptyPicture,
  heldPicture,
  sampleCommit,
  sampleNowMs,
  samplePicture,
} from "./fakes/fake-cluster.ts";
import { FakeHands } from "./fakes/fake-hands.ts";
import { FakeShell } from "./fakes/fake-shell.ts";
import { FakeOutput, fakeTools } from "./fakes/fake-tools.ts";
import { fakeUnits } from "./fakes/fake-units.ts";

const folder = join(import.meta.dirname, "golden");
const rewrite = process.env["UPDATE_GOLDEN"] === "1";
const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quiet,
};

/** Which cluster a file's commands are put to: the first part of its name. */
const clusters: Readonly<Record<string, () => ClusterView>> = {
  sample: () => new FakeCluster(samplePicture()),
  // The same with two units held and one submitted by hand
  held: () => new FakeCluster(heldPicture()),
  // A unit that no machine takes, reserves, a cordon
  crowded: () => new FakeCluster(crowdedPicture()),
  empty: () => new FakeCluster(emptyPicture()),
  // An agent that has not yet got the adopted commit
  behind: () => new FakeCluster({ ...samplePicture(), desired: undefined, decisions: [] }),
  // etcd is away and the agent has no picture
  away: () => new FakeCluster(new Problem("registry-unreachable", "Cannot reach etcd", { hint: "It is tried again" })),
  // etcd is away, and this is what one machine of the sample knows
  alone: () => new FakeCluster(alonePicture()),
  adopting: () => {
    const cluster = new FakeCluster(samplePicture());
    cluster.syncs = async () => ({ outcome: "adopted", commit: sampleCommit, problems: [] });
    return cluster;
  },
  refusing: () => {
    const cluster = new FakeCluster(samplePicture());
    const { refused } = samplePicture().revision;
    cluster.syncs = async () => ({
      outcome: "refused",
      problems: refused?.problems ?? [],
      ...(refused === undefined ? {} : { commit: refused.commit }),
    });
    return cluster;
  },
};

/** What plan is asked about: `next` has some of the sample's units with other texts, some not, and new ones. */
const service = (more = ""): string => `[Service]\nExecStart=/bin/sleep infinity\n${more}`;
const next = {
  "hello.service": service("[X-Fleet]\nOnChange=reload\n"),
  "log.service": service("[X-Fleet]\nGlobal=true\n"),
  "fresh.service": service("[X-Fleet]\nMachineMetadata=role=db\n"),
  "lost.service": service(),
  "mars.service": service("[X-Fleet]\nMachineMetadata=planet=mars\n"),
  "off.service": service("[X-Fleet]\nDesiredState=inactive\n"),
  "web@.service": service("[X-Fleet]\nConflicts=web@*.service\n"),
  ...Object.fromEntries(["1", "2", "4", "5"].map((each) => [`web@${each}.service`, "-> web@.service"])),
};
const plans = fakeUnits({
  folders: { next, refused: { "hello.service": service("[X-Fleet]\nGlobl=true\n") } },
  commits: { "v1.2": next },
});

const scratch = mkdtempSync(join(tmpdir(), "flotilla-golden-"));
const servers: ApiServer[] = [];

before(async () => {
  for (const [name, make] of Object.entries(clusters)) {
    const api = createApi({
      view: make(),
      hands: new FakeHands(),
      clock: new FakeClock({ wallMs: sampleNowMs }),
      log: quiet,
      version: "1.2.3",
    });
    servers.push(await serveApi(api, { socket: join(scratch, name) }));
  }
});
after(async () => {
  for (const server of servers) await server.close();
  rmSync(scratch, { recursive: true, force: true });
});

const files = readdirSync(folder).filter((name) => name.endsWith(".txt"));
assert.ok(files.length > 0, "there are golden files");
for (const file of files) {
  test(`golden ${file}`, async () => {
    const path = join(folder, file);
    const expected = readFileSync(path, "utf8");
    const commands = expected.split("\n").filter((line) => line.startsWith("$ "));
    assert.ok(commands.length > 0, "there are commands");
    let actual = "";
    for (const command of commands) actual += await record(command, file);
    if (rewrite) writeFileSync(path, actual);
    else assert.equal(actual, expected);
  });
}

/** `$ flotilla list-units`, or with fleetctl (with `NAME=value` before it, `--on-terminal` after) and what came of it, as the files have it. */
async function record(line: string, file: string): Promise<string> {
  const words = line
    .slice(2)
    .split(" ")
    .map((word) => word.replaceAll("<SCRATCH>", scratch));
  const program = words.findIndex((word) => word === "flotilla" || word === "fleetctl");
  const assignments = words.slice(0, program);
  const [cluster = ""] = file.split("-");
  const env = {
    FLOTILLA_SOCKET: join(scratch, cluster),
    ...Object.fromEntries(assignments.map((each) => each.split("=", 2) as [string, string])),
  };
  const argv = words.slice(program + 1);
  const isTerminal = argv.at(-1) === "#terminal";
  const tools = fakeTools({
    env,
    stdout: new FakeOutput({ isTerminal }),
    machineShell: async () => new FakeShell(),
    ...plans,
  });
  const run = words[program] === "fleetctl" ? runFleetctl : runCommand;
  const code = await run(isTerminal ? argv.slice(0, -1) : argv, tools);
  const errors = tools.stderr.text.replaceAll(/^(?=.)/gm, "[stderr] ");
  const said = `${tools.stdout.text}${errors}`.replaceAll("\u001b", "<ESC>").replaceAll(scratch, "<SCRATCH>");
  return `${line}\n${said}[exit ${code}]\n\n`;
}
