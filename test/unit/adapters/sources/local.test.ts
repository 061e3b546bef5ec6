// Sources that need no provider: named files and URLs, the kernel command line, folders, volumes, guestinfo, cloud-init.
import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import type { Run } from "../../../../agent/adapters/sources/child-program.ts";
import { createUserDataSources } from "../../../../agent/adapters/sources/sources.ts";
import type { SourceName, SourceRequest, SourceSearch } from "../../../../agent/ports/user-data-sources.ts";
import { firmware, quickClock, rootWith, serve, type Tree, treeOf } from "../../../fakes/metadata-service.ts";
import { silentLog } from "../../../fakes/silent-log.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqmzxM8Z0bK1o8m7gT9GmXJp4Nf3v6aQhZy2wUeXlRk core@laptop";
const userData = "#cloud-config\nhostname: web-1\n";
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const nothing = { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {} };

interface World {
  readonly files?: Readonly<Record<string, string>>;
  readonly tree?: Tree;
  readonly run?: Run;
  readonly request?: Partial<SourceRequest>;
}

async function search(t: TestContext, { files = {}, tree = {}, run, request = {} }: World): Promise<SourceSearch> {
  const service = await serve(t, treeOf(tree));
  const sources = createUserDataSources({
    clock: quickClock,
    log: silentLog,
    root: rootWith(t, files),
    connect: { "10.0.0.2:80": service.place, "user-data.example:80": service.place },
    run: run ?? (() => Promise.resolve(undefined)),
  });
  return sources.search({ timeoutMs: 4_000, ...request }, { signal: new AbortController().signal });
}

const seen = ({ found }: SourceSearch) =>
  found === undefined ? undefined : { ...found, userData: Buffer.from(found.userData).toString("utf8") };
function fateOf(result: SourceSearch, name: SourceName): string {
  const probe = result.probes.find(({ source }) => source === name);
  return `${probe?.outcome ?? "not asked"}: ${probe?.why ?? ""}`;
}

suite("sources: what somebody named", () => {
  test("a file, and nothing else is asked", async (t) => {
    const root = rootWith(t, { "user-data": userData });
    const file = join(root, "user-data");
    const result = await search(t, { request: { file } });
    assert.deepEqual(seen(result), { source: "file", where: file, userData, metadata: nothing });
    assert.deepEqual(
      result.probes.map(({ source }) => source),
      ["file"],
    );
    assert.equal(fateOf(result, "file"), `found: ${userData.length} bytes at ${file}`);
  });

  test("no such file", async (t) => {
    const result = await search(t, { request: { file: "/nowhere/user-data" } });
    assert.equal(fateOf(result, "file"), "failed: Cannot read /nowhere/user-data: there is no such file");
  });

  test("a folder", async (t) => {
    const file = rootWith(t);
    assert.equal(
      fateOf(await search(t, { request: { file } }), "file"),
      `failed: Cannot read ${file}: it is not a file`,
    );
  });

  test("a file that is too long", async (t) => {
    const file = join(rootWith(t, { huge: "x".repeat(1024 * 1024 + 1) }), "huge");
    const result = await search(t, { request: { file } });
    assert.equal(fateOf(result, "file"), `failed: Cannot read ${file}: it is longer than 1048576 bytes`);
  });

  test("a URL; nobody is shown its query", async (t) => {
    const url = "http://user-data.example/web?token=hush";
    const result = await search(t, { tree: { "/web": userData }, request: { url } });
    assert.deepEqual(seen(result), {
      source: "url",
      where: "http://user-data.example/web",
      userData,
      metadata: nothing,
    });
    assert.ok(!JSON.stringify(result).includes("hush"));
  });

  const bad = [
    ["http://user-data.example/none", "failed: Cannot read http://user-data.example/none: there is no such document"],
    [
      "http://user-data.example/page",
      "failed: Cannot use http://user-data.example/page: it is a web page, not user-data",
    ],
    ["http://elsewhere.example/", /^given-up: Cannot reach http:\/\/elsewhere\.example\/: .*, in 4 s$/],
    ["nonsense", "failed: Cannot read the address nonsense"],
  ] as const;
  for (const [url, fate] of bad)
    test(`a URL that leads to nothing: ${url}`, async (t) => {
      const result = await search(t, { tree: { "/page": "\n<!doctype HTML><title>Log in</title>" }, request: { url } });
      if (typeof fate === "string") assert.equal(fateOf(result, "url"), fate);
      else assert.match(fateOf(result, "url"), fate);
    });

  const lines = [
    "cloud-config-url=http://10.0.0.2/a",
    "quiet cloud_config_url=http://10.0.0.2/other cloud-config-url=http://10.0.0.2/a ro",
    '"cloud-config-url=http://10.0.0.2/a" quiet',
  ];
  for (const line of lines)
    test(`kernel command line: ${line}`, async (t) => {
      const result = await search(t, { files: { "proc/cmdline": line }, tree: { "/a": userData } });
      assert.deepEqual(seen(result), {
        source: "kernel-command-line",
        where: "http://10.0.0.2/a",
        userData,
        metadata: nothing,
      });
    });

  test("in a container the words are those that it was started with", async (t) => {
    const files = {
      "proc/cmdline": "cloud-config-url=http://10.0.0.2/of-the-host",
      "proc/1/cmdline": "/sbin/init\0cloud-config-url=http://10.0.0.2/a\0",
      "run/systemd/container": "systemd-nspawn",
    };
    assert.equal((await search(t, { files, tree: { "/a": userData } })).found?.where, "http://10.0.0.2/a");
  });

  test("flotilla.bootstrap=off", async (t) => {
    const files = { "proc/cmdline": "flotilla.bootstrap=off cloud-config-url=http://10.0.0.2/a" };
    const result = await search(t, { files, tree: { "/a": userData } });
    assert.equal(result.found, undefined);
    assert.deepEqual(
      new Set(result.probes.map(({ why }) => why)),
      new Set(["the kernel command line says flotilla.bootstrap=off"]),
    );
  });
});

