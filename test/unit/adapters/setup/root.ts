// A folder that stands for a machine's root, for tests of the setup of machines. Nothing of this machine is touched.
import { mkdir, mkdtemp, readFile, readlink, lstat, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createHostSetup } from "../../../../agent/adapters/setup/setup.ts";
import type { SetupHarness } from "../../../contract/host-setup.ts";
import { FakeClock } from "../../../fakes/fake-clock.ts";
import { silentLog } from "../../../fakes/silent-log.ts";

export interface ScratchRoot extends SetupHarness {
  readonly root: string;
  at(path: string): string;
}

const files: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "/etc/group": "root:x:0:\nnogroup:x:65534:\nadm:x:4:\n",
  "/etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
  "/etc/gshadow": "root:*::\nnogroup:*::\nadm:*::\n",
  "/etc/os-release": 'ID=flatcar\nID_LIKE="coreos gentoo"\n',
  "/etc/machine-id": `${"ab".repeat(16)}\n`,
};

export async function openScratchRoot(): Promise<ScratchRoot> {
  const root = await mkdtemp(join(tmpdir(), "flotilla-setup-"));
  const at = (path: string): string => join(root, path);
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(at(path)), { recursive: true });
    await writeFile(at(path), text);
  };
  for (const [path, text] of Object.entries(files)) await put(path, text);
  await mkdir(at("/root"), { mode: 0o700 });
  const setup = createHostSetup({ root, clock: new FakeClock(), log: silentLog, flotilla: "/usr/bin/flotilla" });
  return {
    root,
    at,
    setup,
    put,
    putFolder: async (path) => {
      await mkdir(at(path), { recursive: true });
    },
    read: async (path) => {
      try {
        const entry = await lstat(at(path));
        return entry.isSymbolicLink() ? `-> ${await readlink(at(path))}` : await readFile(at(path), "utf8");
      } catch {
        return undefined; // not there, which is what the tests ask for
      }
    },
    mode: async (path) => (await stat(at(path))).mode & 0o7777,
    close: async () => {
      await setup.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
