import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { BootRecord, Step } from "../../../agent/domain/first-boot.ts";
import { Secret } from "../../../agent/domain/settings.ts";
import { planReach } from "../../../agent/firstboot/firstboot.ts";
import {
  encodeRecord,
  instanceOf,
  isDue,
  parseRecord,
  planDigests,
  stepDigest,
} from "../../../agent/firstboot/record.ts";
import { carryOut, due, machine, plan, stepOf } from "./machine.ts";

const whole = `hostname: web-1
ssh_authorized_keys: [ssh-ed25519 AAAA a]
users: [default, {name: ops, hashed_passwd: "$6$x$y", groups: [sudo], sudo: "ALL=(ALL) ALL"}]
write_files:
  - {path: /etc/motd, content: hello}
  - {path: /etc/hosts, content: "10.0.0.9 db", append: true}
bootcmd: [echo early]
runcmd: [echo late]
packages: [curl]
timezone: Europe/Berlin
mounts: [[/dev/vdb, /data]]
power_state: {mode: reboot}
coreos:
  etcd2: {discovery: "http://10.0.0.2:8087/0123456789"}
  fleet: {metadata: a=b}
  units:
    - {name: etcd.service, command: start}
    - {name: x.service, content: "[Service]\\nExecStart=/bin/true\\n", enable: true, command: restart}
    - {name: flotilla.service, command: start}`;
const reboot = "b0000000000000000000000000000002";

suite("from boot to boot", () => {
  test("a first boot does everything", async () => {
    const planned = await plan(whole);
    assert.deepEqual(
      due(planned, undefined, machine().bootId),
      planned.steps.map(({ id }) => id),
    );
  });

  test("after a boot only what is looked at, and what each boot does, is due", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const again = await plan(whole, { record });
    assert.deepEqual(
      again.steps.filter(({ frequency }) => frequency === "once-per-instance").map(({ id }) => id),
      [],
    );
    const rest = again.steps.filter(({ id }) => due(again, record, reboot).includes(id));
    assert.deepEqual(
      rest
        .filter(({ frequency, onlyAfter }) => frequency !== "converge" || onlyAfter !== undefined)
        .map(({ id }) => id),
      ["run bootcmd", "start etcd.service", "restart x.service", "start flotilla.service"],
    );
    // within the same boot nothing is restarted or run a second time
    assert.deepEqual(
      again.steps
        .filter(({ id }) => due(again, record, machine().bootId).includes(id))
        .filter(({ frequency }) => frequency === "each-boot")
        .map(({ id }) => id),
      ["start etcd.service", "start flotilla.service"],
    );
  });

  test("nothing is left over, and a second record is the first one", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const again = await plan(whole, { record });
    assert.deepEqual(again.left, []);
    assert.deepEqual(
      carryOut({ plan: again, record }, () => ({ kind: "same" })),
      record,
    );
  });

  test("a new instance does once more what is done once for an instance", async () => {
    const record = carryOut({ plan: await plan(whole, { instanceId: "i-1" }) });
    const ids = async (instanceId?: string): Promise<readonly string[]> =>
      (await plan(whole, { record, ...(instanceId === undefined ? {} : { instanceId }) })).steps
        .filter(({ frequency }) => frequency === "once-per-instance")
        .map(({ id }) => id);
    assert.deepEqual(await ids("i-1"), []);
    assert.deepEqual(await ids(), [], "a provider that says nothing makes no new instance");
    assert.deepEqual(await ids("i-2"), [
      ...["password ops", "append /etc/hosts", "packages", "new host keys", "run runcmd", "power"],
    ]);
  });

  test("what follows from a step is due when that changed, now or in a run that was cut short", async () => {
    const planned = await plan(whole);
    const digests = planDigests(planned);
    const record = carryOut({ plan: planned });
    const reload = stepOf(planned, "reload");
    const at = { digests, record, bootId: reboot };
    assert.equal(isDue(reload, { ...at, changed: new Set() }), false);
    assert.equal(isDue(reload, { ...at, changed: new Set(["unit-file x.service"]) }), true);
    assert.equal(isDue(reload, { ...at, changed: new Set(["file /etc/motd"]) }), false);
    const changed = await plan(whole.replace("/bin/true", "/bin/false"), { record });
    // the file was written, and then the power went: the record has the old reload
    const cut = carryOut({ plan: changed, record }, ({ id }) =>
      id === "unit-file x.service" ? { kind: "done" } : { kind: "skipped" },
    );
    assert.ok(due(changed, cut, reboot).includes("reload"));
    assert.ok(!due(changed, cut, reboot).includes("renew flotilla.service"));
  });

  test("a password is set again when the document has another, a command is not run again", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const planned = await plan(whole.replace("$6$x$y", "$6$x$z").replace("echo late", "echo later"), { record });
    assert.ok(planned.steps.some(({ id }) => id === "password ops"));
    assert.ok(planned.done.some(({ id }) => id === "run runcmd"));
    assert.deepEqual(
      planned.notices.filter(({ problem }) => problem.code === "boot-not-again").map(({ problem }) => problem.message),
      ['Leaving "run runcmd" as it was carried out: it has changed since, and is done once for an instance'],
    );
  });

  test("what failed is tried again; a command that ran is not", async () => {
    const planned = await plan(whole);
    const record = carryOut({ plan: planned }, () => ({ kind: "failed", code: "setup", message: "no" }));
    const again = await plan(whole, { record });
    assert.deepEqual(
      again.done.map(({ id }) => id),
      ["run runcmd"],
    );
    assert.ok(due(again, record, machine().bootId).includes("reload"));
    const aborted = carryOut({ plan: planned }, () => ({ kind: "failed", code: "aborted", message: "no" }));
    assert.deepEqual((await plan(whole, { record: aborted })).done, []);
  });
});

