// Each provider's metadata service, as a small server that speaks its protocol, and what is made of it.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { suite, test, type TestContext } from "node:test";
import { createUserDataSources } from "../../../../agent/adapters/sources/sources.ts";
import type { SourceName, SourceSearch } from "../../../../agent/ports/user-data-sources.ts";
import { firmware, quickClock, rootWith, serve, type Tree, treeOf } from "../../../fakes/metadata-service.ts";
import { silentLog } from "../../../fakes/silent-log.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqmzxM8Z0bK1o8m7gT9GmXJp4Nf3v6aQhZy2wUeXlRk core@laptop";
const userData = "#cloud-config\nhostname: web-1\n";
const base64 = (text: string): string => Buffer.from(text).toString("base64");

interface World {
  readonly files?: Readonly<Record<string, string>>;
  readonly only?: readonly SourceName[];
  readonly timeoutMs?: number;
}

async function search(
  t: TestContext,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  { files = {}, only, timeoutMs = 20_000 }: World,
) {
  const service = await serve(t, handler);
  const sources = createUserDataSources({
    clock: quickClock,
    log: silentLog,
    root: rootWith(t, files),
    connect: { "169.254.169.254:80": service.place },
    run: () => Promise.resolve(undefined),
  });
  const result = await sources.search({ timeoutMs, only }, { signal: new AbortController().signal });
  return { service, result };
}

const seen = ({ found }: SourceSearch) =>
  found === undefined ? undefined : { ...found, userData: Buffer.from(found.userData).toString("utf8") };
const probeOf = (result: SourceSearch, name: SourceName) => result.probes.find(({ source }) => source === name);

/** IMDSv2: a token is put first, and everything else needs it. */
function imds(tree: Tree, { tokens = true, status = 405 } = {}) {
  const rest = treeOf(tree, tokens ? { needs: ["X-aws-ec2-metadata-token", "TOKEN=="] } : {});
  return (request: IncomingMessage, response: ServerResponse): void => {
    const isGood =
      tokens &&
      request.url === "/latest/api/token" &&
      request.headers["x-aws-ec2-metadata-token-ttl-seconds"] === "300";
    if (request.method !== "PUT") rest(request, response);
    else if (isGood) response.end("TOKEN==");
    else response.writeHead(status).end();
  };
}

const amazon = firmware({ sys_vendor: "Amazon EC2", product_uuid: "ec2e1916-9099-7caf-fd21-012345abcdef" });
const ec2Tree: Tree = {
  "/latest/meta-data/instance-id": "i-0123456789abcdef0",
  "/latest/meta-data/hostname": "ip-10-0-0-5.eu-west-1.compute.internal other.example",
  "/latest/meta-data/local-ipv4": "10.0.0.5",
  "/latest/meta-data/public-ipv4": "203.0.113.5",
  "/latest/meta-data/ipv6": "2001:db8::5",
  "/latest/meta-data/public-keys/": "0=laptop\n1=other",
  "/latest/meta-data/public-keys/0/openssh-key": `${key}\n`,
  "/latest/meta-data/public-keys/1/openssh-key": "no key at all\n",
  "/latest/user-data": userData,
};
const ec2Found = {
  source: "ec2",
  where: "http://169.254.169.254/latest/",
  userData,
  metadata: {
    instanceId: "i-0123456789abcdef0",
    hostname: "ip-10-0-0-5.eu-west-1.compute.internal",
    sshKeys: [key],
    addresses: { private_ipv4: "10.0.0.5", public_ipv4: "203.0.113.5", public_ipv6: "2001:db8::5" },
  },
};

