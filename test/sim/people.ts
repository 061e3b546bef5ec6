// What people do while all that goes on: commits good and bad, a branch that goes back, holds, drains.
import type { CommitId } from "../../agent/domain/names.ts";
import { Problem, explainError } from "../../agent/domain/problem.ts";
import type { Person } from "../../agent/domain/submitted.ts";
import type { Cluster } from "./cluster.ts";
import type { Wishes } from "./wishes.ts";

export class People {
  readonly #cluster: Cluster;
  readonly #wishes: Wishes;
  readonly #meanMs: number;
  readonly #good: { readonly commit: CommitId; readonly files: ReturnType<Wishes["files"]> }[] = [];
  #isOver = false;

  constructor(cluster: Cluster, wishes: Wishes) {
    this.#cluster = cluster;
    this.#wishes = wishes;
    this.#meanMs = cluster.dice.pick([8_000, 25_000]);
  }

  /** What runs when all that is committed has been taken up. */
  get newest(): CommitId | undefined {
    return this.#good.at(-1)?.commit;
  }

  commit(): void {
    const { repository, trace, judge } = this.#cluster;
    const files = this.#wishes.files();
    const commit = repository.commit(files);
    this.#good.push({ commit, files });
    judge.wished();
    trace.say("people", `commit ${commit.slice(0, 7)}: ${Object.keys(files).slice(1).join(" ")}`);
  }

  async run(over: AbortSignal): Promise<void> {
    const { clock, dice } = this.#cluster;
    for (;;) {
      await clock.sleep(dice.next(this.#meanMs), over);
      if (this.#isOver) return;
      this.#do();
    }
  }

  /** What operators do through the agent of some machine; whether it comes through is another matter. */
  #byHand(): void {
    const { dice, machines, trace, judge } = this.#cluster;
    const machine = dice.pick(machines);
    const unit = dice.pick(this.#wishes.units());
    const other = dice.pick(machines);
    const what = dice.pick(["stop", "start", "restart", "cordon", "drain", "uncordon"]);
    const hands = machine.agent?.hands;
    const { process } = machine;
    if (hands === undefined || process === undefined) return;
    trace.say("people", `${what} ${what.endsWith("n") ? other.letter : unit} (on ${machine.letter})`);
    judge.wished();
    const by = "operator" as Person;
    const signal = process.ended;
    const ask = async (): Promise<void> => {
      switch (what) {
        case "stop":
        case "start":
          await hands.setTarget({ name: unit, target: what === "stop" ? "loaded" : "launched", by }, signal);
          return;
        case "restart":
          await hands.restart(unit, by, signal);
          return;
        case "cordon":
        case "drain":
        case "uncordon":
          await hands.maintain({ machine: other.id, change: what, by }, signal);
      }
    };
    ask().then(
      () => {
        judge.wished();
        trace.say("people", `${what}: done`);
      },
      (error: unknown) => {
        if (!(error instanceof Problem)) this.#cluster.fail(error);
        trace.say("people", `${what}: ${explainError(error)}`);
      },
    );
  }

  end(): void {
    this.#isOver = true;
    this.commit(); // whatever was tried last, this is what shall run
  }

  #do(): void {
    const { dice, repository, trace, judge } = this.#cluster;
    switch (dice.pick(["change", "change", "change", "bad", "rewind", "by hand", "by hand", "by hand"])) {
      case "by hand":
        this.#byHand();
        return;
      case "change":
        this.#wishes.change();
        this.commit();
        return;
      case "bad":
        judge.badCommit(
          repository.commit({
            ...this.#wishes.files(),
            "bad.service": "[Service]\nExecStart\n[X-Fleet]\nGlobal=perhaps\n",
          }),
        );
        trace.say("people", "a commit that cannot be read");
        return;
      default: {
        const earlier = dice.pick(this.#good);
        repository.reset(earlier.commit);
        judge.wished();
        trace.say("people", `the branch goes back to ${earlier.commit.slice(0, 7)}`);
      }
    }
  }
}
