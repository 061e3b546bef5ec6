// What a machine keeps of its way into etcd, on the agent's own disk. For the other files of join, and for their tests.
import { environmentOf, readNote, readRecord, writeNote, writeRecord } from "../discovery/discovery.ts";
import type { JoinNote, JoinRecord } from "../domain/discovery.ts";
import type { Checked } from "../domain/problem.ts";
import type { Disk } from "../ports/disk.ts";

/** The decision. */
export const recordFile = "etcd-cluster.json";
/** What etcd.service reads as its environment; only of a member. */
export const environmentFile = "etcd-initial.env";
/** Written before something is changed elsewhere. */
export const noteFile = "etcd-registering.json";
/** The members as the agent has learned them, once it has been in touch with the cluster. */
export const learnedFile = "etcd-endpoints.json";

export interface Learned {
  readonly clusterId: string;
  readonly endpoints: readonly string[];
}

export class JoinFiles {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async record(): Promise<Checked<JoinRecord | undefined>> {
    return readRecord(await this.#disk.read(recordFile));
  }

  /** The record first: without it the other file would be one that nobody has decided on. */
  async keep(record: JoinRecord): Promise<void> {
    await this.#write(recordFile, writeRecord(record));
    if (record.role === "member") await this.#write(environmentFile, environmentOf(record));
    else await this.withhold();
    await this.#disk.remove(noteFile);
  }

  /** etcd does not start until `keep` says that this machine is a member. */
  async withhold(): Promise<void> {
    await this.#disk.remove(environmentFile);
  }

  async note(): Promise<JoinNote | undefined> {
    return readNote(await this.#disk.read(noteFile));
  }

  async writeNote(note: JoinNote): Promise<void> {
    await this.#write(noteFile, writeNote(note));
  }

  /**
   * Undefined: this machine's agent has never been in touch with a cluster. "damaged": it has, and what it kept cannot be
   * understood.
   */
  async learned(): Promise<Learned | "damaged" | undefined> {
    const text = await this.#disk.read(learnedFile);
    if (text === undefined) return undefined;
    try {
      const value: unknown = JSON.parse(text);
      const { clusterId, endpoints } = (value ?? {}) as { readonly clusterId?: unknown; readonly endpoints?: unknown };
      if (typeof clusterId !== "string" || !Array.isArray(endpoints)) return "damaged";
      return { clusterId, endpoints: endpoints.filter((each) => typeof each === "string") };
    } catch {
      return "damaged"; // its owner, the registry, sets it aside
    }
  }

  async #write(name: string, text: string): Promise<void> {
    if ((await this.#disk.read(name)) !== text) await this.#disk.write(name, text);
  }
}