suite("sources: EC2", () => {
  test("with a token", async (t) => {
    const { service, result } = await search(t, imds(ec2Tree), { files: amazon });
    assert.deepEqual(seen(result), ec2Found);
    assert.equal(service.asked[0], "PUT /latest/api/token");
    assert.deepEqual(probeOf(result, "gce")?.why, "this machine's vendor is Amazon EC2, not Google Compute Engine");
  });

  for (const status of [403, 404, 405, 501])
    test(`without tokens where the service answers ${status} to the question for one`, async (t) => {
      const { result } = await search(t, imds(ec2Tree, { tokens: false, status }), { files: amazon });
      assert.deepEqual(seen(result), ec2Found);
    });

  test("never without a token where the service is only in trouble", async (t) => {
    const { service, result } = await search(t, imds(ec2Tree, { tokens: false, status: 500 }), {
      files: amazon,
      timeoutMs: 2_000,
    });
    assert.equal(result.found, undefined);
    assert.ok(service.asked.every((each) => each === "PUT /latest/api/token"));
    assert.equal(
      probeOf(result, "ec2")?.why,
      "Cannot read http://169.254.169.254/latest/api/token: it answered 500, in 2 s",
    );
    assert.equal(probeOf(result, "ec2")?.outcome, "given-up");
  });

  test("a lookalike that knows the first version only, without user-data", async (t) => {
    const tree = {
      "/2009-04-04/meta-data/instance-id": "i-1",
      "/2009-04-04/meta-data/local-ipv4": "10.0.0.6",
    };
    const { result } = await search(t, imds(tree, { tokens: false }), { files: firmware({ sys_vendor: "Tilaa" }) });
    assert.deepEqual(seen(result), {
      source: "ec2",
      where: "http://169.254.169.254/2009-04-04/",
      userData: "",
      metadata: { instanceId: "i-1", hostname: undefined, sshKeys: [], addresses: { private_ipv4: "10.0.0.6" } },
    });
  });

  test("gzip is handed on as it is", async (t) => {
    const packed = Buffer.from([0x1f, 0x8b, 8, 0, 0, 255]);
    const { result } = await search(t, imds({ ...ec2Tree, "/latest/user-data": packed }), { files: amazon });
    assert.deepEqual(result.found?.userData, packed);
  });

  test("user-data beyond the limit is refused, and said so", async (t) => {
    const huge = Buffer.alloc(1024 * 1024 + 1, "x");
    const { result } = await search(t, imds({ ...ec2Tree, "/latest/user-data": huge }), { files: amazon });
    assert.equal(result.found, undefined);
    assert.equal(probeOf(result, "ec2")?.outcome, "failed");
    assert.equal(
      probeOf(result, "ec2")?.why,
      "Cannot read http://169.254.169.254/latest/user-data: it is longer than 1048576 bytes",
    );
  });

  test("a login page in the way is no instance", async (t) => {
    const page = (_request: IncomingMessage, response: ServerResponse): void =>
      void response
        .writeHead(200, { "content-type": "text/html" })
        .end("<!DOCTYPE html><html><body>Log in</body></html>");
    const { result } = await search(t, page, { files: amazon });
    assert.equal(result.found, undefined);
    assert.equal(probeOf(result, "ec2")?.why, "Cannot use what http://169.254.169.254 answers: it is no token");
  });

  test("another vendor's machine is not asked, although something answers", async (t) => {
    const { service, result } = await search(t, imds(ec2Tree), { files: firmware({ sys_vendor: "QEMU" }) });
    assert.deepEqual(service.asked, []);
    assert.deepEqual(probeOf(result, "ec2"), {
      ...probeOf(result, "ec2"),
      outcome: "absent",
      why: "this machine's vendor is QEMU, not Amazon EC2",
    });
  });

  test("unless it is the only one that is asked for", async (t) => {
    const { result } = await search(t, imds(ec2Tree), { files: firmware({ sys_vendor: "QEMU" }), only: ["ec2"] });
    assert.deepEqual(seen(result), ec2Found);
  });

  test("or the kernel command line says so", async (t) => {
    const { result } = await search(t, imds(ec2Tree), { files: { "proc/cmdline": "quiet ds=ec2" } });
    assert.deepEqual(seen(result), ec2Found);
  });

  test("a container does not take its host's firmware for its own", async (t) => {
    const { service, result } = await search(t, imds(ec2Tree), {
      files: { ...amazon, "run/systemd/container": "systemd-nspawn" },
    });
    assert.deepEqual(service.asked, []);
    assert.equal(probeOf(result, "ec2")?.why, "this is a container, which does not say that it is of Amazon EC2");
  });

  const marks = [
    { product_uuid: "EC2E1916-9099-7CAF-FD21-012345ABCDEF" },
    { product_uuid: "45E12AEC-DCD1-B213-94ED-012345ABCDEF" },
    { product_serial: "srv-1.gb1.brightbox.com" },
    { chassis_asset_tag: "123.zstack.io" },
    { sys_vendor: "3DS Outscale", product_name: "3DS Outscale VM" },
    { sys_vendor: "e24cloud" },
  ];
  for (const mark of marks)
    test(`known by ${JSON.stringify(mark)}`, async (t) => {
      const { result } = await search(t, imds(ec2Tree), { files: firmware(mark) });
      assert.equal(result.found?.source, "ec2");
    });
});

