import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "../../../agent/cli/args.ts";
import type { AgentRequest, PlaygroundRequest } from "../../../agent/cli/tools.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ApiClient } from "../../../agent/ports/api-client.ts";
import type { Reach } from "../../../agent/ports/reach.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";

const agents: readonly { words: string; expect: AgentRequest }[] = [
  { words: "agent", expect: { config: undefined, flags: {} } },
  { words: "agent --config /x.conf", expect: { config: "/x.conf", flags: {} } },
  {
    words: "agent --git-url /repo --machine-may-lead no",
    expect: { config: undefined, flags: { "--git-url": "/repo", "--machine-may-lead": "no" } },
  },
  { words: "agent --socket /s", expect: { config: undefined, flags: { "--socket": "/s" } } },
  { words: "--socket=/s agent", expect: { config: undefined, flags: { "--socket": "/s" } } },
  { words: "ag --log-level=debug", expect: { config: undefined, flags: { "--log-level": "debug" } } },
];
for (const { words, expect } of agents) {
  test(`flotilla ${words}`, async () => {
    const tools = fakeTools({ env: { FLOTILLA_SOCKET: "/elsewhere" } });
    assert.equal(await runCommand(words.split(" "), tools), 0);
    assert.deepEqual(tools.agents, [expect]);
    assert.equal(tools.stdout.text + tools.stderr.text, "");
  });
}

const playgrounds: readonly { words: string; expect: PlaygroundRequest }[] = [
  { words: "playground", expect: { kind: "run", machines: 3, etcd: false, once: false } },
  { words: "playground --machines 5 --etcd --once", expect: { kind: "run", machines: 5, etcd: true, once: true } },
  { words: "playground kill m1", expect: { kind: "kill", machine: "m1" } },
  { words: "playground start m2", expect: { kind: "start", machine: "m2" } },
];
for (const { words, expect } of playgrounds) {
  test(`flotilla ${words}`, async () => {
    const tools = fakeTools();
    assert.equal(await runCommand(words.split(" "), tools), 0);
    assert.deepEqual(tools.playgrounds, [expect]);
  });
}

const wrong: readonly (readonly [string, RegExp])[] = [
  ["playground --machines 10", /1 to 9/],
  ["playground --machines -1", /1 to 9/],
  ["playground --machines 2.5", /1 to 9/],
  ["playground kill", /Name one/],
  ["playground kill m1 m2", /too many arguments/],
  ["playground kill m1 --etcd", /bringing the cluster up/],
  ["agent --git-ulr x", /Did you mean --git-url\?/],
  ["agent --git-password secret", /unknown option/],
  ["agent extra", /too many arguments/],
  ["stauts", /Did you mean status\?/],
  ["discovery", /It is one of: .*serve/],
  ["discovery srve", /Did you mean discovery serve\?/],
  ["discovery new --size 0", /It is 1 to 9/],
  ["discovery new --at http://x/y", /It is the URL of a discovery service/],
  ["discovery serve --listen 1:2:3", /It is an address and a port/],
  ["discovery serve --cert-file x", /--key-file/],
  ["s", /status or .*sync/],
  ["--sock /x list-units", /Did you mean --socket\?/],
  ["--sokcet=/x", /unknown option '--sokcet=\/x'\nhint: Did you mean --socket\?/],
  ["-x", /unknown option '-x'/],
  ["--socket /x --json", /unknown option '--json'/],
  ["--socket", /'--socket <PATH>' argument missing/],
];
for (const [words, says] of wrong) {
  test(`wrong: flotilla ${words}`, async () => {
    const tools = fakeTools();
    assert.equal(await runCommand(words.split(" "), tools), 2);
    assert.match(tools.stderr.text, says);
    assert.equal(tools.stdout.text, "");
    assert.deepEqual([tools.agents, tools.playgrounds], [[], []]);
  });
}

for (const words of ["", "--help", "-h", "--socket /x", "--socket=/x --tunnel h", "--"]) {
  test(`the help: flotilla ${words}`, async () => {
    const tools = fakeTools();
    const argv = words.split(" ").filter((word) => word !== "");
    assert.equal(await runCommand(argv, tools), 0);
    assert.match(tools.stdout.text, /^Usage: flotilla /);
    assert.equal(tools.stderr.text, "");
  });
}

const sockets: readonly { words: string; env: Record<string, string>; expect: string }[] = [
  { words: "sync", env: {}, expect: "/run/flotilla/flotilla.sock" },
  { words: "sync", env: { FLOTILLA_SOCKET: "" }, expect: "/run/flotilla/flotilla.sock" },
  { words: "sync", env: { FLOTILLA_SOCKET: "/env" }, expect: "/env" },
  { words: "--socket /flag sync", env: { FLOTILLA_SOCKET: "/env" }, expect: "/flag" },
  { words: "sync --socket /flag", env: {}, expect: "/flag" },
  { words: "--socket list-units sync", env: {}, expect: "list-units" },
];
for (const { words, env, expect } of sockets) {
  test(`the socket of flotilla ${words} with ${JSON.stringify(env)}`, async () => {
    let asked = "";
    const apiClient = async (reach: Reach | string): Promise<ApiClient> => {
      asked = typeof reach === "string" ? reach : reach.endpoint.kind === "unix" ? reach.endpoint.path : "";
      throw new Problem("agent-unreachable", "Cannot reach it");
    };
    assert.equal(await runCommand(words.split(" "), fakeTools({ env, apiClient })), 3);
    assert.equal(asked, expect);
  });
}

test("whatever a part throws is one line and an exit code, and no secret place is needed to read it", async () => {
  const cases: readonly { error: Error; code: number; says: RegExp }[] = [
    {
      error: new Problem("x", "Cannot start", { cause: new Error("port in use"), hint: "Wait" }),
      code: 1,
      says: /^flotilla: Cannot start: port in use\nhint: Wait\n$/,
    },
    {
      error: new AggregateError([
        new Problem("a", "Cannot a"),
        new Problem("b", "Cannot b", { at: { file: "f", line: 3 } }),
      ]),
      code: 1,
      says: /^flotilla: Cannot a\nflotilla: f:3: Cannot b\n$/,
    },
    { error: new TypeError("x is not a function"), code: 1, says: /mistake in flotilla itself: x is not a function/ },
    { error: new Problem("x", "Cannot \u001b[2J"), code: 1, says: /^flotilla: Cannot \\x1b\[2J\n$/ },
  ];
  for (const { error, code, says } of cases) {
    const tools = fakeTools({ runAgent: () => Promise.reject(error) });
    assert.equal(await runCommand(["agent"], tools), code);
    assert.match(tools.stderr.text, says);
  }
});

test("ended by a signal before it was done", async () => {
  const over = new AbortController();
  const tools = fakeTools({
    signal: over.signal,
    apiClient: async () => {
      over.abort();
      throw new Problem("aborted", "Cannot finish");
    },
  });
  assert.equal(await runCommand(["sync"], tools), 130);
  assert.equal(tools.stderr.text, "");
});

test("a broken stderr does not hide the exit code", async () => {
  const tools = fakeTools();
  tools.stderr.broken = "output-closed";
  assert.equal(await runCommand(["nonsense"], tools), 2);
});
