// Whether systemd has ended its units since they were told to start, and kept /run: a soft reboot does, and so does `systemctl
// isolate rescue.target` and back. Only a target of ours, which ends with them, can tell. Given to systemd.ts and unit-files.ts.
import type { UnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { Log } from "../../ports/log.ts";
import { managerInterface, managerPath } from "./connection.ts";
import { PeerError } from "./peer.ts";
import type { UnitFiles } from "./unit-files.ts";
import { type Caller, list } from "./units.ts";

const upTarget = "flotilla-up.target" as UnitName;

/** What must lie in systemd's runtime folder for this. With default dependencies: a shutdown is to end it. */
export const upFiles: ReadonlyMap<string, string> = new Map([
  [upTarget, "[Unit]\nDescription=What flotilla has started since userspace came up is not started again\n"],
]);

export interface UserspaceOptions {
  readonly files: Pick<UnitFiles, "writeUp" | "wasUp" | "noteUp" | "forgetLaunches">;
  readonly call: Caller;
  readonly log: Log;
}

/**
 * For the first connection of a process. Notes of launches before the end of userspace are forgotten, as at a reboot; where
 * the target was never up, as under an older version, nothing is. Without it, where the host will not have it, nothing is
 * known. Rejects where systemd cannot be reached.
 */
export async function beginUserspace({ files, call, log }: UserspaceOptions): Promise<void> {
  try {
    files.writeUp();
    const isUp = (await list([upTarget], call)).get(upTarget)?.active === "active";
    if (!isUp && files.wasUp()) {
      log.warn("systemd.userspace-ended");
      files.forgetLaunches();
    }
    if (!isUp) await start(call);
    files.noteUp(true);
  } catch (error) {
    if (error instanceof Problem && error.code === "systemd-unreachable") throw error;
    if (error instanceof PeerError) files.noteUp(false);
    log.warn("systemd.userspace-unknown", { reason: error instanceof Error ? error.message : String(error) });
  }
}

/** It waits for nothing: as soon as it is told, it is up. */
async function start(call: Caller): Promise<void> {
  const body = [upTarget, "replace"];
  await call({ path: managerPath, interface: managerInterface, member: "StartUnit", signature: "ss", body });
}