const google = firmware({ sys_vendor: "Google", product_name: "Google Compute Engine" });
const gceTree: Tree = {
  "/computeMetadata/v1/instance/id": "6216348276582913",
  "/computeMetadata/v1/instance/hostname": "web-1.europe-west1-b.c.project.internal",
  "/computeMetadata/v1/instance/attributes/user-data": userData,
  "/computeMetadata/v1/instance/network-interfaces/": JSON.stringify([
    {
      ip: "10.132.0.2",
      ipv6s: ["2600:1900::2"],
      accessConfigs: [{ externalIp: "203.0.113.7", type: "ONE_TO_ONE_NAT" }],
    },
    { ip: "10.9.9.9" },
  ]),
};
const flavored = { headers: { "Metadata-Flavor": "Google" }, needs: ["Metadata-Flavor", "Google"] as const };

suite("sources: GCE", () => {
  test("everything", async (t) => {
    const { result } = await search(t, treeOf(gceTree, flavored), { files: google });
    assert.deepEqual(seen(result), {
      source: "gce",
      where: "http://169.254.169.254/computeMetadata/v1/instance/",
      userData,
      metadata: {
        instanceId: "6216348276582913",
        hostname: "web-1.europe-west1-b.c.project.internal",
        sshKeys: [],
        addresses: { private_ipv4: "10.132.0.2", public_ipv4: "203.0.113.7", public_ipv6: "2600:1900::2" },
      },
    });
  });

  test("packed user-data", async (t) => {
    const tree = {
      ...gceTree,
      "/computeMetadata/v1/instance/attributes/user-data": base64(userData),
      "/computeMetadata/v1/instance/attributes/user-data-encoding": "base64",
    };
    const { result } = await search(t, treeOf(tree, flavored), { files: google });
    assert.equal(seen(result)?.userData, userData);
  });

  test("an answer that Google has not signed is another's", async (t) => {
    const { result } = await search(t, treeOf(gceTree), { files: google });
    assert.equal(result.found, undefined);
    assert.equal(
      probeOf(result, "gce")?.why,
      "Cannot use what http://169.254.169.254/computeMetadata/v1/instance/ answers: without Metadata-Flavor: Google it is another's",
    );
  });
});

