// The standing connection to systemd: finds the socket, keeps one peer open, comes back after a loss.
// Given to systemd.ts. Says when it is back and what systemd signals; knows units only as object paths.
import { Problem, explainError } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import { type Call, Peer, type Signal } from "./peer.ts";

const firstPauseMs = 100;
const longestPauseMs = 10_000;

export const managerPath = "/org/freedesktop/systemd1";
export const managerInterface = "org.freedesktop.systemd1.Manager";
export const propertiesInterface = "org.freedesktop.DBus.Properties";
const systemdName = "org.freedesktop.systemd1";
const busName = "org.freedesktop.DBus";

/** On a bus only these signals are sent to us; the private socket sends all. */
const matchRules = [
  `type='signal',sender='${systemdName}',interface='${managerInterface}'`,
  `type='signal',sender='${systemdName}',interface='${propertiesInterface}',member='PropertiesChanged'`,
  `type='signal',sender='${busName}',member='NameOwnerChanged',arg0='${systemdName}'`,
];

export interface ConnectionOptions {
  /** Paths of sockets, tried in this order at each attempt. */
  readonly sockets: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Called for every signal of systemd's. */
  readonly onSignal: (signal: Signal) => void;
  /** Called when a connection stands, before any call of others goes over it. A rejection makes it a failed attempt. */
  readonly onOpen: (call: (call: Call) => Promise<readonly unknown[]>) => Promise<void>;
  /** Called when a connection that stood has ended. */
  readonly onLost: () => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #end = new AbortController();
  readonly #over: Promise<void>;
  #peer: Peer | undefined;
  /** The attempt under way, while there is one; it never rejects. */
  #attempt: Promise<void> | undefined;
  #lastError: unknown;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#over = this.#stay();
  }

  /**
   * One call to systemd. Waits for an attempt to connect that is under way, not for later ones. Rejects with PeerError
   * for systemd's own refusal, with Problem "systemd-unreachable" otherwise.
   */
  async call(call: Call): Promise<readonly unknown[]> {
    if (this.#peer === undefined) await this.#attempt;
    const peer = this.#peer;
    if (peer === undefined) {
      throw this.#lastError instanceof Problem
        ? this.#lastError
        : new Problem("systemd-unreachable", "Cannot reach systemd", { cause: this.#lastError });
    }
    return callOn(peer, call);
  }

  async close(): Promise<void> {
    this.#end.abort(new Problem("aborted", "Cannot use a closed connection to systemd"));
    this.#peer?.close();
    await this.#over;
  }

  /** One connection after another until `close`. */
  async #stay(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#end;
    let pauseMs = firstPauseMs;
    let reported = false;
    while (!signal.aborted) {
      this.#attempt = this.#connect();
      await this.#attempt;
      this.#attempt = undefined;
      if (this.#peer !== undefined) {
        pauseMs = firstPauseMs;
        reported = false;
        this.#lastError = await this.#peer.closed;
        this.#peer = undefined;
        this.#options.onLost();
        if (!this.#ended()) log.warn("systemd.lost", { reason: explainError(this.#lastError) });
      } else if (!reported && !this.#ended()) {
        reported = true; // once, not at every attempt: the caller sees each failure anyway
        log.warn("systemd.unreachable", { reason: explainError(this.#lastError) });
      }
      await clock.sleep(pauseMs * (0.75 + clock.random() / 2), signal).catch(() => undefined); // aborted: the loop ends
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
    this.#lastError = signal.reason;
  }

  #ended(): boolean {
    return this.#end.signal.aborted;
  }

  async #connect(): Promise<void> {
    const failures: unknown[] = [];
    for (const socket of this.#options.sockets) {
      let peer: Peer | undefined;
      try {
        peer = await Peer.connect(socket, this.#end.signal);
        await this.#prepare(peer);
        if (this.#ended()) peer.close();
        this.#peer = peer;
        this.#options.log.debug("systemd.connected", { socket, bus: peer.bus });
        return;
      } catch (error) {
        peer?.close();
        failures.push(error);
      }
    }
    const [first] = failures;
    const own = first instanceof Problem && failures.length === 1 ? first.hint : undefined;
    this.#lastError = new Problem(
      "systemd-unreachable",
      `Cannot connect to systemd at ${this.#options.sockets.join(" or ")}`,
      {
        cause: first,
        hint: own ?? "flotilla needs systemd, and the right to speak to it (as root, or to a user's own manager)",
      },
    );
  }

  async #prepare(peer: Peer): Promise<void> {
    peer.onSignal = (signal) => this.#signalled(peer, signal);
    if (peer.bus) {
      const bus = { destination: busName, path: "/org/freedesktop/DBus", interface: busName };
      for (const rule of matchRules) await peer.call({ ...bus, member: "AddMatch", signature: "s", body: [rule] });
      await callOn(peer, { path: managerPath, interface: managerInterface, member: "Subscribe" });
    }
    await this.#options.onOpen((call) => callOn(peer, call));
  }

  #signalled(peer: Peer, signal: Signal): void {
    if (signal.interface === busName) {
      // systemd left the bus or came back to it: nothing known before holds.
      if (signal.member === "NameOwnerChanged") peer.close(new Error("systemd left the bus"));
      return;
    }
    this.#options.onSignal(signal);
  }
}

function callOn(peer: Peer, call: Call): Promise<readonly unknown[]> {
  return peer.call(peer.bus ? { destination: systemdName, ...call } : call);
}
