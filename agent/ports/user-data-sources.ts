// Where a machine may find its user-data and what its provider says of it: files, the kernel command line, volumes, and
// metadata services. One real adapter for each source (adapters/sources/).
import type { InstanceMetadata } from "../domain/user-data.ts";

export const sourceNames = [
  "file",
  "url",
  "kernel-command-line",
  "nocloud",
  "config-drive",
  "cloud-init",
  "vmware",
  "azure",
  "ec2",
  "gce",
  "digitalocean",
  "hetzner",
  "openstack",
] as const;
export type SourceName = (typeof sourceNames)[number];

export interface FoundUserData {
  readonly source: SourceName;
  /** Where exactly: a path or a URL without secrets. */
  readonly where: string;
  /** As it was found (perhaps gzip or MIME); empty: there is none, and the metadata counts all the same. */
  readonly userData: Uint8Array;
  readonly metadata: InstanceMetadata;
}

/** What came of asking one source. `why` is one line for people. */
export interface Probe {
  readonly source: SourceName;
  readonly outcome: "found" | "absent" | "failed" | "given-up";
  readonly why: string;
  readonly tries: number;
  readonly tookMs: number;
}

/** A source while the search goes on: also one that is still waited for, with why there is no answer yet. */
export type Standing = Probe | (Omit<Probe, "outcome"> & { readonly outcome: "waiting" });

export interface SourceRequest {
  /** `--from-file`, `--from-url`: only this one is asked. */
  readonly file?: string | undefined;
  readonly url?: string | undefined;
  /** Only these; undefined: all but file and url. One alone is asked whatever the machine looks like, and waited for. */
  readonly only?: readonly SourceName[] | undefined;
  /** The whole search. */
  readonly timeoutMs: number;
}

export interface SourceSearch {
  readonly found: FoundUserData | undefined;
  /** One for each source asked, in the order of `sourceNames`. */
  readonly probes: readonly Probe[];
}

export interface UserDataSources {
  /**
   * Asks all at the same time; of those that have something the first in the order of `sourceNames` wins, once every one
   * before it has answered or been given up. Never rejects but with "aborted". `progress` is told when a source's standing changes.
   */
  search(
    request: SourceRequest,
    options: { readonly signal: AbortSignal; readonly progress?: (standing: Standing) => void },
  ): Promise<SourceSearch>;
}
