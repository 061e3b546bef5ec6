// Manifests into the registry, many in one write, fenced on the tenure's epoch. Given to engine.ts, which decides them.
import type { MachineId } from "../domain/names.ts";
import type { Manifest } from "../domain/placement.ts";
import { Problem } from "../domain/problem.ts";
import { type Guard, type Registry, type Write, maxTransactionOps, maxValueBytes } from "../ports/registry.ts";
import { encodeManifest, keys } from "../text/values.ts";
import type { Tenure } from "./tenure.ts";

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
  manifests: readonly Manifest[],
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

interface Encoded {
  readonly manifest: Manifest;
  readonly value: string;
}

/** Within the store's bounds on operations (a guard or two and a write each, and the fence) and on bytes. */
function* batches(
  manifests: readonly Manifest[],
  isGone: (machine: MachineId) => boolean,
): Generator<readonly Encoded[]> {
  let batch: Encoded[] = [];
  let bytes = 0;
  let operations = 1;
  for (const manifest of manifests) {
    const value = encodeManifest(manifest);
    const size = Buffer.byteLength(value);
    const more = isGone(manifest.machine) ? 3 : 2;
    if (batch.length > 0 && (operations + more > maxTransactionOps || bytes + size > maxValueBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
      operations = 1;
    }
    batch.push({ manifest, value });
    bytes += size;
    operations += more;
  }
  if (batch.length > 0) yield batch;
}
