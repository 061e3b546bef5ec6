// Unit names: fleet's cases F-001 to F-027, the marked ones in their corrected form.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type UnitName,
  isInstance,
  isTemplate,
  mangleUnitName,
  maxUnitNameBytes,
  parseUnitHash,
  parseUnitName,
  unitNameParts,
} from "../../../agent/domain/names.ts";

function nameOf(text: string): UnitName {
  const parsed = parseUnitName(text);
  assert.ok(parsed.ok, `refused: ${text}`);
  return parsed.value;
}

const longName = (bytes: number, type: string): string => `${"a".repeat(bytes - type.length - 1)}.${type}`;

const refused: readonly { readonly id: string; readonly names: readonly string[]; readonly says: RegExp }[] = [
  { id: "F-001 empty", names: [""], says: /it is empty/ },
  { id: "F-002 257 bytes", names: [longName(257, "service")], says: /longer than 253 bytes/ },
  { id: "F-003 512 bytes", names: [longName(512, "mount")], says: /longer than 253 bytes/ },
  { id: "F-012 256 bytes, which systemd refuses", names: [longName(256, "service")], says: /longer than 253 bytes/ },
  {
    id: "254 bytes, whose drop-ins no folder could hold",
    names: [longName(254, "service")],
    says: /longer than 253 bytes/,
  },
  { id: "F-004 no type", names: ["fooservice", "barmount", "bar@foo"], says: /it has no type/ },
  { id: "F-005 ends in a dot", names: ["foo.", "foo.service.", "foo@foo.service."], says: /ends in "\."/ },
  { id: "F-006 unknown type", names: ["foo.bar", "hello.cerveza", "foo.servICE"], says: /is not a unit type/ },
  {
    id: "F-007 bad character",
    names: ["foo%.service", "foo$asd.service", "hello##.mount", "yes/no.service", "this+that.mount"],
    says: /holds the character "[%$#/+]"/,
  },
  { id: "F-008 bad character in a template", names: ["dog=woof@.mount"], says: /holds the character "="/ },
  { id: "F-009 starts with @", names: ["@foo.service", "@this.mount"], says: /starts with "@"/ },
  {
    id: "F-010 type not for templates",
    names: ["automount", "mount", "slice", "swap"].map((type) => `foo@1.${type}`),
    says: /cannot be a template or an instance/,
  },
  {
    id: "F-010 type that flotilla never places",
    names: ["busname", "device", "scope", "snapshot"].flatMap((type) => [`foo@1.${type}`, `foo.${type}`]),
    says: /units of type "\w+" cannot be placed/,
  },
  {
    id: "F-014 shell patterns",
    names: ["foo@{1,3}.service", "foo@{1..3}.service", "foo.{1-3}.service"],
    says: /holds the character "\{"/,
  },
  { id: "F-015 empty prefix", names: [".service", ".mount"], says: /nothing stands before the type/ },
  { id: "paths", names: ["../foo.service", "a/b.service", "/etc/x.service"], says: /holds the character "\/"/ },
  { id: "dots", names: [".", ".."], says: /ends in "\."/ },
  {
    id: "blanks and controls",
    names: ["foo .service", "foo\n.service", "foo\0.service", "f\u{2028}.service"],
    says: /holds the character/,
  },
  { id: "type with a line end", names: ["foo.service\n"], says: /is not a unit type/ },
  { id: "type from the prototype", names: ["foo.constructor", "foo.__proto__"], says: /is not a unit type/ },
  { id: "not ASCII", names: ["grüße.service", "🐟.service"], says: /holds the character/ },
];
for (const { id, names, says } of refused) {
  for (const name of names) {
    test(`${id}: ${JSON.stringify(name.slice(0, 40))} is refused`, () => {
      const parsed = parseUnitName(name);
      assert.ok(!parsed.ok);
      assert.equal(parsed.problems.length, 1);
      assert.equal(parsed.problems[0]!.code, "unit-name");
      assert.match(parsed.problems[0]!.message, says);
      assert.ok(parsed.problems[0]!.message.length < 300);
      assert.doesNotMatch(parsed.problems[0]!.message, /[\x00-\x1f\x7f]/);
    });
  }
}

