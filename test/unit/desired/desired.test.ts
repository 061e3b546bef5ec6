// From a tree to units: names, links, drop-ins, near misses, rules across units, and what is read how often.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createParseCache, examineTree, readCommit, selectBlobs } from "../../../agent/desired/desired.ts";
import { maxUnitBytes } from "../../../agent/desired/texts.ts";
import { maxDropIns } from "../../../agent/desired/tree.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { unitHash } from "../../../agent/text/hash.ts";
import {
  type Content,
  commit,
  faults,
  good,
  nameOf,
  readTree,
  service,
  treeOf,
  unitOf,
  warnings,
  withFleet,
} from "./build.ts";

const template = { "templates/web@.service": service } as const;

test("a tree of all kinds", () => {
  const state = good({
    "README.md": "# units",
    "static/hello.service": `# mine\r\n[Unit]\r\nDescription = Says %i\r\n${service}[Install]\nWantedBy=multi-user.target\n`,
    "static/nightly.timer": "[Timer]\nOnCalendar=daily\n",
    "templates/web@.service": withFleet("MachineMetadata=rack=%i", "DesiredState=loaded"),
    "instances/web@1.service": { link: "../templates/web@.service" },
    "instances/web@2.service": withFleet("Global=true", "OnChange=reload"),
    "instances/web@10.service": { link: "../templates/../templates/./web@.service" },
    "vendor/thing": { submodule: true },
  });
  assert.equal(state.commit, commit);
  assert.deepEqual(
    [...state.units.keys()],
    ["hello.service", "nightly.timer", "web@1.service", "web@10.service", "web@2.service"],
  );
  assert.deepEqual([...state.templates.keys()], ["web@.service"]);
  const hello = unitOf(state, "hello.service");
  assert.ok(hello.text.startsWith("# mine\r\n[Unit]\r\n"), "byte for byte");
  assert.equal(hello.description, "Says ", "it is no instance");
  assert.equal(hello.hasInstall, true);
  assert.equal(hello.target, "launched");
  assert.equal(hello.hash, unitHash(hello.text, []));
  const one = unitOf(state, "web@1.service");
  assert.equal(one.file, "instances/web@1.service");
  assert.equal(one.target, "loaded");
  assert.deepEqual(one.options.metadata, [{ key: "rack", values: ["1"] }]);
  assert.deepEqual(unitOf(state, "web@10.service").options.metadata, [{ key: "rack", values: ["10"] }]);
  assert.equal(unitOf(state, "web@.service").target, "inactive");
  assert.equal(one.hash, unitOf(state, "web@.service").hash, "F-049");
  assert.equal(unitOf(state, "web@2.service").options.global, true);
  assert.deepEqual(
    state.warnings.map(({ code }) => code),
    ["unit-no-reload"],
  );
});

test("a description tells the name of its unit, as far as specifiers of it go; a template's stands as it is written", () => {
  const says = (description: string): string => `[Unit]\nDescription=${description}\n${service}`;
  const { units, templates } = good({
    "web@.service": says("Web %i of %p on %H: %n, %N, 100%% %"),
    "web@1.service": { link: "web@.service" },
    "web@b\\x2d.service": { link: "web@.service" },
    "web@2.service": says("Another %i"),
    "plain.service": says("%p"),
  });
  assert.deepEqual(
    [...units.values(), ...templates.values()].map(({ description }) => description),
    [
      "plain",
      "Web 1 of web on %H: web@1.service, web@1, 100% %",
      "Another 2",
      "Web b\\x2d of web on %H: web@b\\x2d.service, web@b\\x2d, 100% %",
      "Web %i of %p on %H: %n, %N, 100%% %",
    ],
  );
});

test("OnChange=reload is warned of where systemd cannot reload, by file and line", () => {
  const reloads = "[X-Fleet]\nOnChange=reload\n";
  const { warnings } = good({
    "a.socket": `[Socket]\nListenStream=80\n${reloads}`,
    "b.timer": `[Timer]\nOnActiveSec=1h\n${reloads}`,
    "c.mount": `[Mount]\nWhat=tmpfs\nWhere=/c\n${reloads}`,
    "d.target": `[Unit]\nPropagatesReloadTo=e.service\n${reloads}`,
    "e.service": `[Service]\nExecStart=/e\nExecReload=/bin/kill -HUP $MAINPID\n${reloads}`,
    "f.service": `[Service]\nExecStart=/f\nType=notify-reload\n${reloads}`,
    "g.service": `[Service]\nExecStart=/g\n${reloads}`,
  });
  assert.deepEqual(
    warnings.map(({ code, at }) => `${code} ${at?.file}:${at?.line}`),
    ["unit-no-reload a.socket:4", "unit-no-reload b.timer:4", "unit-no-reload g.service:4"],
  );
});

