// The texts of submitted units, asked of the registry. Given to texts.ts, which keeps them. The hash that the manifest names
// decides, wherever a text comes from.
import { type WantedReader, createWantedReader } from "../desired/desired.ts";
import type { ManifestEntry } from "../domain/placement.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import type { SubmittedUnit } from "../domain/submitted.ts";
import type { Unit } from "../domain/unit.ts";
import type { Registry } from "../ports/registry.ts";
import { keys, parseSubmittedUnit } from "../text/values.ts";

export interface SubmittedTextsPorts {
  readonly registry: Pick<Registry, "get">;
  readonly allowSubmit: boolean;
}

export class SubmittedTexts {
  readonly #ports: SubmittedTextsPorts;
  readonly #reader: WantedReader = createWantedReader();

  constructor(ports: SubmittedTextsPorts) {
    this.#ports = ports;
  }

  /** Why this machine takes none of them, whatever a manifest says; undefined when it does. */
  refusal({ name }: ManifestEntry): Problem | undefined {
    if (this.#ports.allowSubmit) return undefined;
    return new Problem("submit-off", `Cannot take unit "${name}": it was submitted by hand`, {
      hint: "This machine takes units from the repository alone: [Agent] AllowSubmit=no",
    });
  }

  /** Those of the entries that can be had with their hash, and why others cannot. Rejects with the signal only. */
  async find(
    entries: readonly ManifestEntry[],
    signal: AbortSignal,
  ): Promise<{ readonly units: readonly Unit[]; readonly missing: Problem | undefined }> {
    const units: Unit[] = [];
    let missing: Problem | undefined;
    let away: Problem | undefined;
    for (const entry of entries) {
      const found = away ?? (await this.#ask(entry, signal));
      // One try is enough to know: a hundred would keep everything else here waiting
      if (found instanceof Problem && found.code === "registry-unreachable") away = found;
      const unit = found instanceof Problem ? found : this.#take(found, entry);
      if (unit instanceof Problem) missing ??= unit;
      else units.push(unit);
    }
    return { units, missing };
  }

  /** The unit if it is the one that the manifest means. */
  #take(submitted: SubmittedUnit, { name, hash }: ManifestEntry): Unit | Problem {
    const read = this.#reader.unit(submitted);
    if (read.ok && read.value.hash === hash) return read.value;
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
}
