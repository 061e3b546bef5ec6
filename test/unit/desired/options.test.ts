// [X-Fleet]: fleet's cases F-060 to F-096 and F-100 to F-119, the marked ones and those of silence in corrected form.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isKnownOption } from "../../../agent/desired/option-reading.ts";
import { expandSpecifiers, readBoolean, readItems, splitItems } from "../../../agent/desired/option-values.ts";
import { type OptionsReading, readOptions } from "../../../agent/desired/options.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { patternTest } from "../../../agent/text/conflict.ts";
import { parseUnitFile } from "../../../agent/text/unit-file.ts";
import { nameOf } from "./build.ts";

/** Reads `lines` as the [X-Fleet] section of a unit, with further texts as drop-ins. */
function read(lines: readonly string[], more: { name?: string; dropIns?: readonly string[] } = {}): OptionsReading {
  const texts = [["[X-Fleet]", ...lines].join("\n"), ...(more.dropIns ?? [])];
  const sources = texts.map((text, index) => {
    const file = index === 0 ? "x" : `x.d/${index}.conf`;
    const parsed = parseUnitFile(text, file);
    assert.ok(parsed.ok);
    return { file, parsed: parsed.value };
  });
  return readOptions(nameOf(more.name ?? "test.service"), sources);
}

/** What is not the default, of a reading without problems. */
function asked(lines: readonly string[], more: { name?: string; dropIns?: readonly string[] } = {}): object {
  const { options, problems } = read(lines, more);
  assert.deepEqual(
    problems.map(({ message, hint }) => `${message} (${hint ?? ""})`),
    [],
  );
  const { machineId, machineOf, metadata, conflicts, replaces, global } = options.placement;
  return {
    ...(machineId === undefined ? {} : { machineId }),
    ...(machineOf.length === 0 ? {} : { machineOf }),
    ...(metadata.length === 0 ? {} : { metadata: metadata.map(({ key, values }) => `${key}=${values.join("|")}`) }),
    ...(conflicts.length === 0 ? {} : { conflicts }),
    ...(replaces.length === 0 ? {} : { replaces }),
    ...(global ? { global } : {}),
    ...(options.target === "launched" ? {} : { target: options.target }),
    ...(options.onChange === "restart" ? {} : { onChange: options.onChange }),
  };
}

const splits: readonly (readonly [id: string, raw: string, items: readonly string[]])[] = [
  ["F-060", '"bar" "ping" "pong"', ["bar", "ping", "pong"]],
  ["F-060", '"bar"', ["bar"]],
  ["F-060", "", [""]],
  ["F-060", '""', [""]],
  ["F-061", '"bar', ['"bar']],
  ["F-061", 'bar"', ['bar"']],
  ["F-061", 'foo\\"bar', ['foo\\"bar']],
  ["F-062", '"bar" "', ["bar", ""]],
  ["F-062", '"foo\\"bar"', ["foo\\bar"]],
  ["F-063", '"k=v"  "k2=v2"', ["k=v", "", "k2=v2"]],
  ["4.1", '"x""y"', ["xy"]],
  ["4.1", '"a b" "c"', ["a b", "c"]],
];
for (const [id, raw, items] of splits) test(`${id}: ${raw} split`, () => assert.deepEqual(splitItems(raw), items));

for (const raw of ['"bar', 'bar"', 'foo\\"bar', '"bar" "', '"foo\\"bar"', '""', "", 'a "b"', '"a" b']) {
  test(`F-061, F-062, better: the list ${raw || "(empty)"} is a slip`, () => assert.ok("fix" in readItems(raw)));
}
test("F-063, better: two blanks between items make no empty one", () =>
  assert.deepEqual(readItems('"k=v"  "k2=v2"'), { value: ["k=v", "k2=v2"] }));

