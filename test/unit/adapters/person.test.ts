import assert from "node:assert/strict";
import { hostname, userInfo } from "node:os";
import { test } from "node:test";
import { whoAsks } from "../../../agent/adapters/person.ts";

const cases: readonly (readonly [env: Readonly<Record<string, string>>, user: string])[] = [
  [{ USER: "ann" }, "ann"],
  [{ USER: "root", SUDO_USER: "ann", LOGNAME: "root" }, "ann"],
  [{ USER: "", LOGNAME: "ann" }, "ann"],
  [{ USER: "j\u00fcrgen\n" }, "j?rgen?"],
  [{}, userInfo().username],
];
for (const [env, user] of cases)
  test(`${JSON.stringify(env)}: ${user}`, () => assert.equal(whoAsks(env), `${user}@${hostname()}`));

test("a name as long as a book is cut", () => assert.equal(whoAsks({ USER: "a".repeat(1000) }).length, 128));
