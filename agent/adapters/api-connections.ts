// The connections of one server, and the bounds that keep a few bad clients from taking it from the others: how many there
// are, how long each may take to ask and to read, how much waits for readers in memory. When there is no room, whoever has
// kept the server waiting longest makes it.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Progress, rawRefusal, refuse } from "./api-answer.ts";

export interface Limits {
  /** Connections at the same time. */
  readonly connections: number;
  /** Of them from one address, over TCP. */
  readonly perAddress: number;
  /** Requests that one connection has sent ahead of their answers. */
  readonly pipelined: number;
  readonly bodyBytes: number;
  /** From connecting, or the first byte of a request, until its head is there. */
  readonly headersMs: number;
  /** Until all of a request is there. */
  readonly requestMs: number;
  /** Between two requests. */
  readonly idleMs: number;
  /** A client that takes nothing of its answer for so long has gone. */
  readonly stalledMs: number;
  /** For one whole answer that is no stream of events. */
  readonly answerMs: number;
  /** Of all answers together, in memory until their clients read them; beyond it who reads nothing is cut off. */
  readonly unreadBytes: number;
  /** Who asks nothing, or reads nothing, for so long may have to make room. */
  readonly patienceMs: number;
}

export const usualLimits: Limits = {
  connections: 256,
  perAddress: 64,
  pipelined: 16,
  bodyBytes: 1024 * 1024,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 5_000,
  stalledMs: 30_000,
  answerMs: 300_000,
  unreadBytes: 64 * 1024 * 1024,
  patienceMs: 1_000,
};

/** Between two looks at who is late, and between two at the clock. */
const sweepMs = 1_000;
const tickMs = 100;
/** What a client may send ahead of a refusal before it is cut off: as much as comes in one go. */
const maxSurplus = 4_000;
/** A refusal is read within this, or not at all. */
const lingerMs = 1_000;

type Work = (exchange: Exchange) => void;

/**
 * Time in which this process could have heard its clients: while something else keeps it busy for long, no client is late.
 * Stands still while it is not ticking.
 */
class PatientClock {
  #passedMs = 0;
  #lookedMs = performance.now();
  #ticking: NodeJS.Timeout | undefined;

  /** Calls `sweep` every second of this clock until it says that there is nothing to do. */
  tick(sweep: () => boolean): void {
    if (this.#ticking !== undefined) return;
    this.#lookedMs = performance.now();
    let sweptMs = this.#passedMs;
    this.#ticking = setInterval(() => {
      this.#passedMs = this.nowMs();
      this.#lookedMs = performance.now();
      if (this.#passedMs - sweptMs < sweepMs) return;
      sweptMs = this.#passedMs;
      if (sweep()) return;
      clearInterval(this.#ticking);
      this.#ticking = undefined;
    }, tickMs).unref();
  }

  nowMs(): number {
    return this.#passedMs + Math.min(performance.now() - this.#lookedMs, 2 * tickMs);
  }
}

/** One request and its answer. */
export class Exchange implements Progress {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Bytes of the answer that are in memory and not taken yet. */
  unreadBytes = 0;
  /** When the client last took something; undefined: nothing waits for it. */
  stalledSinceMs: number | undefined;
  readonly startedMs: number;
  answeringSinceMs: number | undefined;
  isStream = false;
  readonly #bytesBefore: number;
  readonly #clock: PatientClock;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, clock: PatientClock) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.#clock = clock;
    this.startedMs = clock.nowMs();
    this.#bytesBefore = incoming.socket.bytesRead;
  }

  get path(): string {
    return this.incoming.url ?? "";
  }

  /** More than the body that was asked for, if there is any. */
  get bytesTaken(): number {
    return this.incoming.socket.bytesRead - this.#bytesBefore;
  }

  /** The answer is known, and is being sent from now on. */
  answering(isStream: boolean): void {
    this.answeringSinceMs = this.#clock.nowMs();
    this.isStream = isStream;
  }

  unread(bytes: number): void {
    this.unreadBytes = bytes;
    // Only an empty buffer says that the client has taken what there was: adding to it is no progress
    if (this.outgoing.writableLength === 0) this.stalledSinceMs = this.#clock.nowMs();
  }
}

class Connection {
  readonly socket: Socket;
  /** Undefined: a unix socket, where nobody has one. */
  readonly address: string | undefined;
  exchange: Exchange | undefined;
  readonly waiting: Exchange[] = [];
  surplus = 0;
  hasAsked = false;
  idleSinceMs: number;

  constructor(socket: Socket, nowMs: number) {
    this.socket = socket;
    this.address = socket.remoteAddress;
    this.idleSinceMs = nowMs;
  }

  /** How long the client has kept the server waiting: with its request, or with reading. Undefined: it does not. */
  lateMs(nowMs: number): number | undefined {
    const { exchange } = this;
    if (exchange === undefined) return this.hasAsked ? undefined : nowMs - this.idleSinceMs;
    if (!exchange.incoming.complete && exchange.answeringSinceMs === undefined) return nowMs - exchange.startedMs;
    return this.stalledMs(nowMs);
  }

