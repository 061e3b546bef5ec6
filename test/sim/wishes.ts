// What people want of the simulated cluster: a repository of units with all kinds of rules, that changes in all kinds of ways.
import type { UnitName } from "../../agent/domain/names.ts";
import type { FakeFiles } from "../fakes/fake-git.ts";
import type { Dice } from "./dice.ts";

type Policy = "keep" | "stop";

interface Wish {
  global: boolean;
  policy: Policy;
  /** How long it may take to stop; 0: it does not say. */
  stopSec: number;
  /** Of [X-Fleet], but for what the others say. */
  lines: readonly string[];
  /** Changes with what systemd reads of the text. */
  edition: number;
  /** Changes with what flotilla alone reads of it. */
  taste: number;
}

const names = ["api", "blog", "cron", "db", "edge", "feed", "gate", "hub", "index", "jobs", "pool@"] as const;
const mostUnits = 9;
const mostInstances = 3;
/** Submitted by hand, and never in the repository. */
const handmade = ["mine.service", "ours.service"] as const;

export class Wishes {
  readonly #dice: Dice;
  /** By the name of their file: a template is one. */
  readonly #units = new Map<string, Wish>();
  /** As far as anybody tried to submit them. */
  readonly #handmade = new Map<string, Wish>();
  #instances: number;
  readonly #globals = new Set<string>();
  readonly #policies = new Map<string, Set<Policy>>();

