// Rules across the units of one commit. They warn and never refuse: what names a unit that is not there, or waits for
// itself in a ring, stays unplaced and says so; the other units are none the worse. Given to desired.ts.
import type { UnitName } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { DropInEntry } from "./tree.ts";
import type { ExpandedUnit, Expansion } from "./expand.ts";
import { templateOf } from "./links.ts";

/** Names in a ring that are spelled out. */
const maxShownRing = 20;

/** MachineOf= that can never be met. Codes: "machine-of-unknown", "machine-of-inactive", "machine-of-cycle". */
export function checkPeers(units: ReadonlyMap<UnitName, ExpandedUnit>): readonly Problem[] {
  const warnings: Problem[] = [];
  for (const { unit, machineOfAt } of units.values()) {
    unit.options.machineOf.forEach((peer, index) => {
      const at = machineOfAt[index];
      const message = `Unit "${unit.name}" stays unplaced: its MachineOf=${peer}`;
      const found = units.get(peer);
      if (found === undefined) {
        warnings.push(new Problem("machine-of-unknown", `${message} is not in the commit`, { at }));
      } else if (found.unit.target === "inactive") {
        warnings.push(new Problem("machine-of-inactive", `${message} is wanted inactive`, { at }));
      }
    });
  }
  for (const ring of findRings(units)) warnings.push(ringWarning(ring, units));
  return warnings;
}

function ringWarning(ring: readonly UnitName[], units: ReadonlyMap<UnitName, ExpandedUnit>): Problem {
  const shown = ring.length > maxShownRing ? [...ring.slice(0, maxShownRing), "..."] : ring;
  const first = ring[0] === undefined ? undefined : units.get(ring[0]);
  const index = first?.unit.options.machineOf.findIndex((peer) => ring.includes(peer)) ?? -1;
  return new Problem("machine-of-cycle", `Units stay unplaced: their MachineOf= go in a ring, ${shown.join(" ")}`, {
    hint: "Remove MachineOf= from one of them",
    at: first?.machineOfAt[index],
  });
}

/**
 * Groups of units that follow each other in a ring (strongly connected components of two or more), each in name order,
 * the groups by their first name. Without recursion: chains may be as long as a commit has units.
 */
export function findRings(units: ReadonlyMap<UnitName, ExpandedUnit>): readonly (readonly UnitName[])[] {
  const order = new Map<UnitName, number>();
  const low = new Map<UnitName, number>();
  const open: UnitName[] = [];
  const isOpen = new Set<UnitName>();
  const rings: UnitName[][] = [];
  const peersOf = (name: UnitName): readonly UnitName[] =>
    (units.get(name)?.unit.options.machineOf ?? []).filter((peer) => units.has(peer));
  const lower = (name: UnitName, to: number): void => {
    low.set(name, Math.min(low.get(name) ?? to, to));
  };

  for (const root of units.keys()) {
    if (order.has(root) || peersOf(root).length === 0) continue;
    const path: { readonly name: UnitName; readonly peers: readonly UnitName[]; next: number }[] = [];
    const enter = (name: UnitName): void => {
      order.set(name, order.size);
      lower(name, order.size - 1);
      open.push(name);
      isOpen.add(name);
      path.push({ name, peers: peersOf(name), next: 0 });
    };
    enter(root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const peer = top.peers[top.next++];
      if (peer !== undefined) {
        if (!order.has(peer)) enter(peer);
        else if (isOpen.has(peer)) lower(top.name, order.get(peer) ?? 0);
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above !== undefined) lower(above.name, low.get(top.name) ?? 0);
      if (low.get(top.name) !== order.get(top.name)) continue;
      const ring = open.splice(open.lastIndexOf(top.name));
      for (const name of ring) isOpen.delete(name);
      if (ring.length > 1) rings.push(ring.sort());
    }
  }
  return rings.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
}

/** Drop-ins of units that the commit does not have. Code "drop-in-unused". */
export function checkDropIns(
  dropIns: ReadonlyMap<UnitName, readonly DropInEntry[]>,
  { units, templates, named }: Expansion & { readonly named: ReadonlySet<UnitName> },
): readonly Problem[] {
  const usedTemplates = new Set([...units.keys()].map(templateOf));
  return [...dropIns.values()].flatMap((entries) =>
    entries
      .filter(({ unit }) => !named.has(unit) && !units.has(unit) && !templates.has(unit) && !usedTemplates.has(unit))
      .map(
        ({ unit, path }): Problem =>
          new Problem("drop-in-unused", `The drop-in is of no use: there is no unit "${unit}"`, {
            hint: "Add the unit, or remove the drop-in",
            at: { file: path },
          }),
      ),
  );
}
