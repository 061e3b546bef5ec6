import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { checkSchedule } from "../../../agent/adapters/cron.ts";
import { valid } from "../../../agent/domain/problem.ts";
import type { Settings } from "../../../agent/domain/settings.ts";
import type { PlannedSettings } from "../../../agent/firstboot/settings-file.ts";
import { completeSettings, draftSettings } from "../../../agent/settings/settings.ts";
import { type Circumstances, plan, refusals } from "./machine.ts";

/** The file as the agent reads it. */
function readBack(planned: PlannedSettings | undefined): Settings {
  assert.ok(planned !== undefined, "the document has settings");
  const draft = draftSettings({
    conf: { file: planned.file, text: planned.text, mode: 0o600 },
    fleetConf: undefined,
    environment: {},
    flags: {},
  });
  const secrets = new Map(
    draft.secretFiles.map((file) => [file, valid({ file, text: `${planned.secrets.get(file) ?? ""}\n`, mode: 0o600 })]),
  );
  const { settings } = completeSettings(draft, secrets, { checkSchedule });
  assert.ok(settings.ok, settings.ok ? "" : settings.problems.map(({ message }) => message).join("\n"));
  return settings.value;
}

const settingsOf = async (yaml: string, given?: Circumstances): Promise<Settings> =>
  readBack((await plan(yaml, given)).settings);

