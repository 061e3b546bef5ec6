// Units on their way out. Between the end of a unit's stop and the moment at which systemd forgets its text, what wants it may
// start it again; it would run on, and nothing would list it any more. So it is looked at before and after. Given to systemd.ts.
import type { UnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { isDown } from "../../domain/status.ts";
import { isLoaded, reach, resetFailed } from "./calls.ts";
import type { Jobs } from "./jobs.ts";
import { PeerError } from "./peer.ts";
import { type UnitFiles, foreignProblem } from "./unit-files.ts";
import { type Caller, type Listed, type Units, aliasOf, list } from "./units.ts";

/** A later try waits for as long as the stop takes: this one only must not hold a call up for good. */
const lateStopMs = 10_000;
/** What is without a text cannot be started again, so that one stop does; the others are for jobs that were there before. */
const lateStops = 3;

export interface RemovalPorts {
  readonly call: Caller;
  readonly jobs: Pick<Jobs, "runAtOnce">;
  readonly files: Pick<UnitFiles, "placeOf" | "noteReload" | "unlink" | "relink" | "discard">;
  readonly units: Pick<Units, "unfollow">;
  readonly reload: () => Promise<void>;
  /** The same for what goes on without it: a reload that systemd refuses stays due. */
  readonly reloadWhereTaken: () => Promise<void>;
}

interface Removal {
  readonly over: AbortController;
  /** Resolves at its end, whichever that is. */
  readonly ended: Promise<void>;
}

export class Removals {
  readonly #ports: RemovalPorts;
  readonly #underWay = new Map<UnitName, Removal>();

  constructor(ports: RemovalPorts) {
    this.#ports = ports;
  }

  /**
   * Rejects with "unit-up" where the unit is up, or has a job, and "unit-foreign" where its place is the host's; in each case of
   * a rejection it lies as before, for a later try.
   */
  async remove(name: UnitName): Promise<void> {
    for (let before; (before = this.#underWay.get(name)) !== undefined;) await before.ended;
    const over = new AbortController();
    const work = this.#takeAway(name, over.signal);
    const end = (): void => void this.#underWay.delete(name);
    this.#underWay.set(name, { over, ended: work.then(end, end) });
    await work;
  }

  /** For whoever takes the unit up again: resolves when it lies as before, or is gone. */
  async callOff(name: UnitName): Promise<void> {
    const removal = this.#underWay.get(name);
    removal?.over.abort(new Problem("aborted", `Cannot remove unit "${name}": it is wanted again`));
    await removal?.ended;
  }

  async #takeAway(name: UnitName, signal: AbortSignal): Promise<void> {
    const { call, files, units, reload, reloadWhereTaken } = this.#ports;
    const place = files.placeOf(name);
    if (place.kind === "host") throw foreignProblem(name, place.path);
    const row = await this.#look(name);
    // An alias that the host has come to since is the host's: only what we wrote is ours to take away
    const isOwn = aliasOf(name, row) === undefined;
    if (isOwn && isComing(row)) throw upProblem(name);
    if (isOwn) await resetFailed(name, call);
    // Where another unit names it, systemd would remember it and start it for that one
    const isRemembered = await isLoaded(name, call);
    signal.throwIfAborted();
    if (isRemembered) files.noteReload(true);
    files.unlink(name);
    try {
      // What was started since may have loaded it
      const isLoadedSince = isRemembered || (await isLoaded(name, call));
      if (isLoadedSince && !isRemembered) files.noteReload(true);
      if (isLoadedSince) await reload();
      if (isOwn) await this.#endLate(name, signal);
      signal.throwIfAborted();
    } catch (error) {
      files.relink(name);
      await reloadWhereTaken();
      throw error;
    }
    // Only now: until here whoever finds the files does all of this again, with the fence where there is one
    files.discard(name);
    units.unfollow(name);
  }

  async #look(name: UnitName): Promise<Listed | undefined> {
    return (await reach(`unit "${name}"`, () => list([name], this.#ports.call))).get(name);
  }

  /** Stops what was started after the first look, when systemd still had its text. */
  async #endLate(name: UnitName, signal: AbortSignal): Promise<void> {
    for (let stops = 0; stops < lateStops; stops++) {
      const row = await this.#look(name);
      // With a text it is the host's, whose own lay behind ours
      if (row?.load !== "not-found" || !isComing(row)) return;
      if (row.active === "inactive") await this.#cancel(row.job);
      else await this.#stop(name, signal);
    }
    if (isComing(await this.#look(name))) throw upProblem(name);
  }

  async #stop(name: UnitName, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.timeout(lateStopMs);
    try {
      await this.#ports.jobs.runAtOnce("stop", name, AbortSignal.any([signal, limit]));
    } catch (error) {
      if (!limit.aborted || signal.aborted) throw error;
      throw upProblem(name, error);
    }
  }

  /** systemd stops nothing that is down and has no text. */
  async #cancel(job: string): Promise<void> {
    try {
      await this.#ports.call({ path: job, interface: "org.freedesktop.systemd1.Job", member: "Cancel" });
    } catch (error) {
      if (!(error instanceof PeerError)) throw error; // it has ended meanwhile, or the next look finds it
    }
  }
}

/**
 * Whether it runs, or is about to be started or stopped. A slice without a text goes on as systemd's own for the units in it,
 * which are not to be stopped with it.
 */
function isComing(row: Listed | undefined): boolean {
  if (row === undefined || row.name.endsWith(".slice")) return false;
  return !isDown(row.active) || row.jobType !== "";
}

function upProblem(name: UnitName, cause?: unknown): Problem {
  return new Problem("unit-up", `Cannot remove unit "${name}": it has been started again`, {
    hint: "Another unit wants it, or somebody has started it; it is stopped and removed again",
    cause,
  });
}
