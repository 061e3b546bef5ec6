// [X-Fleet] beyond fleet: memory, processors, spreading, preferences, priorities and what metadata are compared with.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isKnownOption } from "../../../agent/desired/option-reading.ts";
import { type OptionsReading, readOptions } from "../../../agent/desired/options.ts";
import type { PlacementOptions } from "../../../agent/domain/unit.ts";
import { parseUnitFile } from "../../../agent/text/unit-file.ts";
import { fc, tries } from "../../property.ts";
import { faults, good, nameOf, unitOf, withFleet } from "./build.ts";

/** Reads whole texts: a unit and its drop-ins. */
function readTexts(texts: readonly string[], name = "test.service"): OptionsReading {
  const sources = texts.map((text, index) => {
    const file = index === 0 ? "x" : `x.d/${index}.conf`;
    const parsed = parseUnitFile(text, file);
    assert.ok(parsed.ok);
    return { file, parsed: parsed.value };
  });
  return readOptions(nameOf(name), sources);
}

function read(lines: readonly string[], name?: string): OptionsReading {
  return readTexts([["[X-Fleet]", ...lines].join("\n")], name);
}

const plain = {
  machineId: undefined,
  machineOf: [],
  metadata: [],
  conflicts: [],
  replaces: [],
  global: false,
} satisfies PlacementOptions;

/** The options beside those that every unit has. */
function beyond({ options, problems }: OptionsReading): Partial<PlacementOptions> {
  assert.deepEqual(
    problems.map(({ message, hint }) => `${message} (${hint ?? ""})`),
    [],
  );
  return Object.fromEntries(
    Object.entries(options.placement).filter(([key, value]) => {
      const before = new Map<string, unknown>(Object.entries(plain)).get(key);
      return JSON.stringify(before) !== JSON.stringify(value) || !(key in plain);
    }),
  );
}

const G = 1024 ** 3;
const i7 = "web@7.service";
type Accepted = readonly [lines: readonly string[], expected: Partial<PlacementOptions>, name?: string];