const metaData = `instance-id: iid-1\nlocal-hostname: web-1\npublic-keys:\n  - ${key}\nlocal-ipv4: 10.0.0.9/24\n`;
const metadata = { instanceId: "iid-1", hostname: "web-1", sshKeys: [key], addresses: { private_ipv4: "10.0.0.9" } };

suite("sources: NoCloud", () => {
  for (const folder of ["var/lib/cloud/seed/nocloud", "var/lib/cloud/seed/nocloud-net"])
    test(`folder ${folder}`, async (t) => {
      const files = { [`${folder}/user-data`]: userData, [`${folder}/meta-data`]: metaData };
      assert.deepEqual(seen(await search(t, { files })), {
        source: "nocloud",
        where: `/${folder}`,
        userData,
        metadata,
      });
    });

  test("JSON as meta-data, keys as a mapping, names with underscores", async (t) => {
    const meta = JSON.stringify({ instance_id: "iid-2", hostname: "db-1", "public-keys": { a: key, b: "no key" } });
    const files = { "var/lib/cloud/seed/nocloud/user-data": "", "var/lib/cloud/seed/nocloud/meta-data": meta };
    assert.deepEqual(seen(await search(t, { files }))?.metadata, {
      instanceId: "iid-2",
      hostname: "db-1",
      sshKeys: [key],
      addresses: {},
    });
  });

  const urls = [
    ["ds=nocloud;s=http://10.0.0.2/seed/", "http://10.0.0.2/seed/"],
    ["ds=nocloud-net;s=http://10.0.0.2/seed", "http://10.0.0.2/seed/"],
    ["ds=nocloud;s=http://10.0.0.2/old/ ds=nocloud;seedfrom=http://10.0.0.2/seed/", "http://10.0.0.2/seed/"],
    ["ds=nocloud;s=http://10.0.0.2/__dmi.chassis-serial-number__/", "http://10.0.0.2/C-1/"],
  ] as const;
  for (const [line, where] of urls)
    test(`URL of the kernel command line: ${line}`, async (t) => {
      const tree = Object.fromEntries(
        ["/seed/", "/C-1/"].flatMap((base) => [
          [`${base}user-data`, userData],
          [`${base}meta-data`, metaData],
        ]),
      ) as Tree;
      const result = await search(t, {
        files: { "proc/cmdline": `quiet ${line}`, ...firmware({ chassis_serial: "C-1" }) },
        tree,
      });
      assert.deepEqual(seen(result), { source: "nocloud", where, userData, metadata });
    });

  test("URL of the firmware's serial number, with id and name beside it", async (t) => {
    const files = firmware({ product_serial: "ds=nocloud;s=http://10.0.0.2/seed/;i=iid-9;h=db-9" });
    const result = await search(t, { files, tree: { "/seed/user-data": userData, "/seed/meta-data": metaData } });
    assert.deepEqual(seen(result)?.metadata, { ...metadata, instanceId: "iid-9", hostname: "db-9" });
  });

  test("a folder that the kernel command line names", async (t) => {
    const files = { "proc/cmdline": "ds=nocloud;s=file:///srv/seed/", "srv/seed/user-data": userData };
    assert.equal(seen(await search(t, { files }))?.where, "/srv/seed/");
  });

  const bad = [
    [
      "ds=nocloud;s=ftp://10.0.0.2/",
      "Cannot use the seed ftp://10.0.0.2/: it is neither http, https nor an absolute path",
    ],
    ["ds=nocloud;s=/srv/none/", "Cannot read /srv/none/: it has neither user-data nor meta-data"],
    ["ds=nocloud;s=http://10.0.0.2/none/", "Cannot read http://10.0.0.2/none/: it has neither user-data nor meta-data"],
    [
      "ds=nocloud;s=http://10.0.0.2/__dmi.system-uuid__/",
      "Cannot fill in __dmi.system-uuid__ of the seed: there is no /sys/class/dmi/id/product_uuid",
    ],
  ] as const;
  for (const [line, why] of bad)
    test(line, async (t) => {
      assert.equal(fateOf(await search(t, { files: { "proc/cmdline": line } }), "nocloud"), `failed: ${why}`);
    });

  test("meta-data that is no YAML is not repeated", async (t) => {
    const files = {
      "var/lib/cloud/seed/nocloud/user-data": userData,
      "var/lib/cloud/seed/nocloud/meta-data": "a: [hush",
    };
    assert.equal(
      fateOf(await search(t, { files }), "nocloud"),
      "failed: Cannot read /var/lib/cloud/seed/nocloud/meta-data: it is not YAML",
    );
  });

  test("meta-data that names itself over and over is read in no time", async (t) => {
    const rounds = Array.from(
      { length: 40 },
      (_, at) => `a${at}: &a${at} [${at === 0 ? "x" : `*a${at - 1}, *a${at - 1}`}]`,
    );
    const files = {
      "var/lib/cloud/seed/nocloud/user-data": userData,
      "var/lib/cloud/seed/nocloud/meta-data": `${rounds.join("\n")}\npublic-keys: *a39\ninstance-id: iid-1\n`,
    };
    assert.equal(seen(await search(t, { files }))?.metadata.instanceId, "iid-1");
  });
});

