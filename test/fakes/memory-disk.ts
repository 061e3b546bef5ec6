// A disk in memory that can fail and be slow, for tests of what is durable.
import { Problem } from "../../agent/domain/problem.ts";
import type { Disk } from "../../agent/ports/disk.ts";

export class MemoryDisk implements Disk {
  readonly files = new Map<string, string>();
  /** While true, writes reject as on a full disk. */
  isFull = false;
  /** Counts finished writes. */
  writes = 0;
  /** When set, writes wait for it: what a slow disk does. */
  gate: Promise<void> | undefined;

  async read(name: string): Promise<string | undefined> {
    return this.files.get(name);
  }

  async write(name: string, text: string): Promise<void> {
    await this.gate;
    if (this.isFull) {
      throw new Problem("disk-write", `Cannot write file "${name}"`, { hint: "The file system is full" });
    }
    this.files.set(name, text);
    this.writes++;
  }

  async remove(name: string): Promise<void> {
    this.files.delete(name);
  }
}