const accepted: readonly Accepted[] = [
  [["MemoryReserve=1000"], { memory: { bytes: 1000 } }],
  [["MemoryReserve=1000B"], { memory: { bytes: 1000 } }],
  [["MemoryReserve=2K"], { memory: { bytes: 2048 } }],
  [["MemoryReserve=512M"], { memory: { bytes: G / 2 } }],
  [["MemoryReserve=512 M"], { memory: { bytes: G / 2 } }],
  [["MemoryReserve=1.5G"], { memory: { bytes: 1.5 * G } }],
  [["MemoryReserve=2T"], { memory: { bytes: 2048 * G } }],
  [["MemoryReserve=7P"], { memory: { bytes: 7 * 1024 ** 2 * G } }],
  [["MemoryReserve=0.0001K"], { memory: { bytes: 1 } }],
  [["MemoryReserve=25%"], { memory: { percent: 25 } }],
  [["MemoryReserve=25%%"], { memory: { percent: 25 } }],
  [["MemoryReserve=12.5%"], { memory: { percent: 12.5 } }],
  [["MemoryReserve=100%"], { memory: { percent: 100 } }],
  [["MemoryReserve=%i%"], { memory: { percent: 7 } }, i7],
  [["MemoryReserve=%iG"], { memory: { bytes: 7 * G } }, i7],
  [["MemoryReserve=1G", "MemoryReserve=2G"], { memory: { bytes: 2 * G } }],
  [["MemoryReserve=1G", "MemoryReserve="], {}],
  ...["0", "0M", "0.0", "0%"].map((none): Accepted => [["MemoryReserve=1G", `MemoryReserve=${none}`], {}]),
  [["CPUReserve=1"], { milliCpus: 1000 }],
  [["CPUReserve=1.5"], { milliCpus: 1500 }],
  [["CPUReserve=150%"], { milliCpus: 1500 }],
  [["CPUReserve=1.001"], { milliCpus: 1001 }],
  [["CPUReserve=1.0010"], { milliCpus: 1001 }],
  [["CPUReserve=1.0011"], { milliCpus: 1002 }],
  [["CPUReserve=0.0000001"], { milliCpus: 1 }],
  [["CPUReserve=0.01%"], { milliCpus: 1 }],
  [["CPUReserve=33.3%"], { milliCpus: 333 }],
  [["CPUReserve=33.33%"], { milliCpus: 334 }],
  [["CPUReserve=%i0%"], { milliCpus: 700 }, i7],
  [["CPUReserve=8192"], { milliCpus: 8_192_000 }],
  ...["0", "0%", "0.00"].map((none): Accepted => [["CPUReserve=1", `CPUReserve=${none}`], {}]),
  [["CPUReserve=1", "CPUReserve="], {}],
  [["Spread=zone"], { spread: "zone" }, i7],
  [["Spread=topology/zone:a.b_c-d"], { spread: "topology/zone:a.b_c-d" }, i7],
  [["Spread=%p"], { spread: "web" }, i7],
  [["Spread=rack", "Spread=", "Spread=zone"], { spread: "zone" }, i7],
  [["Spread=zone", 'Spread="zone"'], { spread: "zone" }, i7],
  [["Spread=zone", "MachineOf=a.service"], { spread: "zone", machineOf: [nameOf("a.service")] }, i7],
  [["Priority=1000"], { priority: 1000 }],
  [["Priority=-1000"], { priority: -1000 }],
  [["Priority=+5"], { priority: 5 }],
  [["Priority=%i"], { priority: 7 }, i7],
  [["Priority=5", "Priority=6"], { priority: 6 }],
  ...["0", "-0", "+0", "00", ""].map((none): Accepted => [["Priority=5", `Priority=${none}`], {}]),
  [
    ["Global=yes", "Priority=5", "MemoryReserve=1K", "CPUReserve=1"],
    {
      ...{ global: true, priority: 5, memory: { bytes: 1024 }, milliCpus: 1000 },
    },
  ],
  [
    ['Prefer="disk=ssd" "gpu" "!spot"', "Prefer=cores>=8", "Avoid=zone!=a"],
    {
      prefer: [
        { key: "disk", test: "equals", value: "ssd" },
        { key: "gpu", test: "exists" },
        { key: "spot", test: "missing" },
        { key: "cores", test: "at-least", value: 8 },
      ],
      avoid: [{ key: "zone", test: "differs", value: "a" }],
    },
  ],
  [
    ["Prefer=zone=a", "Prefer=zone=b", "Prefer=zone=a"],
    {
      prefer: [
        { key: "zone", test: "equals", value: "a" },
        { key: "zone", test: "equals", value: "b" },
      ],
    },
  ],
  [["Prefer=a", "Prefer=", "Prefer=b"], { prefer: [{ key: "b", test: "exists" }] }],
  [["Avoid=host=%i"], { avoid: [{ key: "host", test: "equals", value: "7" }] }, i7],
  [["Prefer=a", "Avoid=!a"], { prefer: [{ key: "a", test: "exists" }], avoid: [{ key: "a", test: "missing" }] }],
  [["MachineMetadata=gpu"], { demands: [{ key: "gpu", test: "exists" }] }],
  [["MachineMetadata=!gpu"], { demands: [{ key: "gpu", test: "missing" }] }],
  [["MachineMetadata=zone!=a"], { demands: [{ key: "zone", test: "differs", value: "a" }] }],
  [["MachineMetadata=note!=two words"], { demands: [{ key: "note", test: "differs", value: "two words" }] }],
  [["MachineMetadata=n<5"], { demands: [{ key: "n", test: "below", value: 5 }] }],
  [["MachineMetadata=n<=5"], { demands: [{ key: "n", test: "at-most", value: 5 }] }],
  [["MachineMetadata=n>-0.5"], { demands: [{ key: "n", test: "above", value: -0.5 }] }],
  [["MachineMetadata=n>=+5.50"], { demands: [{ key: "n", test: "at-least", value: 5.5 }] }],
  [["MachineMetadata=n>=%i"], { demands: [{ key: "n", test: "at-least", value: 7 }] }, i7],
  [["X-ConditionMachineMetadata=n<5"], { demands: [{ key: "n", test: "below", value: 5 }] }],
  [["MachineMetadata=!gpu", "MachineMetadata=", "MachineMetadata=gpu"], { demands: [{ key: "gpu", test: "exists" }] }],
  [
    ['MachineMetadata="n<5" "zone=a" "n>1"', "MachineMetadata=zone=b", "MachineMetadata=n<5.0"],
    {
      metadata: [{ key: "zone", values: ["a", "b"] }],
      demands: [
        { key: "n", test: "below", value: 5 },
        { key: "n", test: "above", value: 1 },
      ],
    },
  ],
  // An "=" that comes first has always meant equality, whatever the value holds
  ...["a>b", "<5", ">5", "!b", "a!b", "a<b>c!"].map((value): Accepted => [
    [`MachineMetadata=role=${value}`],
    { metadata: [{ key: "role", values: [value] }] },
  ]),
  [["MachineMetadata=role=a b"], { metadata: [{ key: "role", values: ["a b"] }] }],
  // What can hold together is not refused
  ...[
    ["n>5", "n<6"],
    ["n>=5", "n<=5"],
    ["!n", "n!=5"],
    ["!n", "m"],
    ["n", "n!=5"],
    ["n>5", "n>7", "n<8"],
  ].map((items): Accepted => {
    const { options } = read(items.map((item) => `MachineMetadata=${item}`));
    return [items.map((item) => `MachineMetadata=${item}`), { demands: options.placement.demands ?? [] }];
  }),
  [
    ['MachineMetadata="n=1" "n=7" "n>5"'],
    { metadata: [{ key: "n", values: ["1", "7"] }], demands: [{ key: "n", test: "above", value: 5 }] },
  ],
  [
    ['MachineMetadata="n=a" "n=b" "n!=a"'],
    { metadata: [{ key: "n", values: ["a", "b"] }], demands: [{ key: "n", test: "differs", value: "a" }] },
  ],
];
for (const [lines, expected, name] of accepted) {
  test(`${lines.join(" / ")}${name === undefined ? "" : ` of ${name}`}`, () => {
    assert.deepEqual(beyond(read(lines, name)), expected);
  });
}