/** A host on which one device has a label and files. */
function volume(device: string, label: string, files: Readonly<Record<string, string>>): Run {
  return ([program, ...args]) => {
    const answer = (code: number, stdout: string) => Promise.resolve({ code, stdout: Buffer.from(stdout), stderr: "" });
    if (program === "blkid") return args.includes(`LABEL=${label}`) ? answer(0, `${device}\n`) : answer(2, "");
    if (program !== "unshare") return Promise.resolve(undefined);
    if (!args.includes(device))
      return Promise.resolve({ code: 100, stdout: Buffer.alloc(0), stderr: "mount: no such device" });
    const there = Object.entries(files).filter(([name]) => args.includes(name));
    return answer(0, there.map(([name, text]) => `${name} ${Buffer.byteLength(text)}\n${text}`).join(""));
  };
}

suite("sources: volumes", () => {
  for (const label of ["cidata", "CIDATA"])
    test(`NoCloud's, labelled ${label}`, async (t) => {
      const run = volume("/dev/sr0", label, { "user-data": userData, "meta-data": metaData });
      assert.deepEqual(seen(await search(t, { run })), { source: "nocloud", where: "/dev/sr0", userData, metadata });
    });

  test("none, for certain, as soon as no device is being looked at any more", async (t) => {
    const result = await search(t, {});
    assert.equal(
      fateOf(result, "nocloud"),
      "absent: no volume labelled cidata, and nothing in /var/lib/cloud/seed/nocloud",
    );
    assert.equal(fateOf(result, "config-drive"), "absent: no volume labelled config-2");
  });

  test("one that turns up while devices are being looked at is waited for", async (t) => {
    let looks = 0;
    const later = volume("/dev/vdb", "cidata", { "user-data": userData });
    const run: Run = (command, options) => {
      if (command.includes("LABEL=cidata")) looks += 1;
      return looks > 2 ? later(command, options) : Promise.resolve({ code: 2, stdout: Buffer.alloc(0), stderr: "" });
    };
    const result = await search(t, { files: { "run/udev/queue": "" }, run, request: { only: ["nocloud", "ec2"] } });
    assert.equal(result.found?.where, "/dev/vdb");
    assert.ok((result.probes[0]?.tries ?? 0) > 1);
  });

  test("one that is promised is waited for until the limit", async (t) => {
    const result = await search(t, { files: { "proc/cmdline": "ds=nocloud" } });
    assert.equal(fateOf(result, "nocloud"), "given-up: no volume labelled cidata yet, in 4 s");
  });

  const drive = {
    "openstack/latest/meta_data.json": JSON.stringify({
      uuid: "iid-1",
      hostname: "web-1",
      public_keys: { laptop: key },
    }),
    "openstack/latest/user_data": userData,
    "ec2/latest/meta-data.json": JSON.stringify({ "local-ipv4": "10.0.0.9", "public-ipv4": "" }),
  };
  test("a config drive", async (t) => {
    const result = await search(t, { run: volume("/dev/vdb", "config-2", drive) });
    assert.deepEqual(seen(result), { source: "config-drive", where: "/dev/vdb", userData, metadata });
  });

  test("a copy of a config drive in a folder", async (t) => {
    const seed = "var/lib/cloud/seed/config_drive";
    const files = Object.fromEntries(Object.entries(drive).map(([name, text]) => [`${seed}/${name}`, text]));
    assert.deepEqual(seen(await search(t, { files })), {
      source: "config-drive",
      where: `/${seed}`,
      userData,
      metadata,
    });
  });

  test("an empty config drive", async (t) => {
    assert.equal(
      fateOf(await search(t, { run: volume("/dev/vdb", "config-2", {}) }), "config-drive"),
      "failed: Cannot use the config drive /dev/vdb: it has no openstack/latest/meta_data.json",
    );
  });

  test("a volume that cannot be mounted", async (t) => {
    const run: Run = ([program]) =>
      Promise.resolve(
        program === "blkid"
          ? { code: 0, stdout: Buffer.from("/dev/sr0\n"), stderr: "" }
          : { code: 100, stdout: Buffer.alloc(0), stderr: "mount: wrong fs type\n  dmesg(1) may have more" },
      );
    assert.equal(
      fateOf(await search(t, { run }), "nocloud"),
      "failed: Cannot mount the volume /dev/sr0: mount: wrong fs type dmesg(1) may have more",
    );
  });

  test("in a container devices are the host's", async (t) => {
    const result = await search(t, {
      files: { "run/systemd/container": "systemd-nspawn" },
      run: volume("/dev/sr0", "cidata", { "user-data": userData }),
    });
    assert.equal(fateOf(result, "nocloud"), "absent: nothing in /var/lib/cloud/seed/nocloud");
  });
});

