// What the cluster is to run, from its three sources: the adopted commit, units submitted by hand, and holds. Given to
// desired.ts.
import { type UnitName, byName, isTemplate } from "../domain/names.ts";
import { type Checked, invalid, valid } from "../domain/problem.ts";
import type { Hold, SubmittedUnit } from "../domain/submitted.ts";
import type { DesiredState, HeldUnit, Unit, WantedState } from "../domain/unit.ts";
import type { Examination, TreeEntryLike } from "./desired.ts";
import type { Blobs } from "./texts.ts";

export interface WantedSources {
  /** Undefined: the cluster has never adopted a commit. */
  readonly desired: DesiredState | undefined;
  readonly submitted: ReadonlyMap<UnitName, SubmittedUnit>;
  readonly holds: ReadonlyMap<UnitName, Hold>;
  /** Units of which some value in the registry cannot be read. */
  readonly unreadable: ReadonlySet<UnitName>;
}

type Examine = (tree: { readonly entries: readonly TreeEntryLike[]; readonly blobs: Blobs }) => Examination;

/** Reads submitted units; one that has been read is not read again. Belongs to whoever asks again and again. */
export class WantedReader {
  readonly #examine: Examine;
  readonly #known = new WeakMap<SubmittedUnit, Checked<Unit>>();
  #last: { readonly of: WantedSources; readonly wanted: WantedState } | undefined;

  constructor(examine: Examine) {
    this.#examine = examine;
  }

  /**
   * Of two units of one name the repository's counts. A hold on a unit that the repository has not got says nothing. A
   * submitted unit that cannot be read is unknown, and stays as it is wherever it runs. Of the same sources the same state:
   * nothing is laid over a hundred thousand units because a machine's status has changed.
   */
  read(sources: WantedSources): WantedState {
    if (this.#last === undefined || !areSame(this.#last.of, sources)) {
      this.#last = { of: sources, wanted: this.#layOver(sources) };
    }
    return this.#last.wanted;
  }

  #layOver({ desired, submitted, holds, unreadable }: WantedSources): WantedState {
    const gitUnits = desired?.units ?? noUnits;
    const gitTemplates = desired?.templates ?? noUnits;
    const unknown = new Set(unreadable);
    const byHand = new Map<UnitName, SubmittedUnit>();
    const units: Unit[] = [];
    const templates: Unit[] = [];
    for (const [name, each] of submitted) {
      if (gitUnits.has(name) || gitTemplates.has(name)) continue;
      const unit = this.unit(each);
      if (!unit.ok) unknown.add(name);
      else {
        byHand.set(name, each);
        (isTemplate(name) ? templates : units).push(unit.value);
      }
    }
    const held = new Map<UnitName, HeldUnit>();
    const overruled: Unit[] = [];
    for (const [name, hold] of holds) {
      const unit = gitUnits.get(name);
      if (unit === undefined) continue;
      held.set(name, { hold, declared: unit.target });
      if (hold.target !== unit.target) overruled.push({ ...unit, target: hold.target });
    }
    return {
      commit: desired?.commit,
      units: laidOver(gitUnits, { changed: overruled, added: units }),
      templates: laidOver(gitTemplates, { changed: [], added: templates }),
      submitted: byHand,
      held,
      unknown,
    };
  }

  /** Problems name places in the unit's own text, with its name for a file. */
  unit(submitted: SubmittedUnit): Checked<Unit> {
    const known = this.#known.get(submitted);
    if (known !== undefined) return known;
    const read = this.#read(submitted);
    this.#known.set(submitted, read);
    return read;
  }

  #read({ name, text, dropIns, target }: SubmittedUnit): Checked<Unit> {
    const files = [
      { path: name as string, text },
      ...dropIns.map((each) => ({ path: `${name}.d/${each.name}`, text: each.text })),
    ];
    const encoder = new TextEncoder();
    const { units, templates, problems } = this.#examine({
      entries: files.map(({ path }, index) => ({ path, kind: "file", oid: String(index) })),
      blobs: new Map(files.map((file, index) => [String(index), encoder.encode(file.text)])),
    });
    const unit = units.get(name) ?? templates.get(name);
    if (problems.length > 0) return invalid(...problems);
    if (unit === undefined) throw new Error(`Unit ${name} is neither good nor bad`);
    return valid({ ...unit, source: "submitted", file: "", target: isTemplate(name) ? "inactive" : target });
  }
}

const noUnits: ReadonlyMap<UnitName, Unit> = new Map();

/** Values are compared as objects: whoever reads the registry reads each of them once. */
function areSame(a: WantedSources, b: WantedSources): boolean {
  return (
    a.desired === b.desired &&
    areSameMaps(a.submitted, b.submitted) &&
    areSameMaps(a.holds, b.holds) &&
    a.unreadable.size === b.unreadable.size &&
    [...a.unreadable].every((name) => b.unreadable.has(name))
  );
}

function areSameMaps<T>(a: ReadonlyMap<UnitName, T>, b: ReadonlyMap<UnitName, T>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (b.get(name) !== value) return false;
  return true;
}

/** The same map when there is nothing to lay over it: most clusters have nothing beside git. */
function laidOver(
  below: ReadonlyMap<UnitName, Unit>,
  { changed, added }: { readonly changed: readonly Unit[]; readonly added: readonly Unit[] },
): ReadonlyMap<UnitName, Unit> {
  if (changed.length === 0 && added.length === 0) return below;
  const all = new Map(below);
  for (const unit of [...changed, ...added]) all.set(unit.name, unit);
  return added.length === 0 ? all : new Map([...all].sort(([a], [b]) => byName(a, b)));
}