  /** How long it has taken nothing of what waits for it. */
  stalledMs(nowMs: number): number | undefined {
    const { exchange } = this;
    if (exchange?.stalledSinceMs === undefined || exchange.outgoing.writableLength === 0) return undefined;
    return nowMs - exchange.stalledSinceMs;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Watches over a server from its first connection on. `work` is given one request of a connection after the other. */
export class Connections {
  readonly #limits: Limits;
  readonly #work: Work;
  readonly #all = new Set<Connection>();
  readonly #bySocket = new WeakMap<Socket, Connection>();
  readonly #clock = new PatientClock();

  constructor(server: Server, limits: Limits, work: Work) {
    this.#limits = limits;
    this.#work = work;
    server.maxConnections = 2 * limits.connections; // with those that are being turned away
    // Before the HTTP parser gets it: who is turned away needs none
    server.prependListener("connection", (socket: Socket) => this.#open(socket));
    // Over TLS requests come on a socket of their own around the first one
    server.on("secureConnection", (secure: Socket) => {
      const plain = [...this.#all].find(
        ({ socket, address }) => address === secure.remoteAddress && socket.remotePort === secure.remotePort,
      );
      if (plain !== undefined) this.#bySocket.set(secure, plain);
    });
  }

  /** Gives the request to `work` when those before it on its connection are answered. */
  take(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const connection = this.#bySocket.get(incoming.socket);
    if (connection === undefined) return; // turned away, and asks all the same
    const exchange = new Exchange(incoming, outgoing, this.#clock);
    connection.hasAsked = true;
    if (connection.exchange === undefined) this.#start(connection, exchange);
    else if (connection.waiting.length < this.#limits.pipelined) connection.waiting.push(exchange);
    else if (connection.surplus++ === 0) refuse(outgoing, tooManyAhead, exchange.path);
    else if (connection.surplus > maxSurplus) connection.close();
  }

  /** The request that is being worked on: whether an answer of it has begun decides what can still be said. */
  exchangeOn(socket: Socket): Exchange | undefined {
    return this.#bySocket.get(socket)?.exchange;
  }

  #start(connection: Connection, exchange: Exchange): void {
    connection.exchange = exchange;
    exchange.outgoing.once("close", () => {
      connection.exchange = undefined;
      connection.idleSinceMs = this.#clock.nowMs();
      const next = connection.waiting.shift();
      if (next !== undefined && !connection.socket.destroyed) this.#start(connection, next);
    });
    this.#work(exchange);
  }

  #open(socket: Socket): void {
    const connection = new Connection(socket, this.#clock.nowMs());
    if (!this.#hasRoom(connection)) {
      socket.on("error", () => undefined); // it is turned away either way
      // One that speaks TLS does not understand this, and sees that the connection ends
      socket.end(rawRefusal(tooMany));
      setTimeout(() => socket.destroy(), lingerMs).unref();
      return;
    }
    this.#all.add(connection);
    this.#bySocket.set(socket, connection);
    socket.once("close", () => this.#all.delete(connection));
    this.#clock.tick(() => this.#sweep());
  }

  #hasRoom({ address }: Connection): boolean {
    const { connections, perAddress } = this.#limits;
    const neighbours = address === undefined ? [] : [...this.#all].filter((each) => each.address === address);
    if (neighbours.length >= perAddress) return this.#makeRoom(neighbours);
    return this.#all.size < connections || this.#makeRoom([...this.#all]);
  }

  /** Ends the connection that has kept the server waiting longest, or else one that only rests between two requests. */
  #makeRoom(among: readonly Connection[]): boolean {
    const nowMs = this.#clock.nowMs();
    const late = among
      .map((connection) => ({ connection, ms: connection.lateMs(nowMs) ?? 0 }))
      .filter(({ ms }) => ms >= this.#limits.patienceMs)
      .sort((one, other) => other.ms - one.ms)[0]?.connection;
    const resting = among
      .filter(({ exchange, hasAsked }) => exchange === undefined && hasAsked)
      .sort((one, other) => one.idleSinceMs - other.idleSinceMs)[0];
    const chosen = late ?? resting;
    if (chosen === undefined) return false;
    this.#all.delete(chosen); // its place is taken at once
    chosen.close();
    return true;
  }

  /** False when there is nobody to watch over. */
  #sweep(): boolean {
    const nowMs = this.#clock.nowMs();
    for (const connection of this.#all) if (this.#isOver(connection, nowMs)) connection.close();
    this.#cutReaders(nowMs);
    return this.#all.size > 0;
  }

  #isOver(connection: Connection, nowMs: number): boolean {
    const { exchange } = connection;
    if (exchange === undefined) return false; // the HTTP server's own clocks see to that
    const { bodyBytes, stalledMs, answerMs } = this.#limits;
    const { answeringSinceMs, isStream, incoming } = exchange;
    return (
      (connection.stalledMs(nowMs) ?? 0) >= stalledMs ||
      (answeringSinceMs !== undefined && !isStream && nowMs - answeringSinceMs >= answerMs) ||
      (!incoming.complete && exchange.bytesTaken > 2 * bodyBytes)
    );
  }

  /** While more waits in memory than may: who has read nothing for longest goes first. */
  #cutReaders(nowMs: number): void {
    const readers = [...this.#all]
      .map((connection) => ({
        connection,
        bytes: connection.exchange?.unreadBytes ?? 0,
        ms: connection.stalledMs(nowMs) ?? 0,
      }))
      .sort((one, other) => other.ms - one.ms);
    let bytes = readers.reduce((sum, each) => sum + each.bytes, 0);
    for (const each of readers) {
      if (bytes <= this.#limits.unreadBytes || each.ms < this.#limits.patienceMs) return;
      each.connection.close();
      bytes -= each.bytes;
    }
  }
}

const tooMany = {
  status: 503,
  code: "api-connections",
  message: "Cannot take another connection: too many are open",
  hint: "Ask again in a moment",
} as const;

const tooManyAhead = {
  status: 429,
  code: "api-pipeline",
  message: "Cannot take more requests ahead of their answers",
  hint: "Wait for an answer before the next request",
} as const;