suite("flotilla.conf of a document", () => {
  test("fleet's words, with specifiers of the name that the machine gets", async () => {
    const settings = await settingsOf(
      `hostname: web-1
coreos:
  fleet:
    metadata: name=%H,disk=nvme,load=100%%
    public-ip: $public_ipv4
    etcd_servers: https://10.0.0.1:2379,https://10.0.0.2:2379
    etcd_username: u
    etcd_password: "p#;\\"%"
    etcd_request_timeout: 1.5
    agent_ttl: 30s
    disable_engine: true
    verbosity: 1`,
      { hostname: "elsewhere" },
    );
    assert.deepEqual(settings.machine.metadata, { name: "web-1", disk: "nvme", load: "100%" });
    assert.equal(settings.machine.publicIp, "203.0.113.11");
    assert.equal(settings.machine.mayLead, false);
    assert.deepEqual(settings.registry.endpoints, ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]);
    assert.equal(settings.registry.password?.reveal(), 'p#;"%');
    assert.equal(settings.registry.requestTimeoutMs, 1_500);
    assert.equal(settings.machineLeaseMs, 30_000);
    assert.equal(settings.logLevel, "debug");
  });

  test("flotilla's own words come first, setting by setting", async () => {
    const settings = await settingsOf(`coreos:
  fleet: {metadata: a=b, public-ip: 192.0.2.1, etcd_servers: "http://10.0.0.1:2379", etcd_username: u, etcd_password: old}
flotilla:
  machine: {metadata: {c: d}}
  registry: {password: new}
  git: {url: https://git.example/units.git, token: t0ken}`);
    assert.deepEqual(settings.machine.metadata, { c: "d" });
    assert.equal(settings.machine.publicIp, "192.0.2.1");
    assert.equal(settings.registry.password?.reveal(), "new");
    assert.equal(settings.git?.token?.reveal(), "t0ken");
  });

  test("metadata as list and as mapping", async () => {
    for (const metadata of ["[a=b, c=d]", "{a: b, c: d}", "'a=b,c=d'"])
      assert.deepEqual((await settingsOf(`coreos: {fleet: {metadata: ${metadata}}}`)).machine.metadata, {
        a: "b",
        c: "d",
      });
  });

  test("no zero value is lost", async () => {
    assert.equal((await settingsOf("coreos: {fleet: {disable_engine: false, verbosity: 0}}")).machine.mayLead, true);
  });

  test("an etcd of the machine's own, as fleet took it, where the document runs one", async () => {
    const fleet = "fleet: {metadata: a=b}";
    const own = await settingsOf(`coreos: {${fleet}, units: [{name: etcd2.service, command: start}]}`);
    assert.deepEqual(own.registry.endpoints, ["http://127.0.0.1:2379"]);
    assert.deepEqual((await settingsOf(`coreos: {${fleet}}`)).registry.endpoints, []);
    const found = await settingsOf(`coreos: {${fleet}, etcd2: {discovery: "http://10.0.0.2:8087/0123456789"}}`);
    assert.deepEqual(found.registry.endpoints, []);
    assert.ok(found.etcd !== undefined);
    assert.equal(found.etcd.discovery.kind, "v2");
    assert.deepEqual(found.etcd.peerUrls, ["http://10.0.0.11:2380"]);
  });

  const ways: readonly (readonly [string, string])[] = [
    ["static", 'initial_cluster: "a=http://10.0.0.11:2380,b=http://10.0.0.12:2380", name: a'],
    ["static", ""],
    ["srv", "discovery_srv: example.org"],
    ["v3", 'discovery_token: tok, discovery_endpoints: "http://10.0.0.2:2379"'],
  ];
  for (const [kind, etcd2] of ways)
    test(`the way to the first members: ${kind} ${etcd2}`, async () => {
      const { etcd } = await settingsOf(`coreos: {etcd2: {${etcd2}}}`);
      assert.ok(etcd !== undefined);
      assert.equal(etcd.discovery.kind, kind);
      assert.equal(etcd.role, "member");
    });

  test("what flotilla: etcd: says sets etcd up as well", async () => {
    const planned = await plan(
      'flotilla: {etcd: {discovery: "http://10.0.0.2:8087/0123456789", peer-urls: "http://$private_ipv4:2390"}}',
    );
    assert.deepEqual(readBack(planned.settings).etcd?.peerUrls, ["http://10.0.0.11:2390"]);
    assert.ok(planned.steps.some(({ id }) => id === "own etcd environment"));
  });

  test("each line knows where in the document it comes from", async () => {
    const { settings } = await plan(
      "hostname: a\nflotilla:\n  git:\n    url: https://git.example/a.git\n    branch: main\n",
    );
    const lines = settings?.text.split("\n") ?? [];
    assert.equal(settings?.places.get(lines.indexOf("Branch=main") + 1)?.line, 6);
  });

  test("secrets stand in files of their own, and a file that holds one is a secret", async () => {
    const { steps, settings } = await plan(
      "flotilla: {git: {url: https://git.example/a.git, token: t0ken}}\ncoreos: {etcd2: {discovery_token: d1sc, discovery_endpoints: 'http://10.0.0.2:2379'}}",
    );
    assert.deepEqual([...(settings?.secrets ?? [])], [["/etc/flotilla/git-token", "t0ken"]]);
    assert.ok(settings?.text.includes("t0ken") === false);
    for (const step of steps)
      if (step.kind === "file" && /flotilla\/(flotilla\.conf|git-token)/.test(step.file.path)) {
        assert.equal(step.file.mode, 0o600);
        assert.equal(step.file.isSecret, true);
      }
  });

  test("a value that ends in a backslash would swallow the next line", async () => {
    const [problem] = await refusals("flotilla: {machine: {metadata: 'a=b\\'}}");
    assert.equal(problem?.code, "boot-settings-value");
  });

  test("a request may not outlast the leases", async () => {
    const fleet = 'etcd_servers: "http://10.0.0.1:2379", etcd_request_timeout: 15';
    const short = await plan(`coreos: {fleet: {${fleet}}}`);
    assert.equal(readBack(short.settings).registry.requestTimeoutMs, 2_500);
    assert.ok(short.notices.some(({ problem }) => problem.code === "boot-fleet-timeout"));
    const long = await settingsOf(
      `coreos: {fleet: {${fleet}}}\nflotilla: {agent: {engine-lease: 40s, machine-lease: 40s}}`,
    );
    assert.equal(long.registry.requestTimeoutMs, 15_000);
  });

  test("all addresses are none to others", async () => {
    const { etcd } = await settingsOf(
      'coreos: {etcd2: {advertise-client-urls: "http://0.0.0.0:2379,http://0.0.0.0:4001"}}',
    );
    assert.deepEqual(etcd?.clientUrls, ["http://10.0.0.11:2379", "http://10.0.0.11:4001"]);
  });
});
