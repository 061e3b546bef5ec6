// OnPartition=: which units may be stopped by a machine that is cut off, and how long that takes by their own text.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type OptionsReading, readOptions } from "../../../agent/desired/options.ts";
import { parseTimeSpan } from "../../../agent/text/time-span.ts";
import { parseUnitFile } from "../../../agent/text/unit-file.ts";
import { nameOf } from "./build.ts";

const stop = "[X-Fleet]\nOnPartition=stop\n";

function read(name: string, ...texts: readonly string[]): OptionsReading {
  const sources = texts.map((text, index) => {
    const file = index === 0 ? "x" : `x.d/${index}.conf`;
    const parsed = parseUnitFile(text, file);
    assert.ok(parsed.ok);
    return { file, parsed: parsed.value };
  });
  return readOptions(nameOf(name), sources);
}

const bounds: readonly (readonly [
  what: string,
  name: string,
  texts: readonly string[],
  stepMs: number,
  steps: number,
])[] = [
  ["a service that says nothing", "a.service", ["[Service]\nExecStart=/bin/a\n"], 10_000, 1],
  ["a time of its own", "a.service", ["[Service]\nTimeoutStopSec=3\n"], 3_000, 1],
  ["the time for start and stop", "a.service", ["[Service]\nTimeoutSec=1min 30s\n"], 90_000, 1],
  ["the last of both", "a.service", ["[Service]\nTimeoutStopSec=5\nTimeoutSec=2s\n"], 2_000, 1],
  ["a drop-in", "a.service", ["[Service]\nTimeoutStopSec=5\n", "[Service]\nTimeoutStopSec=500ms\n"], 500, 1],
  [
    "an empty one, which systemd passes over",
    "a.service",
    ["[Service]\nTimeoutStopSec=5\nTimeoutStopSec=\n"],
    5_000,
    1,
  ],
  [
    "an empty KillMode=, with which systemd takes back what stands before it",
    "a.service",
    ["[Service]\nTimeoutStopSec=5\nKillMode=process\n", "[Service]\nKillMode=\n"],
    5_000,
    1,
  ],
  ["commands", "a.service", ["[Service]\nTimeoutStopSec=2\nExecStop=/bin/a ; /bin/b\nExecStop=/bin/c\n"], 2_000, 4],
  [
    "commands taken back",
    "a.service",
    ["[Service]\nTimeoutStopSec=2\nExecStop=/bin/a\n", "[Service]\nExecStop=\n"],
    2_000,
    1,
  ],
  [
    "commands after the end",
    "a.service",
    ["[Service]\nTimeoutStopSec=2\nExecStop=/bin/a\nExecStopPost=/bin/b\n"],
    2_000,
    4,
  ],
  ["an instance", "a@1.service", ["[Service]\nTimeoutStopSec=2\nKillMode=mixed\nSendSIGKILL=yes\n"], 2_000, 1],
  ["a template", "a@.service", ["[Service]\nTimeoutStopSec=2\n"], 2_000, 1],
  ["a socket", "a.socket", ["[Socket]\nListenStream=1\n"], 10_000, 0],
  [
    "a socket with commands",
    "a.socket",
    ["[Socket]\nTimeoutSec=1\nExecStopPre=/bin/a\nExecStopPost=/bin/b\n"],
    1_000,
    4,
  ],
  ["a timer", "a.timer", ["[Timer]\nOnCalendar=daily\n"], 0, 0],
  ["a target", "a.target", ["[Unit]\nDescription=A\n"], 0, 0],
];

