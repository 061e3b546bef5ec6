// Machines in the order in which a unit asks them (rank.ts), without comparing them all for each unit. Given to settle.ts.
// Decides nothing: it offers, the asker takes or refuses. Holds copies of loads that may lag behind a machine's growth;
// after a machine has become emptier, or a refusal has become void, `forget` must be called.
import type { PlacementOptions } from "../domain/unit.ts";
import { closedTo } from "./board.ts";
import type { Host, HostClass, HostIndex } from "./machines.ts";
import { valueOf } from "./machines.ts";
import { score, spreadCount } from "./rank.ts";
import type { ActiveUnit } from "./units.ts";
import { isRelated, shapeOf } from "./waiting.ts";

/** Machines that a unit tells apart by nothing but load and id. */
interface Lane {
  readonly any: Host;
  readonly score: number;
  /** A heap of load * number of machines + index: one number orders by load, then by id. */
  readonly heap: number[];
}

interface Shape {
  /** How many units have it. */
  units: number;
  pool: readonly Lane[] | undefined;
}

export interface Pools {
  /** The first machine, in the unit's order, that `accept` takes. */
  first(unit: ActiveUnit): Host | undefined;
  forget(): void;
}

/** From so many units of one shape on (or a 16th of all machines), it keeps a list of its own without those that refused. */
const unitsForOwnPool = 64;

/** `units`: those that will probably ask. */
export function openPools(
  units: readonly ActiveUnit[],
  { index, accept }: { readonly index: HostIndex; readonly accept: (unit: ActiveUnit, host: Host) => boolean },
): Pools {
  const { hosts } = index;
  const shared = new Map<string, readonly Lane[]>();
  const enough = Math.max(unitsForOwnPool, hosts.length / 16);
  const shapes = units.length < enough ? new Map<string, Shape>() : countShapes(units);
  return { first, forget };

  function first(unit: ActiveUnit): Host | undefined {
    const shape = shapes.size > 0 && isRelated(unit) ? shapes.get(shapeKey(unit)) : undefined;
    if (shape === undefined || shape.units < enough)
      return search(unit, { lanes: sharedLanes(unit), keepRefused: true });
    shape.pool ??= fill(unit);
    return search(unit, { lanes: shape.pool, keepRefused: false });
  }

  function forget(): void {
    shared.clear();
    for (const shape of shapes.values()) shape.pool = undefined;
  }

  function sharedLanes(unit: ActiveUnit): readonly Lane[] {
    const key = `${unit.wishes}\n${orderKey(unit)}`;
    let lanes = shared.get(key);
    if (lanes === undefined) shared.set(key, (lanes = fill(unit)));
    return lanes;
  }

  function fill(unit: ActiveUnit): readonly Lane[] {
    const { members }: HostClass = index.classOf(unit.options, unit.wishes);
    const open = members.filter((host) => closedTo(unit, host) === undefined);
    // an ascending list is a heap
    const heapOf = (hosts: readonly Host[]): number[] => hosts.map(keyOf).sort((a, b) => a - b);
    const [any] = open;
    if (any === undefined) return [];
    if (orderKey(unit) === "") return [{ any, score: 0, heap: heapOf(open) }];
    const { options } = unit;
    const groups = new Map<string, Host[]>();
    for (const host of open) {
      const value = options.spread === undefined ? undefined : valueOf(host.metadata, options.spread);
      const id = `${score(options, host)}\n${value ?? ""}`;
      const group = groups.get(id);
      if (group === undefined) groups.set(id, [host]);
      else group.push(host);
    }
    return [...groups.values()].flatMap((group) => {
      const [first] = group;
      return first === undefined ? [] : [{ any: first, score: score(options, first), heap: heapOf(group) }];
    });
  }

  function keyOf(host: Host): number {
    return host.load * hosts.length + host.index;
  }

  function search(
    unit: ActiveUnit,
    { lanes, keepRefused }: { readonly lanes: readonly Lane[]; readonly keepRefused: boolean },
  ): Host | undefined {
    const refused: { readonly heap: number[]; readonly key: number }[] = [];
    let found: Host | undefined;
    while (found === undefined) {
      const lane = lanes.length === 1 ? lanes[0] : bestLane(unit, lanes);
      const key = lane === undefined ? undefined : fresh(lane.heap);
      if (lane === undefined || key === undefined) break;
      const host = hostOf(key);
      if (accept(unit, host)) found = host;
      else {
        if (keepRefused) refused.push({ heap: lane.heap, key });
        removeTop(lane.heap);
      }
    }
    for (const { heap, key } of refused) push(heap, key);
    return found;
  }

  function bestLane(unit: ActiveUnit, lanes: readonly Lane[]): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of lanes) {
      const key = fresh(lane.heap);
      if (key === undefined) continue;
      if (best === undefined || compare(unit, { lane, key, best }) < 0) best = lane;
    }
    return best;
  }

  function compare(
    unit: ActiveUnit,
    { lane, key, best }: { readonly lane: Lane; readonly key: number; readonly best: Lane },
  ): number {
    return (
      spreadCount(unit, lane.any) - spreadCount(unit, best.any) ||
      best.score - lane.score ||
      key - (best.heap[0] ?? Infinity)
    );
  }

  /** The top of the heap, brought up to date: machines may have grown since. */
  function fresh(heap: number[]): number | undefined {
    for (;;) {
      const key = heap[0];
      if (key === undefined) return undefined;
      const now = keyOf(hostOf(key));
      if (now === key) return key;
      replaceTop(heap, now);
    }
  }

  function hostOf(key: number): Host {
    const host = hosts[key % hosts.length];
    if (host === undefined) throw new Error("A pool holds a machine that is not there");
    return host;
  }
}

function countShapes(units: readonly ActiveUnit[]): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const unit of units) {
    if (!isRelated(unit)) continue;
    const key = shapeKey(unit);
    const shape = shapes.get(key);
    if (shape === undefined) shapes.set(key, { units: 1, pool: undefined });
    else shape.units++;
  }
  return shapes;
}

/** Units of one shape get the same answers, and here they also ask in the same order. */
function shapeKey(unit: ActiveUnit): string {
  return `${shapeOf(unit)}\n${unit.spread?.id ?? ""}\n${orderKey(unit)}`;
}

function orderKey({ options: { spread, prefer, avoid } }: { readonly options: PlacementOptions }): string {
  return spread === undefined && prefer === undefined && avoid === undefined
    ? ""
    : JSON.stringify([spread ?? null, prefer ?? [], avoid ?? []]);
}

function push(heap: number[], key: number): void {
  let at = heap.length;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] ?? 0;
    if (above <= key) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = key;
}

function removeTop(heap: number[]): void {
  const last = heap.pop();
  if (last !== undefined && heap.length > 0) replaceTop(heap, last);
}

function replaceTop(heap: number[], key: number): void {
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const right = left + 1;
    const child = (heap[right] ?? Infinity) < (heap[left] ?? Infinity) ? right : left;
    const below = heap[child] ?? Infinity;
    if (below >= key) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = key;
}