type Refused = readonly [lines: readonly string[], message: RegExp, hint: RegExp, name?: string];
const value = /^Cannot take /;
const refused: readonly Refused[] = [
  [["MemoryReserve=infinity"], value, /0 to reserve nothing/],
  [["MemoryReserve=512MB"], value, /Write 512M;/],
  [["MemoryReserve=512m"], value, /Write 512M;/],
  [["MemoryReserve=1.5GiB"], value, /Write 1\.5G;/],
  [["MemoryReserve=lots"], value, /number with K, M, G or T/],
  [["MemoryReserve=-1G"], value, /number with K, M, G or T/],
  [["MemoryReserve=%"], value, /25%/],
  [["MemoryReserve=150%"], value, /more than 100%/],
  [["MemoryReserve=8P"], value, /less than 8P/],
  [["MemoryReserve=99999999999999999999E"], value, /less than 8P/],
  [["MemoryReserve=%x%"], value, /"%x" is none of/],
  [["MemoryReserve=lots", "MemoryReserve=1G"], value, /number with/],
  [["CPUReserve=infinity"], value, /0 to reserve nothing/],
  [["CPUReserve=1500m"], value, /processors: 1\.5$/],
  [["CPUReserve=two"], value, /as in 1\.5, or percent of one, as in 150%/],
  [["CPUReserve=-1"], value, /as in 1\.5/],
  [["CPUReserve=8192.1"], value, /at most 8192/],
  [["CPUReserve=99999999999999999999"], value, /at most 8192/],
  [["Spread=zone=a"], value, /Name the key alone: Spread=zone/, i7],
  [["Spread=a zone"], value, /one metadata key/, i7],
  [["Spread=!zone"], value, /one metadata key/, i7],
  [["Spread=%i"], /^Cannot take Spread= of/, /one metadata key/],
  [['Spread="zone" "rack"'], /Spread=rack/, /One key only/, i7],
  [["Spread=zone", "Spread=rack"], /Spread=rack/, /takes back "zone"/, i7],
  ...["1001", "-1001", "1.5", "high", "1e2", "--1", "9".repeat(40)].map((text): Refused => [
    [`Priority=${text}`],
    value,
    /whole number from -1000 to 1000/,
  ]),
  [["MachineMetadata=<5"], value, /key before the "<"/],
  [["MachineMetadata=!"], value, /key alone, or !key/],
  [["MachineMetadata=!!gpu"], value, /key alone, or !key.*letters/],
  [["MachineMetadata=gpu?"], value, /letters, digits/],
  [["MachineMetadata=n<"], value, /decimal number after the "<"/],
  [["MachineMetadata=n>five"], value, /decimal number after the ">", as in n>5/],
  [["MachineMetadata=n>5G"], value, /decimal number after/],
  [["MachineMetadata=n>1e400"], value, /decimal number after/],
  [[`MachineMetadata=n>${"9".repeat(400)}`], value, /decimal number after/],
  [["MachineMetadata=a<b=c"], value, /decimal number after the "<"/],
  [["MachineMetadata=n > 5"], value, /without blanks: n>5/],
  [["MachineMetadata=zone != a"], value, /without blanks: zone!=a/],
  [["MachineMetadata=zone!="], value, /key!=value/],
  [["MachineMetadata=!=a"], value, /key!=value/],
  [["MachineMetadata=zone!=a=b"], value, /one "="/],
  [["MachineMetadata=zone==a"], value, /Write zone=a/],
  [["MachineMetadata=zone!==a"], value, /Write zone!=a/],
  [["MachineMetadata=n>5 gpu"], value, /MachineMetadata="n>5" "gpu"/],
  [["MachineMetadata=zone!=a gpu!=b"], value, /MachineMetadata="zone!=a" "gpu!=b"/],
  [[`MachineMetadata=${"k".repeat(129)}`], value, /128/],
  [[`MachineMetadata=${"gpu ".repeat(100)}x`], value, /key alone/],
  [[`Prefer=${"!".repeat(60_000)}`], value, /key alone/],
  [["Prefer=my? key=a"], value, /letters, digits/],
  [["Prefer=!zone=a"], value, /Write zone!=a/],
  [["Prefer=gpu zone=a"], value, /Prefer="gpu" "zone=a"/],
  [["Avoid=zone="], value, /key=value/],
  [["Avoid=n>x"], value, /decimal number after/],
  [['Prefer="gpu'], value, /Close the quote/],
  [["MachineMetadata=gpu", "MachineMetadata=!gpu"], /gpu and MachineMetadata=!gpu together/, /No machine/],
  [["MachineMetadata=!gpu", "MachineMetadata=gpu=a"], /!gpu and MachineMetadata=gpu=a together/, /No machine/],
  [["MachineMetadata=!n", "MachineMetadata=n>5"], /!n and MachineMetadata=n>5 together/, /No machine/],
  [['MachineMetadata="n>5" "n<3"'], /n>5 and MachineMetadata=n<3 together/, /No machine/],
  [['MachineMetadata="n>5" "n<=5"'], /n>5 and MachineMetadata=n<=5 together/, /No machine/],
  [['MachineMetadata="n>=5" "n<5.0"'], /n>=5 and MachineMetadata=n<5\.0 together/, /No machine/],
  [['MachineMetadata="n>1" "n>7" "n<9" "n<2"'], /n>7 and MachineMetadata=n<2 together/, /No machine/],
  [['MachineMetadata="zone=a" "zone!=a"'], /zone=a and MachineMetadata=zone!=a together/, /No machine/],
  [['MachineMetadata="n=3" "n>5"'], /n=3 and MachineMetadata=n>5 together/, /No machine/],
  [['MachineMetadata="n>5" "n=5"'], /n>5 and MachineMetadata=n=5 together/, /No machine/],
  [['MachineMetadata="n=many" "n<5"'], /n=many and MachineMetadata=n<5 together/, /No machine/],
  [['MachineMetadata="n=1" "n=9" "n>2" "n<8"'], /n=9 and MachineMetadata=n<8 together/, /No machine/],
  [["X-ConditionMachineMetadata=gpu", "MachineMetadata=!gpu"], /X-ConditionMachineMetadata=gpu and/, /No machine/],
  [["Prefer=gpu", "Avoid=gpu"], /Prefer=gpu and Avoid=gpu together/, /one of the two/],
  [["Prefer=n>5", "Avoid=n>5.0"], /Prefer=n>5 and Avoid=n>5\.0 together/, /one of the two/],
  [["Global=yes", "Prefer=gpu"], /Global= and Prefer= together/, /one of the two/],
  [["Global=yes", "Avoid=gpu"], /Global= and Avoid= together/, /one of the two/],
  [["Global=yes", "Spread=zone"], /Global= and Spread= together/, /one of the two/, i7],
  [["MachineID=01234567", "Spread=zone"], /MachineID= and Spread= together/, /one of the two/, i7],
  [["MemoryReserved=1G"], /unknown option "MemoryReserved"/, /Did you mean MemoryReserve\?/],
  [["CpuReserve=1"], /unknown option/, /Did you mean CPUReserve\?/],
  [["Spreads=zone"], /unknown option/, /Did you mean Spread\?/],
  [["Prefers=gpu"], /unknown option/, /Did you mean Prefer\?/],
  [["Avoids=gpu"], /unknown option/, /Did you mean Avoid\?/],
  [["Prority=1"], /unknown option/, /Did you mean Priority\?/],
];
for (const [lines, message, hint, name] of refused) {
  test(`${lines.join(" / ").slice(0, 100)} is refused`, () => {
    const { problems } = read(lines, name);
    assert.equal(problems.length, 1, problems.map((each) => each.message).join("; "));
    const { message: said = "", hint: how = "", at } = problems[0] ?? {};
    assert.match(said, message);
    assert.match(said, new RegExp(`unit "${name ?? "test.service"}"$`));
    assert.match(how, hint);
    assert.equal(at?.file, "x");
    assert.ok((at.line ?? 0) >= 2);
  });
}

