// Volumes with user-data, as images of real file systems that the kernel mounts: found by label, read, and no mount, folder
// or loop device left behind. Needs root, and for each file system a program that makes it and a kernel that knows it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { createClock } from "../../agent/adapters/clock.ts";
import { createUserDataSources } from "../../agent/adapters/sources/sources.ts";
import { rootWith } from "../fakes/metadata-service.ts";
import { silentLog } from "../fakes/silent-log.ts";

const userData = "#cloud-config\nhostname: from-a-volume\n";
const metaData = "instance-id: iid-1\nlocal-hostname: web-1\n";
const path = `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`;

/** A way to make an image: `image` is its path, `folder` holds what is to be in it. */
interface Maker {
  readonly type: string;
  readonly program: string;
  make(image: string, folder: string): void;
}

function call(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, PATH: path } });
  if (status !== 0) throw new Error(`${command} ended with ${status ?? "a signal"}: ${error?.message ?? stderr}`);
}

function blank(image: string): void {
  writeFileSync(image, "");
  truncateSync(image, 4 * 1024 * 1024);
}

const makers: readonly Maker[] = [
  {
    type: "iso9660",
    program: "genisoimage",
    make: (image, folder) =>
      call("genisoimage", "-quiet", "-output", image, "-volid", "cidata", "-joliet", "-rock", folder),
  },
  {
    type: "vfat",
    program: "mcopy",
    make(image, folder) {
      call("mformat", "-C", "-i", image, "-f", "1440", "-v", "CIDATA", "::");
      call("mcopy", "-i", image, join(folder, "user-data"), join(folder, "meta-data"), "::");
    },
  },
  // no provider's, but every kernel's: it stands for the others where those are missing
  {
    type: "ext2",
    program: "mkfs.ext2",
    make(image, folder) {
      blank(image);
      call("mkfs.ext2", "-q", "-d", folder, "-L", "cidata", image);
    },
  },
];

function missing({ type, program }: Maker): string | false {
  if (process.getuid?.() !== 0) return "mounting needs root";
  const isKnown = readFileSync("/proc/filesystems", "utf8")
    .split("\n")
    .some((line) => line.trim() === type);
  if (!isKnown) return `this kernel does not know ${type}`;
  if (spawnSync("sh", ["-c", `command -v ${program}`], { env: { PATH: path } }).status !== 0)
    return `${program} is missing`;
  const may = spawnSync("unshare", ["--mount", "--", "mount", "-t", "tmpfs", "none", "/mnt"], { env: { PATH: path } });
  return may.status === 0 ? false : "this machine lets nobody mount";
}

function world(t: TestContext, maker: Maker, link?: (folder: string) => void) {
  const root = rootWith(t);
  const folder = join(root, "content");
  mkdirSync(folder);
  writeFileSync(join(folder, "user-data"), userData);
  writeFileSync(join(folder, "meta-data"), metaData);
  link?.(folder);
  const image = join(root, "volume.img");
  maker.make(image, folder);
  mkdirSync(join(root, "dev/disk/by-label"), { recursive: true });
  symlinkSync(image, join(root, "dev/disk/by-label/cidata"));
  const sources = createUserDataSources({
    clock: createClock(),
    log: silentLog,
    root,
    connect: {},
    volumeTypes: [maker.type],
  });
  return {
    image,
    search: () => sources.search({ timeoutMs: 30_000, only: ["nocloud"] }, { signal: new AbortController().signal }),
  };
}

/** What is left in the system of an image that was read. */
function traces(image: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const loops = spawnSync("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"], {
    env: { PATH: path },
    encoding: "utf8",
  });
  return [
    ...mounts.filter((line) => line.includes("flotilla-volume-")),
    ...loops.stdout.split("\n").filter((line) => line.includes(image)),
  ];
}

/** Loop devices are let go by the kernel a moment after the last mount. */
async function noTraces(image: string): Promise<void> {
  for (let tries = 0; traces(image).length > 0; tries++) {
    assert.ok(tries < 100, `left behind: ${traces(image).join(", ")}`);
    await createClock().sleep(50);
  }
}

for (const maker of makers)
  suite(`a volume of ${maker.type}`, { skip: missing(maker) }, () => {
    test("is found, read, and let go", async (t) => {
      const folders = (): readonly string[] =>
        readdirSync(tmpdir()).filter((name) => name.startsWith("flotilla-volume-"));
      const before = folders();
      const { image, search } = world(t, maker);
      const { found, probes } = await search();
      assert.equal(found?.where, image, JSON.stringify(probes));
      assert.equal(Buffer.from(found.userData).toString(), userData);
      assert.deepEqual([found.metadata.instanceId, found.metadata.hostname], ["iid-1", "web-1"]);
      await noTraces(image);
      assert.deepEqual(folders(), before);
    });

    test("that is no file system is refused, and let go", async (t) => {
      const { image, search } = world(t, { ...maker, make: blank });
      const { found, probes } = await search();
      assert.equal(found, undefined);
      assert.match(probes[0]?.why ?? "", /^Cannot mount the volume .*volume\.img: mount: /);
      await noTraces(image);
    });

    test(
      "whose links lead out of it gives away nothing",
      { skip: maker.type === "vfat" && "it has no links" },
      async (t) => {
        const { search } = world(t, maker, (folder) => {
          call("rm", join(folder, "user-data"));
          symlinkSync("/etc/passwd", join(folder, "user-data"));
        });
        const { found } = await search();
        assert.equal(found?.userData.length, 0);
      },
    );
  });
