// The texts of submitted units that this machine holds: asked of the registry once, kept on disk, so that the machine brings
// its units back without a registry. The hash that the manifest names decides, wherever a text comes from.
import { type WantedReader, createWantedReader } from "../desired/desired.ts";
import { type UnitName, byName } from "../domain/names.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import type { SubmittedUnit } from "../domain/submitted.ts";
import type { Unit } from "../domain/unit.ts";
import type { Disk } from "../ports/disk.ts";
import type { Log } from "../ports/log.ts";
import type { Registry } from "../ports/registry.ts";
import { encodeSubmittedUnit, keys, parseSubmittedUnit } from "../text/values.ts";

export interface SubmittedTextsPorts {
  readonly registry: Pick<Registry, "get">;
  readonly disk: Disk;
  readonly log: Log;
  readonly allowSubmit: boolean;
}

/** Below the state directory: key and value as in the registry, a blank between them, a line for each. */
const keptFile = "submitted-units";

/** A text, and the unit that it makes. */
interface Taken {
  readonly submitted: SubmittedUnit;
  readonly unit: Unit;
}

export class SubmittedTexts {
  readonly #ports: SubmittedTextsPorts;
  readonly #reader: WantedReader = createWantedReader();
  #kept: Map<UnitName, SubmittedUnit> | undefined;

  constructor(ports: SubmittedTextsPorts) {
    this.#ports = ports;
  }

  /**
   * Those of the entries that can be had with their hash, and why others cannot. What no entry names is forgotten. Rejects
   * when the disk cannot be read or written, or with the signal.
   */
  async find(
    entries: readonly ManifestEntry[],
    signal: AbortSignal,
  ): Promise<{ readonly units: readonly Unit[]; readonly missing: Problem | undefined }> {
    this.#kept ??= await this.#load();
    const { allowSubmit } = this.#ports;
    if (entries.length > 0 && !allowSubmit) {
      return {
        units: [],
        missing: new Problem("submit-off", `Cannot take unit "${entries[0]?.name ?? ""}": it was submitted by hand`, {
          hint: "This machine takes units from the repository alone: [Agent] AllowSubmit=no",
        }),
      };
    }
    const kept = new Map<UnitName, SubmittedUnit>();
    const units: Unit[] = [];
    let missing: Problem | undefined;
    let away: Problem | undefined;
    const ask = async (entry: ManifestEntry): Promise<Taken | Problem> => {
      const found = away ?? (await this.#ask(entry, signal));
      // One try is enough to know: a hundred would keep everything else here waiting
      if (found instanceof Problem && found.code === "registry-unreachable") away = found;
      return found instanceof Problem ? found : this.#take(found, entry);
    };
    for (const entry of entries) {
      const before = this.#kept.get(entry.name);
      const known = before === undefined ? undefined : this.#take(before, entry);
      const taken = known instanceof Problem || known === undefined ? await ask(entry) : known;
      if (taken instanceof Problem) {
        // What lies here goes on with the text that it has
        if (before !== undefined) kept.set(entry.name, before);
        missing ??= taken;
        continue;
      }
      kept.set(entry.name, taken.submitted);
      units.push(taken.unit);
    }
    await this.#keep(kept);
    return { units, missing };
  }

  /** The unit if it is the one that the manifest means. */
  #take(submitted: SubmittedUnit, { name, hash }: ManifestEntry): Taken | Problem {
    const read = this.#reader.unit(submitted);
    if (read.ok && read.value.hash === hash) return { submitted, unit: read.value };
    const cause = read.ok ? undefined : read.problems[0];
    return new Problem("unit-hash", `Cannot find submitted unit "${name}" with hash ${hash.slice(0, 7)}`, {
      hint: "It has been replaced meanwhile; the unit is left as it is until the leader has seen that",
      cause,
    });
  }

  async #ask({ name }: ManifestEntry, signal: AbortSignal): Promise<SubmittedUnit | Problem> {
    const key = keys.unit(name);
    try {
      const { entry } = await this.#ports.registry.get(key, signal);
      if (entry === undefined) {
        return new Problem("unit-hash", `Cannot find submitted unit "${name}": it has been destroyed`, {
          hint: "The unit is left as it is until the leader has seen that",
        });
      }
      const read = parseSubmittedUnit(key, entry.value);
      return read.ok ? read.value : (read.problems[0] ?? new Problem("registry-value", `Cannot read ${key}`));
    } catch (error) {
      if (signal.aborted) throw error;
      return asProblem(error, "registry-unreachable", `Cannot ask for submitted unit "${name}"`);
    }
  }

  async #load(): Promise<Map<UnitName, SubmittedUnit>> {
    const { disk, log } = this.#ports;
    const text = (await disk.read(keptFile)) ?? "";
    const kept = new Map<UnitName, SubmittedUnit>();
    for (const line of text.split("\n").filter((each) => each !== "")) {
      const blank = line.indexOf(" ");
      const read = parseSubmittedUnit(line.slice(0, blank), line.slice(blank + 1));
      // A damaged copy stops nothing: the registry has the text as well
      if (read.ok) kept.set(read.value.name, read.value);
      else log.error("submitted-unit.damaged", read.problems[0]);
    }
    return kept;
  }

  async #keep(kept: Map<UnitName, SubmittedUnit>): Promise<void> {
    const before = this.#kept ?? new Map<UnitName, SubmittedUnit>();
    const isSame = before.size === kept.size && [...kept].every(([name, each]) => before.get(name) === each);
    if (isSame) return;
    const lines = [...kept.values()]
      .sort((a, b) => byName(a.name, b.name))
      .map((unit) => `${keys.unit(unit.name)} ${encodeSubmittedUnit(unit)}\n`);
    await this.#ports.disk.write(keptFile, lines.join(""));
    this.#kept = kept;
  }
}