suite("a unit's own limits stand in for what it does not reserve", () => {
  const own: readonly (readonly [name: string, texts: readonly string[], expected: Partial<PlacementOptions>])[] = [
    ["a.service", ["[Service]\nMemoryMax=1G\nCPUQuota=20%"], { memory: { bytes: G }, milliCpus: 200 }],
    ["a.service", ["[Service]\nMemoryMax=25%\nCPUQuota=0.5%"], { memory: { percent: 25 }, milliCpus: 5 }],
    ["a.slice", ["[Slice]\nMemoryMax=1G"], { memory: { bytes: G } }],
    ["a.socket", ["[Socket]\nMemoryMax=1G"], { memory: { bytes: G } }],
    ["a.mount", ["[Mount]\nMemoryMax=1G"], { memory: { bytes: G } }],
    ["a.swap", ["[Swap]\nCPUQuota=200%"], { milliCpus: 2000 }],
    ["a.timer", ["[Service]\nMemoryMax=1G\n[Timer]\nMemoryMax=1G"], {}],
    ["a.slice", ["[Service]\nMemoryMax=1G\nCPUQuota=20%"], {}],
    ["a.service", ["[Service]\nMemoryMax=1G\nMemoryMax=2G"], { memory: { bytes: 2 * G } }],
    ["a.service", ["[Service]\nMemoryMax=1G\nMemoryMax="], {}],
    ["a.service", ["[Service]\nMemoryMax=1G", "[Service]\nMemoryMax=3G"], { memory: { bytes: 3 * G } }],
    ["a.service", ["[Service]\nCPUQuota=10%", "[Service]\nCPUQuota="], {}],
    ["a.service", ["[Service]\nMemoryMax=1G", "[Service]\nMemoryMax=infinity"], {}],
    ...["0", "lots", "512MB", "150%", "%i", "8P", "-1"].map(
      (text) => ["a.service", [`[Service]\nMemoryMax=${text}`], {}] as const,
    ),
    ...["0%", "1.5", "lots", "%", "-1%", "9999999%"].map(
      (text) => ["a.service", [`[Service]\nCPUQuota=${text}`], {}] as const,
    ),
    ["a.service", ["[Service]\nMemoryMax=1G\n[X-Fleet]\nMemoryReserve=2G"], { memory: { bytes: 2 * G } }],
    ["a.service", ["[Service]\nMemoryMax=1G\n[X-Fleet]\nMemoryReserve=0"], {}],
    ["a.service", ["[Service]\nCPUQuota=20%\n[X-Fleet]\nCPUReserve=0"], {}],
    [
      "a.service",
      ["[Service]\nMemoryMax=1G\n[X-Fleet]\nMemoryReserve=2G", "[X-Fleet]\nMemoryReserve="],
      { memory: { bytes: G } },
    ],
    ["a@.service", ["[Service]\nMemoryMax=1G"], { memory: { bytes: G } }],
  ];
  for (const [name, texts, expected] of own) {
    test(`${name}: ${texts.join(" + ").replaceAll("\n", " ")}`, () => {
      const reading = readTexts(texts, name);
      assert.deepEqual(reading.warnings, []);
      assert.deepEqual(beyond(reading), expected);
    });
  }
});