suite("sources: cloud-init's instance", () => {
  const data = JSON.stringify({
    v1: { instance_id: "iid-1", local_hostname: "web-1", platform: "ec2", public_ssh_keys: [key] },
    ds: { meta_data: { "local-ipv4": "10.0.0.9" } },
  });
  const files = { "var/lib/cloud/instance/user-data.txt": userData, "run/cloud-init/instance-data.json": data };

  test("what it found", async (t) => {
    const where = "/var/lib/cloud/instance/user-data.txt";
    assert.deepEqual(seen(await search(t, { files })), { source: "cloud-init", where, userData, metadata });
  });

  const others = [
    [{ "var/lib/cloud/instance/user-data.txt": userData }, "absent: cloud-init does not run on this machine"],
    [{ ...files, "run/cloud-init/disabled": "" }, "absent: cloud-init is switched off on this machine"],
    [{ ...files, "proc/cmdline": "cloud-init=disabled" }, "absent: the kernel command line says cloud-init=disabled"],
    [
      { ...files, "run/cloud-init/instance-data.json": '{"v1":{"platform":"none"}}' },
      "absent: cloud-init found no source either",
    ],
    [
      { "run/cloud-init/enabled": "", "run/cloud-init/result.json": "{}" },
      "absent: cloud-init has ended without finding anything",
    ],
    [
      { "run/cloud-init/instance-data.json": data, "run/cloud-init/result.json": "{}" },
      "absent: cloud-init has ended without writing /var/lib/cloud/instance/user-data.txt",
    ],
    [{ "run/cloud-init/enabled": "" }, "given-up: cloud-init has found nothing yet, in 4 s"],
  ] as const;
  for (const [there, fate] of others)
    test(fate, async (t) => assert.equal(fateOf(await search(t, { files: there }), "cloud-init"), fate));
});

