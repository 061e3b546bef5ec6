// The machines that may take units, found by id and metadata, so that a unit looks only at those that fit its standing
// wishes; and what is on each of them. Given to the other files of this room.
import { byName, type MachineId } from "../domain/names.ts";
import type { CandidateMachine, RefusalRule } from "../domain/placement.ts";
import type { MetadataTest, PlacementOptions } from "../domain/unit.ts";
import { parseDecimal } from "../text/decimal.ts";
import type { ActiveUnit, Pattern } from "./units.ts";

/** A machine as it is now: one that changes becomes another Host. What is on it is kept by board.ts alone. */
export class Host {
  readonly id: MachineId;
  readonly metadata: Readonly<Record<string, string>>;
  readonly present: boolean;
  readonly cordoned: boolean;
  /** How often it came and went, which it is cordoned for; 0: not for that. */
  readonly rests: number;
  /** How many units may leave it in one pass; 0: it is not drained, or has to wait. */
  readonly drain: number;
  /** Infinity where it is not known. */
  readonly memoryBytes: number;
  readonly milliCpus: number;
  /** Its place in id order. Set by the index, anew whenever a machine comes or goes. */
  index = 0;
  readonly units = new Set<ActiveUnit>();
  reservedBytes = 0;
  reservedMilliCpus = 0;
  /** For each pattern: how many units here have a name that matches it; how many declare it. */
  readonly matching = new Map<Pattern, number>();
  readonly declaring = new Map<Pattern, number>();

  constructor(machine: CandidateMachine) {
    this.id = machine.id;
    this.metadata = machine.metadata;
    this.present = machine.standing === "present";
    this.cordoned = machine.cordoned === true;
    this.rests = machine.rests ?? 0;
    this.drain = machine.drain ?? 0;
    this.memoryBytes = machine.memoryBytes || Infinity;
    this.milliCpus = machine.milliCpus || Infinity;
  }

  get load(): number {
    return this.units.size;
  }

  /** What such a reserve comes to here; 0 for a share of what is not known. */
  bytesOf(memory: PlacementOptions["memory"]): number {
    if (memory === undefined) return 0;
    if ("bytes" in memory) return memory.bytes;
    return this.memoryBytes === Infinity ? 0 : Math.floor((this.memoryBytes * memory.percent) / 100);
  }
}

/** All present machines that satisfy one set of MachineID= and MachineMetadata=. */
export interface HostClass {
  readonly key: string;
  /** In id order. */
  readonly members: readonly Host[];
}

/** The standing rule by which this machine refuses such a unit, whatever else runs there. */
export function standingRefusal(
  options: PlacementOptions,
  machine: { readonly id: string; readonly metadata: Readonly<Record<string, string>> },
): Extract<RefusalRule, "machine-id" | "metadata"> | undefined {
  if (options.machineId !== undefined && !isId(machine.id, options.machineId)) return "machine-id";
  const equal = options.metadata.every(({ key, values }) => {
    const value = valueOf(machine.metadata, key);
    return value !== undefined && values.includes(value);
  });
  if (!equal) return "metadata";
  return options.demands?.every((test) => holds(test, machine.metadata)) === false ? "metadata" : undefined;
}

/** Whether metadata satisfy one comparison. */
export function holds(test: MetadataTest, metadata: Readonly<Record<string, string>>): boolean {
  const value = valueOf(metadata, test.key);
  switch (test.test) {
    case "exists":
      return value !== undefined;
    case "missing":
      return value === undefined;
    case "equals":
      return value === test.value;
    case "differs":
      return value !== test.value;
    case "below":
      return numberOf(value) < test.value;
    case "at-most":
      return numberOf(value) <= test.value;
    case "above":
      return numberOf(value) > test.value;
    case "at-least":
      return numberOf(value) >= test.value;
  }
}

export function valueOf(metadata: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(metadata, key) ? metadata[key] : undefined;
}

