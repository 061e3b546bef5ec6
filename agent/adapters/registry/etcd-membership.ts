// Keeps a connection's endpoints as the cluster's members are: learned after connecting, every few minutes and after a
// fault, and kept on disk with the cluster's id, so that a restart needs no endpoint that is gone. Given to etcd.ts.
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Log } from "../../ports/log.ts";
import type { EtcdConnection, KnownCluster } from "./etcd-connection.ts";
import { type KeptEndpoints, allEndpoints, encodeKept, learnedEndpoints, parseKept } from "./etcd-endpoints.ts";
import { listMembers } from "./etcd-members.ts";

export const keptFile = "etcd-endpoints.json";
const damagedFile = "etcd-endpoints.damaged.json";
/** Between two looks at the members, give or take a tenth. */
const learnEveryMs = 300_000;
/** After a fault, or a look that failed. */
const learnSoonMs = 10_000;

/** Where endpoints are kept: the agent's state directory, and the path that people know it by. */
export interface Keeping {
  readonly disk: Disk;
  readonly directory: string;
}

export interface MembershipOptions {
  readonly configured: readonly string[];
  readonly keeping: Keeping | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class Membership {
  readonly #options: MembershipOptions;
  #kept: KeptEndpoints | undefined;
  /** The file's text, as far as known. */
  #stored: string | undefined;
  #learning: Promise<void> | undefined;
  #learnedMs = -Infinity;
  #isLearned = false;
  #faultsSeen = 0;
  #everyMs = learnEveryMs;
  /** What was told of last, so that one trouble is told once. */
  #told: string | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** What the last run left. Never rejects: what cannot be read is told, and the configured endpoints do. */
  async known(): Promise<KnownCluster> {
    const { keeping, configured, log } = this.#options;
    if (keeping === undefined) return { clusterId: undefined, endpoints: configured };
    try {
      const text = await keeping.disk.read(keptFile);
      const read = text === undefined ? undefined : parseKept(text);
      this.#stored = text;
      if (read?.ok === true) this.#kept = read.value;
      if (text !== undefined && read?.ok === false) {
        log.error("registry.endpoints-damaged", read.problems[0], { file: keptFile, kept: damagedFile });
        await keeping.disk.write(damagedFile, text);
      }
    } catch (error) {
      log.error("registry.endpoints-unreadable", error);
    }
    return { clusterId: this.#kept?.clusterId, endpoints: allEndpoints(configured, this.#kept?.endpoints ?? []) };
  }

  foreign(url: string, { known, found }: { readonly known: string; readonly found: string }): Problem {
    const { keeping } = this.#options;
    const file = keeping === undefined ? undefined : `${keeping.directory}/${keptFile}`;
    const cure =
      file === undefined || this.#kept === undefined
        ? "name endpoints of one cluster only"
        : `correct the endpoints; if the cluster was really replaced, remove "${file}" and restart flotilla`;
    return new Problem("registry-refused", `Cannot use etcd at "${url}": it is another cluster`, {
      hint: `This machine belongs to cluster ${known}, that etcd to cluster ${found}: ${cure}`,
    });
  }

  /** Called after calls that went well: looks at the members in the background when it is time. */
  look(connection: EtcdConnection): void {
    if (this.#learning !== undefined || connection.closed.aborted || !this.#isDue(connection)) return;
    this.#learning = this.#learn(connection).finally(() => (this.#learning = undefined));
  }

  /** Resolves when nothing goes on any more; the connection is closed by then. */
  async settled(): Promise<void> {
    await this.#learning;
  }

  #isDue({ faults }: EtcdConnection): boolean {
    const sinceMs = this.#options.clock.monotonicMs() - this.#learnedMs;
    const soon = !this.#isLearned || faults !== this.#faultsSeen;
    return sinceMs >= (soon ? learnSoonMs : this.#everyMs);
  }

  async #learn(connection: EtcdConnection): Promise<void> {
    const { clock, configured } = this.#options;
    const { faults } = connection;
    this.#learnedMs = clock.monotonicMs();
    this.#everyMs = learnEveryMs * (0.9 + clock.random() / 5);
    try {
      const { clusterId, members } = await listMembers(connection, connection.closed);
      const learned = learnedEndpoints(configured, members);
      // Nothing usable said of anybody is no reason to forget what worked.
      await this.#take(connection, {
        clusterId,
        endpoints: learned.length > 0 ? learned : (this.#kept?.endpoints ?? []),
      });
      this.#told = undefined;
      this.#isLearned = true;
    } catch (error) {
      this.#isLearned = codeOf(error) === "registry-refused"; // it will not be allowed in ten seconds either
      await this.#doWithout(connection, codeOf(error));
    }
    this.#faultsSeen = faults;
  }

  async #take(connection: EtcdConnection, next: KeptEndpoints): Promise<void> {
    const { configured, log } = this.#options;
    const all = allEndpoints(configured, next.endpoints);
    if (all.join(" ") !== connection.endpoints.join(" ")) {
      connection.use(all);
      log.info("registry.endpoints-learned", { endpoints: all.join(" ") });
    }
    await this.#keep(next);
  }

  async #keep(next: KeptEndpoints): Promise<void> {
    const { keeping, log } = this.#options;
    this.#kept = next;
    const text = encodeKept(next);
    if (keeping === undefined || text === this.#stored) return;
    try {
      await keeping.disk.write(keptFile, text);
      this.#stored = text;
    } catch (error) {
      log.error("registry.endpoints-unkept", error);
    }
  }

  /** Some versions of etcd keep the list from users who are not root: then the endpoints stay as they are. */
  async #doWithout(connection: EtcdConnection, code: string): Promise<void> {
    if (connection.closed.aborted) return;
    if (this.#told !== code) {
      const { log } = this.#options;
      log.info("registry.members-unknown", { problem: code, endpoints: connection.endpoints.join(" ") });
    }
    this.#told = code;
    const { clusterId } = connection;
    if (this.#kept === undefined && clusterId !== undefined) await this.#keep({ clusterId, endpoints: [] });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Problem ? error.code : "unexpected";
}
