// From the registry's picture to what placement looks at. Shared by the engine, which decides, and the view, which shows
// what would be decided.
import { type MachineId, byName } from "../domain/names.ts";
import {
  type CandidateMachine,
  type ClusterState,
  type Placement,
  type Standing,
  type WantedUnit,
  opennessKey,
} from "../domain/placement.ts";
import { isUp } from "../domain/status.ts";
import type { WantedSources } from "../desired/desired.ts";
import type { DesiredState, Unit, WantedState } from "../domain/unit.ts";
import type { RegistryPicture } from "./picture.ts";

export interface StandingOptions {
  /** True while machines that are known but absent may still be coming back. */
  readonly settling: boolean;
  /** Machines that were seen present while others may still be coming back: absent, they are gone. */
  readonly witnessed: ReadonlySet<MachineId>;
}

/** Present machines, and those that count as presumed; machines in neither class are gone. In no order. */
export function standings(
  picture: RegistryPicture,
  { settling, witnessed }: StandingOptions,
): ReadonlyMap<MachineId, Standing> {
  const found = new Map<MachineId, Standing>();
  // Whether one without known metadata may keep what it has, or take more, cannot be judged
  for (const id of picture.machines.keys()) found.set(id, picture.unsettled.has(id) ? "presumed" : "present");
  if (settling) {
    for (const id of picture.manifests.keys()) if (!found.has(id) && !witnessed.has(id)) found.set(id, "presumed");
  }
  // Both hang on one lease: a record that went alone was taken away by somebody, and says nothing of its machine
  for (const id of picture.statuses.keys()) if (!found.has(id)) found.set(id, "presumed");
  for (const id of picture.unreadable) if (!found.has(id)) found.set(id, "presumed");
  return found;
}

/**
 * What people wrote, as far as this cluster listens to it: where no machine takes submitted units it is as if nobody had
 * submitted anything. `allowSubmit`: whether the machine that reads this takes them.
 */
export function wantedSources(
  picture: RegistryPicture,
  { desired, allowSubmit }: { readonly desired: DesiredState | undefined; readonly allowSubmit: boolean },
): WantedSources {
  const { submitted, holds, unreadableUnits } = picture;
  const isHeard = allowSubmit || isAnyOpen(picture);
  return { desired, submitted: isHeard ? submitted : new Map(), holds, unreadable: unreadableUnits };
}

/** Whether any machine takes submitted units. One that is absent does as long as it was told of any: it may be on its way back. */
function isAnyOpen({ machines, manifests, unreadable }: RegistryPicture): boolean {
  for (const { allowSubmit } of machines.values()) if (allowSubmit !== false) return true;
  for (const id of unreadable) if (!machines.has(id)) return true;
  for (const [id, { units }] of manifests) {
    if (!machines.has(id) && units.some(({ source }) => source === "submitted")) return true;
  }
  return false;
}

export function clusterState(
  picture: RegistryPicture,
  { desired, standing }: { desired: WantedState; standing: ReadonlyMap<MachineId, Standing> },
): ClusterState {
  const closed = isAnyClosed(picture);
  const placements: Placement[] = [];
  const leaving: Placement[] = [];
  for (const [on, { units }] of picture.manifests) {
    for (const { name, target } of units) (target === "released" ? leaving : placements).push({ unit: name, on });
  }
  const running: Placement[] = [];
  for (const [on, { units }] of picture.statuses) {
    for (const { name, active } of units) if (isUp(active)) running.push({ unit: name, on });
  }
  return {
    wanted: [...desired.units.values()].map((unit) => wantedUnit(unit, closed)),
    machines: [...standing].map(([id, each]) => candidate(picture, { id, standing: each, closed })),
    placements,
    leaving,
    running,
  };
}

/*
 * Placement knows one way to say where a unit may run: what a machine's settings say of submitted units is put in its words,
 * wherever some machine takes none (`closed`).
 */

export function isAnyClosed({ machines }: RegistryPicture): boolean {
  for (const { allowSubmit } of machines.values()) if (allowSubmit === false) return true;
  return false;
}

/** `drain`: how many units may leave it in a pass. */
export function candidate(
  { machines, settings }: RegistryPicture,
  {
    id,
    standing,
    closed,
    drain = 0,
  }: { readonly id: MachineId; readonly standing: Standing; readonly closed: boolean; readonly drain?: number },
): CandidateMachine {
  const machine = machines.get(id);
  const metadata = machine?.metadata ?? {};
  const { cordoned, rests } = settings.get(id) ?? {};
  return {
    id,
    standing,
    metadata: closed ? { ...metadata, [opennessKey]: machine?.allowSubmit === false ? "no" : "yes" } : metadata,
    ...(machine === undefined ? {} : { memoryBytes: machine.memoryBytes, milliCpus: machine.cpus * 1_000 }),
    ...(cordoned === true || rests !== undefined ? { cordoned: true } : {}),
    ...(cordoned === true || rests === undefined ? {} : { rests: rests.losses }),
    ...(drain === 0 ? {} : { drain }),
  };
}

export function wantedUnit(unit: Unit, closed: boolean): WantedUnit {
  if (!closed || unit.source !== "submitted") return unit;
  const { name, target, options } = unit;
  const metadata = options.metadata.filter(({ key }) => key !== opennessKey);
  const open = [...metadata, { key: opennessKey, values: ["yes"] }].sort((a, b) => byName(a.key, b.key));
  return { name, target, options: { ...options, metadata: open } };
}
