import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { BootRecord, SetupFacts } from "../../../agent/domain/first-boot.ts";
import { factsNeeded } from "../../../agent/firstboot/firstboot.ts";
import { sha256 } from "../../../agent/text/digest.ts";
import { carryOut, plan, read, stepOf, textOf } from "./machine.ts";

const unitPath = "/etc/systemd/system/x.service";
const conf = "/etc/flotilla/flotilla.conf";
const text = "[Service]\nExecStart=/bin/true\n";
const full = `flotilla: {machine: {metadata: a=b}}
coreos:
  units:
    - {name: x.service, enable: true, content: "[Service]\\nExecStart=/bin/true\\n"}
    - {name: y.service, drop_ins: [{name: 10-a.conf, content: "[Unit]\\nDescription=a\\n"}]}
    - {name: z.service, mask: true}`;
const less = "hostname: a";

/** As the machine stands: what each path holds. */
function standing(files: Readonly<Record<string, string>>, ours: readonly string[] = []): Partial<SetupFacts> {
  return {
    paths: new Set(Object.keys(files)),
    ours: new Set(ours),
    contents: new Map(Object.entries(files).map(([path, content]) => [path, sha256(content)])),
  };
}

async function leaving(record: BootRecord, facts: Partial<SetupFacts>): Promise<readonly string[]> {
  const { left } = await plan(less, { record, facts });
  return left.map(({ id, isRemoved }) => `${isRemoved ? "goes" : "stays"}: ${id}`);
}

suite("what is taken away again", () => {
  test("what a boot made and nobody has changed", async () => {
    const first = await plan(full);
    const record = carryOut({ plan: first });
    const facts = standing({ [unitPath]: text, [conf]: textOf(first, conf) }, [conf]);
    const planned = await plan(less, { record, facts });
    assert.deepEqual(await leaving(record, facts), [
      "goes: drop-in y.service.d/10-a.conf",
      "goes: enable flotilla.service",
      "goes: enable x.service",
      "goes: mask z.service",
      "goes: settings",
      "goes: unit-file x.service",
    ]);
    const gone = stepOf(planned, "gone unit-file x.service");
    assert.ok(gone.kind === "remove" && gone.content === sha256(text), "and only with that content");
    assert.equal(stepOf(planned, "gone mask z.service").kind, "unmask", "what is no mask stays");
    assert.ok(stepOf(planned, "reload").onlyAfter?.includes("gone mask z.service"));
  });

  test("not what somebody wrote in its place", async () => {
    const first = await plan(full);
    const record = carryOut({ plan: first });
    const facts = standing({ [unitPath]: "[Service]\nExecStart=/bin/mine\n", [conf]: "[Git]\nBranch=mine\n" });
    const planned = await plan(less, { record, facts });
    assert.deepEqual(
      planned.left.filter(({ isRemoved }) => !isRemoved).map(({ id, path }) => `${id}: ${path ?? ""}`),
      [`settings: ${conf}`, `unit-file x.service: ${unitPath}`],
    );
    assert.ok(!planned.steps.some((step) => step.kind === "remove" && [conf, unitPath].includes(step.path)));
    assert.deepEqual(
      planned.notices.filter(({ problem }) => problem.code === "boot-left").map(({ problem }) => problem.message),
      [conf, unitPath].map(
        (path) => `Leaving ${path}, which the document no longer has: it was changed since it was written`,
      ),
    );
    // named once
    assert.deepEqual((await plan(less, { record: carryOut({ plan: planned, record }), facts })).left, []);
  });

  test("not what was so before the first boot", async () => {
    const record = carryOut({ plan: await plan(full) }, () => ({ kind: "same" }));
    const facts = standing({ [unitPath]: text, [conf]: "[Git]\n" });
    assert.deepEqual(await leaving(record, facts), [
      "stays: drop-in y.service.d/10-a.conf",
      "stays: mask z.service",
      "stays: settings",
      "stays: unit-file x.service",
    ]);
  });

  test("what was made stays made, however often it is found so", async () => {
    const first = await plan(full);
    const record = carryOut({ plan: first });
    const again = carryOut({ plan: await plan(full, { record }), record }, () => ({ kind: "same" }));
    assert.deepEqual(await leaving(again, {}), await leaving(record, {}));
  });

  test("what says that a boot made it, where a run that was cut short could not remember", async () => {
    const first = await plan(full);
    const record = carryOut({ plan: first }, () => ({ kind: "same" }));
    const facts = standing({ [conf]: textOf(first, conf) }, [conf]);
    assert.ok((await leaving(record, facts)).includes("goes: settings"));
  });

  test("the paths of the record are asked about", async () => {
    const record = carryOut({ plan: await plan(full) });
    const { paths } = factsNeeded(await read(less), record);
    for (const path of [unitPath, conf, "/etc/systemd/system/z.service"]) assert.ok(paths.includes(path), path);
  });
});

