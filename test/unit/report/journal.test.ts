import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type JournalQuery,
  journalWords,
  mergeLines,
  prefixes,
  statusWords,
  takesPrefix,
  terminalLine,
} from "../../../agent/report/journal.ts";

const usual: JournalQuery = {
  units: ["hello.service"],
  follow: false,
  lines: undefined,
  since: undefined,
  until: undefined,
  output: undefined,
  sudo: false,
  colour: false,
  several: false,
};

const cases: readonly (readonly [name: string, query: Partial<JournalQuery>, expect: string])[] = [
  ["as fleet asked", {}, "journalctl --unit=hello.service --no-pager --lines=10 --output=short"],
  [
    "units of one machine",
    { units: ["a.service", "b.timer"] },
    "journalctl --unit=a.service --unit=b.timer --no-pager --lines=10 --output=short",
  ],
  [
    "followed",
    { follow: true, lines: "1", output: "cat" },
    "journalctl --unit=hello.service --no-pager --lines=1 --output=cat --follow",
  ],
  ["all since", { since: "-1h" }, "journalctl --unit=hello.service --no-pager --output=short --since=-1h"],
  [
    "some of a span",
    { since: "today", until: "now", lines: "5" },
    "journalctl --unit=hello.service --no-pager --lines=5 --output=short --since=today --until=now",
  ],
  [
    "of several machines",
    { several: true },
    "journalctl --unit=hello.service --no-pager --lines=10 --output=short-iso-precise --utc",
  ],
  [
    "of several, as was asked",
    { several: true, output: "json" },
    "journalctl --unit=hello.service --no-pager --lines=10 --output=json",
  ],
  [
    "with colour",
    { colour: true },
    "env SYSTEMD_COLORS=1 SYSTEMD_URLIFY=0 journalctl --unit=hello.service --no-pager --lines=10 --output=short",
  ],
  [
    "sudo passes no colour on",
    { colour: true, sudo: true },
    "sudo journalctl --unit=hello.service --no-pager --lines=10 --output=short",
  ],
];
for (const [name, query, expect] of cases)
  test(`journal ${name}`, () => assert.equal(journalWords({ ...usual, ...query }).join(" "), expect));

test("status, of a unit that is called as an option, too", () => {
  const common = "systemctl status --no-pager --full --";
  assert.equal(statusWords("a.service", false).join(" "), `${common} a.service`);
  assert.equal(statusWords("-Hroot@db.service", false).join(" "), `${common} -Hroot@db.service`);
});

test("programs' outputs have nothing in front", () =>
  assert.deepEqual([undefined, "short", "cat", "json", "json-pretty", "export"].filter(takesPrefix), [
    undefined,
    "short",
    "cat",
  ]));

test("lines of several machines in the order of time; what has none follows its line", () => {
  const merged = mergeLines([
    ["2026-11-20T14:00:01.000001+0000 a x[1]: one", "    goes on", "2026-11-20T14:00:03.000000+0000 a x[1]: three"],
    ["\u001b[1m2026-11-20T14:00:01.000000+0000 b x[1]: zero\u001b[0m", "2026-11-20T14:00:02.000000+0000 b x[1]: two"],
    ["-- No entries --"],
  ]);
  assert.deepEqual(
    merged.map(({ machine, line }) => `${machine} ${line.replace(/.*: /, "")}`),
    ["2 -- No entries --", "1 zero\u001b[0m", "0 one", "0     goes on", "1 two", "0 three"],
  );
});

const machine = (id: string, hostname: string) => ({ id, hostname, ip: "", alive: true });

test("hostnames in front, of one width", () =>
  assert.deepEqual(prefixes([machine("1", "a"), machine("2", "日本")], false), ["a    | ", "日本 | "]));

test("ids where hostnames are alike or none", () => {
  const [first, second] = ["1234567890", "abcdefabcd"];
  assert.deepEqual(prefixes([machine(first, "a"), machine(second, "a")], false), ["12345678 | ", "abcdefab | "]);
  assert.deepEqual(prefixes([machine(first, "a"), machine(second, "")], false), ["12345678 | ", "abcdefab | "]);
});

test("each machine has its colour", () =>
  assert.deepEqual(prefixes([machine("1", "a"), machine("2", "b")], true), [
    "\u001b[36ma |\u001b[0m ",
    "\u001b[33mb |\u001b[0m ",
  ]));

test("a terminal obeys colours alone", () =>
  assert.equal(
    terminalLine("\u001b[31mred\u001b[0m\tx\u001b[2Jy\u001b]0;title\u0007\u202e"),
    "\u001b[31mred\u001b[0m\tx\\x1b[2Jy\\x1b]0;title\\x07\\u{202e}",
  ));