  constructor(dice: Dice) {
    this.#dice = dice;
    this.#instances = dice.between(1, mostInstances);
    const count = dice.between(2, mostUnits);
    while (this.#units.size < count) this.add();
  }

  /** Whether it is, or ever was: what is on its way to its end counts too. */
  isGlobal(unit: UnitName): boolean {
    return this.#globals.has(fileOf(unit));
  }

  /** Whether it has only ever been one that must not run twice, whatever happens. */
  isSingle(unit: UnitName): boolean {
    return this.#policies.get(fileOf(unit))?.has("keep") === false;
  }

  /** Whether where it runs depends on where others run. */
  isBound(unit: UnitName): boolean {
    return [...this.#all()].some(
      ([name, { lines }]) => (name === fileOf(unit) && lines.length > 0) || lines.some((line) => line.includes(unit)),
    );
  }

  /** Whether one replaces the other, or what that follows: it may make it give way whenever another machine takes it. */
  mayReplace(unit: UnitName, other: UnitName): boolean {
    const lines = this.#all().get(fileOf(unit))?.lines ?? [];
    const replaced = lines.flatMap((line) => /^Replaces=(.*)$/.exec(line)?.[1] ?? []);
    return replaced.some((each) => this.#follows(fileOf(other), each));
  }

  /** Whether one may make the other give way when it comes: by its own priority, or that of one which follows it. */
  mayDisplace(unit: UnitName, other: UnitName): boolean {
    const all = this.#all();
    const linesOf = (name: string): readonly string[] => all.get(name)?.lines ?? [];
    const priorityOf = (name: string): number =>
      Math.max(0, ...linesOf(name).map((line) => Number(/^Priority=(.*)$/.exec(line)?.[1] ?? 0)));
    const followers = [...all.keys()].filter((each) => this.#follows(each, fileOf(unit)));
    const lowest = linesOf(fileOf(other)).includes("Priority=-5") ? -5 : priorityOf(fileOf(other));
    return Math.max(priorityOf(fileOf(unit)), ...followers.map(priorityOf)) > lowest;
  }

  /** Of the repository. */
  units(): readonly UnitName[] {
    const instances = Array.from({ length: this.#instances }, (_, index) => `${index + 1}`);
    return [...this.#units.keys()].flatMap((file) =>
      file.includes("@") ? instances.map((each) => file.replace("@", `@${each}`)) : [file],
    ) as UnitName[];
  }

  /** That somebody tried to submit. */
  submitted(): readonly UnitName[] {
    return [...this.#handmade.keys()] as UnitName[];
  }

  /** What somebody submits next: a new unit, or another text of one that is there. */
  submission(): { readonly name: UnitName; readonly text: string } {
    const dice = this.#dice;
    const name = dice.pick(handmade);
    const before = this.#handmade.get(name);
    const global = dice.chance(0.15);
    const lines = this.#rulesFor(name, global);
    const edition = (before?.edition ?? 0) + 1;
    const wish: Wish = { global, policy: "keep", stopSec: 0, lines, edition, taste: 0 };
    if (global) this.#globals.add(name);
    this.#policies.set(name, new Set(["keep"]));
    // It may not come through: what was tried before counts as well
    this.#handmade.set(name, { ...wish, lines: [...new Set([...(before?.lines ?? []), ...lines])] });
    return { name: name as UnitName, text: textOf(wish) };
  }

  files(): FakeFiles {
    const files: Record<string, string> = { "README.md": "Units" };
    for (const [name, wish] of [...this.#units].sort(([a], [b]) => (a < b ? -1 : 1))) files[name] = textOf(wish);
    for (const unit of this.units()) if (unit !== fileOf(unit)) files[unit] = `-> ${fileOf(unit)}`;
    return files;
  }

  add(): void {
    const dice = this.#dice;
    const free = names.map((name) => `${name}.service`).filter((file) => !this.#units.has(file));
    if (free.length === 0) return;
    const name = dice.pick(free);
    const global = !name.includes("@") && dice.chance(0.15);
    const lines = this.#rulesFor(name, global);
    const policy = !global && dice.chance(0.4) ? "stop" : "keep";
    this.#set(name, { global, policy, stopSec: this.#stopSec(policy), lines, edition: 1, taste: 0 });
  }

  /** One change of a kind that people make. */
  change(): void {
    const dice = this.#dice;
    const present = [...this.#units.keys()];
    switch (dice.pick(["add", "remove", "edit", "edit", "rules", "partition", "scale"])) {
      case "add":
        if (present.length < mostUnits) this.add();
        return;
      case "remove": {
        const unit = dice.pick(present);
        const isNeeded = [...this.#units.values()].some(({ lines }) => lines.some((line) => line.includes(unit)));
        if (present.length > 1 && !isNeeded) this.#units.delete(unit);
        return;
      }
      case "rules":
        this.#changeRules(dice.pick(present));
        return;
      case "partition":
        this.#changePartition(dice.pick(present));
        return;
      case "scale":
        this.#instances = dice.between(1, mostInstances);
        return;
      default:
        for (const unit of dice.some(present, 0.4)) this.#units.get(unit)![dice.chance(0.3) ? "taste" : "edition"]++;
    }
  }

  #set(name: string, wish: Wish): void {
    this.#units.set(name, wish);
    if (wish.global) this.#globals.add(name);
    this.#policies.set(name, (this.#policies.get(name) ?? new Set()).add(wish.policy));
  }

  #changeRules(name: string): void {
    const wish = this.#units.get(name);
    if (wish === undefined) return;
    const isFollowed = [...this.#units.values()].some(({ lines }) => lines.includes(`MachineOf=${name}`));
    const global = !isFollowed && !name.includes("@") && wish.policy === "keep" && this.#dice.chance(0.2);
    this.#set(name, { ...wish, global, lines: this.#rulesFor(name, global) });
  }

  /** What is to be when it is cut off, or how long it may take to stop. */
  #changePartition(name: string): void {
    const wish = this.#units.get(name);
    if (wish === undefined || wish.global) return;
    const policy = this.#dice.chance(0.3) ? (wish.policy === "stop" ? "keep" : "stop") : wish.policy;
    this.#set(name, { ...wish, policy, stopSec: this.#stopSec(policy) });
  }

  #stopSec(policy: Policy): number {
    return policy === "stop" ? this.#dice.pick([0, 2, 25]) : 0;
  }

  #rulesFor(name: string, global: boolean): readonly string[] {
    const dice = this.#dice;
    const lines: string[] = [];
    const others = [...this.#units].filter(([other, wish]) => {
      return other !== name && !other.includes("@") && !wish.lines.some((line) => line.endsWith(`=${name}`));
    });
    if (!global && others.length > 0 && dice.chance(0.2)) lines.push(`Conflicts=${dice.pick(others)[0]}`);
    const unnamed = (): typeof others =>
      others.filter(
        ([other, wish]) => !wish.global && !lines.some((line) => line.includes(other)) && !this.#follows(other, name),
      );
    const leaders = unnamed();
    if (!global && leaders.length > 0 && dice.chance(0.2)) lines.push(`MachineOf=${dice.pick(leaders)[0]}`);
    const replaceable = unnamed();
    if (name.includes("@") && dice.chance(0.4)) lines.push("Spread=side");
    if (name.includes("@") && dice.chance(0.3)) lines.push(`Conflicts=${name.replace("@", "@*")}`);
    // Not both
    const conflicts = lines.some((line) => line.startsWith("Conflicts="));
    if (!global && !conflicts && replaceable.length > 0 && dice.chance(0.15))
      lines.push(`Replaces=${dice.pick(replaceable)[0]}`);
    if (dice.chance(0.2)) lines.push(`MachineMetadata=side=${dice.pick(["left", "right"])}`);
    if (!global && dice.chance(0.2)) lines.push(`Prefer=side=${dice.pick(["left", "right"])}`);
    if (dice.chance(0.2)) lines.push(`Priority=${dice.pick([-5, 5, 9])}`);
    if (dice.chance(0.1)) lines.push("OnChange=reload");
    if (dice.chance(0.1)) lines.push(`DesiredState=${dice.pick(["loaded", "inactive"])}`);
    return lines;
  }

  #all(): ReadonlyMap<string, Wish> {
    return new Map([...this.#units, ...this.#handmade]);
  }

  /** Near or far; itself too. */
  #follows(name: string, leader: string): boolean {
    const found = new Set([name]);
    for (const each of found)
      for (const line of this.#all().get(each)?.lines ?? [])
        if (line.startsWith("MachineOf=")) found.add(line.slice("MachineOf=".length));
    return found.has(leader);
  }
}

function textOf({ global, policy, stopSec, lines, edition, taste }: Wish): string {
  const fleet = [...(global ? ["Global=true"] : []), ...(policy === "stop" ? ["OnPartition=stop"] : []), ...lines];
  const stop = stopSec === 0 ? "" : `TimeoutStopSec=${stopSec}\n`;
  return `[Service]\nExecStart=/bin/sleep infinity\n${stop}Environment=EDITION=${edition}\n[X-Fleet]\n${fleet.join("\n")}\n[X-Notes]\nEdition=${taste}\n`;
}

/** Of an instance its template's. */
function fileOf(unit: string): string {
  return unit.replace(/@[^.]*\./, "@.");
}
