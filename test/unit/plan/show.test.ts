import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { UnitName } from "../../../agent/domain/names.ts";
import type { ClusterPlan } from "../../../agent/domain/plan.ts";
import { planMarkdown, planText, refusalMarkdown } from "../../../agent/plan/show.ts";
import { type Case, plan } from "./clusters.ts";

const subject = { kind: "working-copy", path: "." } as const;

function rowsOf(given: Case): readonly string[] {
  const text = planText(plan(given), { subject, full: false, colour: false, nowMs: 0 });
  return (
    text
      .split("\n")
      .slice(4, -1)
      // The reason in full is placement's
      .map((line) => line.replaceAll(/\t+/g, " ").replace(/it leaves .*/, "it leaves ..."))
  );
}

const web = { "web.service": {} };
const log = { "log.service": { machineOf: ["web.service" as UnitName] } };
const eu = [{ key: "region", values: ["eu"] }];

const cases: readonly (Case & { readonly name: string; readonly rows: readonly string[] })[] = [
  {
    name: "one that stops here and starts there is a move, and both say why",
    machines: { a: { has: "web.service log.service" }, b: { metadata: { region: "eu" } } },
    before: { ...web, ...log },
    after: { ...log, "web.service": { text: "2", metadata: eu } },
    rows: [
      "log.service moved move aaaaaaaa.../host-a -> bbbbbbbb.../host-b it leaves ...",
      "web.service changed move aaaaaaaa.../host-a -> bbbbbbbb.../host-b text; it leaves ...",
    ],
  },
  {
    name: "of many machines how many",
    machines: Object.fromEntries(["a", "b", "c", "d"].map((letter) => [letter, { has: "web.service" }])),
    before: { "web.service": { global: true } },
    after: { "web.service": { global: true, text: "2" } },
    rows: ["web.service changed restart 4 machines text"],
  },
  {
    name: "of a few machines which",
    machines: { a: { has: "web.service" }, b: {} },
    before: { "web.service": { global: true } },
    after: { "web.service": { global: true, text: "2" } },
    rows: ["web.service changed start bbbbbbbb.../host-b text", "web.service changed restart aaaaaaaa.../host-a text"],
  },
  {
    name: "templates, inactive units and held ones",
    machines: { a: { has: "web.service" } },
    before: web,
    after: {
      "off.service": { target: "inactive" },
      "t@.service": { template: true },
      "web.service": { target: "inactive" },
    },
    holds: [{ unit: "web.service", target: "launched", why: "migration" }],
    rows: [
      "off.service added - - it wants to be inactive",
      "t@.service added - - a template, which is not run itself",
      "web.service changed - aaaaaaaa.../host-a target; held at launched by ann@lap: migration",
    ],
  },
  {
    name: "from a hand to the repository",
    machines: { a: { has: "web.service" } },
    before: { "web.service": { source: "submitted", target: "loaded" } },
    after: web,
    rows: ["web.service changed start aaaaaaaa.../host-a target loaded -> launched; was submitted by hand"],
  },
  {
    name: "what a machine is called by others is harmless on a terminal",
    machines: { a: { hostname: "x\u001b[2J" } },
    before: {},
    after: web,
    rows: ["web.service added start aaaaaaaa.../x\\x1b[2J -"],
  },
];

suite("a plan as a table", () => {
  for (const { name, rows, ...given } of cases) test(name, () => assert.deepEqual(rowsOf(given), rows));

  test("nothing to do is one line", () => {
    const none = plan({ machines: {}, before: {}, after: {} });
    assert.equal(planText(none, { subject, full: false, colour: true, nowMs: 0 }), "No change\n");
  });

  test("an old state is said to be old", () => {
    const text = planText(plan({ machines: { a: {} }, before: {}, after: web }), {
      ...{ subject, full: false, colour: false, nowMs: 7_200_000 },
    });
    assert.match(text, /^This working copy against ccccccc \(main\), as it was 2h ago\n/);
  });
});

suite("a plan as Markdown", () => {
  const told = (of: ClusterPlan): string => planMarkdown(of, { subject, warnings: [], nowMs: 0 });

  test("what others wrote stands in code spans, and ends no cell", () => {
    const text = told(
      plan({
        machines: { a: { hostname: "`@ann` | <b>", metadata: {} } },
        before: {},
        after: { "web.service": {}, "x.service": { metadata: [{ key: "a|b", values: ["@team"] }] } },
      }),
    );
    assert.ok(text.includes("| `web.service` | added | start | ``aaaaaaaa.../`@ann` \\| <b>`` | - |\n"), text);
    assert.ok(text.includes("- `x.service`: `1 machine: needs a|b=@team (metadata)`\n"), text);
  });

  test("it fits into a comment, whatever there is", () => {
    const machines = Object.fromEntries(Array.from({ length: 26 }, (_, at) => [String.fromCharCode(97 + at), {}]));
    const long = "x".repeat(200);
    const after = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, at) => [
        `${long}${at}.service`,
        { metadata: [{ key: "k", values: [at % 2 === 0 ? long : ""] }], conflicts: [`${long}*`] },
      ]),
    );
    const text = told(plan({ machines, before: {}, after }));
    assert.ok(text.length < 65_536, String(text.length));
    assert.match(text, /\nand \d+ more\n/);
    assert.ok(text.startsWith("**flotilla plan** of this working copy against `ccccccc (main)`: 2000 added; "));
  });

  test("no change, with what is odd folded", () => {
    const none = plan({ machines: {}, before: {}, after: {} });
    const warnings = [{ code: "x", message: "Odd", file: "a.servce" }];
    assert.equal(
      planMarkdown(none, { subject, warnings, nowMs: 0 }),
      "**flotilla plan** of this working copy against `ccccccc (main)`: no change\n\n" +
        "<details><summary>1 warning</summary>\n\n- `a.servce: Odd`\n\n</details>\n",
    );
  });

  test("a refusal lists its problems, so many at most", () => {
    const problems = Array.from({ length: 70 }, (_, line) => ({ code: "x", message: "Cannot read", file: "a", line }));
    const text = refusalMarkdown(problems, { subject: { kind: "working-copy", path: "units" }, warnings: [] });
    assert.match(
      text,
      /^\*\*flotilla plan\*\* of `units`: it would be refused, for 70 problems\n\n- `a:0: Cannot read`\n/,
    );
    assert.match(text, /\n- and 20 more\n$/);
  });
});
