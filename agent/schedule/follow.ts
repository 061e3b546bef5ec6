// The order in which units are decided: in name order, but each after the units that it follows (MachineOf=).
// Given to schedule.ts. Finds those that follow each other in a circle (Tarjan's strongly connected components).

/** `index` is the node's place in name order. */
export interface Follower {
  readonly index: number;
}

export interface FollowOrder<T> {
  readonly order: readonly T[];
  /** Every member of a circle, with all members of it in name order. */
  readonly cycles: ReadonlyMap<T, readonly T[]>;
}

/** `nodes` in name order. Time is linear in nodes and links; no recursion, so a chain may be of any length. */
export function followOrder<T extends Follower>(
  nodes: readonly T[],
  follows: (node: T) => readonly T[],
): FollowOrder<T> {
  const order: T[] = [];
  const cycles = new Map<T, readonly T[]>();
  const marks: Mark[] = [];
  const open: T[] = [];
  for (const root of nodes) {
    if (marks[root.index] === undefined) walk(root);
  }
  return { order, cycles };

  function walk(root: T): void {
    const path: Step<T>[] = [enter(root)];
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const next = step.links[step.next++];
      if (next === undefined) {
        path.pop();
        leave(step);
        const parent = path.at(-1);
        if (parent !== undefined) parent.mark.lowest = Math.min(parent.mark.lowest, step.mark.lowest);
        continue;
      }
      const known = marks[next.index];
      if (known === undefined) path.push(enter(next));
      else if (known.open) step.mark.lowest = Math.min(step.mark.lowest, known.seen);
    }
  }

  function enter(node: T): Step<T> {
    // the place on the stack is number enough: only nodes that are open together are compared
    const mark: Mark = { seen: open.length, lowest: open.length, open: true };
    marks[node.index] = mark;
    open.push(node);
    return { node, mark, links: follows(node), next: 0 };
  }

  function leave(step: Step<T>): void {
    if (step.mark.lowest !== step.mark.seen) return;
    const members = open.splice(step.mark.seen);
    for (const member of members) {
      const mark = marks[member.index];
      if (mark !== undefined) mark.open = false;
    }
    if (members.length > 1 || follows(step.node).includes(step.node)) {
      members.sort((a, b) => a.index - b.index);
      for (const member of members) cycles.set(member, members);
    }
    for (const member of members) order.push(member);
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
