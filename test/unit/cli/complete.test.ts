// What shells are offered while somebody types: names of the live cluster, quickly, or nothing.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { type Server, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { createApi } from "../../../agent/api/api.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import { describeProgram, runCommand } from "../../../agent/cli/args.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ApiServer } from "../../../agent/ports/api-server.ts";
import { FakeCluster, emptyPicture, sampleIds, sampleMachine, samplePicture } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";
import { silentLog } from "../../fakes/silent-log.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-complete-"));
const socket = join(folder, "api.sock");
const view = new FakeCluster(samplePicture());
let server: ApiServer;

before(async () => {
  const api = createApi({ view, hands: new FakeHands(), clock: createClock(), log: silentLog, version: "1" });
  server = await serveApi(api, { socket });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function offered(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket, ...env } });
  const code = await runCommand(["__complete", ...words], tools);
  return { code, out: tools.stdout.text, err: tools.stderr.text };
}

suite("names of the live cluster", () => {
  const cases: readonly (readonly [words: readonly string[], out: string])[] = [
    [
      ["units", "web@"],
      "web@.service\tWeb server %i\nweb@1.service\tWeb server 1\nweb@2.service\tWeb server 2\nweb@4.service\tWeb server 4\n",
    ],
    [["units", "--", "db"], "db.service\t日本語のデータベース\n"],
    [["units", "fresh"], "fresh.service\tlaunched\n"],
    [["units", "--", "-x"], ""],
    // What means something in a pattern is only itself here
    [["units", "*"], ""],
    [["units", "web@[1"], ""],
    [["machines"], "59f61aeb\tn3, 10.79.0.13\nb40f1753\tn2, 10.79.0.12\nf22c7d6e\tn1\n"],
    [["machines", "f"], "f22c7d6e\tn1\n"],
    [["targets", "f"], "fresh.service\tlaunched\nf22c7d6e\tn1\n"],
    [["metadata", "r"], "region=eu\tmetadata\nregion=us\tmetadata\nrole=db\tmetadata\nrole=web\tmetadata\n"],
    [["toString"], ""],
    [["something-new", "x"], ""],
  ];
  for (const [words, out] of cases)
    test(words.join(" "), async () => assert.deepEqual(await offered(words), { code: 0, out, err: "" }));

  test("machines whose ids begin alike are named whole", async () => {
    const twin = `${sampleIds.n3.slice(0, 8)}${"0".repeat(24)}` as typeof sampleIds.n3;
    const machines = new Map([
      [sampleIds.n3, sampleMachine(sampleIds.n3)],
      [twin, sampleMachine(twin)],
    ]);
    view.change({ ...emptyPicture(), machines });
    try {
      const { out } = await offered(["machines"]);
      assert.equal(out, `${sampleIds.n3}\t\n${twin}\t\n`);
    } finally {
      view.change(samplePicture());
    }
  });
});

suite("nothing is said where nobody answers", () => {
  test("no agent", async () => {
    const env = { FLOTILLA_SOCKET: join(folder, "none") };
    assert.deepEqual(await offered(["units"], env), { code: 0, out: "", err: "" });
  });

  test("an agent that is stuck is not waited for", { timeout: 20_000 }, async (context) => {
    const stuck: Server = createServer(() => undefined);
    const path = join(folder, "stuck");
    await new Promise<void>((resolve) => stuck.listen(path, resolve));
    context.after(() => stuck.close());
    const begun = performance.now();
    assert.deepEqual(await offered(["units"], { FLOTILLA_SOCKET: path }), { code: 0, out: "", err: "" });
    assert.ok(performance.now() - begun < 10_000, "a person would have waited");
  });

  test("an agent without a picture", async () => {
    view.change(samplePicture());
    view.now = new Problem("registry-unreachable", "Cannot reach etcd");
    try {
      assert.deepEqual(await offered(["units"]), { code: 0, out: "", err: "" });
    } finally {
      view.now = samplePicture();
    }
  });

  test("a wrong line, and a cluster behind ssh, which might ask for a password", async () => {
    assert.deepEqual(await offered(["units"], { FLOTILLA_ENDPOINT: "x" }), { code: 0, out: "", err: "" });
    assert.deepEqual(await offered(["units"], { FLOTILLA_TUNNEL: "gate.example.com" }), { code: 0, out: "", err: "" });
  });
});

test("it is for shells, and not named to people", async () => {
  const { commands } = await describeProgram("1");
  assert.ok(!commands.some(({ name }) => name.startsWith("_")));
  const tools = fakeTools();
  assert.equal(await runCommand(["--help"], tools), 0);
  assert.doesNotMatch(tools.stdout.text, /__complete/);
});
