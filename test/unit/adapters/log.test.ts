// Log lines in their three formats, what cannot get into them, and a reader that goes away or stalls.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { suite, test } from "node:test";
import { createLog, streamWriter, type LogOptions } from "../../../agent/adapters/log.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { Log } from "../../../agent/ports/log.ts";

const now = () => new Date(2026, 10, 21, 1, 2, 3).getTime();

function lines(options: Partial<LogOptions>, say: (log: Log) => void): string {
  let text = "";
  say(createLog({ level: "info", format: "text", now, ...options, write: (line) => (text += line) }));
  return text;
}

const refused = new Problem("git-unreachable", 'Cannot reach "git.example"', {
  hint: "Is the network up",
  at: { file: "flotilla.conf", line: 3 },
  cause: new Error("connect ECONNREFUSED", { cause: new Error("connect ECONNREFUSED") }),
});

suite("log", () => {
  const cases: readonly (readonly [string, Partial<LogOptions>, (log: Log) => void, string])[] = [
    [
      "text",
      {},
      (log) => log.info("unit.started", { unit: "web@1.service", tries: 2, first: true }),
      "01:02:03 info  unit.started unit=web@1.service tries=2 first=true\n",
    ],
    ["undefined fields are left out", {}, (log) => log.info("a", { b: undefined }), "01:02:03 info  a\n"],
    [
      "values with blanks are quoted",
      {},
      (log) => log.warn("a", { b: "c d", e: "", f: 'x"y' }),
      '01:02:03 warn  a b="c d" e="" f="x\\"y"\n',
    ],
    [
      "control characters are shown, not obeyed",
      {},
      (log) => log.info("a", { b: "x\n\u001b[2J\u009b1\u202e" }),
      '01:02:03 info  a b="x\\n\\u001b[2J\\u009b1\\u202e"\n',
    ],
    ["below the level", { level: "warn" }, (log) => log.info("a"), ""],
    ["debug", { level: "debug" }, (log) => log.debug("a"), "01:02:03 debug a\n"],
    [
      "with() adds to every line",
      {},
      (log) => log.with({ machine: "m1" }).with({ loop: "sync" }).info("a", { loop: "lead" }),
      "01:02:03 info  a machine=m1 loop=lead\n",
    ],
    [
      "colour",
      { colour: true },
      (log) => log.warn("a", { b: 1 }),
      "01:02:03 \u001b[33mwarn \u001b[0m \u001b[1ma\u001b[0m b=1\n",
    ],
    [
      "journal",
      { format: "journal" },
      (log) => {
        log.info("a", { b: 1 });
        log.warn("c");
        log.error("d", "gone");
      },
      "<6>a b=1\n<4>c\n<3>d error=gone\n",
    ],
    [
      "an error with its causes, each once",
      {},
      (log) => log.error("git.fetch", refused, { try: 1 }),
      '01:02:03 error git.fetch try=1 error="Cannot reach \\"git.example\\": connect ECONNREFUSED" hint="Is the network up" code=git-unreachable at=flotilla.conf:3\n',
    ],
    [
      "a field in the place of the line's own",
      { format: "journal" },
      (log) => log.info("a", { level: "x", event: "y", time: 3 }),
      "<6>a level_=x event_=y time_=3\n",
    ],
  ];
  for (const [name, options, say, expected] of cases) test(name, () => assert.equal(lines(options, say), expected));

  test("errors that were gathered are all told", () => {
    const addresses = new AggregateError([
      new Error("connect ECONNREFUSED ::1:1"),
      new Error("connect ECONNREFUSED 127.0.0.1:1"),
    ]);
    assert.equal(
      lines({ format: "journal" }, (log) =>
        log.error("a", new Problem("x", "Cannot reach etcd", { cause: addresses })),
      ),
      '<3>a error="Cannot reach etcd: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1" code=x\n',
    );
    const problems = new AggregateError(
      [new Problem("x", "Cannot read a"), new Problem("y", "Cannot read b")],
      "Cannot start",
    );
    assert.equal(
      lines({ format: "journal" }, (log) => log.error("a", problems)),
      '<3>a error="Cannot start: Cannot read a; Cannot read b"\n',
    );
  });

  test("json", () => {
    const text = lines({ format: "json" }, (log) => {
      log.error("git.fetch", refused, { commit: "abc" });
    });
    assert.deepEqual(JSON.parse(text), {
      level: "error",
      time: new Date(now()).toISOString(),
      event: "git.fetch",
      commit: "abc",
      error: 'Cannot reach "git.example": connect ECONNREFUSED',
      hint: "Is the network up",
      code: "git-unreachable",
      at: "flotilla.conf:3",
    });
  });

  test("a fault of the program shows where it arose; every line of it has its priority", () => {
    const text = lines({ format: "journal" }, (log) => log.error("loop.failed", new TypeError("x is not a function")));
    const [first, second, ...rest] = text.trimEnd().split("\n");
    assert.equal(first, '<3>loop.failed error="x is not a function"');
    assert.match(second ?? "", /^<3> {4}at .*log\.test\.ts/);
    assert.ok(rest.length < 20 && rest.every((line) => line.startsWith("<3>")));
  });

  test("long fields are cut", () => {
    const text = lines({}, (log) => log.info("a", { b: "x".repeat(5000) }));
    assert.equal(text.length, "01:02:03 info  a b=…\n".length + 2000);
  });

  test("a reader that has gone does not end the process", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const write = streamWriter(stream);
    const closed = new Promise((resolve) => stream.once("close", resolve));
    write("a\n");
    await closed;
    write("b\n");
    assert.equal(stream.destroyed, true);
  });

  test("a reader that stalls costs a bounded amount, and is told what it missed", async () => {
    const stream = new PassThrough({ highWaterMark: 1 });
    const write = streamWriter(stream);
    for (let count = 0; count < 3000; count++) write(`${"x".repeat(1023)}\n`);
    assert.ok(stream.writableLength <= 1024 * 1024 + 1024, String(stream.writableLength));
    let text = "";
    stream.setEncoding("utf8").on("data", (part: string) => (text += part));
    await once(stream, "drain");
    write("last\n");
    stream.end();
    await once(stream, "end");
    const kept = text.split("\n").filter((line) => line.startsWith("xxx")).length;
    assert.match(text, new RegExp(`log.dropped lines=${3000 - kept}\nlast\n$`));
  });

  test("a real process outlives the reader of its stderr", async () => {
    const log = new URL("../../../agent/adapters/log.ts", import.meta.url).href;
    const program = `const { createStderrLog } = await import(${JSON.stringify(log)});
      const log = createStderrLog({ logLevel: "info", logFormat: "text" });
      log.info("first");
      process.stdin.once("data", () => {
        for (let i = 0; i < 100; i++) log.info("more", { i });
        setImmediate(() => setImmediate(() => { process.stdout.write("alive"); process.stdin.destroy(); }));
      });`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: ["pipe", "pipe", "pipe"],
      timeout: 30_000,
    });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (out += part));
    const [first] = (await once(child.stderr, "data")) as [Buffer];
    assert.match(first.toString(), /^\d\d:\d\d:\d\d info {2}first\n$/);
    child.stderr.destroy();
    await once(child.stderr, "close");
    child.stdin.end("go\n");
    const [code] = (await once(child, "close")) as [number];
    assert.deepEqual([code, out], [0, "alive"]);
  });
});
