// Asks all places where user-data may be at the same time, within one limit, and says of each what came of it.
// Implements ports/user-data-sources.ts; each source has a file of its own beside this one.
import { explainError, Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import {
  type FoundUserData,
  type Probe,
  type SourceName,
  sourceNames,
  type SourceRequest,
  type SourceSearch,
  type Standing,
  type UserDataSources,
} from "../../ports/user-data-sources.ts";
import { azure } from "./azure.ts";
import { createRun, type Run } from "./child-program.ts";
import { cloudInit } from "./cloud-init.ts";
import { configDrive } from "./config-drive.ts";
import { digitalocean } from "./digitalocean.ts";
import { ec2 } from "./ec2.ts";
import { gce } from "./gce.ts";
import { fileSource, kernelCommandLine, urlSource } from "./given.ts";
import { hetzner } from "./hetzner.ts";
import { type Identity, lastValue, readIdentity } from "./identity.ts";
import { createMetadataHttp } from "./metadata-http.ts";
import { nocloud } from "./nocloud.ts";
import { openstack } from "./openstack.ts";
import { absent, type Answer, type Source } from "./source.ts";
import { vmware } from "./vmware.ts";
import { createVolumes } from "./volumes.ts";

/** Between two times that one source is asked. */
const firstPauseMs = 100;
const lastPauseMs = 30_000;

export interface SourcesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Stands before /proc, /sys, /run, /dev and /var; "/" unless set. */
  readonly root?: string;
  /** Where `host:port` is really reached (tests); nothing else is reached then. */
  readonly connect?: Readonly<Record<string, string>>;
  /** How programs of the host are run; as children of this process unless set. */
  readonly run?: Run;
  /** File systems of volumes that may be mounted; those that providers use unless set. */
  readonly volumeTypes?: readonly string[];
}

const all: Readonly<Record<SourceName, Source>> = {
  file: fileSource,
  url: urlSource,
  "kernel-command-line": kernelCommandLine,
  nocloud,
  "config-drive": configDrive,
  "cloud-init": cloudInit,
  vmware,
  azure,
  ec2,
  gce,
  digitalocean,
  hetzner,
  openstack,
};

export function createUserDataSources(options: SourcesOptions): UserDataSources {
  return {
    async search(request, { signal, progress }) {
      const identity = await readIdentity(options.root ?? "/");
      const search = new Search({ ...options, request, identity, signal, progress });
      const result = await search.run();
      if (signal.aborted) throw new Problem("aborted", "Cannot go on looking for user-data", { cause: signal.reason });
      if (result.found !== undefined) {
        const { source, where, userData } = result.found;
        options.log.info("user-data.found", { source, where, bytes: userData.length });
      }
      return result;
    },
  };
}

interface SearchOptions extends SourcesOptions {
  readonly request: SourceRequest;
  readonly identity: Identity;
  readonly signal: AbortSignal;
  readonly progress: ((standing: Standing) => void) | undefined;
}

/** Why what is still being asked is left alone. */
type End = { readonly kind: "time"; readonly ms: number } | { readonly kind: "won"; readonly by: SourceName };

