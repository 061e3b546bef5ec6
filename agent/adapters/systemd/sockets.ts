// A socket is not started while its service is up: systemd refuses, and the socket would be left failed. Its restart, and its
// first start where that is refused, take the service down with them and bring it back. Given to systemd.ts, which asks for
// all its jobs here.
import type { UnitName } from "../../domain/names.ts";
import { isUp } from "../../domain/status.ts";
import type { JobResult } from "../../ports/systemd.ts";
import { type JobKind, type Jobs, abortable } from "./jobs.ts";
import type { UnitFiles } from "./unit-files.ts";
import { type Caller, aliasOf, list, property, text, unitPath } from "./units.ts";

const unitInterface = "org.freedesktop.systemd1.Unit";
const socketInterface = "org.freedesktop.systemd1.Socket";

interface Pair {
  readonly socket: UnitName;
  readonly service: UnitName;
}

export class Sockets {
  readonly #ports: { readonly call: Caller; readonly jobs: Jobs; readonly files: UnitFiles };
  /** Jobs under way for each unit. */
  readonly #running = new Map<UnitName, Set<Promise<JobResult>>>();
  /** Services that are kept down while their socket starts; each resolves when it may be started again. */
  readonly #held = new Map<UnitName, Promise<void>>();

  constructor(ports: { readonly call: Caller; readonly jobs: Jobs; readonly files: UnitFiles }) {
    this.#ports = ports;
  }

  /**
   * As `Jobs`, and a socket is restarted with its service, where that is ours and up. So is one that is new here and fails to
   * start; a later start takes nothing down, for it may be that of an agent that puts back what somebody has stopped by hand.
   */
  async run(kind: JobKind, unit: UnitName, signal: AbortSignal): Promise<JobResult> {
    const isNew = kind === "start" && unit.endsWith(".socket") && !this.#ports.files.wasLaunched(unit);
    if (isNew) {
      const started = await this.#runAlone("start", unit, signal);
      if (started.result !== "failed") return started;
      const service = await abortable(this.#serviceOf(unit), signal);
      if (service === undefined || !(await this.#isUp(service, signal))) return started;
      return this.#restart({ socket: unit, service }, signal);
    }
    const service = kind === "restart" ? await abortable(this.#serviceOf(unit), signal) : undefined;
    if (service !== undefined) return this.#restart({ socket: unit, service }, signal);
    return this.#runAlone(kind, unit, signal);
  }

  async #runAlone(kind: JobKind, unit: UnitName, signal: AbortSignal): Promise<JobResult> {
    for (let held; (held = this.#held.get(unit)) !== undefined;) await abortable(held, signal);
    const job = this.#ports.jobs.run(kind, unit, signal);
    const running = this.#running.get(unit) ?? new Set();
    this.#running.set(unit, running.add(job));
    try {
      return await job;
    } finally {
      running.delete(job);
      if (running.size === 0) this.#running.delete(unit);
    }
  }

  async #restart({ socket, service }: Pair, signal: AbortSignal): Promise<JobResult> {
    const { jobs, files } = this.#ports;
    // A job that the service's stop would cancel is not for us to spoil
    for (let others; (others = this.#others(service)).length > 0;) await abortable(Promise.allSettled(others), signal);
    let release = (): void => undefined;
    this.#held.set(service, new Promise((resolve) => (release = resolve)));
    let isNoted = false;
    let result: JobResult;
    try {
      if (!(await this.#isUp(service, signal))) return await jobs.run("restart", socket, signal);
      // For an agent that is killed before the service is up again
      isNoted = files.noteBreak(service);
      // The socket first: what comes in by it would start the service again
      await jobs.run("stop", socket, signal);
      await jobs.run("stop", service, signal);
      result = await jobs.run("start", socket, signal);
    } finally {
      this.#held.delete(service);
      release();
    }
    const again = await this.run("start", service, signal);
    if (isNoted && again.result !== "refused" && again.result !== "dependency") files.endBreak(service);
    return result;
  }

  async #isUp(service: UnitName, signal: AbortSignal): Promise<boolean> {
    const row = (await abortable(list([service], this.#ports.call), signal)).get(service);
    return row !== undefined && aliasOf(service, row) === undefined && isUp(row.active);
  }

  #others(service: UnitName): readonly Promise<unknown>[] {
    const held = this.#held.get(service);
    return [...(this.#running.get(service) ?? []), ...(held === undefined ? [] : [held])];
  }

  /** The service of ours that the socket hands its connections to, all of them; with `Accept=yes` each has one of its own. */
  async #serviceOf(unit: UnitName): Promise<UnitName | undefined> {
    if (!unit.endsWith(".socket")) return undefined;
    const read = (from: string, name: string) => property(unitPath(unit), { interface: from, name }, this.#ports.call);
    const [triggers, accept] = await Promise.all([read(unitInterface, "Triggers"), read(socketInterface, "Accept")]);
    const [name] = Array.isArray(triggers) ? triggers.map(text) : [];
    if (accept !== false || name === undefined) return undefined;
    return this.#ports.files.placeOf(name as UnitName).kind === "ours" ? (name as UnitName) : undefined;
  }
}