const specifiers: readonly (readonly [id: string, name: string, expected: readonly string[]])[] = [
  ["F-068", "test.service", ["test.service", "test", "test", ""]],
  ["F-069", "ssh@2.service", ["ssh@2.service", "ssh@2", "ssh", "2"]],
  ["F-070", "foo@bar.target", ["foo@bar.target", "foo@bar", "foo", "bar"]],
];
for (const [id, name, expected] of specifiers) {
  test(`${id}: specifiers in ${name}`, () => {
    const values = ["%n", "%N", "%p", "%i"].map((text) => expandSpecifiers(text, nameOf(name)));
    assert.deepEqual(
      values,
      expected.map((value) => ({ value })),
    );
    assert.deepEqual(expandSpecifiers("100%% of %p", nameOf(name)), { value: `100% of ${expected[2] ?? ""}` });
    assert.deepEqual(expandSpecifiers("%%i", nameOf(name)), { value: "%i" });
    for (const text of ["%x", "%", "a%", "% i"]) assert.ok("fix" in expandSpecifiers(text, nameOf(name)));
  });
}

for (const [word, value] of Object.entries({ true: true, True: true, Yes: true, On: true, 1: true, t: true })) {
  test(`F-089, F-091: ${word} is yes`, () => assert.deepEqual(readBoolean(word), { value }));
}
for (const word of ["false", "no", "0", "off", "f", "No", "OFF"]) {
  test(`F-091: ${word} is no`, () => assert.deepEqual(readBoolean(word), { value: false }));
}
for (const word of ["what", "12", "", "y", "enable"]) {
  test(`F-088, better: "${word}" is no word`, () => assert.ok("fix" in readBoolean(word)));
}

const legacyMetadata = "X-ConditionMachineMetadata";
const accepted: readonly (readonly [id: string, lines: readonly string[], expected: object])[] = [
  ["F-064", [], {}],
  ["F-071", ['MachineOf="lol.service"'], { machineOf: ["lol.service"] }],
  ["F-071", ['MachineOf="foo.service" "bar.service"'], { machineOf: ["foo.service", "bar.service"] }],
  ["4.3", ["MachineOf=b.service", "X-ConditionMachineOf=a.service"], { machineOf: ["a.service", "b.service"] }],
  ["F-072", ["Conflicts=*bar*"], { conflicts: ["*bar*"] }],
  ["F-072", ["Conflicts=*bar* *foo*"], { conflicts: ["*bar*", "*foo*"] }],
  ["F-072", ["Conflicts=*bar*", "Conflicts=*foo*"], { conflicts: ["*bar*", "*foo*"] }],
  ["F-092", ["X-Conflicts=*bar*"], { conflicts: ["*bar*"] }],
  ["F-073", ["Replaces=*bar*"], { replaces: ["*bar*"] }],
  ["F-074", ["MachineID=123"], { machineId: "123" }],
  ["F-075", ['MachineID="123" "456"'], { machineId: "123" }],
  ["F-076", ['X-ConditionMachineID="123" "456"'], { machineId: "123" }],
  ["F-077", ["X-ConditionMachineID=456", "MachineID=123"], { machineId: "123" }],
  ["F-077", ["MachineID=123", "X-ConditionMachineID=456"], { machineId: "123" }],
  ["F-078", ["X-ConditionMachineBootID=123"], { machineId: "123" }],
  ["F-079", ["X-ConditionMachineBootID=123", "X-ConditionMachineID=456"], { machineId: "456" }],
  ["F-079", ["X-ConditionMachineBootID=123", "MachineID=456"], { machineId: "456" }],
  ["F-081", ["MachineMetadata=foo=bar"], { metadata: ["foo=bar"] }],
  ["F-082", ['MachineMetadata="foo=bar" "foo=baz"'], { metadata: ["foo=bar|baz"] }],
  ["F-082", ["bar", "baz", "asdf"].map((value) => `MachineMetadata=foo=${value}`), { metadata: ["foo=bar|baz|asdf"] }],
  ["F-083", ['MachineMetadata="foo=bar" "duck=quack"'], { metadata: ["duck=quack", "foo=bar"] }],
  ["F-084", [`${legacyMetadata}=foo=bar`], { metadata: ["foo=bar"] }],
  ["F-084", ["MachineMetadata=foo=asdf", `${legacyMetadata}=foo=bar`], { metadata: ["foo=bar|asdf"] }],
  [
    "F-086",
    [
      "MachineMetadata=oh=yeah",
      "MachineMetadata=whynot=zoidberg",
      `${legacyMetadata}=oh=no`,
      `${legacyMetadata}="one=abc" "two=def"`,
    ],
    { metadata: ["oh=no|yeah", "one=abc", "two=def", "whynot=zoidberg"] },
  ],
  ["4.4", ["MachineMetadata=note=two words"], { metadata: ["note=two words"] }],
  ["F-088", ["Global=false"], {}],
  ["F-088", ["Global="], {}],
  ["F-089", ["Global=Yes"], { global: true }],
  ["F-090", ["Global=true", "Global=false"], {}],
  ["F-090", ["Global=false", "Global=true"], { global: true }],
  ["F-096", ["DesiredState=loaded"], { target: "loaded" }],
  ["F-096", ["DesiredState=inactive"], { target: "inactive" }],
  ["F-096", ["DesiredState=launched"], {}],
  ["own", ["OnChange=reload"], { onChange: "reload" }],
  ["reset", ["MachineOf=a.service", "MachineOf=", "MachineOf=b.service"], { machineOf: ["b.service"] }],
  ["reset of older names too", ["X-Conflicts=a*", "Conflicts="], {}],
  ["reset of a state", ["DesiredState=loaded", "DesiredState="], {}],
  ["reset of an id", ["MachineID=123", "MachineID="], {}],
  // F-100 to F-117: what may stand together
  ["F-101", ["Conflicts=foo.service", "Conflicts=bar.service"], { conflicts: ["foo.service", "bar.service"] }],
  [
    "F-102",
    ["Conflicts=foo.service", "MachineOf=bar.service"],
    { conflicts: ["foo.service"], machineOf: ["bar.service"] },
  ],
  ["F-103", ["Conflicts=b*e", "MachineOf=foo.service"], { conflicts: ["b*e"], machineOf: ["foo.service"] }],
  ["F-107", ["Replaces=foo.service", "Replaces=bar.service"], { replaces: ["foo.service", "bar.service"] }],
  [
    "F-107",
    ["Replaces=foo.service", "MachineOf=bar.service"],
    { replaces: ["foo.service"], machineOf: ["bar.service"] },
  ],
  ["F-110", ["MachineID=0123abcd"], { machineId: "0123abcd" }],
  ["F-114", ["Global=true"], { global: true }],
  ["F-114", ["Global=true", "Conflicts=a*"], { global: true, conflicts: ["a*"] }],
  ["F-115", ["Global=false", "MachineOf=a.service"], { machineOf: ["a.service"] }],
];
for (const [id, lines, expected] of accepted) {
  test(`${id}: ${lines.join(" / ") || "nothing"}`, () => assert.deepEqual(asked(lines), expected));
}