suite("sources: DigitalOcean", () => {
  const files = firmware({ sys_vendor: "DigitalOcean", product_serial: "2756294" });
  const droplet = {
    droplet_id: 2756294,
    hostname: "sample-droplet",
    user_data: userData,
    public_keys: [key],
    interfaces: {
      private: [{ ipv4: { ip_address: "10.132.255.113", netmask: "255.255.0.0" } }],
      public: [
        {
          ipv4: { ip_address: "203.0.113.20" },
          ipv6: { ip_address: "2604:a880::1", cidr: 64 },
          anchor_ipv4: { ip_address: "10.17.0.9" },
        },
      ],
    },
  };
  const expected = {
    source: "digitalocean",
    where: "http://169.254.169.254/metadata/v1.json",
    userData,
    metadata: {
      instanceId: "2756294",
      hostname: "sample-droplet",
      sshKeys: [key],
      addresses: { private_ipv4: "10.132.255.113", public_ipv4: "203.0.113.20", public_ipv6: "2604:a880::1" },
    },
  };
  for (const [name, whole] of [
    ["one document", droplet],
    ["a list of one", [droplet]],
  ] as const)
    test(name, async (t) => {
      const { result } = await search(t, treeOf({ "/metadata/v1.json": JSON.stringify(whole) }), { files });
      assert.deepEqual(seen(result), expected);
    });

  test("404 is absence", async (t) => {
    const { result } = await search(t, treeOf({}), { files });
    assert.deepEqual(
      [probeOf(result, "digitalocean")?.outcome, probeOf(result, "digitalocean")?.why],
      ["absent", "http://169.254.169.254/metadata/v1.json answered 404"],
    );
  });

  test("a document that is no JSON is not repeated", async (t) => {
    const { result } = await search(t, treeOf({ "/metadata/v1.json": "password: hush" }), { files });
    assert.equal(
      probeOf(result, "digitalocean")?.why,
      "Cannot read http://169.254.169.254/metadata/v1.json: it is not JSON",
    );
  });
});

suite("sources: Hetzner", () => {
  const files = firmware({ sys_vendor: "Hetzner", product_serial: "15229363" });
  const metadata = [
    "availability-zone: hel1-dc2",
    "hostname: debian-2gb-hel1-1",
    "instance-id: 15229363",
    "network-config:",
    "  config:",
    "  - mac_address: 96:00:01:00:00:01",
    "    name: eth0",
    "    subnets:",
    "    - ipv4: true",
    "      type: dhcp",
    "    - address: 2a01:4f9::1/64",
    "      gateway: fe80::1",
    "      ipv6: true",
    "      type: static",
    "  version: 1",
    "public-ipv4: 203.0.113.30",
    "public-keys:",
    `- ${key}`,
    "region: eu-central",
    "",
  ].join("\n");
  const tree = {
    "/hetzner/v1/metadata": metadata,
    "/hetzner/v1/metadata/private-networks":
      "- ip: 10.0.0.3\n  alias_ips: []\n  interface_num: 1\n  mac_address: 86:00:00:00:00:01\n  network_id: 1234\n",
    "/hetzner/v1/userdata": userData,
  };
  const expected = {
    source: "hetzner",
    where: "http://169.254.169.254/hetzner/v1/",
    userData,
    metadata: {
      instanceId: "15229363",
      hostname: "debian-2gb-hel1-1",
      sshKeys: [key],
      addresses: { private_ipv4: "10.0.0.3", public_ipv4: "203.0.113.30", public_ipv6: "2a01:4f9::1" },
    },
  };

  test("everything", async (t) => {
    const { result } = await search(t, treeOf(tree), { files });
    assert.deepEqual(seen(result), expected);
  });

  test("user-data as base64", async (t) => {
    const { result } = await search(t, treeOf({ ...tree, "/hetzner/v1/userdata": base64(userData) }), { files });
    assert.deepEqual(seen(result), expected);
  });

  test("no user-data: 204", async (t) => {
    const { result } = await search(
      t,
      (request, response) => {
        if (request.url === "/hetzner/v1/userdata") response.writeHead(204).end();
        else treeOf(tree)(request, response);
      },
      { files },
    );
    assert.deepEqual(seen(result), { ...expected, userData: "" });
    assert.equal(probeOf(result, "hetzner")?.why, "no user-data, but metadata at http://169.254.169.254/hetzner/v1/");
  });

  test("another machine's answer is refused", async (t) => {
    const other = firmware({ sys_vendor: "Hetzner", product_serial: "999" });
    const { result } = await search(t, treeOf(tree), { files: other });
    assert.equal(
      probeOf(result, "hetzner")?.why,
      "Cannot use what http://169.254.169.254/hetzner/v1/metadata answers: instance 15229363 is not this machine",
    );
  });
});

