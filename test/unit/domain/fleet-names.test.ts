// Unit names in fleet's words: its cases, and what flotilla refuses beyond them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fleetNameFault } from "../../../agent/domain/fleet-names.ts";

const cases: readonly (readonly [string, string | undefined])[] = [
  ["hello.service", undefined],
  ["foo\\x2d1@bar:baz_.socket", undefined],
  ["", "unit name cannot be empty"],
  [`${"a".repeat(256)}.service`, "unit name exceeds maximum length (253)"],
  ["noext", 'unit name must contain "."'],
  ["x.", 'unit name cannot end in "."'],
  ["x.foo", 'invalid unit type: "foo"'],
  ["x.device", 'invalid unit type: "device"'],
  ["x@1.mount", 'invalid unit type for template: "mount"'],
  ["bad name.service", "invalid character ' ' in unit name"],
  ["bad/name.service", "invalid character '/' in unit name"],
  ["bad\nname.service", "invalid character '\\n' in unit name"],
  ["it's.service", "invalid character '\\'' in unit name"],
  ["@foo.service", 'unit name cannot start in "@"'],
  [".service", 'Cannot take ".service" as a unit name: nothing stands before the type'],
];
for (const [name, fault] of cases)
  test(`${JSON.stringify(name.slice(0, 30))}: ${fault ?? "good"}`, () => assert.equal(fleetNameFault(name), fault));