const refused: readonly (readonly [id: string, lines: readonly string[], code: string, says: RegExp])[] = [
  ["F-085", ["MachineMetadata=foo="], "unit-option-value", /key=value/],
  ["F-085", ["MachineMetadata==asdf"], "unit-option-value", /key=value/],
  ["F-085", ["MachineMetadata=foo=asdf=WHAT"], "unit-option-value", /key=value/],
  [
    "F-087",
    ["MachineMetadata=region=a region=b"],
    "unit-option-value",
    /Quote each item: MachineMetadata="region=a" "region=b"/,
  ],
  ["F-087", ["MachineMetadata=region eu"], "unit-option-value", /Quote each item: MachineMetadata="region" "eu"/],
  ["F-061", ['MachineMetadata="a=b'], "unit-option-value", /quote/],
  ["F-088", ["Global=what"], "unit-option-value", /Write one of true, yes, 1, on, t, false, no, 0, off, f$/],
  ["F-088", ["Global=12"], "unit-option-value", /Write one of true/],
  ["F-090", ["Global=what", "Global=true"], "unit-option-value", /Write one of true/],
  ["F-095", ["MachineID="], "unit-option-value", /empty id/],
  ["F-095", ['MachineID=""'], "unit-option-value", /at least one/],
  ["F-095", ["MachineID=%i"], "unit-option-value", /empty id/],
  ["F-096", ["DesiredState=active"], "unit-option-value", /did you mean inactive/],
  ["F-096", ["DesiredState=Loaded"], "unit-option-value", /did you mean loaded/],
  ["own", ["OnChange=restrat"], "unit-option-value", /did you mean restart/],
  ["MachineOf", ["MachineOf=a.service b.service"], "unit-option-value", /MachineOf="a.service" "b.service"/],
  ["MachineOf", ["MachineOf=a"], "unit-option-value", /a\.service/],
  ["MachineOf", ["MachineOf=a*.service"], "unit-option-value", /patterns are not read/],
  ["MachineOf", ["MachineOf=a@.service"], "unit-option-value", /template is never run/],
  ["MachineOf", ["MachineOf=a@%i.service"], "unit-option-value", /template is never run/],
  ["MachineOf", ["MachineOf=test.service"], "unit-option-value", /follow itself/],
  ["MachineOf", ["MachineOf=%n"], "unit-option-value", /follow itself/],
  ["specifier", ["Conflicts=%H*"], "unit-option-value", /"%H" is none of/],
  ["glob", ["Conflicts=a* [b"], "unit-option-value", /no end/],
  ["glob", ["Replaces=a b"], "unit-option-value", /Replaces="a" "b"/],
  ["unknown", ["MachineMetdata=a=b"], "unit-unknown-option", /Did you mean MachineMetadata\?/],
  ["F-093", ["MachineId=abc"], "unit-unknown-option", /Did you mean MachineID\?/],
  ["F-093", ["Machineof=abc"], "unit-unknown-option", /Did you mean MachineOf\?/],
  ["F-093", ["global=true"], "unit-unknown-option", /Did you mean Global\?/],
  ["F-065", ["Foo=bar"], "unit-unknown-option", /Options are MachineID/],
  ["misplaced", ["WantedBy=multi-user.target"], "unit-unknown-option", /under \[Install\]/],
  ["prototype", ["constructor=1"], "unit-unknown-option", /Options are/],
  ["F-104", ["Conflicts=foo.service", "MachineOf=foo.service"], "unit-option-pair", /apart/],
  ["F-105", ["Conflicts=foo.service", "Conflicts=bar.service", "MachineOf=bar.service"], "unit-option-pair", /apart/],
  ["F-106", ["Conflicts=b*e", "MachineOf=bar.service"], "unit-option-pair", /apart/],
  ["F-106", ["Conflicts=b*e", "MachineOf=baz.service"], "unit-option-pair", /apart/],
  ["F-108", ["Replaces=a*", "Conflicts=b*"], "unit-option-pair", /one of the two/],
  ["F-109", ["Replaces=foo.service", "Replaces=bar.service", "MachineOf=bar.service"], "unit-option-pair", /apart/],
  ["F-111", ["MachineID=01234567", "MachineOf=a.service"], "unit-option-pair", /one of the two/],
  ["F-111", ["MachineID=01234567", 'MachineOf="a.service" "b.service"'], "unit-option-pair", /one of the two/],
  ["F-112", ["MachineID=01234567", "Conflicts=a b"], "unit-option-pair", /one of the two/],
  ["F-113", ["MachineID=01234567", "Replaces=a*"], "unit-option-pair", /one of the two/],
  ["F-115", ["Global=true", "MachineOf=a.service"], "unit-option-pair", /one of the two/],
  ["F-116", ["Global=true", "MachineID=01234567"], "unit-option-pair", /one of the two/],
  ["F-116", ["MachineID=01234567", "Global=true"], "unit-option-pair", /one of the two/],
  ["F-117", ["Global=true", "Replaces=a*"], "unit-option-pair", /one of the two/],
  ["F-119", ["Conflicts=a* b*", "MachineOf=ab.service"], "unit-option-pair", /apart/],
];
for (const [id, lines, code, says] of refused) {
  test(`${id}: ${lines.join(" / ")} is refused`, () => {
    const { problems } = read(lines);
    assert.deepEqual(
      problems.map((problem) => problem.code),
      [code],
    );
    assert.match(problems[0]!.hint ?? "", says);
    assert.equal(problems[0]!.at?.file, "x");
    assert.ok((problems[0]!.at.line ?? 0) >= 2);
  });
}