const accepted = [
  ...["foo.service", "hello.mount", "foo@123.service", "foo@.service", "yo.yo.service", "hello@world.path"],
  ...["hello:world.service", "yes@no\\.service", "foo-bar.mount", "jalapano_chips.service"], // F-011
  ...["path", "service", "socket", "target", "timer"].map((type) => `foo@1.${type}`), // F-013
  longName(maxUnitNameBytes, "service"), // F-012
  "-.mount",
  "data.swap",
  "x.slice",
];
for (const name of accepted) {
  test(`F-011, F-013: ${name.slice(0, 40)} is accepted`, () => {
    assert.deepEqual(parseUnitName(name), { ok: true, value: name });
  });
}

const parts = [
  { id: "F-016", name: "foo.service", is: "plain", prefix: "foo" },
  { id: "F-017", name: "foo@.service", is: "template", prefix: "foo", template: "foo@.service" },
  { id: "F-018", name: "foo@bar.service", is: "instance", prefix: "foo", template: "foo@.service", instance: "bar" },
  {
    id: "F-019",
    name: "foo@bar@baz.service",
    is: "instance",
    prefix: "foo",
    template: "foo@.service",
    instance: "bar@baz",
  },
  { id: "F-020", name: "foo.1@.service", is: "template", prefix: "foo.1", template: "foo.1@.service" },
  {
    id: "F-020",
    name: "foo.1@2.service",
    is: "instance",
    prefix: "foo.1",
    template: "foo.1@.service",
    instance: "2",
  },
  { id: "F-021", name: "ssh@.socket", is: "template", prefix: "ssh", template: "ssh@.socket" },
  { id: "F-021", name: "ssh@1.socket", is: "instance", prefix: "ssh", template: "ssh@.socket", instance: "1" },
  {
    id: "dots in the instance",
    name: "a@1.2.service",
    is: "instance",
    prefix: "a",
    template: "a@.service",
    instance: "1.2",
  },
];
for (const { id, name, is, ...expect } of parts) {
  test(`${id}: ${name} taken apart`, () => {
    const unit = nameOf(name);
    const dot = name.lastIndexOf(".");
    assert.deepEqual(unitNameParts(unit), { stem: name.slice(0, dot), type: name.slice(dot + 1), ...expect });
    assert.equal(isTemplate(unit), is === "template");
    assert.equal(isInstance(unit), is === "instance");
  });
}

test("F-022: a name without a type is not taken apart, since it is never a name", () => {
  assert.ok(!parseUnitName("foo").ok);
  assert.ok(!parseUnitName("bar@baz").ok);
});

const mangled: readonly (readonly [id: string, argument: string, name: string])[] = [
  ["F-025", "foo", "foo.service"],
  ["F-025", "foo.service", "foo.service"],
  ["F-025", "foo.link", "foo.link.service"],
  ["F-026", "foo.1", "foo.1.service"],
  ["F-026", "foo/bar.socket", "bar.socket"],
  ["F-026", "foo.socket", "foo.socket"],
  ["F-027", "u.target", "u.target"],
  ["F-024", "data.swap", "data.swap"],
  ["F-023", "sda.device", "sda.device"],
  ["whole path", "/srv/units/web@1.service", "web@1.service"],
  ["nothing", "units/", ""],
  ["upwards", "../..", "...service"],
];
for (const [id, argument, name] of mangled) {
  test(`${id}: "${argument}" means "${name}"`, () => assert.equal(mangleUnitName(argument), name));
}

test("F-031: a hash is read back; a text of other length or case is not one", () => {
  const text = "1c6fb6f3684bafb0c173d8b8b957ceff031180c1";
  assert.deepEqual(parseUnitHash(text), { ok: true, value: text });
  for (const other of [text.slice(1), `${text}0`, text.toUpperCase(), ""]) assert.ok(!parseUnitHash(other).ok);
});