describe("OnPartition=stop", () => {
  for (const [what, name, texts, stepMs, steps] of bounds) {
    test(`${what}: ${steps} steps of ${stepMs} ms`, () => {
      const { options, problems } = read(name, ...texts, stop);
      assert.deepEqual(problems, []);
      assert.deepEqual(options.fence, { stepMs, stopMs: steps * stepMs });
    });
  }

  for (const text of ["", "[X-Fleet]\nOnPartition=keep\n", `${stop}OnPartition=keep\n`, `${stop}OnPartition=\n`]) {
    test(`${JSON.stringify(text)} fences nothing, however it stops`, () => {
      const { options, problems } = read("a.service", "[Service]\nTimeoutStopSec=infinity\nKillMode=none\n", text);
      assert.deepEqual([options.fence, problems], [undefined, []]);
    });
  }

  const refusals: readonly (readonly [name: string, lines: string, place: string, hint: RegExp])[] = [
    ["a.service", "[Service]\nTimeoutStopSec=infinity\n", "x:2", /never be killed/],
    ["a.service", "[Service]\nTimeoutSec=0\n", "x:2", /never be killed/],
    ["a.service", "[Service]\nTimeoutStopSec=soon\n", "x:2", /10s/],
    ["a.service", "[Service]\nExecStart=/bin/a\nTimeoutStopSec=2h\n", "x:3", /60 min/],
    ["a.service", "[Service]\nKillMode=none\n", "x:2", /mixed/],
    ["a.service", "[Service]\nKillMode=process\n", "x:2", /mixed/],
    ["a.service", "[Service]\nSendSIGKILL=no\n", "x:2", /killed/],
    ["a.service", "[Service]\nFinalKillSignal=SIGQUIT\n", "x:2", /SIGKILL/],
    ["a.service", "[Service]\nTimeoutStopFailureMode=abort\n", "x:2", /terminate/],
    ["a.slice", "[Slice]\n", "x.d/1.conf:2", /units of the slice/],
    ["a.mount", "[Mount]\nWhat=/dev/a\n", "x.d/1.conf:2", /in use/],
    ["a.swap", "[Swap]\nWhat=/dev/a\n", "x.d/1.conf:2", /in use/],
    ["a.automount", "[Automount]\nWhere=/a\n", "x.d/1.conf:2", /in use/],
  ];
  for (const line of ["SendSIGKILL=no", "FinalKillSignal=SIGQUIT", "TimeoutStopFailureMode=abort"]) {
    test(`${line} stands, whatever empty value follows: systemd passes over that one`, () => {
      const empty = `[Service]\n${line.replace(/=.*/, "=")}\n`;
      assert.deepEqual(
        read("a.service", `[Service]\n${line}\n`, empty, stop).problems.map(({ message, at }) => [message, at?.file]),
        [[`Cannot take ${line} with OnPartition=stop in unit "a.service"`, "x"]],
      );
      assert.deepEqual(read("a.service", empty, stop).problems, []);
    });
  }
  for (const [name, lines, place, hint] of refusals) {
    test(`${name} with ${lines.split("\n")[1] || lines.split("\n")[0]} is refused, at ${place}`, () => {
      const { options, problems } = read(name, lines, stop);
      assert.deepEqual(
        problems.map(({ code, at }) => `${code} ${at?.file}:${at?.line}`),
        [`unit-partition ${place}`],
      );
      assert.match(problems[0]?.hint ?? "", hint);
      assert.equal(options.fence, undefined);
    });
  }

  test("what stands in a drop-in is refused there, and a later one may mend it", () => {
    const [bad, good] = ["[Service]\nKillMode=process\n", "[Service]\nKillMode=control-group\n"];
    assert.equal(read("a.service", "[Service]\n", bad, stop).problems[0]?.at?.file, "x.d/1.conf");
    assert.deepEqual(read("a.service", "[Service]\n", bad, good, stop).problems, []);
  });

  test("a global unit runs on every machine: there is no other to be started", () => {
    const { problems } = read("a.service", "[Service]\n[X-Fleet]\nGlobal=true\nOnPartition=stop\n");
    assert.deepEqual(
      problems.map(({ code, message, at }) => [code, message, at?.line]),
      [["unit-option-pair", 'Cannot take Global= and OnPartition= together in unit "a.service"', 4]],
    );
    assert.deepEqual(read("a.service", "[Service]\n[X-Fleet]\nGlobal=true\nOnPartition=keep\n").problems, []);
  });

  test("another word is refused", () => {
    const { problems } = read("a.service", "[Service]\n[X-Fleet]\nOnPartition=stopp\n");
    assert.equal(problems[0]?.code, "unit-option-value");
    assert.match(problems[0].hint ?? "", /did you mean stop/);
  });
});

const spans: Readonly<Record<string, number | undefined>> = {
  "90": 90_000,
  "90s": 90_000,
  "1min 30s": 90_000,
  "1min30s": 90_000,
  "1.5 min": 90_000,
  "2 h": 7_200_000,
  "500ms": 500,
  "1us": 1,
  "0": 0,
  infinity: Infinity,
  "1m": 60_000,
  "1M": 2_630_016_000,
  "": undefined,
  " ": undefined,
  "-5": undefined,
  "5 parsecs": undefined,
  s: undefined,
  "5s,": undefined,
  "1e3": undefined,
};
for (const [text, ms] of Object.entries(spans)) {
  test(`the span ${JSON.stringify(text)} is ${ms}`, () => assert.equal(parseTimeSpan(text), ms));
}
