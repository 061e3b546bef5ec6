// The machines of one pass, found by id and metadata, so that a unit looks only at those that fit its standing wishes.
// Given to the other files of this room. What is here does not change during a pass.
import { byName, type MachineId } from "../domain/names.ts";
import type { CandidateMachine, RefusalRule } from "../domain/placement.ts";
import type { PlacementOptions } from "../domain/unit.ts";

export interface Host {
  /** Its place in id order. */
  readonly index: number;
  readonly id: MachineId;
  readonly metadata: Readonly<Record<string, string>>;
  readonly present: boolean;
}

/** All present machines that satisfy one set of MachineID= and MachineMetadata=. */
export interface HostClass {
  readonly key: string;
  /** In id order. */
  readonly members: readonly Host[];
}

export interface HostIndex {
  /** In id order, presumed ones too. */
  readonly hosts: readonly Host[];
  readonly present: readonly Host[];
  readonly byId: ReadonlyMap<MachineId, Host>;
  /** The same object for the same wishes. */
  classOf(options: PlacementOptions): HostClass;
}

/** The standing rule by which this machine refuses such a unit, whatever else runs there (fleet.md 8.2, 1 and 2). */
export function standingRefusal(
  options: PlacementOptions,
  machine: { readonly id: string; readonly metadata: Readonly<Record<string, string>> },
): RefusalRule | undefined {
  if (options.machineId !== undefined && !isId(machine.id, options.machineId)) return "machine-id";
  return options.metadata.every(({ key, values }) => {
    const value = Object.hasOwn(machine.metadata, key) ? machine.metadata[key] : undefined;
    return value !== undefined && values.includes(value);
  })
    ? undefined
    : "metadata";
}

const shortIdLength = 8;

/** How people call a machine. */
export function shortId(id: string): string {
  return id.slice(0, shortIdLength);
}

function isId(id: string, asked: string): boolean {
  return asked !== "" && (id === asked || shortId(id) === asked);
}

export function indexHosts(machines: readonly CandidateMachine[]): HostIndex {
  const hosts = [...machines]
    .sort((a, b) => byName(a.id, b.id))
    .map(({ id, metadata, standing }, index): Host => ({ index, id, metadata, present: standing === "present" }));
  const present = hosts.filter((host) => host.present);
  const byWish = groupByWish(present);
  const classes = new Map<string, HostClass>();
  const all: HostClass = { key: "", members: present };
  return {
    hosts,
    present,
    byId: new Map(hosts.map((host) => [host.id, host])),
    classOf(options) {
      if (options.machineId === undefined && options.metadata.length === 0) return all;
      const key = JSON.stringify([
        options.machineId ?? null,
        options.metadata.map((rule) => [rule.key, [...rule.values].sort()]),
      ]);
      let found = classes.get(key);
      if (found === undefined) {
        found = { key, members: select(options) };
        classes.set(key, found);
      }
      return found;
    },
  };

  /** Starts from the shortest list that must hold them all, so that many narrow classes cost no more than their members. */
  function select(options: PlacementOptions): readonly Host[] {
    const lists = options.metadata.map(({ key, values }) =>
      [...new Set(values)].flatMap((value) => byWish.get(wish(key, value)) ?? []),
    );
    if (options.machineId !== undefined) lists.push(byWish.get(idWish(options.machineId)) ?? []);
    const shortest = lists.reduce<Host[]>((best, list) => (list.length < best.length ? list : best), present);
    return shortest.filter((host) => standingRefusal(options, host) === undefined).sort((a, b) => a.index - b.index);
  }
}

function groupByWish(hosts: readonly Host[]): ReadonlyMap<string, Host[]> {
  const groups = new Map<string, Host[]>();
  for (const host of hosts) {
    const wishes = Object.entries(host.metadata).map(([key, value]) => wish(key, value));
    for (const each of new Set([...wishes, idWish(host.id), idWish(shortId(host.id))])) {
      const group = groups.get(each);
      if (group === undefined) groups.set(each, [host]);
      else group.push(host);
    }
  }
  return groups;
}

function wish(key: string, value: string): string {
  return JSON.stringify([key, value]);
}

function idWish(id: string): string {
  return JSON.stringify([id]);
}