test("no units at all is a commit like any other", () => assert.equal(good({ "README.md": "x" }).units.size, 0));

const badLinks: readonly (readonly [
  name: string,
  files: Readonly<Record<string, Content>>,
  expected: readonly string[],
])[] = [
  ["absolute", { "web@1.service": { link: "/etc/systemd/system/web@.service" } }, ["link-target@web@1.service"]],
  ["/dev/null", { "web@1.service": { link: "/dev/null" } }, ["link-target@web@1.service"]],
  ["escaping", { "i/web@1.service": { link: "../../web@.service" } }, ["link-target@i/web@1.service"]],
  [
    "out and in again",
    { "i/web@1.service": { link: "../../x/templates/web@.service" } },
    ["link-target@i/web@1.service"],
  ],
  ["dangling", { "i/web@1.service": { link: "../gone/web@.service" } }, ["link-target@i/web@1.service"]],
  [
    "dangling in a folder that is there",
    { "web@1.service": { link: "templates/wob@.service" } },
    ["link-target@web@1.service"],
  ],
  [
    "through a folder that is not",
    { "i/web@1.service": { link: "gone/../../templates/web@.service" } },
    ["link-target@i/web@1.service"],
  ],
  ["to itself", { "web@1.service": { link: "web@1.service" } }, ["link-target@web@1.service"]],
  [
    "in a ring",
    { "a/web@1.service": { link: "web@2.service" }, "a/web@2.service": { link: "web@1.service" } },
    ["link-target@a/web@1.service", "link-target@a/web@2.service"],
  ],
  [
    "in two steps",
    { "a/web@1.service": { link: "../templates/web@.service" }, "a/web@2.service": { link: "web@1.service" } },
    ["link-target@a/web@2.service"],
  ],
  [
    "through a linked folder",
    { t: { link: "templates" }, "web@1.service": { link: "t/web@.service" } },
    ["link-target@web@1.service"],
  ],
  ["to a folder", { "web@1.service": { link: "templates" } }, ["link-target@web@1.service"]],
  ["to a file as if a folder", { "web@1.service": { link: "templates/web@.service/" } }, ["link-target@web@1.service"]],
  ["empty", { "web@1.service": { link: "" } }, ["link-target@web@1.service"]],
  ["a line end in it", { "web@1.service": { link: "templates/web@.service\n" } }, ["link-target@web@1.service"]],
  [
    "too long",
    { "web@1.service": { link: `${"./".repeat(2100)}templates/web@.service` } },
    ["link-target@web@1.service"],
  ],
  [
    "of another template",
    { "i/wob@1.service": { link: "../templates/web@.service" } },
    ["link-template@i/wob@1.service"],
  ],
  ["of another type", { "i/web@1.socket": { link: "../templates/web@.service" } }, ["link-template@i/web@1.socket"]],
  [
    "to a plain unit",
    { "a.service": service, "web@1.service": { link: "a.service" } },
    ["link-template@web@1.service"],
  ],
  ["to no unit", { README: "x", "web@1.service": { link: "README" } }, ["link-template@web@1.service"]],
  ["named as a template", { "i/wob@.service": { link: "../templates/web@.service" } }, ["link-name@i/wob@.service"]],
  ["named as a plain unit", { "i/web.service": { link: "../templates/web@.service" } }, ["link-name@i/web.service"]],
];
for (const [name, files, expected] of badLinks) {
  test(`link refused: ${name}`, () => assert.deepEqual(faults({ ...template, ...files }), expected));
}

test("links with other names are nobody's business", () => {
  assert.deepEqual(warnings({ latest: { link: "/etc" }, "docs/x.md": { link: "../../.." }, "a.service": service }), []);
});

test("a link may lead to a template anywhere in the tree", () => {
  const state = good({ "x/y/web@.service": service, "web@a:b\\x2d.service": { link: "x/y/web@.service" } });
  assert.ok(state.units.has(nameOf("web@a:b\\x2d.service")));
});

