// Brings what a machine's store of git lacks beside its passes: a server that does not answer holds up nothing that can be
// done without it. Given to texts.ts and local.ts.
import type { CommitId } from "../domain/names.ts";
import { type Problem, asProblem } from "../domain/problem.ts";
import type { Git } from "../ports/git.ts";

export interface Fetched {
  /** Undefined: it has come to its end. */
  readonly failure: Problem | undefined;
}

/** One fetch at a time. */
export class Fetches {
  readonly #onEnd: () => void;
  #underWay: Promise<void> | undefined;
  #last: Fetched | undefined;
  /** Nobody has heard of the last one yet. */
  #isNews = false;
  #lacking = "";

  /** `onEnd`: what came of one can be had. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /**
   * What came of the last fetch for these commits, which the store lacks; undefined while that is not known. Unless it is
   * news, another one begins, if none is under way.
   */
  look(lacking: readonly CommitId[], git: Pick<Git, "fetch">, signal: AbortSignal): Fetched | undefined {
    const others = lacking.join(" ");
    // What came before says nothing of these commits; that the server is away it still is
    if (others === "" || (others !== this.#lacking && this.#last?.failure === undefined)) this.#last = undefined;
    this.#lacking = others;
    const isNews = this.#isNews && this.#last !== undefined;
    this.#isNews = false;
    if (others !== "" && !isNews) this.#underWay ??= this.#fetch(git, signal);
    return this.#last;
  }

  /** Resolves when none is under way; that one ends with its signal. */
  async end(): Promise<void> {
    await this.#underWay;
  }

  async #fetch(git: Pick<Git, "fetch">, signal: AbortSignal): Promise<void> {
    const lacking = this.#lacking;
    const failure = await git.fetch(signal).then(
      () => undefined,
      (error: unknown) => asProblem(error, "git-commit", "Cannot fetch the commits of this machine's units"),
    );
    this.#underWay = undefined;
    if (failure !== undefined || lacking === this.#lacking) this.#last = { failure };
    this.#isNews = true;
    this.#onEnd();
  }
}
