// What commands may ask of this machine's first boot. Implemented by wire-bootstrap.ts on top of bootstrap/.
import type { BootResult, BootStatus, DryRun } from "../domain/boot-result.ts";
import type { SourceRequest, Standing } from "./user-data-sources.ts";

export interface BootRequest {
  /** Without a limit: five minutes at a first boot, half a minute where an earlier boot's find is there to go on with. */
  readonly sources: Omit<SourceRequest, "timeoutMs"> & { readonly timeoutMs: number | undefined };
  /** Undefined: beside cloud-init where that got user-data of its own at this boot, else alone. */
  readonly mode: "alone" | "beside-cloud-init" | undefined;
}

/** How to go on being told, and when to end. */
export interface Watching<T> {
  readonly signal: AbortSignal;
  readonly progress: (now: T) => void;
}

export interface FirstBoot {
  /**
   * Runs it. Resolves with what came of it, also when the document is refused. Rejects with "bootstrap-root" without the
   * rights of root, "bootstrap-running" while another run is at work.
   */
  run(request: BootRequest, signal: AbortSignal): Promise<BootResult>;
  /** Changes nothing. Rejects with "boot-no-source" when nothing was found. */
  dryRun(request: BootRequest, watching: Watching<Standing>): Promise<DryRun>;
  status(): Promise<BootStatus>;
  /** Until nothing moves any more, or for so long. */
  wait(timeoutMs: number | undefined, watching: Watching<BootStatus>): Promise<BootStatus>;
  /** A file's bytes, "-" for standard input. Rejects with "user-data-file". */
  readFile(name: string): Promise<Uint8Array>;
}
