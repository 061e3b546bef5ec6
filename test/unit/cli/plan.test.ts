import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { runCommand } from "../../../agent/cli/args.ts";
import type { ExportedState } from "../../../agent/domain/plan.ts";
import type { ApiClient } from "../../../agent/ports/api-client.ts";
import { unitHash } from "../../../agent/text/hash.ts";
import { FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";
import { type UnitFiles, fakeUnits } from "../../fakes/fake-units.ts";
import { sampleNowMs } from "../../fakes/fake-cluster.ts";
import { stateOf } from "../plan/clusters.ts";

const service = (more = ""): string => `[Service]\nExecStart=/bin/true\n${more}`;
const web = { "web.service": service() };

/** One machine that runs web.service as it is in `web`. */
function cluster(): ExportedState {
  const state = stateOf({ machines: { a: { has: "web.service" } }, before: { "web.service": {} } });
  return {
    ...state,
    atMs: sampleNowMs - 3_600_000,
    units: state.units.map((unit) => ({ ...unit, hash: unitHash(service(), []) })),
  };
}

const states = { states: { "state.json": JSON.stringify(cluster()) } };
const nobody = { apiClient: () => Promise.reject(new Error("No agent may be asked")) };
const agent = {
  apiClient: async () => ({ get: async () => cluster() }) as Partial<ApiClient> as ApiClient,
};

interface Case {
  readonly name: string;
  readonly words: string;
  readonly folders?: Readonly<Record<string, UnitFiles>>;
  readonly commits?: Readonly<Record<string, UnitFiles>>;
  readonly code: number;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
  readonly withAgent?: true;
}

const bad = { "web.service": service("[X-Fleet]\nMachineMetdata=a=b\n") };
const cases: readonly Case[] = [
  {
    name: "nothing changes",
    words: "plan --state state.json",
    folders: { ".": web },
    code: 0,
    stdout: /^No change\n$/,
  },
  {
    name: "an agent is asked",
    words: "plan",
    folders: { ".": web },
    withAgent: true,
    code: 0,
    stdout: /^No change\n$/,
  },
  {
    name: "changes of the current folder",
    words: "plan --state state.json",
    folders: { ".": { ...web, "x.service": service() } },
    code: 2,
    stdout:
      /^This working copy against ccccccc \(main\), as it was 1h ago\n1 added; 1 start on 1 machine\n\nUNIT\t.*\nx\.service\tadded\tstart\taaaaaaaa\.\.\.\/host-a\t-\n$/,
  },
  {
    name: "whole ids",
    words: "plan --state state.json --full",
    folders: { ".": {} },
    code: 2,
    stdout: /\nweb\.service\tremoved\tstop\ta{32}\/host-a\t-\n$/,
  },
  {
    name: "a folder by its name",
    words: "plan units --state state.json",
    folders: { units: { "x.service": service() } },
    commits: { units: web },
    code: 2,
    stdout: /^units against .*\n1 added, 1 removed;/,
  },
  {
    name: "a commit",
    words: "plan main --state state.json",
    commits: { main: { "web.service": service("Environment=A=1\n") } },
    code: 2,
    stdout: /^a1b2c3d Change \| everything against ccccccc \(main\).*\n1 changed; 1 restart on 1 machine\n/,
  },
  {
    name: "a unit that would wait is a change",
    words: "plan --state state.json",
    folders: { ".": { ...web, "x.service": service("[X-Fleet]\nMachineMetadata=region=mars\n") } },
    code: 2,
    stdout:
      /1 added; nothing to do on machines; 1 would wait\n[^]*wait\t-\t1 machine: needs region=mars \(metadata\)\n$/,
  },
  {
    name: "a commit that would be refused, before anybody is asked",
    words: "plan",
    folders: { ".": bad },
    code: 1,
    stdout: /^web\.service:4: Cannot .*"MachineMetdata".*\nhint: Did you mean MachineMetadata\?\n$/,
    stderr: /^The commit would be refused: 1 problem\n$/,
  },
  {
    name: "a refused commit for a program",
    words: "plan --json main",
    commits: { main: bad },
    code: 1,
    stdout: /"kind": "commit"[^]*"code": "unit-unknown-option"/,
  },
  {
    name: "a refused commit for a pull request",
    words: "plan --markdown",
    folders: { ".": bad },
    code: 1,
    stdout: /^\*\*flotilla plan\*\* of this working copy: it would be refused, for 1 problem\n\n- `web\.service:4: /,
  },
  {
    name: "Markdown",
    words: "plan main --markdown --state state.json",
    commits: { main: { ...web, "x.service": service() } },
    code: 2,
    stdout:
      /^\*\*flotilla plan\*\* of `a1b2c3d Change \| everything` against `ccccccc \(main\)`, as it was 1h ago: 1 added; 1 start on 1 machine\n\n\| unit \| change \|.*\n\| --- .*\n\| `x\.service` \| added \| start \| `aaaaaaaa\.\.\.\/host-a` \| - \|\n/,
  },
  {
    name: "odd things are warned of beside the plan",
    words: "plan --state state.json",
    folders: { ".": { ...web, "web.servce": "" } },
    code: 0,
    stdout: /^No change\n$/,
    stderr: /^warning: web\.servce/,
  },
  {
    name: "neither a folder nor a commit",
    words: "plan mian --state state.json",
    code: 1,
    stderr: /^flotilla: Cannot find "mian": no folder and no commit here has this name\nhint: /,
  },
  {
    name: "what begins as a path is one",
    words: "plan ./main",
    commits: { "./main": web },
    code: 1,
    stderr: /^flotilla: Cannot read "\.\/main"/,
  },
  {
    name: "a file of a commit's name is in nobody's way",
    words: "plan web.service --state state.json",
    folders: { "web.service": web },
    commits: { "web.service": web },
    code: 0,
    stdout: /^No change\n$/,
  },
  {
    name: "one file is no commit",
    words: "plan ./web.service",
    folders: { "./web.service": web },
    code: 1,
    stderr: /^flotilla: Cannot plan the file/,
  },
  {
    name: "a state that is not there",
    words: "plan --state other.json",
    folders: { ".": web },
    code: 1,
    stderr: /^flotilla: Cannot read "other\.json"/,
  },
  { name: "two forms at once", words: "plan --json --markdown", code: 1, stderr: /^flotilla: Cannot print both/ },
  { name: "a wrong command line is no change", words: "plan --stat x", code: 1, stderr: /unknown option/ },
];

suite("plan", () => {
  for (const { name, words, folders = {}, commits = {}, code, stdout = /^$/, stderr = /^$/, withAgent } of cases)
    test(name, async () => {
      const tools = fakeTools({
        ...fakeUnits({ ...states, folders, commits }),
        ...(withAgent === true ? agent : nobody),
      });
      const got = await runCommand(words.split(" "), tools);
      assert.match(tools.stderr.text, stderr);
      assert.match(tools.stdout.text, stdout);
      assert.equal(got, code);
    });

  test("JSON has the plan whole, and where it is from", async () => {
    const tools = fakeTools({ ...fakeUnits({ ...states, folders: { ".": { "x.service": service() } } }), ...nobody });
    assert.equal(await runCommand(["plan", "--json", "--state", "state.json"], tools), 2);
    const { subject, problems, against, summary, units } = JSON.parse(tools.stdout.text) as Readonly<
      Record<string, unknown>
    >;
    assert.deepEqual(subject, { kind: "working-copy", path: "." });
    assert.deepEqual([problems, against], [[], { commit: "c".repeat(40), ref: "main" }]);
    assert.deepEqual((summary as { readonly units: unknown }).units, {
      ...{ added: 1, changed: 0, removed: 1, moved: 0, refused: 0 },
    });
    assert.equal((units as readonly unknown[]).length, 2);
  });

  test("a reader that goes away does not change the exit code", async () => {
    const cases = [
      { units: {}, code: 2 },
      { units: bad, code: 1 },
    ];
    for (const { units, code } of cases)
      for (const words of ["plan --state state.json", "plan --state state.json --json"]) {
        const tools = fakeTools({ ...fakeUnits({ ...states, folders: { ".": units } }), ...nobody });
        tools.stdout.broken = "output-closed";
        assert.equal(await runCommand(words.split(" "), tools), code, words);
      }
  });

  test("a terminal has colours", async () => {
    const stdout = new FakeOutput({ isTerminal: true });
    const tools = fakeTools({ ...fakeUnits({ ...states, folders: { ".": {} } }), ...nobody, stdout });
    assert.equal(await runCommand(["plan", "--state", "state.json"], tools), 2);
    assert.match(stdout.text, /\u001b\[31mremoved\u001b\[0m/);
  });
});

suite("state", () => {
  test("prints what plan reads", async () => {
    const tools = fakeTools(agent);
    assert.equal(await runCommand(["state"], tools), 0);
    assert.equal(tools.stdout.text.at(-1), "\n");
    assert.deepEqual(JSON.parse(tools.stdout.text), JSON.parse(JSON.stringify(cluster())));
  });

  test("of another version is refused", async () => {
    const newer = { get: async () => ({ ...cluster(), version: 2 }) } as Partial<ApiClient> as ApiClient;
    const tools = fakeTools({ apiClient: async () => newer });
    assert.equal(await runCommand(["state"], tools), 1);
    assert.match(tools.stderr.text, /^flotilla: Cannot read version 2 of a state in "the agent's answer"\nhint: /);
  });
});
