// Facts of the host, read from a made-up root: F-135 to F-141 of fleet's own behaviour in their better form.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, type NetworkInterfaceInfo } from "node:os";
import { dirname, join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { createHost, defaultInterfaces, isPublishable, publicAddress } from "../../../agent/adapters/host.ts";

const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const route = (name: string, destination: string, { flags = "0003", metric = 0, mask = destination } = {}): string =>
  `${name}\t${destination}\t0102A8C0\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0   \n`;
const route6 = (name: string, { flags = "00000003", metric = "00000400" } = {}): string =>
  `${"0".repeat(32)} 00 ${"0".repeat(32)} 00 fe800000000000000000000000000001 ${metric} 00000001 00000000 ${flags} ${name.padStart(8)}\n`;

function rootWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "flotilla-host-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function list(addresses: readonly string[]): readonly NetworkInterfaceInfo[] {
  return addresses.map((address) => {
    const shared = { address, netmask: "", mac: "", internal: false, cidr: null };
    return address.includes(":") ? { ...shared, family: "IPv6", scopeid: 0 } : { ...shared, family: "IPv4" };
  });
}

suite("host: machine id", () => {
  const id = "595989bbcbb749ce8726722d6e157b4e";
  const good = [
    ["as systemd writes it", `${id}\n`],
    ["with dashes", "595989bb-cbb7-49ce-8726-722d6e157b4e\n"],
    ["in capitals", `  ${id.toUpperCase()}  `],
  ] as const;
  for (const [name, text] of good)
    test(name, async (t) => {
      const host = createHost({ root: rootWith(t, { "etc/machine-id": text }) });
      assert.deepEqual(await host.machineId(), { ok: true, value: id });
    });

  const bad = [
    ["F-139 no file", {}, "machine-id", "Cannot read /etc/machine-id"],
    ["F-140 pingpong", { "etc/machine-id": "pingpong" }, "machine-id-shape", 'Cannot read machine id "pingpong"'],
    ["empty", { "etc/machine-id": "\n" }, "machine-id", "Cannot find a machine id in /etc/machine-id"],
    [
      "first boot",
      { "etc/machine-id": "uninitialized\n" },
      "machine-id",
      "Cannot find a machine id in /etc/machine-id",
    ],
    [
      "one digit short",
      { "etc/machine-id": id.slice(1) },
      "machine-id-shape",
      `Cannot read machine id "${id.slice(1)}"`,
    ],
  ] as const;
  for (const [name, files, code, message] of bad)
    test(name, async (t) => {
      const found = await createHost({ root: rootWith(t, files) }).machineId();
      assert.ok(!found.ok);
      assert.deepEqual([found.problems[0]?.code, found.problems[0]?.message], [code, message]);
      assert.ok(found.problems[0]?.hint !== undefined);
    });
});

suite("host: address", () => {
  const addresses: readonly (readonly [string, boolean])[] = [
    ["192.168.1.12", true],
    ["2001:DB8::3", true],
    ["fd12:3456::1", true],
    ["8.8.8.8", true],
    ["223.255.255.255", true],
    ["127.0.0.12", false],
    ["::1", false],
    ["169.254.4.87", false],
    ["fe80::12", false],
    ["fec0::1", false],
    ["0.0.0.0", false],
    ["::", false],
    ["239.255.255.250", false],
    ["255.255.255.255", false],
    ["ff02::1", false],
    ["4000::1", false],
    ["f000::1", false],
  ];
  for (const [address, expected] of addresses)
    test(`F-141 ${address} is ${expected ? "" : "not "}publishable`, () =>
      assert.equal(isPublishable(address), expected));

  const routes: readonly (readonly [string, string, string, readonly string[]])[] = [
    ["no table", "", "", []],
    ["only a network route", header + route("eth0", "0002A8C0", { mask: "00FFFFFF" }), "", []],
    [
      "a default route",
      header + route("eth0", "0002A8C0", { mask: "00FFFFFF" }) + route("eth1", "00000000"),
      "",
      ["eth1"],
    ],
    [
      "the better metric first",
      header + route("wlan0", "00000000", { metric: 600 }) + route("eth0", "00000000", { metric: 100 }),
      "",
      ["eth0", "wlan0"],
    ],
    ["a route that is down", header + route("eth0", "00000000", { flags: "0002" }), "", []],
    ["0.0.0.0/1 is no default route", header + route("tun0", "00000000", { mask: "00000080" }), "", []],
    ["only IPv6", header, route6("eth0"), ["eth0"]],
    [
      "unreachable IPv6 default",
      header,
      route6("lo", { flags: "00200200" }) + route6("eth0", { flags: "00000201" }),
      [],
    ],
    ["IPv4 before IPv6", header + route("eth1", "00000000"), route6("eth0") + route6("eth1"), ["eth1", "eth0"]],
  ];
  for (const [name, text4, text6, expected] of routes)
    test(`default route: ${name}`, () => assert.deepEqual(defaultInterfaces(text4, text6), expected));

  const interfaces = {
    lo: list(["127.0.0.1", "::1"]),
    eth0: list(["fe80::1", "169.254.0.9", "10.0.0.7", "10.0.0.8", "2001:db8::7"]),
    v6: list(["fe80::2", "fd00::2"]),
    none: list(["fe80::3"]),
  };
  const picked: readonly (readonly [readonly string[], string])[] = [
    [["eth0"], "10.0.0.7"],
    [["v6"], "fd00::2"],
    [["v6", "eth0"], "10.0.0.7"],
    [["none"], ""],
    [["gone"], ""],
    [[], ""],
  ];
  for (const [names, expected] of picked)
    test(`of ${names.join(" and ") || "no interface"}: "${expected}"`, () =>
      assert.equal(publicAddress(names, interfaces), expected));

  test("facts of a made-up machine", async (t) => {
    const root = rootWith(t, {
      "proc/sys/kernel/random/boot_id": "0f0e0d0c-0000-4000-8000-00000000000a\n",
      "proc/net/route": header + route("eth0", "00000000"),
    });
    const facts = await createHost({ root, interfaces: () => interfaces, hostname: () => "one" }).facts();
    assert.deepEqual(
      [facts.bootId, facts.publicIp, facts.hostname],
      ["0f0e0d0c00004000800000000000000a", "10.0.0.7", "one"],
    );
    assert.ok(facts.cpus >= 1 && facts.memoryBytes > 0);
  });

  test("without a boot id the facts are refused, not made up", async (t) => {
    await assert.rejects(createHost({ root: rootWith(t, {}) }).facts(), { code: "host-facts" });
  });

  test("facts of this machine", async () => {
    const facts = await createHost().facts();
    assert.match(facts.bootId, /^[0-9a-f]{32}$/);
    assert.equal(facts.hostname, hostname());
  });
});
