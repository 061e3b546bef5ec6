import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { suite, test } from "node:test";
import {
  type AddressFacts,
  chooseAddresses,
  findAddresses,
  readVariables,
} from "../../../agent/adapters/host-addresses.ts";
import type { AddressName } from "../../../agent/domain/user-data.ts";
import { rootWith } from "../../fakes/metadata-service.ts";

const noMetadata = { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {} };

function interfaces(
  named: Readonly<Record<string, readonly string[]>>,
): Readonly<Record<string, readonly NetworkInterfaceInfo[]>> {
  return Object.fromEntries(
    Object.entries(named).map(([name, addresses]) => [
      name,
      addresses.map((address) => {
        const shared = { address, netmask: "", mac: "", internal: name === "lo", cidr: null };
        return address.includes(":") ? { ...shared, family: "IPv6", scopeid: 0 } : { ...shared, family: "IPv4" };
      }),
    ]),
  );
}

interface Case extends Partial<AddressFacts> {
  readonly name: string;
  readonly expect: Readonly<Partial<Record<AddressName, string>>>;
  readonly says?: Readonly<Partial<Record<AddressName, string>>>;
}

const cases: readonly Case[] = [
  {
    name: "nothing anywhere: each place is named",
    expect: {},
    says: {
      private_ipv4:
        "metadata: no source has any; FLOTILLA_PRIVATE_IPV4 and COREOS_PRIVATE_IPV4 of the environment and of /etc/environment: none; interfaces: none",
    },
  },
  {
    name: "metadata before everything else",
    source: "ec2",
    metadata: { ...noMetadata, addresses: { private_ipv4: "10.0.0.1" } },
    environment: { COREOS_PRIVATE_IPV4: "10.0.0.2" },
    interfaces: interfaces({ eth0: ["10.0.0.3"] }),
    expect: { private_ipv4: "10.0.0.1" },
    says: { private_ipv4: "metadata of ec2: 10.0.0.1" },
  },
  {
    name: "variables before interfaces, ours before CoreOS's, the environment before its file",
    source: "gce",
    environment: {
      COREOS_PRIVATE_IPV4: "10.0.0.2",
      FLOTILLA_PUBLIC_IPV4: "203.0.113.2",
      COREOS_PUBLIC_IPV4: "203.0.113.3",
    },
    file: { COREOS_PRIVATE_IPV4: "10.0.0.4", COREOS_PUBLIC_IPV6: "2001:db8::4" },
    interfaces: interfaces({ eth0: ["10.0.0.3"] }),
    expect: { private_ipv4: "10.0.0.2", public_ipv4: "203.0.113.2", public_ipv6: "2001:db8::4" },
    says: {
      private_ipv4: "metadata of gce: none; COREOS_PRIVATE_IPV4 of the environment: 10.0.0.2",
      public_ipv6: "metadata of gce: none; COREOS_PUBLIC_IPV6 of /etc/environment: 2001:db8::4",
    },
  },
  {
    name: "a variable that holds no such address is passed over, and said so",
    environment: { COREOS_PRIVATE_IPV4: "fd00::1", COREOS_PUBLIC_IPV4: "nonsense", COREOS_PRIVATE_IPV6: "" },
    expect: {},
    says: {
      private_ipv4:
        "metadata: no source has any; FLOTILLA_PRIVATE_IPV4 and COREOS_PRIVATE_IPV4 of the environment and of /etc/environment: COREOS_PRIVATE_IPV4 holds no IPv4 address; interfaces: none",
    },
  },
  {
    name: "one interface, all kinds",
    interfaces: interfaces({
      lo: ["127.0.0.1", "::1"],
      eth0: ["192.168.1.5", "10.0.0.5", "203.0.113.5", "fe80::1", "fd00::5", "2001:db8::5"],
    }),
    expect: {
      private_ipv4: "192.168.1.5",
      public_ipv4: "203.0.113.5",
      private_ipv6: "fd00::5",
      public_ipv6: "2001:db8::5",
    },
  },
  {
    name: "the interface with the default route, whatever others there are",
    interfaces: interfaces({ docker0: ["172.17.0.1"], eth0: ["10.0.0.5"], eth1: ["10.1.0.5"] }),
    defaults: ["eth0"],
    expect: { private_ipv4: "10.0.0.5" },
    says: {
      public_ipv4:
        "metadata: no source has any; FLOTILLA_PUBLIC_IPV4 and COREOS_PUBLIC_IPV4 of the environment and of /etc/environment: none; interfaces (eth0): none",
    },
  },
  {
    name: "no guess between two",
    interfaces: interfaces({ eth0: ["10.0.0.5"], eth1: ["10.1.0.5", "203.0.113.9"] }),
    expect: { public_ipv4: "203.0.113.9" },
    says: {
      private_ipv4:
        "metadata: no source has any; FLOTILLA_PRIVATE_IPV4 and COREOS_PRIVATE_IPV4 of the environment and of /etc/environment: none; interfaces (eth0, eth1): it could be 10.0.0.5 on eth0 or 10.1.0.5 on eth1",
    },
  },
  {
    name: "no guess between two default routes either, but for what only one of them has",
    interfaces: interfaces({ eth0: ["10.0.0.5"], eth1: ["203.0.113.9"], eth2: ["192.168.7.7"] }),
    defaults: ["eth0", "eth1"],
    expect: { private_ipv4: "10.0.0.5", public_ipv4: "203.0.113.9" },
  },
  {
    name: "addresses that lead nowhere are none: link-local, multicast, a carrier's",
    interfaces: interfaces({ eth0: ["169.254.3.4", "100.64.0.9", "224.0.0.1", "fe80::5", "::"] }),
    expect: {},
  },
];

suite("addresses of this machine", () => {
  for (const { name, expect, says = {}, ...given } of cases)
    test(name, () => {
      const { values, looked } = chooseAddresses({
        metadata: noMetadata,
        source: undefined,
        environment: {},
        file: {},
        interfaces: {},
        defaults: [],
        ...given,
      });
      assert.deepEqual(values, expect);
      for (const [address, words] of Object.entries(says) as readonly [AddressName, string][])
        assert.equal(looked[address].join("; "), words);
    });

  test("read from files", async (t) => {
    const root = rootWith(t, {
      "etc/environment": 'PATH="/bin"\nexport COREOS_PUBLIC_IPV4="203.0.113.2"\n',
      "proc/net/route":
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth1\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n",
    });
    const { values } = await findAddresses(
      { metadata: noMetadata, source: undefined, environment: {} },
      { root, interfaces: () => interfaces({ eth0: ["10.0.0.5"], eth1: ["10.1.0.5"] }) },
    );
    assert.deepEqual(values, { private_ipv4: "10.1.0.5", public_ipv4: "203.0.113.2" });
  });

  test("of the host that this runs on, without a complaint", async () => {
    const { looked } = await findAddresses({ metadata: noMetadata, source: undefined, environment: {} });
    assert.ok(looked.private_ipv4.length >= 2);
  });

  test("lines of /etc/environment", () => {
    const text = "# A=0\nA=1\n  B = no\nexport C='x y'\nD=\"q\"\r\nE=\nfoo";
    assert.deepEqual(readVariables(text), { A: "1", C: "x y", D: "q", E: "" });
  });
});