suite("sources: OpenStack", () => {
  const tree: Tree = {
    "/openstack/latest/meta_data.json": JSON.stringify({
      uuid: "d8e02d56-2648-49a3-bf97-6be8f1204f38",
      name: "web-1",
      hostname: "web-1.novalocal",
      public_keys: { laptop: key },
    }),
    "/openstack/latest/user_data": userData,
    "/openstack/latest/network_data.json": JSON.stringify({
      networks: [
        { id: "network0", type: "ipv4", ip_address: "172.20.0.4", netmask: "255.255.0.0" },
        { id: "network1", type: "ipv6", ip_address: "2001:db8:1::4/64" },
        { id: "network2", type: "ipv4_dhcp" },
      ],
    }),
    "/latest/meta-data/local-ipv4": "172.20.0.4",
    "/latest/meta-data/public-ipv4": "203.0.113.40",
  };
  const expected = {
    source: "openstack",
    where: "http://169.254.169.254/openstack/latest/",
    userData,
    metadata: {
      instanceId: "d8e02d56-2648-49a3-bf97-6be8f1204f38",
      hostname: "web-1.novalocal",
      sshKeys: [key],
      addresses: { private_ipv4: "172.20.0.4", public_ipv4: "203.0.113.40", public_ipv6: "2001:db8:1::4" },
    },
  };
  for (const mark of [{ product_name: "OpenStack Nova" }, { chassis_asset_tag: "OpenTelekomCloud" }])
    test(`known by ${JSON.stringify(mark)}`, async (t) => {
      const { result } = await search(t, treeOf(tree), { files: firmware(mark) });
      assert.deepEqual(seen(result), expected);
    });

  test("it does not pass for EC2, which it speaks as well", async (t) => {
    const both = { ...ec2Tree, ...tree };
    const { result } = await search(t, treeOf(both), { files: firmware({ product_name: "OpenStack Compute" }) });
    assert.equal(result.found?.source, "openstack");
  });

  test("an answer that is in doubt comes after a moment", async (t) => {
    let tries = 0;
    const { result } = await search(
      t,
      (request, response) => {
        tries += 1;
        if (tries < 4) response.writeHead(503).end();
        else treeOf(tree)(request, response);
      },
      { files: firmware({ product_name: "OpenStack Nova" }) },
    );
    assert.deepEqual(seen(result), expected);
    assert.ok((probeOf(result, "openstack")?.tries ?? 0) > 1);
  });
});

