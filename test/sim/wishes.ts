// What people want of the simulated cluster: a repository of units with all kinds of rules, that changes in all kinds of ways.
import type { UnitName } from "../../agent/domain/names.ts";
import type { FakeFiles } from "../fakes/fake-git.ts";
import type { Dice } from "./dice.ts";

type Policy = "keep" | "stop";

interface Wish {
  readonly global: boolean;
  readonly policy: Policy;
  /** How long it may take to stop; 0: it does not say. */
  readonly stopSec: number;
  readonly lines: readonly string[];
  /** Changes with what systemd reads of the text. */
  edition: number;
  /** Changes with what flotilla alone reads of it. */
  taste: number;
}

const names = ["api", "blog", "cron", "db", "edge", "feed", "gate", "hub", "index", "jobs"] as const;
const mostUnits = 9;

export class Wishes {
  readonly #dice: Dice;
  readonly #units = new Map<string, Wish>();
  readonly #globals = new Set<string>();
  readonly #policies = new Map<string, Set<Policy>>();

  constructor(dice: Dice) {
    this.#dice = dice;
    const count = dice.between(2, mostUnits);
    while (this.#units.size < count) this.add();
  }

  /** Whether it is, or ever was: what is on its way to its end counts too. */
  isGlobal(unit: UnitName): boolean {
    return this.#globals.has(unit);
  }

  /** Whether it has only ever been one that must not run twice, whatever happens. */
  isSingle(unit: UnitName): boolean {
    return this.#policies.get(unit)?.has("keep") === false;
  }

  /** Whether where it runs depends on where others run. */
  isBound(unit: UnitName): boolean {
    return [...this.#units].some(
      ([name, { lines }]) => (name === unit && lines.length > 0) || lines.some((line) => line.includes(unit)),
    );
  }

  units(): readonly UnitName[] {
    return [...this.#units.keys()] as UnitName[];
  }

  files(): FakeFiles {
    const files: Record<string, string> = { "README.md": "Units" };
    for (const [name, { global, policy, stopSec, lines, edition, taste }] of [...this.#units].sort(([a], [b]) =>
      a < b ? -1 : 1,
    )) {
      const fleet = [...(global ? ["Global=true"] : []), ...(policy === "stop" ? ["OnPartition=stop"] : []), ...lines];
      const stop = stopSec === 0 ? "" : `TimeoutStopSec=${stopSec}\n`;
      files[name] =
        `[Service]\nExecStart=/bin/sleep infinity\n${stop}Environment=EDITION=${edition}\n[X-Fleet]\n${fleet.join("\n")}\n[X-Notes]\nEdition=${taste}\n`;
    }
    return files;
  }

  add(): void {
    const dice = this.#dice;
    const free = names.flatMap((name) => (this.#units.has(`${name}.service`) ? [] : [`${name}.service`]));
    if (free.length === 0) return;
    const name = dice.pick(free);
    const others = [...this.#units.keys()];
    const lines: string[] = [];
    const global = dice.chance(0.15);
    if (!global && others.length > 0 && dice.chance(0.2)) lines.push(`Conflicts=${dice.pick(others)}`);
    const leaders = others.filter(
      (other) => this.#units.get(other)?.global === false && !lines.some((line) => line.includes(other)),
    );
    if (!global && leaders.length > 0 && dice.chance(0.2)) lines.push(`MachineOf=${dice.pick(leaders)}`);
    if (dice.chance(0.2)) lines.push(`MachineMetadata=side=${dice.pick(["left", "right"])}`);
    const policy = !global && dice.chance(0.4) ? "stop" : "keep";
    const stopSec = policy === "stop" ? dice.pick([0, 2, 25]) : 0;
    if (global) this.#globals.add(name);
    this.#policies.set(name, (this.#policies.get(name) ?? new Set()).add(policy));
    this.#units.set(name, { global, policy, stopSec, lines, edition: 1, taste: 0 });
  }

  /** One change of a kind that people make. */
  change(): void {
    const dice = this.#dice;
    const present = [...this.#units.keys()];
    switch (dice.pick(["add", "remove", "edit", "edit"])) {
      case "add":
        if (present.length < mostUnits) this.add();
        return;
      case "remove": {
        const unit = dice.pick(present);
        const isNeeded = [...this.#units.values()].some(({ lines }) => lines.some((line) => line.includes(unit)));
        if (present.length > 1 && !isNeeded) this.#units.delete(unit);
        return;
      }
      default:
        for (const unit of dice.some(present, 0.4)) this.#units.get(unit)![dice.chance(0.3) ? "taste" : "edition"]++;
    }
  }
}
