// What a machine has when flotilla is installed on it: the program at /usr/bin/flotilla and its units, as its package puts
// them. None of the units is enabled. For the options of a booted machine.
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { MachineFile, MachineOptions } from "./machine.ts";

const root = new URL("../../../", import.meta.url);
const at = (path: string): string => fileURLToPath(new URL(path, root));
const home = "/usr/local/lib/flotilla";
const unitFolder = "/usr/lib/systemd/system";

/**
 * `executable` is one file that needs nothing else; unless it is given, the modules in `dist` (the checkout's unless set) are
 * run by the node that runs the tests.
 */
export async function flotillaParts({
  executable,
  dist = at("dist"),
}: { executable?: string; dist?: string } = {}): Promise<Required<Pick<MachineOptions, "files" | "binds">>> {
  const units = (await readdir(at("units/system"))).filter((name) => /\.(service|socket)$/.test(name));
  const files: Record<string, MachineFile> = {};
  for (const name of units) files[`${unitFolder}/${name}`] = await readFile(at(`units/system/${name}`), "utf8");
  if (executable !== undefined) return { files, binds: { "/usr/bin/flotilla": executable } };
  const binds: Record<string, string> = { [`${home}/node`]: process.execPath, [`${home}/dist`]: dist };
  for (const name of ["node_modules", "package.json"]) binds[`${home}/${name}`] = at(name);
  files["/usr/bin/flotilla"] = { text: `#!/bin/sh\nexec ${home}/node ${home}/dist/main.js "$@"\n`, mode: 0o755 };
  return { files, binds };
}
