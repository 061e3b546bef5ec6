// A tunnel that breaks under many questions at once: one new one is made for all, and nothing of the old one stays. In the place
// of ssh stands a program that hands on from socket to socket.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createApiClient } from "../../agent/adapters/api-client.ts";
import { serveApi } from "../../agent/adapters/api-server.ts";
import { createClock } from "../../agent/adapters/clock.ts";
import { createApi } from "../../agent/api/api.ts";
import { usualSshTimeoutMs } from "../../agent/ports/reach.ts";
import { FakeCluster, samplePicture } from "../fakes/fake-cluster.ts";
import { FakeHands } from "../fakes/fake-hands.ts";
import { silentLog } from "../fakes/silent-log.ts";

/** `-L SOCKET:PATH`; ends with its input. Its process id goes to the file STARTED. */
const ssh = `
  const { appendFileSync, renameSync } = require("node:fs");
  const { connect, createServer } = require("node:net");
  appendFileSync(process.env.STARTED, process.pid + "\\n");
  const [socket, path] = process.argv[process.argv.indexOf("-L") + 1].split(":");
  createServer((from) => {
    const to = connect(path);
    for (const [one, other] of [[from, to], [to, from]]) one.on("error", () => other.destroy()).pipe(other);
  }).listen(socket + ".new", () => renameSync(socket + ".new", socket)); // ssh listens as soon as it is there
  process.stdin.resume().on("end", () => process.exit());
`;

test("a tunnel that breaks is made anew once for all, and nothing of it stays", { timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-tunnel-"));
  const [program, script, started] = [join(folder, "ssh"), join(folder, "ssh.cjs"), join(folder, "started")];
  writeFileSync(script, ssh);
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${script}" "$@"\n`);
  chmodSync(program, 0o755);
  const temporary = join(folder, "tmp");
  mkdirSync(temporary);
  const api = join(folder, "api.sock");
  const view = new FakeCluster(samplePicture());
  const handler = createApi({ view, hands: new FakeHands(), clock: createClock(), log: silentLog, version: "1" });
  const server = await serveApi(handler, { socket: api });
  const pids = () => readFileSync(started, "utf8").trim().split("\n").map(Number);
  t.after(async () => {
    for (const pid of pids()) if (isThere(pid)) process.kill(pid, "SIGKILL");
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const listenersBefore = process.listenerCount("exit");
  const client = createApiClient(
    {
      endpoint: { kind: "unix", path: api },
      tls: {},
      ssh: { tunnel: { host: "far.example" }, timeoutMs: usualSshTimeoutMs },
    },
    { PATH: `${folder}:/usr/bin:/bin`, TMPDIR: temporary, STARTED: started },
  );
  const askTen = () => Promise.all(Array.from({ length: 10 }, () => client.get("/v2")));
  await askTen();
  for (let round = 1; round <= 2; round++) {
    assert.equal(pids().length, round);
    const pid = pids().at(-1)!;
    process.kill(pid, "SIGKILL");
    while (isThere(pid)) await sleep(10);
    await askTen();
  }
  assert.equal(pids().length, 3, "one for all");
  assert.equal(readdirSync(temporary).length, 1, "the folder of the one that stands");
  assert.equal(process.listenerCount("exit") - listenersBefore, 2);
});

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // it has ended
  }
}