suite("what is taken away is in force no longer", () => {
  const pem = (text: string): string =>
    JSON.stringify(`-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`);
  const chrony = { units: new Set(["chrony.service", "ssh.service"]), paths: new Set(["/etc/ssh/sshd_config.d"]) };
  const cases: readonly (readonly [
    name: string,
    more: string,
    less: string,
    step: string,
    after: readonly string[],
    facts?: Partial<SetupFacts>,
  ])[] = [
    [
      "certificates",
      `ca_certs: {trusted: [${pem("QQ==")}, ${pem("Qg==")}]}`,
      "",
      "trust certificates",
      ["own certificate 1", "own certificate 2"],
    ],
    [
      "one of two",
      `ca_certs: {trusted: [${pem("QQ==")}, ${pem("Qg==")}]}`,
      `ca_certs: {trusted: [${pem("QQ==")}]}`,
      "trust certificates",
      ["own certificate 2"],
    ],
    ["sshd's settings", "ssh_pwauth: true", "", "reload sshd", ["own sshd settings"]],
    ["time servers", "ntp: {servers: [a]}", "", "restart systemd-timesyncd.service", ["own time servers"]],
    ["all time servers", "ntp: {servers: [a]}", "ntp: {}", "restart systemd-timesyncd.service", ["own time servers"]],
    ["chrony's servers", "ntp: {servers: [a]}", "", "restart chrony.service", ["block /etc/chrony.conf"], chrony],
    ["mounts", "mounts: [[/dev/vdb, /data]]", "", "reload for mounts", ["block /etc/fstab"]],
  ];
  for (const [name, more, rest, id, after, facts = {}] of cases)
    test(name, async () => {
      const record = carryOut({ plan: await plan(`${less}\n${more}`, { facts }) });
      const planned = await plan(`${less}\n${rest}`, { record, facts });
      const step = stepOf(planned, id);
      const ids = planned.steps.map((each) => each.id);
      for (const gone of after) {
        assert.ok(step.onlyAfter?.includes(`gone ${gone}`), step.onlyAfter?.join());
        assert.ok(ids.indexOf(`gone ${gone}`) < ids.indexOf(id));
      }
      // and not again, once it is gone
      const next = carryOut({ plan: planned, record });
      const again = await plan(`${less}\n${rest}`, { record: next, facts });
      assert.ok(!again.steps.some((each) => each.onlyAfter?.some((other) => other.startsWith("gone ")) === true));
    });

  test("a time service that is to stop is not restarted for it", async () => {
    const record = carryOut({ plan: await plan("ntp: {servers: [a]}") });
    const planned = await plan("ntp: {enabled: false}", { record });
    assert.ok(planned.steps.some(({ id }) => id === "stop systemd-timesyncd.service"));
    assert.ok(!planned.steps.some(({ id }) => id.startsWith("restart ")));
  });

  test("without an sshd that runs nothing is reloaded", async () => {
    const facts = { units: new Set<string>() };
    const record = carryOut({ plan: await plan("ssh_pwauth: true", { facts }) });
    const planned = await plan(less, { record, facts });
    assert.ok(!planned.steps.some(({ id }) => id === "reload sshd"));
  });
});
