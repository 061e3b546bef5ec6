// What the commands are given to work with. Implemented by wire.ts, which loads the heavy parts only when they are
// asked for; commands know no adapter and no process.
import type { JoinRecord } from "../domain/discovery.ts";
import type { ProblemRecord } from "../domain/problem.ts";
import type { ApiClient } from "../ports/api-client.ts";
import type { Clock } from "../ports/clock.ts";
import type { FirstBoot } from "../ports/first-boot.ts";
import type { LocalUnits } from "../ports/local-units.ts";
import type { MachineShell } from "../ports/machine-shell.ts";
import type { PlanSources } from "../ports/plan-sources.ts";
import type { Reach } from "../ports/reach.ts";
import type { WorkingCopy } from "../ports/working-copy.ts";

/** One of the process's two ways to say something. */
export interface Output {
  /** Whether people look at it directly. */
  readonly isTerminal: boolean;
  /** Size of the terminal now; undefined where there is none. */
  size(): { readonly columns: number; readonly rows: number } | undefined;
  /**
   * Resolves once the text is handed over. Rejects with Problem "output-closed" when the reader has gone (a closed pipe),
   * "output-failed" when it cannot be written (a full disk).
   */
  write(text: string): Promise<void>;
}

export interface AgentRequest {
  /** Settings file named on the command line; undefined: the usual one, if it is there. */
  readonly config: string | undefined;
  /** Setting flags as given, by flag with its dashes: `{"--git-url": "..."}`. Unchecked text. */
  readonly flags: Readonly<Record<string, string>>;
}

/** What `flotilla playground` was asked to do. */
export type PlaygroundRequest =
  | {
      readonly kind: "run";
      /** 1 to 9. */
      readonly machines: number;
      /** A real etcd and one process for each agent, instead of one embedded registry. */
      readonly etcd: boolean;
      /** Deploy, print the listings, kill a machine, print them again, end. */
      readonly once: boolean;
    }
  | { readonly kind: "kill" | "start"; readonly machine: string };

/** A discovery service, as `flotilla discovery serve` was asked for it. */
export interface ServeRequest {
  readonly host: string;
  readonly port: number;
  /** Where tokens are kept: absolute. */
  readonly directory: string;
  /** How machines reach it, without a slash at its end; undefined: as each asker called it. */
  readonly publicUrl: string | undefined;
  /** PEM files; both or neither. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** How long a token is kept after its cluster has formed. */
  readonly keepFormedMs: number;
}

/** What `flotilla discovery join` was asked to do. */
export interface JoinRequest {
  /** Settings file named on the command line; undefined: the usual one, if it is there. */
  readonly config: string | undefined;
  /** ADDRESS or ADDRESS:PORT; undefined: the machine's own. */
  readonly nameServer: string | undefined;
  /** Wait for nobody. */
  readonly once: boolean;
}

export interface DiscoveryTools {
  /** What was decided, now or before; undefined: the settings ask for no etcd. Rejects with what a person has to do. */
  join(request: JoinRequest, signal: AbortSignal): Promise<JoinRecord | undefined>;
  /** Serves until the signal; `listening` is called with the port when machines can come. Rejects when it cannot start. */
  serve(request: ServeRequest, listening: (port: number) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** The URL of a new token from the service at this URL. */
  newToken(
    at: { readonly url: string; readonly size: number; readonly caFile: string | undefined },
    signal: AbortSignal,
  ): Promise<string>;
}

export interface Tools {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: Clock;
  /** How a problem is told on stderr, with its line feed, where the program is called by another name; left out: as usual. */
  readonly failureText?: (problem: ProblemRecord) => string;
  /** Scripts that know fleet's client count on what it said and how it ended. */
  readonly asFleetctl?: true;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Cheap: connects only when asked something. A text is the path of a socket of this machine. */
  apiClient(reach: Reach | string): Promise<ApiClient>;
  /** Whether there is a unix socket at this path; whoever listens there. */
  hasSocket(path: string): Promise<boolean>;
  /** Cheap likewise. */
  machineShell(reach: Reach): Promise<MachineShell>;
  /**
   * Joins stdin and stdout to a socket of this machine, until either side ends. Rejects with "agent-unreachable" when nobody
   * listens there, "api-socket-path".
   */
  forward(socket: string, signal: AbortSignal): Promise<void>;
  workingCopy(): Promise<WorkingCopy>;
  planSources(): Promise<PlanSources>;
  localUnits(): Promise<LocalUnits>;
  discovery(): Promise<DiscoveryTools>;
  firstBoot(): Promise<FirstBoot>;
  /** Runs until `signal`; resolves when everything is closed. Rejects with a Problem when it cannot start. */
  runAgent(request: AgentRequest, signal: AbortSignal): Promise<void>;
  /** Prints its own progress on the outputs. Resolves with the exit code; rejects with a Problem that says what is missing. */
  runPlayground(request: PlaygroundRequest, signal: AbortSignal): Promise<number>;
}
