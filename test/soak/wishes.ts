// What the cluster of a site shall run: the repository's units, and what was said and done by hand. Each text carries an
// edition that shows in the name of the process that it starts, so that what runs can be seen without asking anybody.
import { type UnitsRepository } from "../system/units-repository.ts";

export interface Wish {
  readonly name: string;
  readonly edition: number;
  readonly isGlobal: boolean;
  /** It has OnPartition=stop: its machine stops it when it is cut off, and never is there a second one anywhere. */
  readonly isFenced: boolean;
  /** No two instances of its template on one machine. */
  readonly isApart: boolean;
}

const webCount = 2;
const firstJobs = 4;
const mostJobs = 8;

const always = "Restart=always\nRestartSec=1\n";

/** `.../NAME/EDITION` is the zeroth argument of the unit's only process. */
function textOf(edition: number, { more = "", restart = always }: { more?: string; restart?: string } = {}): string {
  return `[Unit]
Description=Unit %n of a soak
StartLimitIntervalSec=0

[Service]
ExecStart=@/bin/sleep %n/${edition} infinity
${restart}
[X-Fleet]
${more}`;
}

interface Kind {
  readonly path: string;
  readonly more?: string;
  readonly restart?: string;
}

const files: Readonly<Record<string, Kind>> = {
  "every.service": { path: "static/every.service", more: "Global=true\n" },
  "alone.service": { path: "static/alone.service" },
  "side.service": { path: "static/side.service", more: "MachineOf=alone.service\n" },
  "fenced.service": {
    path: "static/fenced.service",
    more: "OnPartition=stop\n",
    restart: `${always}TimeoutStopSec=1\n`,
  },
  "fragile.service": { path: "static/fragile.service", restart: "" },
  "web@.service": { path: "templates/web@.service", more: "Conflicts=web@*.service\n" },
  "job@.service": { path: "templates/job@.service" },
};

export class Wishes {
  readonly #repository: UnitsRepository;
  readonly #editions = new Map(Object.keys(files).map((name) => [name, 1]));
  readonly #instances = new Set<string>();
  /** Of a hold that stops it, or of an operator's systemctl. */
  readonly stopped = new Set<string>();
  /** The newest commit's id. */
  commit = "";

  private constructor(repository: UnitsRepository) {
    this.#repository = repository;
  }

  static async make(repository: UnitsRepository): Promise<Wishes> {
    const wishes = new Wishes(repository);
    for (let web = 1; web <= webCount; web++) wishes.#instances.add(`web@${web}.service`);
    for (let job = 1; job <= firstJobs; job++) wishes.#instances.add(`job@${job}.service`);
    const links = [...wishes.#instances].map((name) => [pathOf(name), linkOf(name)] as const);
    const texts = Object.values(files).map((kind) => [kind.path, textOf(1, kind)] as const);
    await wishes.#commit(Object.fromEntries([...texts, ...links]));
    return wishes;
  }

  /** By name; those that an operator has stopped are among them. */
  all(): readonly Wish[] {
    const names = [...this.#editions.keys()].filter((name) => !name.includes("@."));
    return [...names, ...this.#instances].sort().map((name) => ({
      name,
      edition: this.#editions.get(fileOf(name)) ?? 0,
      isGlobal: name === "every.service",
      isFenced: name === "fenced.service",
      isApart: fileOf(name) === "web@.service",
    }));
  }

  get(name: string): Wish | undefined {
    return this.all().find((wish) => wish.name === name);
  }

  /** Files whose text can be changed. */
  get files(): readonly string[] {
    return [...this.#editions.keys()];
  }

  get instances(): readonly string[] {
    return [...this.#instances];
  }

  /** Names of units that have this file's text. */
  unitsOf(file: string): readonly string[] {
    return this.all().flatMap(({ name }) => (fileOf(name) === file ? [name] : []));
  }

  /** Undefined: there are as many as there may be. */
  get nextJob(): string | undefined {
    for (let job = 1; job <= mostJobs; job++)
      if (!this.#instances.has(`job@${job}.service`)) return `job@${job}.service`;
    return undefined;
  }

  async change(file: string): Promise<void> {
    const kind = files[file];
    if (kind === undefined) throw new Error(`No file ${file}`);
    const edition = (this.#editions.get(file) ?? 0) + 1;
    this.#editions.set(file, edition);
    await this.#commit({ [kind.path]: textOf(edition, kind) });
  }

  async add(instance: string): Promise<void> {
    this.#instances.add(instance);
    await this.#commit({ [pathOf(instance)]: linkOf(instance) });
  }

  async remove(instance: string): Promise<void> {
    this.#instances.delete(instance);
    this.stopped.delete(instance);
    await this.#commit({ [pathOf(instance)]: null });
  }

  /** A commit of several changes at once: a new edition of each of these files. */
  async #commit(changes: Readonly<Record<string, string | null>>): Promise<void> {
    this.commit = await this.#repository.commit(changes);
  }
}

/** The file that a unit's text comes from. */
function fileOf(name: string): string {
  return name.replace(/@.+\./, "@.");
}

function pathOf(instance: string): string {
  return `instances/${instance}`;
}

function linkOf(instance: string): string {
  return `-> ../templates/${fileOf(instance)}`;
}
