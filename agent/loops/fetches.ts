// Brings what a machine's store of git lacks beside its passes: a server that does not answer holds up nothing that can be
// done without it. Given to texts.ts and local.ts.
import type { CommitId } from "../domain/names.ts";
import { type Problem, asProblem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Git } from "../ports/git.ts";

/** Older texts are put to no new use before a fetch has had this long to bring the right ones. */
const patienceMs = 5_000;

export interface FetchesPorts {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** What came of one can be had. */
  readonly onEnd: () => void;
}

/** What is known of the commits that were asked for. */
export type Fetched =
  /** Nothing yet; for so long nothing else is to be put in their place. */
  | { readonly kind: "awaited"; readonly patienceMs: number }
  /** The last fetch has come to its end, or failed; another may be under way. */
  | { readonly kind: "over"; readonly failure: Problem | undefined };

/** One fetch at a time. */
export class Fetches {
  readonly #ports: FetchesPorts;
  #sinceMs = 0;
  #underWay: Promise<void> | undefined;
  #last: { readonly failure: Problem | undefined } | undefined;
  /** Nobody has heard of the last one yet. */
  #isNews = false;
  #lacking = "";

  constructor(ports: FetchesPorts) {
    this.#ports = ports;
  }

  /**
   * What came of the last fetch for these commits, which the store lacks. Unless it is news, another one begins, if none is
   * under way.
   */
  look(lacking: readonly CommitId[], git: Pick<Git, "fetch">, signal: AbortSignal): Fetched {
    const others = lacking.join(" ");
    // What came before says nothing of these commits; that the server is away it still is
    if (others === "" || (others !== this.#lacking && this.#last?.failure === undefined)) this.#last = undefined;
    this.#lacking = others;
    const isNews = this.#isNews && this.#last !== undefined;
    this.#isNews = false;
    if (others !== "" && !isNews) this.#underWay ??= this.#fetch(git, signal);
    if (others === "" || this.#last !== undefined) return { kind: "over", failure: this.#last?.failure };
    const untilMs = this.#sinceMs + patienceMs;
    return { kind: "awaited", patienceMs: Math.max(0, untilMs - this.#ports.clock.monotonicMs()) };
  }

  /** Resolves when none is under way; that one ends with its signal. */
  async end(): Promise<void> {
    await this.#underWay;
  }

  async #fetch(git: Pick<Git, "fetch">, signal: AbortSignal): Promise<void> {
    const lacking = this.#lacking;
    this.#sinceMs = this.#ports.clock.monotonicMs();
    const failure = await git.fetch(signal).then(
      () => undefined,
      (error: unknown) => asProblem(error, "git-commit", "Cannot fetch the commits of this machine's units"),
    );
    this.#underWay = undefined;
    if (failure !== undefined || lacking === this.#lacking) this.#last = { failure };
    this.#isNews = true;
    this.#ports.onEnd();
  }
}
