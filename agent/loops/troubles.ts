// What is wrong with this agent right now, one entry a source; shown by `status`. A source clears its own entry.
import type { ProblemRecord } from "../domain/problem.ts";

export class Troubles {
  readonly #present = new Map<string, ProblemRecord>();
  readonly #listeners = new Set<() => void>();

  set(source: string, problem: ProblemRecord): void {
    if (this.#present.get(source)?.message === problem.message) return;
    this.#present.set(source, problem);
    this.#tell();
  }

  clear(source: string): void {
    if (this.#present.delete(source)) this.#tell();
  }

  /** In order of their sources' names. */
  list(): readonly ProblemRecord[] {
    return [...this.#present].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, problem]) => problem);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
