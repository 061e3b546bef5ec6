// An agent that is killed at one point of its work: the n-th call to any port has its effect or has it not, and nothing
// comes after it. What it asked of the world before goes on without it.
import { Problem } from "../../../agent/domain/problem.ts";
import type { Box } from "./house.ts";

/** Calls that change nothing: to be killed before and after one is the same. */
const reads: ReadonlySet<string> = new Set([
  ...["registry.read", "registry.get", "systemd.placed", "systemd.foreign", "systemd.states", "disk.read"],
  ...["git.head", "git.has", "git.info", "git.tree", "git.blob"],
]);
/** Calls that end with the agent by themselves. */
const uncounted: ReadonlySet<string> = new Set([
  "registry.watch",
  "registry.close",
  "systemd.onChange",
  "systemd.close",
]);

export class Fate {
  /** The point at which it died, in words; undefined while it lives. */
  died: string | undefined;
  /** Points that have gone by since it was `arm`ed. */
  passed = 0;
  #point = Infinity;

  /** From now on the points count, from 1; at this one it dies. */
  arm(point: number): void {
    this.#point = point;
  }

  /** Has the machine's next agent do everything under this fate. */
  rule(box: Box): void {
    box.through = {
      registry: (each) => this.#under("registry", each),
      systemd: (each) => this.#under("systemd", each),
      disk: (each) => this.#under("disk", each),
      git: (each) => this.#under("git", each),
    };
  }

  #under<T extends object>(port: string, real: T): T {
    return new Proxy(real, {
      get: (target, key): unknown => {
        const member: unknown = Reflect.get(target, key, target);
        if (typeof member !== "function") return member;
        const call = member.bind(target) as (...given: unknown[]) => unknown;
        const what = `${port}.${String(key)}`;
        return uncounted.has(what) ? call : (...given: unknown[]) => this.#carryOut(what, () => call(...given));
      },
    });
  }

  async #carryOut(what: string, call: () => unknown): Promise<unknown> {
    this.#pass(`before ${what}`);
    const result = await call();
    if (!reads.has(what)) this.#pass(`after ${what}`);
    return result;
  }

  #pass(where: string): void {
    if (this.#point !== Infinity && this.died === undefined && ++this.passed === this.#point) this.died = where;
    if (this.died !== undefined) throw new Problem("killed", `Cannot go on: the agent was killed ${this.died}`);
  }
}