test("all problems are told, each at its line", () => {
  const { problems } = read(["MachineMetadata=a=", "Global=x", "Foo=1", "MachineID=01234567", "Conflicts=a*"]);
  assert.deepEqual(problems.map(({ at }) => at?.line).sort(), [2, 3, 4, 6]);
});

for (const name of [
  "X-ConditionConflicts",
  "X-Peers",
  "X-Global",
  "X-ConditionMachineId",
  "X-MachineMetadata",
  "X-ConditionMetadata",
  "X-Foo",
]) {
  test(`F-065, F-093: ${name} only warns, and changes nothing`, () => {
    const { problems, warnings, options } = read([`${name}=true`]);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      warnings.map(({ code, at }) => `${code}@${at?.line ?? 0}`),
      ["unit-unknown-option@2"],
    );
    assert.equal(options.placement.global, false);
    assert.ok(!isKnownOption(name));
  });
}
test("a warning suggests the option that was meant", () => {
  const [warning] = read(["X-MachineMetadata=a=b"]).warnings;
  assert.equal(warning?.hint, "Did you mean MachineMetadata?");
});

for (const name of [
  ...["MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID", "X-ConditionMachineOf", "MachineOf"],
  ...["X-Conflicts", "Conflicts", "X-ConditionMachineMetadata", "MachineMetadata", "Global", "Replaces"],
]) {
  test(`F-092: ${name} is known`, () => assert.ok(isKnownOption(name)));
}

