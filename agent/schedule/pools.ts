// Machines in the order in which they are asked: least loaded first, ties by id. Given to schedule.ts.
// Decides nothing: it offers, the asker takes or refuses. Holds copies of loads that may lag behind a machine's growth;
// after a machine has become emptier, or a refusal has become void, `forget` must be called.
import type { Host, HostClass, HostIndex } from "./machines.ts";
import type { ActiveUnit } from "./units.ts";

/** Units with the same shape fit the same machines: what refuses one for good refuses them all. */
interface Shape {
  readonly hosts: HostClass;
  /** How many units have it. */
  units: number;
  pool: Pool | undefined;
}

interface Pool {
  /** A heap of load * number of machines + index: one number orders by load, then by id. */
  readonly heap: number[];
}

export interface Pools {
  /** The first machine, least loaded first, that `accept` takes. */
  first(unit: ActiveUnit): Host | undefined;
  forget(): void;
}

/** From so many units of one shape on (or a 16th of all machines), it keeps a list of its own without those that refused. */
const unitsForOwnPool = 64;

export interface PoolOptions {
  readonly index: HostIndex;
  readonly load: (host: Host) => number;
  readonly accept: (unit: ActiveUnit, host: Host) => boolean;
}

export function openPools(units: readonly ActiveUnit[], { index, load, accept }: PoolOptions): Pools {
  const { hosts } = index;
  const shapes = new Map<string, Shape>();
  const shapeOf: (Shape | undefined)[] = [];
  const shared = new Map<HostClass, Pool>();
  const enough = Math.max(unitsForOwnPool, hosts.length / 16);
  for (const unit of units) if (isRelated(unit)) shapeOf[unit.index] = countShape(unit);
  return { first, forget };

  function first(unit: ActiveUnit): Host | undefined {
    const shape = shapeOf[unit.index];
    if (shape === undefined || shape.units < enough)
      return search(unit, { pool: sharedPool(index.classOf(unit.options)), keepRefused: true });
    shape.pool ??= fill(shape.hosts);
    return search(unit, { pool: shape.pool, keepRefused: false });
  }

  function forget(): void {
    shared.clear();
    for (const shape of shapes.values()) shape.pool = undefined;
  }

  function countShape(unit: ActiveUnit): Shape {
    const key = shapeKey(unit, index.classOf(unit.options));
    let shape = shapes.get(key);
    if (shape === undefined) {
      shape = { hosts: index.classOf(unit.options), units: 0, pool: undefined };
      shapes.set(key, shape);
    }
    shape.units++;
    return shape;
  }

  function sharedPool(hostClass: HostClass): Pool {
    let pool = shared.get(hostClass);
    if (pool === undefined) shared.set(hostClass, (pool = fill(hostClass)));
    return pool;
  }

  function fill(hostClass: HostClass): Pool {
    // an ascending list is a heap
    return { heap: hostClass.members.map(keyOf).sort((a, b) => a - b) };
  }

  function keyOf(host: Host): number {
    return load(host) * hosts.length + host.index;
  }

  function search(unit: ActiveUnit, { pool, keepRefused }: { pool: Pool; keepRefused: boolean }): Host | undefined {
    const refused: number[] = [];
    let found: Host | undefined;
    while (found === undefined) {
      const key = pool.heap[0];
      if (key === undefined) break;
      const host = hosts[key % hosts.length];
      if (host === undefined) throw new Error("A pool holds a machine that is not there");
      const now = keyOf(host);
      if (now !== key) {
        replaceTop(pool.heap, now); // it has grown since
      } else if (accept(unit, host)) {
        found = host;
      } else {
        if (keepRefused) refused.push(key);
        removeTop(pool.heap);
      }
    }
    for (const key of refused) push(pool.heap, key);
    return found;
  }
}

export function isRelated(unit: ActiveUnit): boolean {
  return (
    unit.follows.length > 0 ||
    unit.absent !== undefined ||
    unit.declares.length > 0 ||
    unit.matching.length > 0 ||
    unit.replaces.length > 0 ||
    unit.replacedBy.length > 0
  );
}

/** Equal for units that every machine answers alike. */
export function shapeKey(unit: ActiveUnit, hosts: HostClass): string {
  const indexes = (list: readonly { readonly index: number }[]): string => list.map((each) => each.index).join();
  return JSON.stringify([
    hosts.key,
    unit.absent ?? "",
    indexes(unit.follows),
    indexes(unit.declares),
    indexes(unit.matching),
    indexes(unit.replaces),
    indexes(unit.replacedBy),
  ]);
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