test("what is not asked for is not there, and the hash is that of before", () => {
  const files = { "a.service": withFleet("MachineMetadata=disk=ssd", "Conflicts=b*") };
  const unit = unitOf(good(files), "a.service");
  assert.deepEqual(unit.options, {
    ...plain,
    metadata: [{ key: "disk", values: ["ssd"] }],
    conflicts: ["b*"],
  });
  assert.deepEqual(Object.keys(unit.options), [
    ...["machineId", "machineOf", "metadata", "conflicts", "replaces", "global"],
  ]);
  assert.equal(unit.hash, "98b06bfcf6f20af4c7d1f1f27d078e0b3992397f");
});

test("instances that name nothing of their own share their template's options, percent signs or not", () => {
  const state = good({
    "web@.service": withFleet("MemoryReserve=25%", "Spread=zone"),
    "web@1.service": { link: "web@.service" },
    "web@2.service": { link: "web@.service" },
  });
  const { options } = unitOf(state, "web@1.service");
  assert.deepEqual([options.memory, options.spread], [{ percent: 25 }, "zone"]);
  assert.equal(unitOf(state, "web@2.service").options, options);
  assert.deepEqual(state.warnings, []);
});

test("a drop-in of one instance changes what that one reserves", () => {
  const state = good({
    "web@.service": withFleet("MemoryReserve=1G"),
    "web@1.service": { link: "web@.service" },
    "web@2.service": { link: "web@.service" },
    "web@2.service.d/big.conf": "[X-Fleet]\nMemoryReserve=2G\n",
  });
  const [one, two] = ["web@1.service", "web@2.service"].map((name) => unitOf(state, name).options.memory);
  assert.deepEqual([one, two], [{ bytes: G }, { bytes: 2 * G }]);
});

