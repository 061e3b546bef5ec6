// Manifests into the registry, many in one write, fenced on the tenure's epoch. Given to engine.ts, which decides them.
import type { MachineId, UnitName } from "../domain/names.ts";
import type { Manifest, ManifestEntry } from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import { type Guard, type Registry, type Write, maxTransactionOps, maxValueBytes } from "../ports/registry.ts";
import type { NextManifests } from "../schedule/manifests.ts";
import type { Outcome } from "../schedule/schedule.ts";
import { encodeManifest, keys } from "../text/values.ts";
import type { Tenure } from "./tenure.ts";

/** A manifest and its value in the registry. */
export interface Encoded {
  readonly manifest: Manifest;
  readonly value: string;
}

/** A manifest that the registry does not take: it has more than `maxValueBytes`. */
export interface Oversize {
  readonly machine: MachineId;
  readonly bytes: number;
}

export interface AsTold {
  /** By machine, what stands in the registry. */
  readonly told: ReadonlyMap<MachineId, Manifest>;
  /** Machines whose manifest has to be written in any case. */
  readonly unwritten: ReadonlySet<MachineId>;
  readonly isGone: (machine: MachineId) => boolean;
  readonly isGlobal: (unit: UnitName) => boolean;
}

export interface Fit {
  /** In the order of the manifests. */
  readonly fitting: readonly Encoded[];
  readonly oversize: readonly Oversize[];
  /** Units that stay where they are, for a machine that is to have them or to let go of them cannot be told. */
  readonly staying: ReadonlySet<UnitName>;
}

/**
 * What of this can be written. A machine whose manifest is too large keeps what it was told: what it is to take over nobody
 * else is told to let go of, and what it is to let go of (being gone: of one that is not, it is waited for) nobody else is told
 * to have.
 */
export function fitting({ writes, handovers }: NextManifests, asTold: AsTold): Fit {
  const { told, isGone, isGlobal } = asTold;
  const oversize = new Map<MachineId, Oversize>();
  const kept = new Set<UnitName>();
  const encoded: Encoded[] = [];
  for (const manifest of writes) {
    const { machine } = manifest;
    const { bytes, ...each } = encode(manifest);
    if (bytes <= maxValueBytes) {
      encoded.push(each);
      continue;
    }
    oversize.set(machine, { machine, bytes });
    if (!isGone(machine)) continue;
    for (const { name, target } of told.get(machine)?.units ?? []) {
      if (target !== "released" && !isGlobal(name)) kept.add(name);
    }
  }
  if (oversize.size === 0) return { fitting: encoded, oversize: [], staying: kept };
  const awaited = handovers.filter(({ to }) => oversize.has(to));
  return {
    fitting: encoded.flatMap((each) => {
      const unreleased = awaited.filter(({ from }) => from === each.manifest.machine).map(({ unit }) => unit);
      return withStaying(each, { kept, unreleased: new Set(unreleased), asTold });
    }),
    oversize: [...oversize.values()],
    staying: new Set([...kept, ...awaited.map(({ unit }) => unit)]),
  };
}

/** Without what cannot be carried out. */
export function asWritten(outcome: Outcome, { oversize, staying }: Fit): Outcome {
  if (oversize.length === 0) return outcome;
  const untold = new Set(oversize.map(({ machine }) => machine));
  const isDone = ({ unit, from }: { readonly unit: UnitName; readonly from: MachineId }): boolean =>
    !staying.has(unit) && !untold.has(from);
  return { ...outcome, moved: outcome.moved.filter(isDone), displaced: outcome.displaced.filter(isDone) };
}

/** Without taking over `kept` and letting go of `unreleased`; nothing where that leaves nothing to be told. */
function withStaying(
  encoded: Encoded,
  {
    kept,
    unreleased,
    asTold: { told, unwritten },
  }: {
    readonly kept: ReadonlySet<UnitName>;
    readonly unreleased: ReadonlySet<UnitName>;
    readonly asTold: AsTold;
  },
): readonly Encoded[] {
  const { manifest } = encoded;
  const before = told.get(manifest.machine);
  const had = new Map(before?.units.map((entry) => [entry.name, entry]));
  const units = manifest.units.map((entry): ManifestEntry | undefined => {
    const earlier = had.get(entry.name);
    const hadIt = earlier !== undefined && earlier.target !== "released";
    const hasIt = entry.target !== "released";
    const stays = hadIt ? !hasIt && unreleased.has(entry.name) : hasIt && kept.has(entry.name);
    return stays ? earlier : entry;
  });
  if (units.every((entry, index) => entry === manifest.units[index])) return [encoded];
  const next = { ...manifest, units: units.filter((entry) => entry !== undefined) };
  if (before !== undefined && !unwritten.has(manifest.machine) && saidBy(next) === saidBy(before)) return [];
  const { bytes: _, ...each } = encode(next);
  return [each];
}

