// What people do while all that goes on: commits good and bad, a branch that goes back, holds, drains.
import type { CommitId } from "../../agent/domain/names.ts";
import { Problem, explainError } from "../../agent/domain/problem.ts";
import type { Person } from "../../agent/domain/submitted.ts";
import type { Cluster } from "./cluster.ts";
import type { SimMachine } from "./machine.ts";
import type { Wishes } from "./wishes.ts";

const deeds = [
  "unload",
  "stop",
  "start",
  "restart",
  "submit",
  "submit",
  "destroy",
  "settle",
  "cordon",
  "drain",
  "uncordon",
] as const;
const targets = { unload: "inactive", stop: "loaded", start: "launched" } as const;
/** A hold that ends has ended by the time at which the cluster is looked at again. */
const mostHoldMs = 8_000;

export class People {
  readonly #cluster: Cluster;
  readonly #wishes: Wishes;
  readonly #meanMs: number;
  readonly #good: CommitId[] = [];
  #isOver = false;
  #isHeadGood = true;

  constructor(cluster: Cluster, wishes: Wishes) {
    this.#cluster = cluster;
    this.#wishes = wishes;
    this.#meanMs = cluster.dice.pick([2_000, 8_000, 25_000]);
  }

  commit(): void {
    const { repository, trace, judge } = this.#cluster;
    const files = this.#wishes.files();
    const commit = repository.commit(files);
    this.#good.push(commit);
    this.#isHeadGood = true;
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

  /** Before anything goes wrong. */
  submitSome(): void {
    for (const machine of this.#cluster.dice.some(this.#cluster.machines, 0.5)) this.#byHand("submit", machine);
  }

  /** What operators do through the agent of some machine; whether it comes through is another matter. */
  #byHand(what: (typeof deeds)[number], machine: SimMachine): void {
    const { dice, machines, trace, judge } = this.#cluster;
    const unit = dice.pick([...this.#wishes.units(), ...this.#wishes.submitted()]);
    const other = dice.pick(machines);
    const submission = what === "submit" ? this.#wishes.submission() : undefined;
    const submitted = dice.pick([...this.#wishes.submitted(), unit]);
    const side = dice.pick(["left", "right", ""]);
    const forMs = dice.chance(0.3) ? dice.between(1_000, mostHoldMs) : undefined;
    const hands = machine.agent?.hands;
    const { process } = machine;
    if (hands === undefined || process === undefined) return;
    const whom =
      what === "settle" || /n$/.test(what)
        ? other.letter
        : (submission?.name ?? (what === "destroy" ? submitted : unit));
    trace.say("people", `${what} ${whom} (on ${machine.letter})`);
    judge.wished();
    const by = "operator" as Person;
    const signal = process.ended;
    const ask = async (): Promise<void> => {
      switch (what) {
        case "unload":
        case "stop":
        case "start":
          await hands.setTarget({ name: unit, target: targets[what], by, forMs }, signal);
          return;
        case "submit":
          if (submission !== undefined)
            await hands.submit({ ...submission, target: "launched", replace: true, by }, signal);
          return;
        case "destroy":
          await hands.destroy(submitted, by, signal);
          return;
        case "settle":
          await hands.changeMetadata(
            [{ machine: other.id, key: "side", value: side === "" ? undefined : side }],
            by,
            signal,
          );
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

  /** What was tried last shall run, or something else. */
  end(): void {
    this.#isOver = true;
    if (!this.#isHeadGood || this.#cluster.dice.chance(0.5)) this.commit();
  }

  #do(): void {
    const { dice, machines, repository, trace, judge } = this.#cluster;
    switch (dice.pick(["change", "change", "change", "bad", "rewind", "by hand", "by hand", "by hand"])) {
      case "by hand":
        this.#byHand(dice.pick(deeds), dice.pick(machines));
        return;
      case "change":
        this.#wishes.change();
        this.commit();
        return;
      case "bad":
        this.#isHeadGood = false;
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
        repository.reset(earlier);
        this.#isHeadGood = true;
        judge.wished();
        trace.say("people", `the branch goes back to ${earlier.slice(0, 7)}`);
      }
    }
  }
}
