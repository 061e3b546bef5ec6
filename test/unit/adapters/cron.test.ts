// Which schedules are accepted, and when they are due.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSchedule, createCron } from "../../../agent/adapters/cron.ts";
import { describeProblem, toRecord } from "../../../agent/domain/problem.ts";

for (const expression of [
  "*/30 * * * * *",
  "* * * * *",
  "0 3 * * mon-fri",
  "0 0 29 2 *",
  "@hourly",
  "0,30 */6 * * *",
  "  */5 * * * *  ",
  "*/59 * * * *",
])
  test(`accepts "${expression}"`, () =>
    assert.deepEqual(checkSchedule(expression), { ok: true, value: expression.trim() }));

const refused = [
  { expression: "", says: "between 1 and 256" },
  { expression: "*".repeat(300), says: "between 1 and 256" },
  { expression: "* * * *", says: "five fields" },
  { expression: "* * * * * * *", says: "five fields" },
  { expression: "*/90 * * * *", says: "/90 of the minute must be between 1 and 59" },
  { expression: "*/60 * * * * *", says: "/60 of the second must be between 1 and 59" },
  { expression: "0 */25 * * *", says: "/25 of the hour must be between 1 and 23" },
  { expression: "0 0 */40 * *", says: "/40 of the day of the month" },
  { expression: "*/0 * * * *", says: "/0 of the minute" },
  { expression: "61 * * * *", says: "out of range" },
  { expression: "0 0 31 2 *", says: "No date within eight years" },
  { expression: "@reboot", says: "crontab" },
  { expression: "every day of the week", says: "crontab" },
];
for (const { expression, says } of refused)
  test(`refuses "${expression.slice(0, 30)}"`, () => {
    const checked = checkSchedule(expression);
    if (checked.ok) assert.fail("It was accepted");
    const line = describeProblem(toRecord(checked.problems[0]!));
    assert.match(line, /^Cannot use the schedule "/);
    assert.ok(line.includes(says), line);
    assert.ok(!line.includes("\n"), "one line");
  });

test("the next moment lies after the given one, on the grid of the schedule", () => {
  const cron = createCron();
  const start = Date.now();
  let at = start;
  for (let round = 0; round < 5; round++) {
    const next = cron.next("*/30 * * * * *", at);
    assert.ok(next > at, `${next} > ${at}`);
    assert.ok(next - at <= 30_000);
    assert.equal(next % 30_000, 0);
    at = next;
  }
  assert.equal(cron.next("*/30 * * * * *", at), at + 30_000, "from a moment on the grid: the one after it");
});

test("a daily schedule is due once a day", () => {
  const cron = createCron();
  const noon = new Date();
  noon.setHours(12, 0, 0, 0);
  const next = new Date(cron.next("15 3 * * *", noon.getTime()));
  assert.deepEqual([next.getHours(), next.getMinutes(), next.getSeconds()], [3, 15, 0]);
  const gapHours = (cron.next("15 3 * * *", next.getTime()) - next.getTime()) / 3_600_000;
  assert.ok(gapHours >= 23 && gapHours <= 25, `${gapHours} h`);
});