suite("a template is not blamed for what only an instance fills in", () => {
  const lines = ["MemoryReserve=%iG", "CPUReserve=%i", "Priority=%i", "MachineMetadata=cores>=%i", "Prefer=cores>%i"];
  for (const line of lines) {
    test(line, () => {
      const { problems, warnings } = read([line], "web@.service");
      assert.deepEqual([...problems, ...warnings], []);
      const files = { "web@.service": withFleet(line), "web@x.service": { link: "web@.service" } };
      assert.deepEqual(faults(files), ["unit-option-value@web@.service:4"]);
      const instance = good({ "web@.service": withFleet(line), "web@3.service": { link: "web@.service" } });
      assert.equal(Object.keys(unitOf(instance, "web@3.service").options).length, 7);
    });
  }
  test("but for its own slips", () => {
    assert.equal(read(["Priority=high"], "web@.service").problems.length, 1);
    assert.equal(read(["Priority=%x"], "web@.service").problems.length, 1);
  });
});

const remarks: readonly (readonly [line: string, name: string, message: RegExp | undefined, hint?: RegExp])[] = [
  ["Spread=zone", "web.service", /no instance: Spread=zone spreads nothing/, /MachineMetadata=zone/],
  ["Spread=zone", "web@1.service", undefined],
  ["Spread=zone", "web@.service", undefined],
  ["MachineMetadata=zone=a", "web.service", undefined],
  ["MachineMetadata=!zone=a", "web.service", /metadata key "!zone"/, /Write zone!=a/],
  ["MachineMetadata=a!b=c", "web.service", /metadata key "a!b"/, /letters, digits/],
  ["MachineMetadata=zone = a", "web.service", /metadata key "zone "/, /without blanks: zone=a/],
  ["MachineMetadata=gpu zone=a", "web.service", /metadata key "gpu zone"/, /MachineMetadata="gpu" "zone=a"/],
];
for (const [line, name, message, hint] of remarks) {
  test(`${line} of ${name}: ${message === undefined ? "no remark" : "a remark, and it is taken"}`, () => {
    const { problems, warnings } = read([line], name);
    assert.deepEqual(problems, []);
    assert.equal(warnings.length, message === undefined ? 0 : 1);
    if (message !== undefined) assert.match(warnings[0]?.message ?? "", message);
    if (hint !== undefined) assert.match(warnings[0]?.hint ?? "", hint);
    if (message !== undefined) assert.equal(warnings[0]?.at?.line, 2);
  });
}

