// Units with OnPartition=stop, as the leader has to do with them: how long each may still be running on a machine that is gone,
// or on one that nobody has heard of, by the monotonic clock; and which machines wait for a word before they start theirs. Given
// to engine.ts, which decides nothing of the former meanwhile.
import type { MachineId, UnitName } from "../domain/names.ts";
import { type Manifest, type ManifestEntry, fenceWaitMs } from "../domain/placement.ts";
import { type Unit, longestStopMs } from "../domain/unit.ts";
import { keys } from "../text/values.ts";

/** Of the registry's picture: what machines are told, and which of them have anything that hangs on their lease. */
export interface Lived {
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly machines: ReadonlyMap<MachineId, unknown>;
  readonly statuses: ReadonlyMap<MachineId, unknown>;
}

/** `modified`: mod revisions by key. */
export interface Claimed extends Pick<Lived, "manifests" | "machines"> {
  readonly modified: ReadonlyMap<string, number>;
}

/** When. All in monotonic ms. */
export interface Moments {
  readonly nowMs: number;
  /** Since when nothing can have come and gone unseen. */
  readonly connectedSinceMs: number;
  /**
   * Until this moment machines may be there that nobody has heard of, with any such unit: whoever is not heard of by then has
   * lost its lease.
   */
  readonly heardOfMs: number;
  /** The same after the registry was put back (-Infinity: it was not): from then on each unit may take its time to stop. */
  readonly putBackMs: number;
}

const longestFenceWaitMs = fenceWaitMs(longestStopMs);

type Wanted = ReadonlyMap<UnitName, Pick<Unit, "fence" | "target">>;

export interface FenceWait {
  /** They may still be running somewhere else. The same set as the last time when nothing has changed. */
  readonly units: ReadonlySet<UnitName>;
  /** Units that were among them the last time and no longer are. */
  readonly over: readonly UnitName[];
  /** Until the next one is over; Infinity: none is under way. */
  readonly dueMs: number;
  /** How many of them wait because the registry was put back. */
  readonly restored: number;
}

export class FenceWaits {
  readonly #goneMs = new Map<MachineId, number>();
  readonly #fenced = new WeakMap<Manifest, readonly ManifestEntry[]>();
  readonly #wanted = new WeakMap<Wanted, readonly { readonly name: UnitName; readonly fenceMs: number }[]>();
  #units: ReadonlySet<UnitName> = new Set();

  /** What hangs on the machine's lease came, changed or went at this moment: if it is gone, then not before. */
  changed(machine: MachineId, nowMs: number): void {
    this.#goneMs.set(machine, nowMs);
  }

  /** `wanted`: all units that are to run. */
  look(
    { manifests, machines, statuses }: Lived,
    wanted: Wanted,
    { nowMs, connectedSinceMs, heardOfMs, putBackMs }: Moments,
  ): FenceWait {
    const units = new Set<UnitName>();
    let dueMs = Infinity;
    let restored = 0;
    for (const { name, untilMs } of this.#hidden(wanted, { nowMs, heardOfMs, putBackMs })) {
      units.add(name);
      dueMs = Math.min(dueMs, untilMs - nowMs);
      if (untilMs > heardOfMs) restored++;
    }
    for (const [id, manifest] of manifests) {
      if (machines.has(id) || statuses.has(id)) {
        this.#goneMs.delete(id);
        continue;
      }
      const goneMs = Math.max(this.#goneMs.get(id) ?? nowMs, connectedSinceMs);
      this.#goneMs.set(id, goneMs);
      for (const { name, target, fenceMs: toldMs } of manifest.units) {
        // What a machine has that the registry had forgotten says nothing of it
        const fenceMs = toldMs ?? wanted.get(name)?.fence?.stopMs;
        if (fenceMs === undefined) continue;
        const leftMs = goneMs + fenceWaitMs(fenceMs) - nowMs;
        if (leftMs <= 0) continue;
        // Somebody has waited before: another machine has been told of it
        if (target === "released" && isElsewhere(manifests.values(), name)) continue;
        units.add(name);
        dueMs = Math.min(dueMs, leftMs);
      }
    }
    for (const id of this.#goneMs.keys()) if (!manifests.has(id)) this.#goneMs.delete(id);
    const over = [...this.#units].filter((name) => !units.has(name));
    const isSame = over.length === 0 && units.size === this.#units.size;
    if (!isSame) this.#units = units;
    return { units: this.#units, over, dueMs, restored };
  }

  /**
   * The word that a machine may be given now (`Manifest.word`): for its claim, when it is there and none of the units that it
   * is told has to wait. Not for some of them: what has the permit up can be started by others than the agent. `waiting`: those
   * units and all that follow one of them, of which nothing is decided either.
   */
  wordOf(
    id: MachineId,
    { manifests, machines, modified }: Claimed,
    waiting: ReadonlySet<UnitName>,
  ): number | undefined {
    if (!machines.has(id)) return undefined;
    const told = waiting.size === 0 ? [] : (manifests.get(id)?.units ?? []);
    return told.some(({ name }) => waiting.has(name)) ? undefined : modified.get(keys.machine(id));
  }

  /** Machines that are told such units, start none before they have a word for their claim, and may have it. */
  *unspoken(picture: Claimed, waiting: ReadonlySet<UnitName>): Generator<MachineId> {
    for (const [id, manifest] of picture.manifests) {
      if (this.#fencedOf(manifest).length === 0) continue;
      const word = this.wordOf(id, picture, waiting);
      if (word !== undefined && word !== manifest.word) yield id;
    }
  }

  /** What may be running where nobody has heard of it, and until when. */
  *#hidden(
    wanted: Wanted,
    { nowMs, heardOfMs, putBackMs }: Omit<Moments, "connectedSinceMs">,
  ): Generator<{ readonly name: UnitName; readonly untilMs: number }> {
    if (nowMs >= Math.max(heardOfMs, putBackMs + longestFenceWaitMs)) return;
    for (const { name, fenceMs } of this.#wantedFenced(wanted)) {
      const untilMs = Math.max(heardOfMs, putBackMs + fenceWaitMs(fenceMs));
      if (untilMs > nowMs) yield { name, untilMs };
    }
  }

  #wantedFenced(wanted: Wanted): readonly { readonly name: UnitName; readonly fenceMs: number }[] {
    const known = this.#wanted.get(wanted);
    if (known !== undefined) return known;
    // What is to stop may stop at once, whatever else there is
    const found = [...wanted].flatMap(([name, { fence, target }]) =>
      fence === undefined || target === "inactive" ? [] : [{ name, fenceMs: fence.stopMs }],
    );
    this.#wanted.set(wanted, found);
    return found;
  }

  #fencedOf(manifest: Manifest): readonly ManifestEntry[] {
    const known = this.#fenced.get(manifest);
    if (known !== undefined) return known;
    const found = manifest.units.filter(({ fenceMs }) => fenceMs !== undefined);
    this.#fenced.set(manifest, found);
    return found;
  }
}

function isElsewhere(manifests: Iterable<Manifest>, name: UnitName): boolean {
  for (const { units } of manifests) {
    if (units.some((entry) => entry.name === name && entry.target !== "released")) return true;
  }
  return false;
}
