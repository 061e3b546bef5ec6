// Whether this host can boot machines for tests, and if not, why: for `skip` of node:test, so that a run says what it
// left out.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { bootMachine } from "./machine.ts";
import { Network, NoMachines } from "./network.ts";

const programs: Readonly<Record<string, string>> = {
  "systemd-nspawn": "systemd-container",
  systemctl: "systemd",
  ip: "iproute2",
  nsenter: "util-linux",
  unshare: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
};

/** One line, or undefined when machines can be booted: that is found out by booting one. */
export async function whyNoMachines(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "no machine can be booted here: that needs root";
  for (const [program, name] of Object.entries(programs))
    if (!isInstalled(program)) return `no machine can be booted here: ${program} is not installed (Debian: ${name})`;
  let network: Network | undefined;
  try {
    network = await Network.open();
    await bootMachine({ network, name: "probe", address: "10.77.0.2", until: "basic.target" });
    return undefined;
  } catch (error) {
    if (error instanceof NoMachines) return error.message;
    const said = error instanceof Error ? error.message : String(error);
    return `no machine can be booted here: one that was tried did not come up: ${said.split("\n").join("; ")}`;
  } finally {
    await network?.close();
  }
}

function isInstalled(program: string): boolean {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false; // not in this folder, or not for us
    }
  });
}