test("one name twice names both files", () => {
  const reading = readTree({ "a/x.service": service, "b/x.service": service, "c/x.service": service });
  assert.ok(!reading.ok);
  assert.deepEqual(
    reading.problems.map(({ message }) => message),
    [
      'Cannot take unit "x.service" twice: "a/x.service" and "b/x.service"',
      'Cannot take unit "x.service" twice: "a/x.service" and "c/x.service"',
    ],
  );
  assert.deepEqual(
    faults({ ...template, "a/web@1.service": service, "b/web@1.service": { link: "../templates/web@.service" } }),
    ["unit-twice@b/web@1.service"],
  );
});

test("a bad stem under a good type is refused, not overlooked", () => {
  assert.deepEqual(
    faults({ "foo%.service": service, ".service": service, "a@1.mount": service, "b@.service": service }),
    ["unit-name@.service", "unit-name@a@1.mount", "unit-name@foo%.service"],
  );
});

test("every problem of a commit at once, by file and line", () => {
  const found = faults({
    "b.service": "[Service\nExecStart=/bin/true\nnonsense\n",
    "a.service": withFleet("MachineMetdata=x=y", "Global=maybe"),
    "c.service": service,
    "e.service": "",
    "i/web@1.service": { link: "/x" },
    "d.service.d/x.conf": "[Service]\nUser\n",
    "d.service": service,
    "z@.service": withFleet("MachineMetadata=bad="),
    "z@1.service": { link: "z@.service" },
    "z@2.service": { link: "z@.service" },
  });
  assert.deepEqual(found, [
    "unit-unknown-option@a.service:4",
    "unit-option-value@a.service:5",
    "unit-section@b.service:1",
    "unit-line@b.service:3",
    "unit-line@d.service.d/x.conf:2",
    "unit-empty@e.service",
    "link-target@i/web@1.service",
    "unit-option-value@z@.service:4",
  ]);
});

test("a problem of one instance names it, at the line of the template", () => {
  const reading = readTree({
    "web@.service": withFleet("MachineOf=a@%i.service", "Conflicts=a@3.service"),
    "web@2.service": { link: "web@.service" },
    "web@3.service": { link: "web@.service" },
    "a@2.service": service,
    "a@3.service": service,
  });
  assert.ok(!reading.ok);
  assert.equal(reading.problems.length, 1);
  assert.match(reading.problems[0]!.message, /"web@3\.service"/);
  assert.deepEqual(reading.problems[0]!.at, { file: "web@.service", line: 5 });
});

test("an instance named by its own template's MachineOf is refused", () => {
  assert.deepEqual(
    faults({
      "w@.service": withFleet("MachineOf=w@1.service"),
      "w@1.service": { link: "w@.service" },
      "w@2.service": { link: "w@.service" },
    }),
    ["unit-option-value@w@.service:4"],
  );
});

test("drop-ins: the template's, then the instance's own, which stand in for the same name", () => {
  const conf = (value: string): string => `[Service]\nEnvironment=A=${value}\n`;
  const state = good({
    ...template,
    "templates/web@.service.d/20-b.conf": conf("shared b"),
    "templates/web@.service.d/10-a.conf": conf("shared a"),
    "instances/web@1.service": { link: "../templates/web@.service" },
    "instances/web@2.service": { link: "../templates/web@.service" },
    "instances/web@2.service.d/05-own.conf": conf("own"),
    "elsewhere/web@2.service.d/10-a.conf": conf("own a"),
    "web@3.service": service,
  });
  const names = (unit: string): readonly string[] => unitOf(state, unit).dropIns.map(({ file }) => file);
  const shared = ["templates/web@.service.d/10-a.conf", "templates/web@.service.d/20-b.conf"];
  assert.deepEqual(names("web@.service"), shared);
  assert.deepEqual(names("web@1.service"), shared);
  assert.deepEqual(names("web@3.service"), shared, "an instance with a text of its own as well");
  assert.deepEqual(names("web@2.service"), [
    "templates/web@.service.d/20-b.conf",
    "instances/web@2.service.d/05-own.conf",
    "elsewhere/web@2.service.d/10-a.conf",
  ]);
  for (const unit of state.units.values()) assert.equal(unit.hash, unitHash(unit.text, unit.dropIns));
  const hashes = ["web@1.service", "web@2.service"].map((name) => unitOf(state, name).hash);
  assert.notEqual(hashes[0], hashes[1]);
  assert.deepEqual(state.warnings, []);
});