test("F-067: names that look alike are not one option", () => {
  const { problems, warnings } = read(["Dog=1", "X-Dog=2", "X-ConditionDog=3"]);
  assert.deepEqual([problems.length, warnings.length], [1, 2]);
});

const remarks: readonly (readonly [lines: readonly string[], codes: readonly string[]])[] = [
  [["MachineID=123"], ["unit-option-unmatched"]],
  [["MachineID=0123abcd"], []],
  [['MachineID="0123abcd" "4567abcd"'], ["unit-option-unused"]],
  [["Conflicts=redis"], ["unit-option-unmatched"]],
  [["Conflicts=redis.service redis*"], []],
];
for (const [lines, codes] of remarks) {
  test(`remarks on ${lines.join(" / ")}`, () =>
    assert.deepEqual(
      read(lines).warnings.map(({ code }) => code),
      codes,
    ));
}

test("a backslash that a name brings into a pattern stands for itself, beside those of the pattern", () => {
  const name = "my\\x2dapp@srv\\x2ddata.service";
  for (const [line, others, not] of [
    ["Conflicts=restore@%i.service", ["restore@srv\\x2ddata.service"], "restore@srvx2ddata.service"],
    ["Conflicts=%p@*.service", ["my\\x2dapp@1.service"], "myx2dapp@1.service"],
    ["Replaces=old-%N.service", ["old-my\\x2dapp@srv\\x2ddata.service"], "old-myx2dappxsrvx2ddata.service"],
    ["Conflicts=a\\*-%i.service", ["a*-srv\\x2ddata.service"], "ab-srv\\x2ddata.service"],
    ["Conflicts=mnt-my\\x2ddata.mount", ["mnt-my\\x2ddata.mount"], "mnt-mydata.mount"],
  ] as const) {
    const { options, problems, warnings } = read([line], { name });
    assert.deepEqual([...problems, ...warnings], []);
    const test = patternTest([...options.placement.conflicts, ...options.placement.replaces][0] ?? "");
    for (const other of others) assert.ok(test(other), `${line} is to match ${other}`);
    assert.ok(!test(not), `${line} is not to match ${not}`);
  }
  assert.deepEqual(asked(["MachineMetadata=disk=%i"], { name }), { metadata: ["disk=srv\\x2ddata"] });
  assert.deepEqual(asked(["MachineOf=restore@%i.service"], { name }), { machineOf: ["restore@srv\\x2ddata.service"] });
});