suite("what left the document", () => {
  const less = `hostname: web-1
write_files: []
coreos: {units: [{name: flotilla.service, command: start}]}`;

  test("what is ours goes, what is the operator's is named", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const { left, steps, gone } = await plan(less, { record });
    assert.deepEqual(
      left.map(({ id, isRemoved }) => `${isRemoved ? "goes" : "stays"}: ${id}`),
      [
        "stays: append /etc/hosts",
        "goes: block /etc/fstab",
        "goes: drop-in etcd.service.d/20-flotilla.conf",
        "goes: drop-in flotilla-discovery.service.d/20-flotilla.conf",
        "goes: enable etcd.service",
        "goes: enable x.service",
        "stays: file /etc/motd",
        "stays: group sudo",
        "goes: keys debian",
        "goes: own etcd environment",
        "goes: script bootcmd",
        "goes: script runcmd",
        "goes: settings",
        "goes: sudoers ops",
        "stays: timezone",
        "stays: timezone name",
        "goes: unit-file x.service",
        "stays: user ops",
      ],
    );
    assert.deepEqual(
      steps.filter(({ id }) => gone.has(id)).map(({ kind, stage }) => `${stage} ${kind}`),
      [
        ...["reach authorized-keys", "reach remove", "early block", "early remove"],
        ...[
          "files remove",
          "files remove",
          "files remove",
          "files remove",
          "units enable",
          "units enable",
          "units remove",
          "late remove",
        ],
      ],
    );
    const after = steps.find(({ id }) => id === "reload")?.onlyAfter ?? [];
    assert.ok(after.includes("gone unit-file x.service"));
    assert.ok(after.includes("gone drop-in etcd.service.d/20-flotilla.conf"));
  });

  test("it is named once, and what could not be taken away is tried again", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const planned = await plan(less, { record });
    const after = carryOut({ plan: planned, record });
    assert.deepEqual((await plan(less, { record: after })).left, []);
    const failed = carryOut({ plan: planned, record }, ({ id }) =>
      id === "gone unit-file x.service" ? { kind: "failed", code: "setup", message: "no" } : { kind: "done" },
    );
    assert.deepEqual(
      (await plan(less, { record: failed })).left.map(({ id }) => id),
      ["unit-file x.service"],
    );
  });

  test("a document that is not there says nothing about what was there before", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const none = await plan("", { record });
    assert.deepEqual(none.left, []);
    const after = carryOut({ plan: none, record });
    assert.deepEqual(
      Object.keys(record.steps).filter((id) => after.steps[id] === undefined),
      [],
    );
  });

  test("cloud-init's half is not touched when it takes over", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const beside = await plan(whole, { record, mode: "beside-cloud-init" });
    assert.deepEqual(beside.left, []);
    assert.ok(carryOut({ plan: beside, record }).steps["keys debian"] !== undefined);
  });

  test("a unit that becomes a mask is not removed for it", async () => {
    const unit = (more: string): string => `coreos: {units: [{name: x.service, ${more}}]}`;
    const record = carryOut({ plan: await plan(unit('content: "[Unit]"')) });
    const planned = await plan(unit("mask: true"), { record });
    assert.deepEqual(
      planned.steps.filter(({ kind }) => kind === "remove"),
      [],
    );
  });

  test("a refused document concludes nothing", async () => {
    const record = carryOut({ plan: await plan(whole) });
    const reach = planReach({
      userData: undefined,
      reach: {
        hostname: { value: "web-9", at: { file: "user-data", line: 1 } },
        fqdn: undefined,
        preferFqdn: false,
        preserveHostname: false,
        sshAuthorizedKeys: [{ value: "ssh-ed25519 BBBB b", at: { file: "user-data", line: 2 } }],
        users: undefined,
        groups: [],
      },
      metadata: { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {} },
      facts: machine(),
      record,
      mode: "alone",
    });
    assert.deepEqual(
      reach.steps.map(({ id }) => id),
      ["hostname", "keys debian"],
    );
    const after = carryOut({ plan: reach, record });
    assert.deepEqual(Object.keys(after.steps).sort(), Object.keys(record.steps).sort());
  });
});