test("drop-ins speak in [X-Fleet] and [Install] too", () => {
  const state = good({
    "a.service": withFleet("MachineMetadata=region=eu"),
    "a.service.d/x.conf": "[X-Fleet]\nMachineMetadata=\nGlobal=yes\n[Install]\nWantedBy=multi-user.target\n",
  });
  const { options, hasInstall } = unitOf(state, "a.service");
  assert.deepEqual([options.metadata, options.global, hasInstall], [[], true, true]);
});

test("an [Install] that was reset asks for nothing", () => {
  const text = `${service}[Install]\nWantedBy=a.target\n`;
  assert.equal(unitOf(good({ "a.service": `${text}WantedBy=\n` }), "a.service").hasInstall, false);
  assert.equal(unitOf(good({ "a.service": text }), "a.service").hasInstall, true);
  assert.equal(unitOf(good({ "a.service": `${service}[Install]\n` }), "a.service").hasInstall, false);
});

const badDropIns: readonly (readonly [name: string, files: Readonly<Record<string, Content>>, expected: string])[] = [
  ["a link", { "a.service.d/x.conf": { link: "../y.conf" } }, "drop-in@a.service.d/x.conf"],
  ["a linked folder", { "a.service.d": { link: "b.service.d" } }, "drop-in@a.service.d"],
  ["a name with a blank", { "a.service.d/x y.conf": "[Unit]\n" }, "drop-in@a.service.d/x y.conf"],
  ["a hidden name", { "a.service.d/.conf": "[Unit]\n" }, "drop-in@a.service.d/.conf"],
  [
    "a long name",
    { [`a.service.d/${"x".repeat(200)}.conf`]: "[Unit]\n" },
    `drop-in@a.service.d/${"x".repeat(200)}.conf`,
  ],
  [
    "one name in two folders",
    { "a.service.d/x.conf": "[Unit]\n", "f/a.service.d/x.conf": "[Unit]\n" },
    "drop-in@f/a.service.d/x.conf",
  ],
];
for (const [name, files, expected] of badDropIns) {
  test(`drop-in refused: ${name}`, () => assert.deepEqual(faults({ "a.service": service, ...files }), [expected]));
}

test("drop-ins above the bound are refused", () => {
  const many = (count: number): Record<string, Content> =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`a.service.d/${1000 + n}.conf`, "[Unit]\n"]));
  assert.equal(unitOf(good({ "a.service": service, ...many(maxDropIns) }), "a.service").dropIns.length, maxDropIns);
  assert.deepEqual(faults({ "a.service": service, ...many(maxDropIns + 1) }), [
    `drop-in@a.service.d/${1000 + maxDropIns}.conf`,
  ]);
});

const odd: readonly (readonly [name: string, files: Readonly<Record<string, Content>>, expected: readonly string[]])[] =
  [
    ["a slip in the type", { "web.servce": service }, ["near-miss@web.servce"]],
    ["a linked slip", { "web@1.servcie": { link: "x" } }, ["near-miss@web@1.servcie"]],
    ["an upper-case type", { "web.Service": service }, ["near-miss@web.Service"]],
    ["an editor's copy", { "web.service~": service }, ["near-miss@web.service~"]],
    ["a type that cannot be placed", { "sda.device": service }, ["near-miss@sda.device"]],
    [
      "what is no slip",
      { "fix.patch": "", ".a.swp": "", "notes.txt": "", Makefile: "", "x.conf": "", "nginx/conf.d/a.conf": "" },
      [],
    ],
    [
      "a slip in the section, told once for all instances",
      {
        "web@.service": withFleet("MachineMetadata=rack=%i", "[X-Flet]", "Global=yes"),
        "web@1.service": { link: "web@.service" },
        "web@2.service": { link: "web@.service" },
      },
      ["near-miss@web@.service:6"],
    ],
    ["a drop-in under a slip", { "a.servce.d/x.conf": "" }, ["near-miss@a.servce.d/x.conf"]],
    ["a drop-in without the type", { "a.d/x.conf": "" }, ["near-miss@a.d/x.conf"]],
    ["a drop-in for a whole type", { "service.d/x.conf": "" }, ["near-miss@service.d/x.conf"]],
    ["a drop-in of another ending", { "a.service.d/x.txt": "" }, ["near-miss@a.service.d/x.txt"]],
    ["a drop-in of nobody", { "b.service.d/x.conf": "[Unit]\n" }, ["drop-in-unused@b.service.d/x.conf"]],
    [
      "a drop-in of a template that is used without a file",
      { "t@.service.d/x.conf": "[Unit]\n", "t@1.service": service },
      [],
    ],
    ["an unknown X- option", { "b.service": withFleet("X-Foo=1") }, ["unit-unknown-option@b.service:4"]],
    [
      "a peer that is not there",
      { "b.service": withFleet("Conflicts=z*", "MachineOf=c.service") },
      ["machine-of-unknown@b.service:5"],
    ],
    [
      "a peer that is wanted inactive",
      { "b.service": withFleet("MachineOf=c.service"), "c.service": withFleet("DesiredState=inactive") },
      ["machine-of-inactive@b.service:4"],
    ],
    [
      "peers in a ring",
      {
        "b.service": withFleet("MachineOf=a.service", "MachineOf=c.service"),
        "c.service": withFleet("MachineOf=d.service"),
        "d.service": withFleet("MachineOf=b.service"),
        "e.service": withFleet("MachineOf=d.service"),
      },
      ["machine-of-cycle@b.service:5"],
    ],
  ];