test("a template whose instances name other units is not held to the name of its sample instance", () => {
  for (const lines of [["MachineOf=%i"], ["Conflicts=%i"], ["Replaces=%i"], ["MachineOf=%i.mount", "Conflicts=%i"]]) {
    const { problems, warnings } = read(lines, { name: "follow@.service" });
    assert.deepEqual([problems, warnings], [[], []], lines.join());
  }
  assert.deepEqual(asked(["MachineOf=%i"], { name: "follow@web.service.service" }), { machineOf: ["web.service"] });
  for (const [line, name] of [
    ["MachineOf=%i", "follow@web.service"],
    ["MachineOf=web", "follow@.service"],
  ] as const) {
    assert.match(read([line], { name }).problems[0]?.hint ?? "", /as in web\.service/);
  }
  assert.equal(read(["Conflicts=%i"], { name: "a@web.service" }).warnings[0]?.code, "unit-option-unmatched");
});

test("specifiers are expanded before a value is checked", () => {
  assert.deepEqual(asked(["MachineMetadata=hostname=%i", "Conflicts=%p@*.service"], { name: "web@7.service" }), {
    metadata: ["hostname=7"],
    conflicts: ["web@*.service"],
  });
  assert.deepEqual(asked(["MachineID=%i"], { name: "pin@01234567.service" }), { machineId: "01234567" });
  const { problems } = read(["MachineOf=a@%i.service", "Conflicts=*@3.service"], { name: "b@3.service" });
  assert.deepEqual(
    problems.map(({ code }) => code),
    ["unit-option-pair"],
  );
});

test("a template is read as its instance i, and is not blamed for what only an instance fills in", () => {
  for (const line of ["MachineID=%i", "MachineMetadata=hostname=%i", "MachineOf=a@%i.service"]) {
    const { problems, warnings } = read([line], { name: "pin@.service" });
    assert.deepEqual([...problems, ...warnings], []);
  }
});

test("drop-ins come after the text: they add, reset and are blamed at their own place", () => {
  const dropIns = ["[X-Fleet]\nMachineMetadata=\nMachineMetadata=disk=ssd\n", "[X-Fleet]\nConflicts=b*\n"];
  assert.deepEqual(asked(["MachineMetadata=region=eu", "Conflicts=a*"], { dropIns }), {
    metadata: ["disk=ssd"],
    conflicts: ["a*", "b*"],
  });
  const { problems } = read(["Global=true"], { dropIns: ["[X-Fleet]\nMachineOf=a.service\nFoo=1"] });
  assert.deepEqual(
    problems.map(({ at }) => `${at?.file ?? ""}:${at?.line ?? 0}`),
    ["x.d/1.conf:3", "x.d/1.conf:2"],
  );
});

for (const section of ["X-fleet", "x-fleet", "X-FLEET", "X-Fleet ", " X-Fleet", " x-fleet "]) {
  test(`a section that only looks like [X-Fleet] is refused: ${JSON.stringify(section)}`, () => {
    assert.deepEqual(readSection(section), ["refused: Write it as [X-Fleet] at x:4"]);
  });
}

for (const section of [
  "X-Flet",
  "X-Fleeet",
  "X-Felet",
  "x-flet",
  "XFleet",
  "X_Fleet",
  "Fleet",
  "X-Fleets",
  "X-Flet ",
]) {
  test(`a section that is a slip away from [X-Fleet] is warned of: ${JSON.stringify(section)}`, () => {
    assert.deepEqual(readSection(section), ["warned: Did you mean [X-Fleet]? at x:4"]);
  });
}

for (const section of ["X-Fleet", "X-Fleetctl", "X-Flask", "X-Foo", "X-F", "Unit", "Service", "Socket", "Slice"]) {
  test(`a section of its own name is nobody's slip: ${section}`, () => assert.deepEqual(readSection(section), []));
}

/** What is said of a section of this name. */
function readSection(section: string): readonly string[] {
  const parsed = parseUnitFile(`[Unit]\n# mine\n[${section}]\nGlobal=true`, "x");
  assert.ok(parsed.ok);
  const { problems, warnings } = readOptions(nameOf("a.service"), [{ file: "x", parsed: parsed.value }]);
  const say = (how: string) => (problem: Problem) =>
    `${how}: ${problem.hint ?? ""} at ${problem.at?.file ?? ""}:${problem.at?.line ?? 0}`;
  return [...problems.map(say("refused")), ...warnings.map(say("warned"))];
}
