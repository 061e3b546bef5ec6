// The order in which units are decided: by priority, then by name, but each after the units that it follows (MachineOf=);
// and those that follow each other in a circle (Tarjan's strongly connected components). Given to units.ts.
import { byName } from "../domain/names.ts";

/** What the order of decision is made of, as `byTurn` compares it. */
export interface Follower<T> {
  readonly name: string;
  readonly options: { readonly priority?: number };
  readonly follows: readonly T[];
  readonly followers: readonly T[];
  /** Its own, or that of a unit that follows it, near or far, where that is higher. */
  priority: number;
  /** Name of the unit with which it is decided: its own, or that of a follower that comes before it. */
  root: string;
  /** Its place among those that are decided together. */
  turn: number;
  /** The circle that it is part of, in name order. */
  cycle: readonly T[] | undefined;
}

/** The order of decision. */
export function byTurn(
  a: Pick<Follower<unknown>, "priority" | "root" | "turn">,
  b: Pick<Follower<unknown>, "priority" | "root" | "turn">,
): number {
  return b.priority - a.priority || byName(a.root, b.root) || a.turn - b.turn;
}

/**
 * Sets the turns of `nodes` and of all that they are tied to by following. Returns those of them whose priority or circle
 * is another than before. Time is linear in nodes and links but for sorting; no recursion, so a chain may be of any length.
 */
export function setTurns<T extends Follower<T>>(nodes: Iterable<T>): ReadonlySet<T> {
  const different = new Set<T>();
  const seen = new Set<T>();
  for (const node of nodes) {
    if (seen.has(node)) continue;
    if (node.follows.length === 0 && node.followers.length === 0) {
      seen.add(node);
      settleOne(node, different);
      continue;
    }
    const together = new Set<T>([node]);
    for (const each of together) {
      for (const other of each.follows) together.add(other);
      for (const other of each.followers) together.add(other);
    }
    for (const each of together) seen.add(each);
    settleTogether([...together], different);
  }
  return different;
}

function settleOne<T extends Follower<T>>(node: T, different: Set<T>): void {
  const priority = node.options.priority ?? 0;
  if (node.priority !== priority || node.cycle !== undefined) different.add(node);
  node.priority = priority;
  node.root = node.name;
  node.turn = 0;
  node.cycle = undefined;
}

function settleTogether<T extends Follower<T>>(nodes: readonly T[], different: Set<T>): void {
  const before = new Map(nodes.map((node) => [node, { priority: node.priority, cycle: node.cycle }]));
  handOn(nodes);
  const { order, cycles } = followOrder([...nodes].sort((a, b) => b.priority - a.priority || byName(a.name, b.name)));
  for (const [turn, { node, root }] of order.entries()) {
    node.root = root.name;
    node.turn = turn;
    node.cycle = cycles.get(node);
    const was = before.get(node);
    if (was?.priority !== node.priority || was.cycle?.length !== node.cycle?.length || node.cycle !== undefined) {
      different.add(node);
    }
  }
}

/** Every unit hands its priority on to those that it follows; the highest goes first, so that each is visited once. */
function handOn<T extends Follower<T>>(nodes: readonly T[]): void {
  const done = new Set<T>();
  const own = (node: T): number => node.options.priority ?? 0;
  for (const start of [...nodes].sort((a, b) => own(b) - own(a))) {
    const left = [start];
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (done.has(node)) continue;
      done.add(node);
      node.priority = own(start);
      left.push(...node.follows);
    }
  }
}

interface FollowOrder<T> {
  /** Each with the node in whose turn it was reached. */
  readonly order: readonly { readonly node: T; readonly root: T }[];
  /** Every member of a circle, with all members of it in name order. */
  readonly cycles: ReadonlyMap<T, readonly T[]>;
}

/** Takes `nodes` in the order given, each after all that it follows. */
function followOrder<T extends Follower<T>>(nodes: readonly T[]): FollowOrder<T> {
  const order: { node: T; root: T }[] = [];
  const cycles = new Map<T, readonly T[]>();
  const marks = new Map<T, Mark>();
  const open: T[] = [];
  for (const root of nodes) {
    if (!marks.has(root)) walk(root);
  }
  return { order, cycles };

  function walk(root: T): void {
    const path: Step<T>[] = [enter(root)];
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const next = step.links[step.next++];
      if (next === undefined) {
        path.pop();
        leave(step, root);
        const parent = path.at(-1);
        if (parent !== undefined) parent.mark.lowest = Math.min(parent.mark.lowest, step.mark.lowest);
        continue;
      }
      const known = marks.get(next);
      if (known === undefined) path.push(enter(next));
      else if (known.open) step.mark.lowest = Math.min(step.mark.lowest, known.seen);
    }
  }

  function enter(node: T): Step<T> {
    // the place on the stack is number enough: only nodes that are open together are compared
    const mark: Mark = { seen: open.length, lowest: open.length, open: true };
    marks.set(node, mark);
    open.push(node);
    return { node, mark, links: node.follows, next: 0 };
  }

  function leave(step: Step<T>, root: T): void {
    if (step.mark.lowest !== step.mark.seen) return;
    const members = open.splice(step.mark.seen);
    for (const member of members) {
      const mark = marks.get(member);
      if (mark !== undefined) mark.open = false;
    }
    if (members.length > 1 || step.node.follows.includes(step.node)) {
      members.sort((a, b) => byName(a.name, b.name));
      for (const member of members) cycles.set(member, members);
    }
    for (const node of members) order.push({ node, root });
  }
}

interface Mark {
  readonly seen: number;
  lowest: number;
  open: boolean;
}

interface Step<T> {
  readonly node: T;
  readonly mark: Mark;
  readonly links: readonly T[];
  next: number;
}
