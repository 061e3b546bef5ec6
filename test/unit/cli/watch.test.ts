// --watch against the real API: redraws, an agent that goes and comes back, Ctrl-C.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createApi } from "../../../agent/api/api.ts";
import { serveApi } from "../../../agent/adapters/api-server.ts";
import { createClock } from "../../../agent/adapters/clock.ts";
import { runCommand } from "../../../agent/cli/args.ts";
import type { ApiServer } from "../../../agent/ports/api-server.ts";
import type { Log } from "../../../agent/ports/log.ts";
import { FakeCluster, emptyPicture, sampleIds, sampleMachine, samplePicture } from "../../fakes/fake-cluster.ts";
import { FakeHands } from "../../fakes/fake-hands.ts";
import { type FakeTools, FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";

const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quiet,
};
const oneMachine = { ...emptyPicture(), machines: new Map([[sampleIds.n1, sampleMachine(sampleIds.n1)]]) };

async function agent(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-watch-"));
  const socket = join(folder, "api.sock");
  const view = new FakeCluster(oneMachine);
  let server: ApiServer | undefined;
  const start = async () => {
    server = await serveApi(
      createApi({ view, hands: new FakeHands(), clock: createClock(), log: quiet, version: "1" }),
      { socket },
    );
  };
  const stop = async () => server?.close();
  await start();
  context.after(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { view, socket, start, stop };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  while (!condition()) {
    deadline.throwIfAborted();
    await turn();
  }
}

function watching(context: TestContext, tools: FakeTools, words: string) {
  const done = runCommand(words.split(" "), tools);
  // Also when the test fails, so that nothing listens on
  context.after(() => tools.interrupt());
  return done;
}

test("in a pipe every change is printed, what has not changed is not, Ctrl-C ends it well", async (context) => {
  const { view, socket } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  const done = watching(context, tools, "list-machines --watch --fields machine");
  await until(() => tools.stdout.writes.length === 1);
  view.change(oneMachine);
  view.change(samplePicture());
  await until(() => tools.stdout.writes.length === 2);
  tools.interrupt();
  assert.equal(await done, 0);
  assert.equal(tools.stdout.text, "MACHINE\nf22c7d6e...\n\nMACHINE\n59f61aeb...\nb40f1753...\nf22c7d6e...\n");
  assert.equal(tools.stderr.text, "");
  await until(() => view.listeners.size === 0);
});

test("JSON is one document a line", async (context) => {
  const { view, socket } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  const done = watching(context, tools, "list-machines --watch --json");
  await until(() => tools.stdout.writes.length === 1);
  view.change(samplePicture());
  await until(() => tools.stdout.writes.length === 2);
  tools.interrupt();
  await done;
  const documents = tools.stdout.text.trimEnd().split("\n");
  const counts = documents.map((line) => (JSON.parse(line) as { machines: unknown[] }).machines.length);
  assert.deepEqual(counts, [1, 3]);
});

test("on a terminal it is redrawn in place, cut to the screen, and the last state stays", async (context) => {
  const { view, socket } = await agent(context);
  const stdout = new FakeOutput({ isTerminal: true, rows: 4 });
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket, NO_COLOR: "1" }, stdout });
  const done = watching(context, tools, "list-machines --watch --fields machine");
  await until(() => stdout.writes.length === 1);
  assert.equal(stdout.writes[0], "\u001b[?1049h\u001b[HMACHINE\u001b[K\nf22c7d6e...\u001b[K\n\u001b[J");
  view.change(samplePicture());
  await until(() => stdout.writes.length === 2);
  assert.equal(stdout.writes[1], "\u001b[HMACHINE\u001b[K\n59f61aeb...\u001b[K\nand 2 more\u001b[K\n\u001b[J");
  tools.interrupt();
  assert.equal(await done, 0);
  assert.equal(stdout.writes[2], "\u001b[?1049lMACHINE\n59f61aeb...\nb40f1753...\nf22c7d6e...\n");
});