suite("sources: Azure", () => {
  const files = firmware({
    sys_vendor: "Microsoft Corporation",
    chassis_asset_tag: "7783-7084-3265-9085-8269-3286-77",
  });
  const instance = {
    compute: {
      vmId: "02aab8a4-74ef-476e-8182-f6d2ba4166a6",
      name: "web-1",
      osProfile: { computerName: "web-1-host" },
      userData: base64(userData),
      publicKeys: [{ keyData: key, path: "/home/core/.ssh/authorized_keys" }],
    },
    network: {
      interface: [
        {
          ipv4: { ipAddress: [{ privateIpAddress: "10.144.133.132", publicIpAddress: "203.0.113.50" }] },
          ipv6: { ipAddress: [{ privateIpAddress: "fd12::4" }] },
        },
      ],
    },
  };
  const service = treeOf({ "/metadata/instance": JSON.stringify(instance) }, { needs: ["Metadata", "true"] });
  const expected = {
    source: "azure",
    where: "http://169.254.169.254/metadata/instance",
    userData,
    metadata: {
      instanceId: "02aab8a4-74ef-476e-8182-f6d2ba4166a6",
      hostname: "web-1-host",
      sshKeys: [key],
      addresses: { private_ipv4: "10.144.133.132", public_ipv4: "203.0.113.50", private_ipv6: "fd12::4" },
    },
  };
  const document = (customData: string): string => `<?xml version="1.0" encoding="utf-8"?>
<ns0:Environment xmlns:ns0="http://schemas.dmtf.org/ovf/environment/1" xmlns:ns1="http://schemas.microsoft.com/windowsazure">
  <ns1:ProvisioningSection>
    <ns1:Version>1.0</ns1:Version>
    <ns1:LinuxProvisioningConfigurationSet>
      <ns1:ConfigurationSetType>LinuxProvisioningConfiguration</ns1:ConfigurationSetType>
      <ns1:HostName>from-document</ns1:HostName>
      <ns1:UserName>core</ns1:UserName>
      <ns1:UserPassword>hush &amp; hush</ns1:UserPassword>
      ${customData}
    </ns1:LinuxProvisioningConfigurationSet>
  </ns1:ProvisioningSection>
  <ns1:PlatformSettingsSection/>
</ns0:Environment>`;

  test("user data of the metadata service", async (t) => {
    const { result } = await search(t, service, { files });
    assert.deepEqual(seen(result), expected);
  });

  test("a service that is not ready at first (404)", async (t) => {
    let tries = 0;
    const { result } = await search(
      t,
      (request, response) => {
        tries += 1;
        if (tries < 3) response.writeHead(404).end();
        else service(request, response);
      },
      { files },
    );
    assert.deepEqual(seen(result), expected);
  });

  test("custom data of the provisioning document comes before it", async (t) => {
    const custom = "#cloud-config\nhostname: from-custom-data\n";
    const { result } = await search(t, service, {
      files: {
        ...files,
        "var/lib/waagent/ovf-env.xml": document(`<ns1:CustomData>\n${base64(custom)}\n</ns1:CustomData>`),
      },
    });
    assert.deepEqual(seen(result), {
      ...expected,
      where: "/var/lib/waagent/ovf-env.xml",
      userData: custom,
      metadata: { ...expected.metadata, hostname: "from-document" },
    });
  });

  test("a document without custom data leaves it to the service", async (t) => {
    const { result } = await search(t, service, { files: { ...files, "var/lib/waagent/ovf-env.xml": document("") } });
    assert.equal(seen(result)?.userData, userData);
  });

  test("an image that was captured there has another machine's document: elsewhere it is of no account", async (t) => {
    const { result } = await search(t, treeOf({}), {
      files: { "var/lib/waagent/ovf-env.xml": document(`<ns1:CustomData>${base64(userData)}</ns1:CustomData>`) },
    });
    assert.equal(seen(result), undefined);
    assert.match(result.probes.find(({ source }) => source === "azure")?.why ?? "", /not|Azure/);
  });

  const bad = [
    [
      "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
      "Cannot read /var/lib/waagent/ovf-env.xml: it has a document type of its own",
    ],
    ["<a><b></a>", "Cannot use /var/lib/waagent/ovf-env.xml: it has no LinuxProvisioningConfigurationSet"],
    [
      document("<ns1:CustomData>%%%</ns1:CustomData>"),
      "Cannot use /var/lib/waagent/ovf-env.xml: its CustomData is not base64",
    ],
  ] as const;
  for (const [text, why] of bad)
    test(why, async (t) => {
      const { result } = await search(t, service, { files: { ...files, "var/lib/waagent/ovf-env.xml": text } });
      assert.deepEqual([probeOf(result, "azure")?.outcome, probeOf(result, "azure")?.why], ["failed", why]);
    });
});