for (const [name, files, expected] of odd) {
  test(`remark: ${name}`, () => assert.deepEqual(warnings({ "a.service": service, ...files }), expected));
}

test("a remark on a template is made once, not for every instance", () => {
  const instances = Object.fromEntries([1, 2, 3].map((n) => [`w@${n}.service`, { link: "w@.service" }]));
  assert.deepEqual(warnings({ "w@.service": withFleet("X-Foo=%p"), ...instances }).length, 4);
  assert.deepEqual(warnings({ "w@.service": withFleet("X-Foo=1"), ...instances }), [
    "unit-unknown-option@w@.service:4",
  ]);
});

test("a long chain of peers is walked without recursion", () => {
  const count = 20_000;
  const files = Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`u${n}.service`, withFleet(`MachineOf=u${(n + 1) % count}.service`)]),
  );
  const [ring, ...more] = good(files).warnings;
  assert.equal(ring?.code, "machine-of-cycle");
  assert.ok(ring.message.length < 1_000);
  assert.deepEqual(more, []);
});

test("a text above the bound is refused, one at the bound taken", () => {
  const pad = (bytes: number): string => `${service}#${"x".repeat(bytes - service.length - 1)}`;
  assert.deepEqual(faults({ "a.service": pad(maxUnitBytes + 1) }), ["unit-size@a.service"]);
  assert.equal(good({ "a.service": pad(maxUnitBytes) }).units.size, 1);
});

test("bytes that are no text refuse the commit", () => {
  assert.deepEqual(faults({ "a.service": Buffer.from([0x5b, 0xff, 0x5d]) }), ["unit-encoding@a.service:1"]);
});

test("paths that git's own tools never make are refused", () => {
  const { blobs, entries } = treeOf({ "a.service": service });
  const oid = entries[0]!.oid;
  const paths = ["../b.service", "x/../c.service", "./d.service", "x//e.service", ".git/f.service", "/g.service"];
  const made = paths.map((path) => ({ path, kind: "file" as const, oid }));
  const reading = readCommit({ commit, entries: [...entries, ...made], blobs });
  assert.ok(!reading.ok);
  assert.deepEqual(
    reading.problems.map(({ code }) => code),
    paths.map(() => "tree-path"),
  );
});

test("a blob that was not to be had refuses the commit at its file; one that was forgotten is a bug", () => {
  const { entries, blobs } = treeOf({ "a.service": service, "web@1.service": { link: "web@.service" } });
  const missing = new Map(
    [...blobs.keys()].map((oid) => [oid, new Problem("git-blob-size", "Cannot read a blob of 9 MB")]),
  );
  const reading = readCommit({ commit, entries, blobs: missing });
  assert.ok(!reading.ok);
  assert.deepEqual(
    reading.problems.map(({ code, at }) => `${code}@${at?.file ?? ""}`),
    ["git-blob-size@a.service", "git-blob-size@web@1.service"],
  );
  assert.throws(() => readCommit({ commit, entries, blobs: new Map() }), /No blob/);
});

