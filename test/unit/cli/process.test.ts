// The whole command as a process: outputs that close or are full, signals, exit codes.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { createApi } from "../../../agent/api/api.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import type { Log } from "../../../agent/ports/log.ts";
import { FakeCluster, emptyPicture, samplePicture } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";

const main = join(import.meta.dirname, "../../../agent/main.ts");
const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quiet,
};

async function cluster(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-process-"));
  const view = new FakeCluster(samplePicture());
  const api = createApi({ view, hands: new FakeHands(), clock: createClock(), log: quiet, version: "1" });
  const server = await serveApi(api, { socket: join(folder, "api.sock") });
  context.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { view, socket: server.socket };
}

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

function flotilla(
  context: TestContext,
  words: string,
  more: { socket?: string; stdout?: number; script?: string } = {},
) {
  const script = more.script ?? main;
  const child: ChildProcess = spawn(process.execPath, ["--import", "tsx", script, ...words.split(" ")], {
    stdio: ["ignore", more.stdout ?? "pipe", "pipe"],
    env: { PATH: process.env["PATH"], FLOTILLA_SOCKET: more.socket ?? "/nonexistent/api.sock" },
  });
  context.after(() => child.kill("SIGKILL"));
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, stderr }));
  });
  const firstOutput = new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
  return { child, ended, firstOutput };
}

test("version", async (context) => {
  const { child, ended } = flotilla(context, "--version");
  let said = "";
  child.stdout?.on("data", (text: Buffer) => (said += text.toString()));
  assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
  assert.match(said, /^flotilla version \S+\n$/);
});

for (const link of ["fleetctl", "flotilla", "not-fleetctl"]) {
  test(`called by a link ${link}`, async (context) => {
    const { socket } = await cluster(context);
    const path = join(dirname(socket), link);
    symlinkSync(main, path);
    const { child, ended } = flotilla(context, "version", { socket, script: path });
    let said = "";
    child.stdout?.on("data", (text: Buffer) => (said += text.toString()));
    assert.equal((await ended).code, 0);
    assert.match(said, link === "fleetctl" ? /^fleetctl version \S+\n$/ : /^flotilla version \S+\n$/);
  });
}

test("no agent", async (context) => {
  const { code, stderr } = await flotilla(context, "list-units").ended;
  assert.equal(code, 3);
  assert.match(stderr, /^flotilla: Cannot reach the agent .*\nhint: .*\n$/);
});

test("a reader that goes away ends the watching, quietly", async (context) => {
  const { view, socket } = await cluster(context);
  const { child, ended, firstOutput } = flotilla(context, "list-units --watch", { socket });
  await firstOutput;
  child.stdout?.destroy();
  view.change(emptyPicture());
  assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
});

test("Ctrl-C ends the watching, as the usual way out", async (context) => {
  const { socket } = await cluster(context);
  const { child, ended, firstOutput } = flotilla(context, "status --watch", { socket });
  await firstOutput;
  child.kill("SIGINT");
  assert.deepEqual(await ended, { code: 0, signal: null, stderr: "" });
});

test("a signal while an answer is awaited is not a success", async (context) => {
  const { view, socket } = await cluster(context);
  let told: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (told = resolve));
  view.syncs = () => {
    told();
    return new Promise(() => undefined);
  };
  const { child, ended } = flotilla(context, "sync", { socket });
  await asked;
  child.kill("SIGTERM");
  assert.deepEqual(await ended, { code: 130, signal: null, stderr: "" });
});

test("a full disk is a failure that is said", async (context) => {
  const { socket } = await cluster(context);
  const full = openSync("/dev/full", "w");
  context.after(() => closeSync(full));
  const { code, stderr } = await flotilla(context, "list-units", { socket, stdout: full }).ended;
  assert.equal(code, 1);
  assert.match(stderr, /^flotilla: Cannot write the output: ENOSPC/);
});
