// Step "hostname": the machine's name, for now and for later boots. Written by ourselves: the hostname service of D-Bus may
// be absent, or not be there yet when this runs.
import { hostname as kernelName } from "node:os";
import { writeFile } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import { type Around, type Doer, hintFor, isLive } from "./around.ts";
import { checkFile } from "./files.ts";
import { atSpot, replaceFile, standing } from "./places.ts";

const path = "/etc/hostname";
/** HOST_NAME_MAX of Linux. */
const maxNameChars = 64;
const programTimeoutMs = 10_000;

export const hostname: Doer<"hostname"> = {
  async look({ hostname: wanted }, around) {
    const before = await written(around);
    const current = isLive(around) ? kernelName() : before;
    return { same: before === wanted && current === wanted, before: before ?? current, after: wanted };
  },

  async check({ hostname: wanted, at }, around) {
    const isName = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(wanted) && wanted.length <= maxNameChars;
    const shape = new Problem("setup-hostname", `Cannot name the machine "${wanted.slice(0, 80)}"`, {
      hint: `A name has letters, digits, - and dots, at most ${maxNameChars} of them`,
      at,
    });
    return [...(isName ? [] : [shape]), ...(await checkFile(around, { path, sizeBytes: wanted.length + 1 }))];
  },

  async apply({ hostname: wanted }, around, signal) {
    const paths: string[] = [];
    if ((await written(around)) !== wanted) {
      await atSpot(path, { root: around.root, create: true, followLast: true }, (spot) =>
        replaceFile(spot, { content: Buffer.from(`${wanted}\n`), mode: 0o644, uid: 0, gid: 0 }),
      );
      paths.push(path);
    }
    if (isLive(around) && kernelName() !== wanted) await tellKernel(wanted, around, signal);
    return paths;
  },
};

/** The first line that is no comment (hostname(5)). */
async function written({ root }: Around): Promise<string | undefined> {
  const found = await atSpot(path, { root, create: false, followLast: true }, standing);
  if (found?.kind !== "file") return undefined;
  const lines = (found.content ?? "").toString().split("\n");
  return lines.map((line) => line.trim()).find((line) => line !== "" && !line.startsWith("#"));
}

async function tellKernel(wanted: string, { programs }: Around, signal: AbortSignal): Promise<void> {
  try {
    await writeFile("/proc/sys/kernel/hostname", wanted);
  } catch (error) {
    // In containers /proc/sys is read-only, and the program's own call still works
    if ((await programs.find("hostname")) === undefined) {
      throw new Problem("setup-hostname", `Cannot name the machine "${wanted}" until the next boot`, {
        hint: hintFor(error),
        cause: error,
      });
    }
    await programs.must(["hostname", wanted], { signal, timeoutMs: programTimeoutMs });
  }
}