/** NaN, which no comparison holds for, where it is none. */
function numberOf(value: string | undefined): number {
  return (value === undefined ? undefined : parseDecimal(value)) ?? NaN;
}

const shortIdLength = 8;

/** How people call a machine. */
export function shortId(id: string): string {
  return id.slice(0, shortIdLength);
}

function isId(id: string, asked: string): boolean {
  return asked !== "" && (id === asked || shortId(id) === asked);
}

/** Behind the name of a machine that is cordoned. */
export function cordonInWords({ rests }: Pick<Host, "rests">): string {
  return rests === 0 ? "is cordoned" : `came and went ${rests} times and takes nothing new for a while`;
}

/** Equal for options with the same standing wishes; "" for those without any. */
export function wishKey({ machineId, metadata, demands }: PlacementOptions): string {
  if (machineId === undefined && metadata.length === 0 && demands === undefined) return "";
  const rules = metadata.map((rule) => [rule.key, [...rule.values].sort()]);
  return JSON.stringify([machineId ?? null, rules, demands ?? []]);
}

/** All machines. Lists and classes are made when they are asked for, and last until a machine changes. */
export class HostIndex {
  readonly byId = new Map<MachineId, Host>();
  #hosts: readonly Host[] | undefined;
  #present: readonly Host[] | undefined;
  #byWish: ReadonlyMap<string, readonly Host[]> | undefined;
  readonly #classes = new Map<string, HostClass>();

  /** In id order, presumed ones too. */
  get hosts(): readonly Host[] {
    if (this.#hosts === undefined) {
      this.#hosts = [...this.byId.values()].sort((a, b) => byName(a.id, b.id));
      for (const [index, host] of this.#hosts.entries()) host.index = index;
    }
    return this.#hosts;
  }

  /** In id order. */
  get present(): readonly Host[] {
    return (this.#present ??= this.hosts.filter((host) => host.present));
  }

  set(host: Host): void {
    this.byId.set(host.id, host);
    this.#forget();
  }

  delete(id: MachineId): void {
    if (this.byId.delete(id)) this.#forget();
  }

  /** `key` as `wishKey` has it. */
  classOf(options: PlacementOptions, key: string): HostClass {
    let found = this.#classes.get(key);
    if (found === undefined) {
      found = { key, members: key === "" ? this.present : this.#select(options) };
      this.#classes.set(key, found);
    }
    return found;
  }

  #forget(): void {
    this.#hosts = undefined;
    this.#present = undefined;
    this.#byWish = undefined;
    this.#classes.clear();
  }

  /** Starts from the shortest list that must hold them all, so that many narrow classes cost no more than their members. */
  #select(options: PlacementOptions): readonly Host[] {
    const byWish = (this.#byWish ??= groupByWish(this.present));
    const lists = options.metadata.map(({ key, values }) =>
      [...new Set(values)].flatMap((value) => byWish.get(wish(key, value)) ?? []),
    );
    if (options.machineId !== undefined) lists.push([...(byWish.get(idWish(options.machineId)) ?? [])]);
    const shortest = lists.reduce<readonly Host[]>(
      (best, list) => (list.length < best.length ? list : best),
      this.present,
    );
    return shortest.filter((host) => standingRefusal(options, host) === undefined).sort((a, b) => a.index - b.index);
  }
}

function groupByWish(hosts: readonly Host[]): ReadonlyMap<string, readonly Host[]> {
  const groups = new Map<string, Host[]>();
  for (const host of hosts) {
    const wishes = Object.entries(host.metadata).map(([key, value]) => wish(key, value));
    for (const each of new Set([...wishes, idWish(host.id), idWish(shortId(host.id))])) {
      const group = groups.get(each);
      if (group === undefined) groups.set(each, [host]);
      else group.push(host);
    }
  }
  return groups;
}

/** Metadata keys hold no line break, so that no two wishes are written alike. */
function wish(key: string, value: string): string {
  return `${key}\n${value}`;
}

function idWish(id: string): string {
  return `\n${id}`;
}