/** What is a reason to write it: its position and its word alone are none. */
function saidBy({ machine, givenUp, units }: Manifest): string {
  return encodeManifest({ machine, epoch: 0, generation: 0, ...(givenUp === undefined ? {} : { givenUp }), units });
}

function encode(manifest: Manifest): Encoded & { readonly bytes: number } {
  const value = encodeManifest(manifest);
  return { manifest, value, bytes: Buffer.byteLength(value) };
}

/** `nameOf`: what a machine is called. At least one is oversize. */
export function oversizeProblem(oversize: readonly Oversize[], nameOf: (machine: MachineId) => string): Problem {
  const [first, ...others] = oversize.map(({ machine, bytes }) => `${nameOf(machine)} (${bytes} bytes)`);
  const more = others.length === 0 ? "" : ` and ${others.length} more machines`;
  const many = `${first ?? ""}${more}`;
  return new Problem(
    "manifest-oversize",
    `Cannot tell ${many} anything new: a manifest may have ${maxValueBytes} bytes`,
    {
      hint: "It goes on as it is: let fewer units run there (other machines, or fewer units in a commit), or give them shorter names",
    },
  );
}

export interface DecidedOn {
  /** Mod revisions by key, of the picture that the manifests were decided on; a key that is not in it was not there. */
  readonly modified: ReadonlyMap<string, number>;
  readonly isGone: (machine: MachineId) => boolean;
}

/**
 * Writes them in their order, in as few batches as the store takes, and gives the registry's revision after the last; 0 when
 * there are none. Every batch is guarded by the epoch, and by each manifest being the one that was decided on; what a machine
 * that is gone must let go of also by its absence: one that has just come back and reads its manifest is not overtaken.
 * Throws Problem "engine-fenced" when a guard does not hold, with the batches before it written; rejects as Registry does.
 */
export async function writeManifests(
  manifests: readonly Encoded[],
  { modified, isGone }: DecidedOn,
  {
    registry,
    tenure,
  }: { readonly registry: Pick<Registry, "write">; readonly tenure: Pick<Tenure, "epoch" | "signal"> },
): Promise<number> {
  let revision = 0;
  for (const batch of batches(manifests, isGone)) {
    const guards: Guard[] = [{ kind: "created", key: keys.leader, revision: tenure.epoch }];
    const writes: Write[] = [];
    for (const { manifest, value } of batch) {
      const key = keys.manifest(manifest.machine);
      guards.push({ kind: "modified", key, revision: modified.get(key) ?? 0 });
      if (isGone(manifest.machine)) {
        guards.push({ kind: "created", key: keys.machine(manifest.machine), revision: 0 });
      }
      writes.push({ kind: "put", key, value });
    }
    const written = await registry.write({ guards, writes }, tenure.signal);
    if (!written.applied) {
      throw new Problem("engine-fenced", "Cannot write manifests: the registry has moved on", {
        hint: "Another machine leads, or an earlier write was applied after all; the next pass reads anew",
      });
    }
    revision = written.revision;
  }
  return revision;
}

/** Within the store's bounds on operations (a guard or two and a write each, and the fence) and on bytes. */
function* batches(
  manifests: readonly Encoded[],
  isGone: (machine: MachineId) => boolean,
): Generator<readonly Encoded[]> {
  let batch: Encoded[] = [];
  let bytes = 0;
  let operations = 1;
  for (const each of manifests) {
    const size = Buffer.byteLength(each.value);
    const more = isGone(each.manifest.machine) ? 3 : 2;
    if (batch.length > 0 && (operations + more > maxTransactionOps || bytes + size > maxValueBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
      operations = 1;
    }
    batch.push(each);
    bytes += size;
    operations += more;
  }
  if (batch.length > 0) yield batch;
}