test("the new options are known, and by one name each", () => {
  for (const name of ["MemoryReserve", "CPUReserve", "Spread", "Prefer", "Avoid", "Priority"]) {
    assert.ok(isKnownOption(name));
    assert.ok(!isKnownOption(`X-${name}`));
  }
});

const optionLine = fc
  .tuple(
    fc.constantFrom(
      "MemoryReserve",
      "CPUReserve",
      "Spread",
      "Prefer",
      "Avoid",
      "Priority",
      "MachineMetadata",
      "Global",
    ),
    fc.oneof(
      fc.array(fc.constantFrom("a", "n", "gpu", "=", "!", "<", ">", "5", ".", "%", "%i", '"', " ", "K", "-", "\\"), {
        maxLength: 12,
      }),
      fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 2 }),
    ),
  )
  .map(([option, parts]) => `${option}=${parts.join("").replace(/[\0\r\n]/g, "")}`);

test("whatever stands there: no exception, a place and a hint for each refusal, and options within their bounds", () => {
  fc.assert(
    fc.property(
      fc.array(optionLine, { maxLength: 8 }),
      fc.constantFrom("a.service", "a@.service", "a@5.service"),
      (lines, name) => {
        const { options, problems } = read(lines, name);
        for (const { hint, at, message } of problems) {
          assert.ok(hint !== undefined && hint !== "", message);
          assert.ok((at?.line ?? 0) >= 2 && at?.file === "x", message);
        }
        const { memory, milliCpus, priority, demands, prefer, avoid, spread } = options.placement;
        if (memory !== undefined) assert.ok("bytes" in memory ? memory.bytes > 0 : memory.percent > 0);
        if (milliCpus !== undefined) assert.ok(Number.isSafeInteger(milliCpus) && milliCpus > 0);
        if (priority !== undefined) assert.ok(priority !== 0 && Math.abs(priority) <= 1000);
        assert.ok(demands?.every(({ test: kind }) => kind !== "equals") !== false);
        for (const tests of [demands, prefer, avoid]) assert.notEqual(tests?.length, 0);
        for (const each of [demands, prefer, avoid].flatMap((tests) => tests ?? [])) {
          assert.match(each.key, /^[A-Za-z0-9_./:-]{1,128}$/);
        }
        if (spread !== undefined) assert.match(spread, /^[A-Za-z0-9_./:-]{1,128}$/);
      },
    ),
    { numRuns: tries(2_000) },
  );
});

/** What a machine with this metadata value, or without one, says to an item about `n`; written down once more. */
function holds(item: string, machine: string | undefined): boolean {
  const [, not = "", key = "", operator = "", asked = ""] = /^(!?)([a-z]+)(!=|<=|>=|[=<>])?(.*)$/.exec(item) ?? [];
  assert.equal(key, "n");
  if (operator === "") return not === "!" ? machine === undefined : machine !== undefined;
  if (operator === "!=") return machine !== asked;
  if (operator === "=") return machine === asked;
  if (machine === undefined || !/^[0-9.]+$/.test(machine)) return false;
  const [is, limit] = [Number(machine), Number(asked)];
  return operator === "<" ? is < limit : operator === "<=" ? is <= limit : operator === ">" ? is > limit : is >= limit;
}

test("items are refused together exactly when no machine satisfies them", () => {
  const item = fc
    .tuple(fc.constantFrom("=", "!=", "<", "<=", ">", ">="), fc.constantFrom("1", "2", "3"))
    .map(([operator, number]) => `n${operator}${number}`);
  const machines = [undefined, "x", "0.5", "1", "1.0", "1.5", "2", "2.0", "2.5", "3", "3.0", "3.5"];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(item, item, fc.constantFrom("n", "!n", "n=x", "n!=x")), { minLength: 1, maxLength: 5 }),
      (items) => {
        const { problems } = read(items.map((each) => `MachineMetadata=${each}`));
        const equal = items.filter((each) => each.startsWith("n="));
        const other = items.filter((each) => !each.startsWith("n="));
        const canHold = machines.some(
          (machine) =>
            other.every((each) => holds(each, machine)) &&
            (equal.length === 0 || equal.some((each) => holds(each, machine))),
        );
        assert.deepEqual(
          problems.map(({ code }) => code),
          canHold ? [] : ["unit-option-pair"],
          items.join(" "),
        );
      },
    ),
    { numRuns: tries(3_000) },
  );
});