suite("the record", () => {
  test("comes back from its text", async () => {
    const record = carryOut({ plan: await plan(whole) });
    assert.deepEqual(parseRecord(encodeRecord(record)), { ok: true, value: record });
  });

  for (const [name, text] of [
    ["no JSON", "{"],
    ["another shape", '{"steps":[]}'],
    [
      "an unknown kind",
      '{"instanceId":"i","machineId":"m","bootId":"b","steps":{"a":{"kind":"magic","digest":"","frequency":"converge","stage":"late","paths":[],"instanceId":"i","bootId":"b","doneMs":0}}}',
    ],
  ] as const)
    test(`refuses ${name}`, () => {
      const parsed = parseRecord(text);
      assert.ok(!parsed.ok);
      assert.ok(parsed.problems.every(({ code }) => code === "boot-record"));
    });

  test("has no secret in it, and tells one from another", () => {
    const step = (password: string): Step => ({
      id: "password a",
      stage: "reach",
      frequency: "once-per-instance",
      at: undefined,
      kind: "password",
      user: "a",
      password: new Secret(password),
      isHash: false,
      expire: false,
    });
    assert.notEqual(stepDigest(step("one")), stepDigest(step("two")));
    assert.equal(stepDigest(step("one")), stepDigest({ ...step("one"), at: { file: "moved", line: 3 } }));
  });

  const own = `machine-${machine().machineId}`;
  const before = (instanceId: string, machineId = machine().machineId): BootRecord => ({
    instanceId,
    machineId,
    bootId: "b",
    steps: {},
  });
  const instances: readonly (readonly [string, string | undefined, BootRecord | undefined, string, boolean])[] = [
    ["the first boot", "i-1", undefined, "i-1", false],
    ["the first boot without a provider", undefined, undefined, own, false],
    ["the same", "i-1", before("i-1"), "i-1", false],
    ["another", "i-2", before("i-1"), "i-2", true],
    ["a provider that is away", undefined, before("i-1"), "i-1", false],
    ["a provider that is asked later", "i-1", before(own), own, false],
    ["a copied disk without a provider", undefined, before("i-1", "other"), own, true],
    ["a copied disk", "i-2", before("machine-other", "other"), "i-2", true],
  ];
  for (const [name, given, record, id, isCopied] of instances)
    test(`the instance: ${name}`, () =>
      assert.deepEqual(instanceOf(given, { facts: machine(), record }), { id, isCopied }));
});
