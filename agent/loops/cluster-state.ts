// From the registry's picture to what placement looks at. Shared by the engine, which decides, and the view, which shows
// what would be decided.
import { type MachineId, byName } from "../domain/names.ts";
import type { CandidateMachine, ClusterState, Placement, Standing, WantedUnit } from "../domain/placement.ts";
import type { WantedSources } from "../desired/desired.ts";
import type { DesiredState, WantedState } from "../domain/unit.ts";
import type { RegistryPicture } from "./picture.ts";

export interface StandingOptions {
  /** True while machines that are known but absent may still be coming back. */
  readonly settling: boolean;
  /** Machines that were seen present while others may still be coming back: absent, they are gone. */
  readonly witnessed: ReadonlySet<MachineId>;
}

/** Present machines, and those that count as presumed; machines in neither class are gone. In id order. */
export function standings(
  picture: RegistryPicture,
  { settling, witnessed }: StandingOptions,
): ReadonlyMap<MachineId, Standing> {
  const ids = [...new Set([...picture.machines.keys(), ...picture.manifests.keys(), ...picture.unreadable])].sort();
  const found = new Map<MachineId, Standing>();
  for (const id of ids) {
    // Whether one without known metadata may keep what it has, or take more, cannot be judged
    if (picture.machines.has(id)) found.set(id, picture.unsettled.has(id) ? "presumed" : "present");
    else if ((settling && !witnessed.has(id)) || picture.unreadable.has(id)) found.set(id, "presumed");
  }
  return found;
}

/** What people wrote, as far as this cluster listens to it: with AllowSubmit=no it is as if nobody had submitted anything. */
export function wantedSources(
  { submitted, holds, unreadableUnits }: RegistryPicture,
  { desired, allowSubmit }: { readonly desired: DesiredState | undefined; readonly allowSubmit: boolean },
): WantedSources {
  return { desired, submitted: allowSubmit ? submitted : new Map(), holds, unreadable: unreadableUnits };
}

export function clusterState(
  picture: RegistryPicture,
  { desired, standing }: { desired: WantedState; standing: ReadonlyMap<MachineId, Standing> },
): ClusterState {
  // Placement knows one way to say where a unit may run: what a machine's settings say of submitted units is put in its words
  const isClosed = (id: MachineId): boolean => picture.machines.get(id)?.allowSubmit === false;
  const closed = [...picture.machines.keys()].some(isClosed);
  const machines = [...standing].map(([id, each]): CandidateMachine => {
    const metadata = picture.machines.get(id)?.metadata ?? {};
    const said = closed ? { ...metadata, [opennessKey]: isClosed(id) ? "no" : "yes" } : metadata;
    return { id, standing: each, metadata: said };
  });
  const wanted = [...desired.units.values()].map((unit) =>
    closed && unit.source === "submitted" ? onlyWhereOpen(unit) : unit,
  );
  const placements: Placement[] = [];
  const leaving: Placement[] = [];
  for (const [on, manifest] of picture.manifests) {
    for (const entry of manifest.units)
      (entry.target === "released" ? leaving : placements).push({ unit: entry.name, on });
  }
  const running: Placement[] = [];
  for (const [on, status] of picture.statuses) {
    for (const unit of status.units) if (isUp(unit.active)) running.push({ unit: unit.name, on });
  }
  return { wanted, machines, placements, leaving, running };
}

/** As the setting is called, for refusals: `needs AllowSubmit=yes`. */
const opennessKey = "AllowSubmit";

function onlyWhereOpen({ name, target, options }: WantedUnit): WantedUnit {
  const metadata = options.metadata.filter(({ key }) => key !== opennessKey);
  const open = [...metadata, { key: opennessKey, values: ["yes"] }].sort((a, b) => byName(a.key, b.key));
  return { name, target, options: { ...options, metadata: open } };
}

function isUp(active: string): boolean {
  return active === "active" || active === "activating" || active === "reloading";
}