test("only what matters is asked for, each blob once", () => {
  const { entries } = treeOf({
    README: "x",
    "a.service": service,
    "b.service": service,
    "c/web@1.service": { link: "web@.service" },
    "d/web@2.service": { link: "web@.service" },
    "a.service.d/x.conf": "[Unit]\n",
    "z.d/x.conf": "other",
    other: { link: "x" },
  });
  assert.equal(selectBlobs(entries).length, 3);
});

test("what two commits share is parsed once, and what no commit has is let go", () => {
  const cache = createParseCache();
  const files = (changed: string): Record<string, Content> => ({
    "a.service": service,
    "b.service": changed,
    "web@.service": withFleet("MachineMetadata=rack=%i"),
    "web@1.service": { link: "web@.service" },
  });
  const first = good(files(withFleet("Global=true")), cache);
  assert.equal(cache.size, 3);
  const next = treeOf(files(withFleet("Global=false")));
  assert.equal(selectBlobs(next.entries, cache).length, 2, "the changed one and the link");
  const second = good(files(withFleet("Global=false")), cache);
  assert.equal(unitOf(second, "b.service").options.global, false);
  assert.deepEqual(unitOf(second, "web@1.service"), unitOf(first, "web@1.service"));
  assert.equal(cache.size, 4);
  good(files(withFleet("Global=false")), cache);
  good(files(withFleet("Global=false")), cache);
  assert.equal(cache.size, 3);
});

test("of instances that come and go under one template only those of the last commit are remembered", () => {
  const cache = createParseCache();
  const template = withFleet("MachineMetadata=build=%i");
  const build = (first: number): Record<string, Content> => ({
    "w@.service": template,
    ...Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [`w@${first + n}.service`, { link: "w@.service" }] as const),
    ),
  });
  const [entry] = treeOf({ "w@.service": template }).entries;
  for (let round = 0; round < 5; round++) {
    const state = good(build(round * 10), cache);
    assert.deepEqual(unitOf(state, `w@${round * 10}.service`).options.metadata[0]?.values, [String(round * 10)]);
  }
  assert.equal(cache.get(entry?.oid ?? "")?.options.size, 11, "ten instances and the template");
  const known = unitOf(good(build(40), cache), "w@40.service").options;
  assert.equal(unitOf(good(build(40), cache), "w@40.service").options, known, "what stays is not read again");
});

test("a cache answers for a text that has moved with its new place", () => {
  const cache = createParseCache();
  const text = withFleet("MachineOf=gone.service");
  good({ "a.service": text, "gone.service": service }, cache);
  const state = good({ "moved/a.service": text }, cache);
  assert.deepEqual(
    state.warnings.map(({ at }) => at),
    [{ file: "moved/a.service", line: 4 }],
  );
});

test("the order of the entries does not matter", () => {
  const { entries, blobs } = treeOf({
    "b/x.service": service,
    "a/x.service": service,
    "web@1.service": { link: "web@.service" },
    "web@.service": service,
    "c.servce": "",
  });
  const told = (order: typeof entries): readonly unknown[] => {
    const { units, problems, warnings: remarks } = examineTree({ entries: order, blobs });
    return [[...units.keys()], problems.map(({ message }) => message), remarks.map(({ message }) => message)];
  };
  assert.deepEqual(told(entries), told([...entries].reverse()));
});

test("10,000 units are read in seconds even on a busy machine, and the next commit costs a fraction", () => {
  const files: Record<string, Content> = { "w@.service": withFleet("MachineMetadata=rack=%i") };
  for (let n = 0; n < 5_000; n++) {
    files[`s/u${n}.service`] = withFleet(`Conflicts=u${n}-*.service`, 'MachineMetadata="region=eu" "disk=ssd"');
    files[`i/w@${n}.service`] = { link: "../w@.service" };
  }
  const cache = createParseCache();
  const tree = treeOf(files);
  const cpuMs = (work: () => unknown): number => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const cold = cpuMs(() => readCommit({ commit, ...tree, cache }));
  const warm = cpuMs(() => readCommit({ commit, ...tree, cache }));
  assert.ok(cold < 5_000, `${cold.toFixed(0)} ms`);
  assert.ok(warm < cold, `${warm.toFixed(0)} ms after ${cold.toFixed(0)} ms`);
});