/** The hypervisor's tools, and what they are told. */
function tools(
  variables: Readonly<Record<string, string>>,
  { broken = false, names = ["vmware-rpctool", "vmtoolsd"] } = {},
): Run {
  return ([program, ...args]) => {
    if (!names.includes(program)) return Promise.resolve(undefined);
    if (broken) return Promise.resolve({ code: 1, stdout: Buffer.alloc(0), stderr: "Failed to open a channel" });
    const [request = ""] = args.slice(program === "vmtoolsd" ? 1 : 0);
    const name = request.replace("info-get guestinfo.", "");
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    return Promise.resolve(
      value === undefined
        ? { code: 1, stdout: Buffer.alloc(0), stderr: "No value found" }
        : { code: 0, stdout: Buffer.from(`${value}\n`), stderr: "" },
    );
  };
}

suite("sources: VMware", () => {
  const files = firmware({ sys_vendor: "VMware, Inc.", product_uuid: "422c0d5a-0000-0000-0000-000000000001" });

  test("cloud-init's variables", async (t) => {
    const run = tools({
      userdata: base64(userData),
      "userdata.encoding": "base64",
      metadata: base64(metaData),
      "metadata.encoding": "b64",
    });
    assert.deepEqual(seen(await search(t, { files, run })), {
      source: "vmware",
      where: "guestinfo.userdata",
      userData,
      metadata,
    });
  });

  test("CoreOS's variables, by the other tool", async (t) => {
    const run = tools(
      {
        "coreos.config.data": userData,
        hostname: "web-1",
        "interface.0.ip.0.address": "203.0.113.9/24",
        "interface.0.role": "private",
        "interface.1.ip.0.address": "10.0.0.9/8",
        "interface.1.role": "public",
        "interface.1.ip.1.address": "2001:db8::9/64",
      },
      { names: ["vmtoolsd"] },
    );
    assert.deepEqual(seen(await search(t, { files, run })), {
      source: "vmware",
      where: "guestinfo.coreos.config.data",
      userData,
      metadata: {
        instanceId: "422c0d5a-0000-0000-0000-000000000001",
        hostname: "web-1",
        sshKeys: [],
        addresses: { private_ipv4: "203.0.113.9", public_ipv4: "10.0.0.9", public_ipv6: "2001:db8::9" },
      },
    });
  });

  test("CoreOS's URL", async (t) => {
    const run = tools({ "coreos.config.url": "http://10.0.0.2/a" });
    const result = await search(t, { files, run, tree: { "/a": userData } });
    assert.deepEqual([seen(result)?.where, seen(result)?.userData], ["http://10.0.0.2/a", userData]);
  });

  const environment = (properties: Readonly<Record<string, string>>): string =>
    `<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="">
  <PlatformSection><Kind>VMware ESXi</Kind></PlatformSection>
  <PropertySection>
    ${Object.entries(properties)
      .map(([name, value]) => `<Property oe:key="${name}" oe:value="${value}"/>`)
      .join("\n    ")}
  </PropertySection>
</Environment>`;

  test("the OVF environment", async (t) => {
    const ovfEnv = environment({
      "user-data": base64(userData),
      hostname: "web-1",
      "instance-id": "iid-1",
      "public-keys": key,
      "guestinfo.interface.0.ip.0.address": "10.0.0.9/24",
    });
    assert.deepEqual(seen(await search(t, { files, run: tools({ ovfEnv }) })), {
      source: "vmware",
      where: "user-data of the OVF environment",
      userData,
      metadata,
    });
  });

  test("entities in the OVF environment, on a disc", async (t) => {
    const text = environment({ "guestinfo.coreos.config.data": "#cloud-config&#10;hostname: &quot;a&amp;b&quot;" });
    const result = await search(t, { files, run: volume("/dev/sr0", "OVF ENV", { "ovf-env.xml": text }) });
    assert.equal(seen(result)?.userData, '#cloud-config\nhostname: "a&b"');
  });

  /** A tool that fails at some of the questions for the user-data, counted from 1. */
  function hiccup(isHit: (call: number) => boolean): Run {
    const well = tools({ userdata: userData, "instance-id": "iid-1" });
    let calls = 0;
    return (command, options) => {
      return command.at(-1) === "info-get guestinfo.userdata" && isHit(++calls)
        ? Promise.resolve({ code: 1, stdout: Buffer.alloc(0), stderr: "Failed to open a channel" })
        : well(command, options);
    };
  }

  test("a tool that fails once it has worked is asked again: what it did not tell is not taken for unset", async (t) => {
    assert.equal(seen(await search(t, { files, run: hiccup((call) => call === 2) }))?.userData, userData);
    assert.equal(
      fateOf(await search(t, { files, run: hiccup((call) => call % 2 === 0) }), "vmware"),
      "given-up: Cannot read guestinfo.userdata: Failed to open a channel, in 4 s",
    );
  });

  test("a disc whose label has a space, as udev writes it", async (t) => {
    const link = "dev/disk/by-label/OVF\\x20ENV";
    const text = environment({ "user-data": base64(userData) });
    const run: Run = async ([program, ...args]) => {
      if (program !== "unshare" || !args.some((each) => each.endsWith(`/${link}`))) return undefined;
      return { code: 0, stdout: Buffer.from(`ovf-env.xml ${Buffer.byteLength(text)}\n${text}`), stderr: "" };
    };
    assert.equal(seen(await search(t, { files: { ...files, [link]: "" }, run }))?.userData, userData);
  });

  const fates = [
    ["nothing set", tools({}), "absent: guestinfo has neither userdata nor coreos.config.data"],
    [
      "no tools",
      undefined,
      "absent: neither vmware-rpctool nor vmtoolsd is installed, and there is no OVF environment",
    ],
    ["tools that may not ask", tools({}, { broken: true }), "failed: Cannot read guestinfo: Failed to open a channel"],
    [
      "an encoding that nobody knows",
      tools({ userdata: "x", "userdata.encoding": "rot13" }),
      'failed: Cannot decode guestinfo.userdata: its encoding "rot13" is not known',
    ],
    [
      "base64 that is none",
      tools({ userdata: "#cloud", "userdata.encoding": "base64" }),
      "failed: Cannot decode guestinfo.userdata: it is not base64",
    ],
  ] as const;
  for (const [name, run, fate] of fates)
    test(name, async (t) => {
      const result = await search(t, { files, ...(run === undefined ? {} : { run }) });
      assert.equal(fateOf(result, "vmware"), fate);
    });
});