class Search {
  readonly #options: SearchOptions;
  readonly #names: readonly SourceName[];
  readonly #probes = new Map<SourceName, Probe>();
  readonly #found = new Map<SourceName, FoundUserData>();
  readonly #over = new AbortController();
  readonly #startMs: number;
  #end: End | undefined;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#names = namesOf(options.request);
    this.#startMs = options.clock.monotonicMs();
  }

  /** Resolves when nothing is being asked any more. */
  async run(): Promise<SourceSearch> {
    const { clock, request } = this.#options;
    const timer = clock
      .sleep(request.timeoutMs, this.#over.signal)
      .then(() => this.#stop({ kind: "time", ms: request.timeoutMs }))
      .catch(() => undefined); // it was over before
    await Promise.all(this.#names.map((name) => this.#pursue(name)));
    this.#over.abort();
    await timer;
    const winner = this.#names.find((name) => this.#found.has(name));
    const probes = this.#names.flatMap((name) => this.#probes.get(name) ?? []);
    return {
      found: winner === undefined ? undefined : this.#found.get(winner),
      probes: probes.map((probe) =>
        probe.outcome === "found" && probe.source !== winner
          ? { ...probe, why: `${probe.why}, but ${winner ?? ""} comes first` }
          : probe,
      ),
    };
  }

  #stop(end: End): void {
    this.#end ??= end;
    this.#over.abort(new Error("the search is over"));
  }

  /** The first that has something wins as soon as nothing before it is still being asked. */
  #decide(): void {
    for (const name of this.#names) {
      if (this.#found.has(name)) this.#stop({ kind: "won", by: name });
      if (this.#found.has(name) || !this.#probes.has(name)) return;
    }
  }

  async #pursue(name: SourceName): Promise<void> {
    const pursuit = new Pursuit(all[name], {
      ...this.#options,
      signal: AbortSignal.any([this.#options.signal, this.#over.signal]),
      startMs: this.#startMs,
      end: () => this.#end,
    });
    const { probe, found } = await pursuit.run();
    this.#probes.set(name, probe);
    if (found !== undefined) this.#found.set(name, found);
    this.#options.progress?.(probe);
    this.#decide();
  }
}

interface PursuitOptions extends SearchOptions {
  readonly startMs: number;
  readonly end: () => End | undefined;
}

/** One source, asked until there is an answer. */
class Pursuit {
  readonly #source: Source;
  readonly #options: PursuitOptions;
  #tries = 0;
  #lastWhy = "no answer yet";

  constructor(source: Source, options: PursuitOptions) {
    this.#source = source;
    this.#options = options;
  }

  async run(): Promise<{ readonly probe: Probe; readonly found?: FoundUserData }> {
    const { clock, signal } = this.#options;
    try {
      for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(lastPauseMs, pauseMs * 2)) {
        this.#tries += 1;
        const answer = await this.#ask();
        if (answer.kind === "found") return { probe: this.#probe("found", said(answer.found)), found: answer.found };
        if (answer.kind === "absent") return { probe: this.#probe("absent", answer.why) };
        if (this.#tookMs() >= (answer.untilMs ?? Infinity)) return { probe: this.#probe("absent", answer.why) };
        this.#wait(answer.why);
        await clock.sleep(pauseMs * (0.75 + clock.random() / 2), signal);
      }
    } catch (error) {
      if (signal.aborted) return { probe: this.#probe("given-up", this.#whyGivenUp()) };
      if (!(error instanceof Problem))
        this.#options.log.error("user-data.source-broke", error, { source: this.#source.name });
      return { probe: this.#probe("failed", oneLine(explainError(error))) };
    }
  }

  async #ask(): Promise<Answer> {
    const { request, identity, root = "/", clock, signal, connect, volumeTypes: types } = this.#options;
    signal.throwIfAborted();
    if (identity.words.includes("flotilla.bootstrap=off") && request.file === undefined && request.url === undefined)
      return absent("the kernel command line says flotilla.bootstrap=off");
    const run = this.#options.run ?? createRun(clock);
    try {
      return await this.#source.ask({
        root,
        identity,
        http: createMetadataHttp({ clock, signal, connect, onRetry: (why) => this.#retry(why) }),
        volumes: createVolumes({ root, identity, run, signal, types }),
        run,
        isInsisted: isInsisted(this.#source.name, { request, identity }),
        file: request.file,
        url: request.url,
        signal,
      });
    } catch (error) {
      if (error instanceof Problem && error.code === "source-later")
        return { kind: "later", why: oneLine(explainError(error)) };
      throw error;
    }
  }

  #retry(why: string): void {
    this.#tries += 1;
    this.#wait(oneLine(why));
  }

  #wait(why: string): void {
    if (why === this.#lastWhy) return;
    this.#lastWhy = why;
    this.#options.log.debug("user-data.waiting", { source: this.#source.name, why });
    this.#options.progress?.({ ...this.#probe("given-up", why), outcome: "waiting" });
  }

  #whyGivenUp(): string {
    const end = this.#options.end();
    if (end?.kind === "won") return `${end.by} was found first (${this.#lastWhy})`;
    return end === undefined ? this.#lastWhy : `${this.#lastWhy}, in ${end.ms / 1000} s`;
  }

  #probe(outcome: Probe["outcome"], why: string): Probe {
    return { source: this.#source.name, outcome, why, tries: this.#tries, tookMs: this.#tookMs() };
  }

  #tookMs(): number {
    return Math.round(this.#options.clock.monotonicMs() - this.#options.startMs);
  }
}

function namesOf({ file, url, only }: SourceRequest): readonly SourceName[] {
  if (file !== undefined || url !== undefined)
    return sourceNames.filter((name) => (name === "file" ? file !== undefined : name === "url" && url !== undefined));
  return only === undefined
    ? sourceNames.filter((name) => name !== "file" && name !== "url")
    : sourceNames.filter((name) => only.includes(name));
}

/** cloud-init's names of sources on the kernel command line (`ds=ec2`). */
const kernelNames: Readonly<Record<string, SourceName>> = {
  nocloud: "nocloud",
  "nocloud-net": "nocloud",
  configdrive: "config-drive",
  vmware: "vmware",
  azure: "azure",
  ec2: "ec2",
  gce: "gce",
  digitalocean: "digitalocean",
  hetzner: "hetzner",
  openstack: "openstack",
};

function isInsisted(
  name: SourceName,
  { request, identity }: { readonly request: SourceRequest; readonly identity: Identity },
): boolean {
  if (request.only?.length === 1) return true;
  const [named = ""] = (lastValue(identity.words, ["ds"]) ?? "").toLowerCase().split(";");
  return Object.hasOwn(kernelNames, named) && kernelNames[named] === name;
}

function said({ where, userData }: FoundUserData): string {
  return userData.length === 0 ? `no user-data, but metadata at ${where}` : `${userData.length} bytes at ${where}`;
}

/** Of a reason, for people. */
const maxWhyChars = 300;

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > maxWhyChars ? `${line.slice(0, maxWhyChars - 1)}…` : line;
}
