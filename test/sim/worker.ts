// A process of its own that simulates one seed after another. Where it does not come back, for a loop never gives way or takes all
// memory, that is a finding like any other, with its seed. Given to main.ts and mutate.ts.
import { type ChildProcess, fork } from "node:child_process";
import type { Outcome } from "./simulate.ts";

/** What comes back of a simulation. */
export type Report = Pick<Outcome, "seed" | "broken" | "checks" | "ms">;

export interface WorkerOptions {
  /** Where it runs; where this process does unless set. */
  readonly cwd?: string;
  /** What one seed may take; two minutes unless set: it usually takes a tenth of a second. */
  readonly longestMs?: number;
}

export class Worker {
  readonly #main: string;
  readonly #options: WorkerOptions;
  #child: ChildProcess | undefined;

  /** `main`: the path of a main.ts, this one's or a copy's. */
  constructor(main: string, options: WorkerOptions = {}) {
    this.#main = main;
    this.#options = options;
  }

  /** One at a time. Never rejects: `process/hangs` and `process/ended` are checks that broke. */
  async simulate(seed: number): Promise<Report> {
    const { cwd, longestMs = 120_000 } = this.#options;
    const child = (this.#child ??= fork(this.#main, { execArgv: process.execArgv, cwd }));
    return new Promise((resolve) => {
      const tell = (report: Report): void => {
        clearTimeout(timer);
        child.removeAllListeners();
        resolve(report);
      };
      const lose = (check: string, message: string): void => {
        this.end();
        tell({ seed, broken: { check, message }, checks: 0, ms: 0 });
      };
      const timer = setTimeout(() => lose("process/hangs", `Not over after ${longestMs / 1_000} s`), longestMs);
      child.once("exit", (code, signal) => lose("process/ended", `Its process ended with ${code ?? signal}`));
      child.once("message", (report) => tell(report as Report));
      child.send(seed);
    });
  }

  end(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}
