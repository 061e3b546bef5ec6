// The manifest that this machine carries out: the newest of its own copy on disk and what the registry offers. Kept
// across restarts and reboots; it is also the mark below which a manifest is refused.
import type { MachineId } from "../domain/names.ts";
import { type Manifest, type Position, comparePositions } from "../domain/placement.ts";
import { Problem, toRecord } from "../domain/problem.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import { encodeManifest, keys, parseManifest } from "../text/values.ts";
import type { Troubles } from "./troubles.ts";

const manifestFile = "manifest.json";

export interface OwnManifestPorts {
  readonly me: MachineId;
  readonly disk: Disk;
  readonly log: Log;
  readonly troubles: Troubles;
}

export class OwnManifest {
  readonly #ports: OwnManifestPorts;
  #current: Manifest | undefined;
  #unkept: Manifest | undefined;
  /** Of the current one, as it was written. */
  #text: string | undefined;
  #offered: string | undefined;
  #loaded = false;

  constructor(ports: OwnManifestPorts) {
    this.#ports = ports;
  }

  /** Undefined until there ever was one. */
  get current(): Manifest | undefined {
    return this.#current;
  }

  /** A newer one that could not be kept: the current one holds, but nothing may begin that this one does not want. */
  get unkept(): Manifest | undefined {
    return this.#unkept;
  }

  /** Whether it is the one that the registry offered last. */
  get isHeard(): boolean {
    return this.#offered !== undefined && this.#offered === this.#text;
  }

  /** The registry's value; true when it differs from the last. */
  offer(value: string): boolean {
    if (this.#offered === value) return false;
    this.#offered = value;
    return true;
  }

  /** Takes what is offered if it is newer, and keeps it before anyone acts on it. Rejects as the disk does. */
  async accept(): Promise<void> {
    const { disk, troubles, log } = this.#ports;
    if (!this.#loaded) await this.#load();
    // Another may be offered while this one is written
    const text = this.#offered;
    if (text === undefined) return;
    const offered = this.#judge(text);
    if (offered instanceof Problem) {
      troubles.set("manifest", toRecord(offered));
      return;
    }
    troubles.clear("manifest");
    // In a store that was put back a position may have been given out twice: what the store has now is what holds
    this.#unkept = undefined;
    if (text === this.#text) return;
    this.#unkept = offered;
    await disk.write(manifestFile, encodeManifest(offered));
    this.#unkept = undefined;
    this.#current = offered;
    this.#text = text;
    log.info("manifest.accepted", {
      epoch: offered.epoch,
      generation: offered.generation,
      units: offered.units.length,
    });
  }

  async #load(): Promise<void> {
    const { disk, log, me } = this.#ports;
    const kept = await disk.read(manifestFile);
    const read = kept === undefined ? undefined : parseManifest(manifestFile, kept);
    // A disk that was copied, and has a machine id of its own since: those units are the other machine's
    if (read?.ok === true && read.value.machine !== me) log.warn("manifest.not-ours", { machine: read.value.machine });
    else if (read?.ok === true) {
      this.#current = read.value;
      this.#text = kept;
    }
    // A damaged copy is no reason to stop anything: the registry's manifest takes its place.
    if (read?.ok === false) log.error("manifest.damaged", read.problems[0]);
    this.#loaded = true;
  }

  #judge(text: string): Manifest | Problem {
    const { me } = this.#ports;
    const read = parseManifest(keys.manifest(me), text);
    if (!read.ok) return read.problems[0] ?? new Problem("registry-value", "Cannot read this machine's manifest");
    if (this.#current === undefined || comparePositions(read.value, this.#current) >= 0) return read.value;
    return new Problem(
      "manifest-stale",
      `Cannot use manifest ${shown(read.value)}: this machine has seen ${shown(this.#current)}`,
      {
        hint: "The registry was restored from an older copy, or an old leader wrote it; what runs here goes on running",
      },
    );
  }
}

function shown({ epoch, generation }: Position): string {
  return `${epoch}.${generation}`;
}
