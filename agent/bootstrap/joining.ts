// What the files of join hand to one another: the world that a machine joins from, and what is known of it. For them only.
import { type Found, ownId } from "../discovery/discovery.ts";
import type { EtcdSelf, JoinNote } from "../domain/discovery.ts";
import type { EtcdSettings } from "../domain/settings.ts";
import type { Clock } from "../ports/clock.ts";
import type { DiscoveryStore, EtcdData, EtcdReach, Names } from "../ports/discovery.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import type { RunLock } from "../ports/run-lock.ts";
import type { JoinFiles } from "./join-files.ts";
import type { JoinWait } from "./join-wait.ts";

export interface JoinWorld {
  readonly settings: EtcdSettings;
  /** This machine's name among the members, where the settings have none. */
  readonly name: string;
  readonly hostname: string;
  /** 32 hex digits; undefined where it cannot be told. */
  readonly machineId: string | undefined;
  /** "" where it cannot be told. */
  readonly publicIp: string;
  /** The agent's state directory. */
  readonly disk: Disk;
  /** The agent's run directory. */
  readonly run: Disk;
  /** Held for as long as it takes: two at once would write over each other's notes, token entries and decision. */
  readonly lock: RunLock;
  readonly data: EtcdData;
  /** Where the settings name a token. */
  readonly store: DiscoveryStore | undefined;
  readonly names: Names;
  readonly reach: EtcdReach;
  readonly clock: Clock;
  readonly log: Log;
  /** Look once and do not wait. */
  readonly once: boolean;
}

/** What the files of join hand to one another. */
export interface Joining extends JoinWorld {
  readonly files: JoinFiles;
  readonly wait: JoinWait;
  readonly self: EtcdSelf;
  /** etcd's initial-cluster-token. */
  readonly token: string;
  /** The way to the members, for people. */
  readonly shown: string;
  readonly signal: AbortSignal;
}

/** What is true of every decision that is made now. */
export function foundNow({ settings, token, self, clock, machineId }: Joining, size: number): Found {
  return {
    ...{ how: settings.discovery.kind, token, size, name: self.name, nowMs: Math.floor(clock.wallMs()) },
    ...(machineId === undefined ? {} : { machineId }),
  };
}

/** The note that this machine made of itself, by these peer URLs, before it changed something elsewhere. */
export async function ownNote({ files, token }: Joining, peerUrls: readonly string[]): Promise<JoinNote | undefined> {
  const note = await files.note();
  return note?.token === token && note.id === ownId(peerUrls, token) ? note : undefined;
}
