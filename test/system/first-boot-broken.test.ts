// User-data broken in many ways, each on a machine that boots with it: somebody can log in all the same, the machine says
// what is wrong, and nothing is half written.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { BootedMachine } from "./booted/machine.ts";
import { whyNoMachines } from "./booted/why.ts";
import { FirstBoots, bootStatus } from "./first-boots.ts";

const missing = await whyNoMachines();

interface Case {
  readonly name: string;
  /** Goes below the sound part of the document; `header` is in place of its first line. */
  readonly broken: string;
  readonly header?: string;
  /** What `bootstrap status` ends with, and what it says. */
  readonly code: 1 | 2;
  readonly says: RegExp;
  /** The document itself is fine: what is before the trouble is written. */
  readonly writes?: true;
}

const cases: readonly Case[] = [
  { name: "bad YAML", broken: "coreos:\n\tunits: []\n", code: 1, says: /user-data:\d+(:\d+)?:.*(YAML|tab)/i },
  {
    name: "a unit that systemd could not read",
    broken:
      "coreos:\n  units:\n    - name: a.service\n      content: |\n        ExecStart=/bin/true\n        [Service\n",
    code: 1,
    says: /user-data:\d+/,
  },
  {
    name: "an unknown key",
    broken: "coreos:\n  unitz:\n    - name: a.service\n",
    code: 1,
    says: /unitz[\s\S]*units/,
  },
  {
    name: "an address that nobody knows",
    broken: "coreos:\n  fleet:\n    public-ip: $public_ipv4\n",
    code: 1,
    says: /public_ipv4/,
  },
  {
    name: "a file that cannot be written",
    broken: "  - path: /proc/version/nothing\n    content: x\n",
    code: 1,
    says: /\/proc\/version/,
  },
  {
    name: "a folder where a file is to be",
    broken: "  - path: /etc/systemd\n    content: x\n",
    code: 1,
    says: /\/etc\/systemd/,
  },
  {
    name: "an owner that is not there",
    broken: "  - path: /etc/owned\n    owner: nobody-knows:nobody-knows\n",
    code: 1,
    says: /nobody-knows/,
  },
  { name: "bad permissions", broken: '  - path: /etc/odd\n    permissions: "0888"\n', code: 1, says: /0888/ },
  {
    name: "bad base64",
    broken: "  - path: /etc/odd\n    encoding: b64\n    content: '!!!'\n",
    code: 1,
    says: /b64|base64/,
  },
  { name: "a header that is nearly right", header: "# cloud-config", broken: "", code: 1, says: /#cloud-config/ },
  {
    name: "a unit that is not there",
    broken: "coreos:\n  units:\n    - {name: nothing-here.service, command: start}\n",
    code: 1,
    says: /nothing-here\.service/,
  },
  {
    name: "a template that nobody filled in",
    broken: "coreos:\n  fleet:\n    metadata: region={{ region }}\n",
    code: 1,
    says: /template/i,
  },
  {
    name: "discovery that does not answer",
    broken: `coreos:
  etcd2:
    discovery: http://10.77.0.1:9/0123456789abcdef0123456789abcdef
    advertise-client-urls: http://$private_ipv4:2379
    initial-advertise-peer-urls: http://$private_ipv4:2380
  units:
    - {name: etcd.service, command: start}
    - {name: flotilla.service, command: start}
`,
    code: 2,
    says: /waiting for .*discovery|discovery.*10\.77\.0\.1:9/i,
    writes: true,
  },
  {
    name: "a token that nobody made",
    broken: `coreos:
  etcd2:
    discovery: http://10.77.0.1:8087/0123456789abcdef0123456789abcdef
    advertise-client-urls: http://$private_ipv4:2379
    initial-advertise-peer-urls: http://$private_ipv4:2380
  units:
    - {name: etcd.service, command: start}
    - {name: flotilla.service, command: start}
`,
    code: 2,
    says: /token/i,
    writes: true,
  },
];

describe("broken user-data", { skip: missing ?? false }, () => {
  let boots: FirstBoots;

  before(async () => {
    boots = await FirstBoots.open({ units: { README: "none\n" } });
  });

  afterEach(() => boots.clear());
  after(() => boots.close());

  async function boot(each: Case, number: number): Promise<BootedMachine> {
    const userData = `${each.header ?? "#cloud-config"}
hostname: named-${number}
ssh_authorized_keys:
  - ${boots.publicKey}
write_files:
  - path: /etc/half
    content: written
${each.broken}`;
    const machine = await boots.machine(`b${number}`, { userData, ssh: true });
    await machine.boot();
    return machine;
  }

  cases.forEach((each, index) => {
    test(each.name, async () => {
      const machine = await boot(each, index + 1);
      const status = await machine.waitFor(
        `status ${each.code} that says ${String(each.says)}`,
        async () => {
          const found = await bootStatus(machine);
          return found.code === each.code && each.says.test(found.text) ? found : undefined;
        },
        { timeoutMs: 30_000 },
      );
      assert.match(status.text, each.says);
      assert.match(
        await boots.ssh(machine, { user: "root", command: "hostname" }),
        new RegExp(`^named-${index + 1}$`, "m"),
      );
      const half = await machine.run(["test", "-e", "/etc/half"]);
      assert.equal(half.status === 0, each.writes === true, "a document is applied whole or not at all");
      const conf = await machine.run(["test", "-e", "/etc/flotilla/flotilla.conf"]);
      assert.equal(conf.status === 0, each.writes === true);
    });
  });
});
