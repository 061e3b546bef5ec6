import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runCommand } from "../../../agent/cli/args.ts";
import type { BootResult, BootStatus, DryRun } from "../../../agent/domain/boot-result.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { BootRequest, FirstBoot } from "../../../agent/ports/first-boot.ts";
import { FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";

const result: BootResult = {
  version: "1",
  bootId: "b",
  pid: 1,
  state: "done",
  startedMs: 1,
  endedMs: 2,
  probes: [],
  findings: [],
  problems: [],
  steps: [],
  left: [],
  watch: [],
  stages: [],
};
const whole: BootStatus = {
  standing: "whole",
  code: 0,
  isMoving: false,
  waitsFor: [],
  result,
  units: [],
  problems: [],
};
const dry: DryRun = {
  source: { name: "file", where: "x", isKept: false },
  mode: "alone",
  isRefused: false,
  findings: [],
  problems: [],
  steps: [],
  left: [],
  watch: [],
  diff: "+ a \u001b[31mline\n",
  unseen: [],
};

function given(more: Partial<FirstBoot> = {}): { boot: FirstBoot; runs: BootRequest[]; waits: (number | undefined)[] } {
  const runs: BootRequest[] = [];
  const waits: (number | undefined)[] = [];
  const boot: FirstBoot = {
    run: async (request) => {
      runs.push(request);
      return result;
    },
    dryRun: async (request) => {
      runs.push(request);
      return dry;
    },
    status: async () => whole,
    wait: async (timeoutMs, { progress }) => {
      waits.push(timeoutMs);
      progress({ ...whole, waitsFor: [{ what: "a.service: activating (start)", sinceMs: 0 }] });
      return { ...whole, standing: "waiting", code: 2 };
    },
    readFile: async () => new TextEncoder().encode("#cloud-config\nhostname: a\n"),
    ...more,
  };
  return { boot, runs, waits };
}

describe("flotilla bootstrap", () => {
  const good: readonly (readonly [line: string, request: BootRequest])[] = [
    [
      "bootstrap",
      { sources: { file: undefined, url: undefined, only: undefined, timeoutMs: undefined }, mode: undefined },
    ],
    [
      "bootstrap --from-file /x --timeout 90s --alone",
      { sources: { file: "/x", url: undefined, only: undefined, timeoutMs: 90_000 }, mode: "alone" },
    ],
    [
      "bootstrap --source ec2,nocloud --beside-cloud-init --dry-run",
      {
        sources: { file: undefined, url: undefined, only: ["nocloud", "ec2"], timeoutMs: undefined },
        mode: "beside-cloud-init",
      },
    ],
  ];
  for (const [line, request] of good)
    test(line, async () => {
      const { boot, runs } = given();
      const tools = fakeTools({ firstBoot: async () => boot });
      assert.equal(await runCommand(line.split(" "), tools), 0, tools.stderr.text);
      assert.deepEqual(runs, [request]);
    });

  const bad: readonly (readonly [line: string, says: RegExp])[] = [
    ["bootstrap statsu", /Did you mean bootstrap status/],
    ["bootstrap user-data.yaml", /Files go with --validate/],
    ["bootstrap --validate", /Cannot validate without a file/],
    ["bootstrap --source ec3", /Did you mean ec2/],
    ["bootstrap --source file", /Cannot ask the source "file"/],
    ["bootstrap --from-file a --from-url http:\/\/b", /from two places/],
    ["bootstrap --alone --beside-cloud-init", /alone and beside/],
    ["bootstrap --timeout soon", /Cannot take "soon" as --timeout/],
    ["bootstrap status --dry-run", /Cannot use --dry-run with bootstrap status/],
    ["bootstrap status --timeout 0", /Cannot take "0" as --timeout/],
  ];
  for (const [line, says] of bad)
    test(`${line} is a mistake`, async () => {
      const { boot, runs } = given();
      const tools = fakeTools({ firstBoot: async () => boot });
      assert.equal(await runCommand(line.split(" "), tools), 2);
      assert.match(tools.stderr.text, says);
      assert.deepEqual(runs, []);
    });

  test("a run that did not do all of it ends with 1, and one without rights says so", async () => {
    const failed: BootResult = {
      ...result,
      steps: [{ id: "a", stage: "late", does: "a", result: "failed" }],
    };
    for (const run of [
      async () => ({ ...result, state: "failed" as const }),
      async () => failed,
      () => Promise.reject(new Problem("bootstrap-root", "Cannot set up", { hint: "sudo" })),
    ]) {
      const tools = fakeTools({ firstBoot: async () => given({ run }).boot });
      assert.equal(await runCommand(["bootstrap"], tools), 1);
    }
  });

  test("a plan does what it likes to no terminal", async () => {
    const tools = fakeTools({ firstBoot: async () => given().boot });
    await runCommand(["bootstrap", "--dry-run"], tools);
    assert.ok(!tools.stdout.text.includes("\u001b"));
    assert.match(tools.stderr.text, /Plan: nothing would change/);
    const json = fakeTools({ firstBoot: async () => given().boot });
    await runCommand(["bootstrap", "--dry-run", "--json"], json);
    assert.deepEqual(JSON.parse(json.stdout.text), dry);
  });

  test("files are checked", async () => {
    const tools = fakeTools({ firstBoot: async () => given().boot });
    assert.equal(await runCommand(["bootstrap", "--validate", "a", "-"], tools), 0);
    assert.match(tools.stderr.text, /2 files checked: 0 errors/);
  });

  test("the options behind status are the status's", async () => {
    const { boot, runs, waits } = given();
    const tools = fakeTools({ firstBoot: async () => boot });
    assert.equal(await runCommand(["bootstrap", "status", "--wait", "--timeout", "2min", "--json"], tools), 2);
    assert.deepEqual(waits, [120_000]);
    assert.deepEqual(runs, []);
    assert.equal((JSON.parse(tools.stdout.text) as BootStatus).standing, "waiting");
    assert.equal(tools.stderr.text, "", "nothing but data where nobody looks");
  });

  test("what is waited for stands on one line of a terminal, which is cleared", async () => {
    const tools = fakeTools({ firstBoot: async () => given().boot });
    const terminal = { ...tools, stderr: new FakeOutput({ isTerminal: true }) };
    assert.equal(await runCommand(["bootstrap", "status", "--wait"], terminal), 2);
    assert.match(terminal.stderr.text, /waiting for a\.service: activating \(start\)/);
    assert.ok(terminal.stderr.text.endsWith("\r\u001b[K"));
    assert.match(tools.stdout.text, /State: not whole yet/);
  });
});