test("on a terminal lines that wrap take more than one row", async (context) => {
  const { view, socket } = await agent(context);
  const clear = "\u001b[K\n";
  const first = async (words: string, size: { readonly rows: number; readonly columns: number }): Promise<string> => {
    const stdout = new FakeOutput({ isTerminal: true, ...size });
    const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket, NO_COLOR: "1" }, stdout });
    const done = watching(context, tools, words);
    await until(() => stdout.writes.length === 1);
    tools.interrupt();
    await done;
    return (stdout.writes[0] ?? "").replace("\u001b[?1049h\u001b[H", "").replace("\u001b[J", "");
  };
  view.change(samplePicture());
  const ids = "list-machines --watch --full --no-legend --fields machine";
  const { n1, n2, n3 } = sampleIds;
  assert.equal(await first(ids, { rows: 7, columns: 20 }), [n3, n2, n1, ""].join(clear), "two rows for each");
  assert.equal(await first(ids, { rows: 6, columns: 20 }), [n3, n2, "and 1 more", ""].join(clear));
  assert.equal(await first(ids, { rows: 5, columns: 20 }), [n3, "and 2 more", ""].join(clear));
  const document = await first("list-machines --watch --json", { rows: 5, columns: 20 });
  assert.match(document, /^\{"machines":\[.{47}\u001b\[K\nand more\u001b\[K\n$/, "what is longer than the screen");
});

test("an agent that goes away is waited for, with growing pauses, and said once", async (context) => {
  const { view, socket, start, stop } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  const done = watching(context, tools, "list-machines --watch --no-legend --fields machine");
  await until(() => tools.stdout.writes.length === 1);
  await stop();
  await until(() => tools.clock.sleeping === 1);
  await tools.clock.advance(250);
  await until(() => tools.clock.sleeping === 1);
  await tools.clock.advance(499);
  assert.equal(tools.clock.sleeping, 1, "the second pause is longer");
  view.change(samplePicture());
  await start();
  await tools.clock.advance(1);
  await until(() => tools.stdout.writes.length === 2);
  tools.interrupt();
  assert.equal(await done, 0);
  assert.equal(tools.stderr.text.match(/Cannot/g)?.length, 1);
  assert.equal(tools.clock.sleeping, 0);
});

const alone = { ...oneMachine, stale: true as const };

test("a registry that is away is told of once, and marks every document", async (context) => {
  const { view, socket } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  const done = watching(context, tools, "list-machines --watch --json");
  for (const [at, now] of [oneMachine, alone, { ...alone, machines: new Map() }, oneMachine, alone].entries()) {
    view.change(now);
    await until(() => tools.stdout.writes.length === at + 1);
  }
  await until(() => tools.stderr.writes.length === 2);
  tools.interrupt();
  assert.equal(await done, 0);
  const documents = tools.stdout.text.trimEnd().split("\n");
  const marks = documents.map((line) => (JSON.parse(line) as { stale?: boolean }).stale);
  assert.deepEqual(marks, [undefined, true, true, undefined, true]);
  const said = tools.stderr.text.match(/Cannot tell more than this machine knows while the registry is away/g);
  assert.equal(said?.length, 2, "once for each time");
});

test("on a terminal it stands below what this machine knows, for as long as the registry is away", async (context) => {
  const { view, socket } = await agent(context);
  view.now = alone;
  const stdout = new FakeOutput({ isTerminal: true, rows: 9 });
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket, NO_COLOR: "1" }, stdout });
  const done = watching(context, tools, "list-machines --watch --no-legend --fields machine");
  const note = "\u001b[KCannot tell more than this machine knows while the registry is away";
  await until(() => stdout.writes.length === 2);
  assert.equal(stdout.writes[1], note);
  view.change(oneMachine);
  await until(() => stdout.writes.length === 3);
  assert.equal(stdout.writes[2], "\u001b[Hf22c7d6e...\u001b[K\n\u001b[J");
  view.change(alone);
  await until(() => stdout.writes.length === 5);
  tools.interrupt();
  assert.equal(await done, 0);
  assert.equal(stdout.writes[5], "\u001b[?1049lf22c7d6e...\n");
  assert.match(
    tools.stderr.text,
    /^flotilla: Cannot tell more than this machine knows/,
    "what stays is not taken for all",
  );
});

test("a reader that has gone ends the command quietly", async (context) => {
  const { view, socket } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  const done = watching(context, tools, "list-units --watch");
  await until(() => tools.stdout.writes.length === 1);
  tools.stdout.broken = "output-closed";
  view.change(samplePicture());
  assert.equal(await done, 0);
  assert.equal(tools.stderr.text, "");
  await until(() => view.listeners.size === 0);
});

test("a full disk behind stdout is a failure", async (context) => {
  const { socket } = await agent(context);
  const tools = fakeTools({ env: { FLOTILLA_SOCKET: socket } });
  tools.stdout.broken = "output-failed";
  assert.equal(await runCommand(["list-units"], tools), 1);
  assert.match(tools.stderr.text, /Cannot write/);
});
