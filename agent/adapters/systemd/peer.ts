// One D-Bus connection to systemd, over its private socket or a message bus: calls with deadlines, signals, and one end.
// Given to connection.ts only; the only importer of dbus-next. Knows nothing of units, and does not reconnect.
import createConnection from "dbus-next/lib/connection.js";
import { Message } from "dbus-next/lib/message-type.js";
import { Problem } from "../../domain/problem.ts";
import { guardReads } from "./incoming.ts";

/** How long connecting may take, handshake and first answer included. A manager that reloads answers late. */
const connectTimeoutMs = 10_000;
/** How long one call may take: a daemon-reload of very many units holds up every other call. */
const callTimeoutMs = 90_000;
/** systemd may miss a request that reaches it together with the end of the handshake (systemd issue 17425). */
const settleMs = 20;
/** A further message wakes a connection that sits on a missed request. */
const nudgeMs = 200;

const busName = "org.freedesktop.DBus";

const callType = 1;
const replyType = 2;
const errorType = 3;
const signalType = 4;

export interface Call {
  /** Left out on the private socket, where there are no names. */
  readonly destination?: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** D-Bus signature of `body`; "" when there is none. */
  readonly signature?: string;
  readonly body?: readonly unknown[];
}

export interface Signal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly unknown[];
}

/** An error reply: `type` is the D-Bus error name, the message is the other side's own. */
export class PeerError extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message === "" ? type : message);
    this.name = "PeerError";
    this.type = type;
  }
}

interface Pending {
  readonly resolve: (body: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** A variant's value, any other value as it is. */
export function plain(value: unknown): unknown {
  return typeof value === "object" && value !== null && "signature" in value && "value" in value ? value.value : value;
}

export class Peer {
  /** Resolves once, with the reason, when the connection has ended for whatever reason. Never rejects. */
  readonly closed: Promise<Error>;
  /** Called for every signal, in order, before replies that came after it. */
  onSignal: (signal: Signal) => void = () => undefined;
  /** True on a message bus, where calls need a destination and signals a match rule. */
  bus = false;

  readonly #connection: ReturnType<typeof createConnection>;
  readonly #pending = new Map<number, Pending>();
  #serial = 0;
  #end: Error | undefined;
  #tellClosed: (reason: Error) => void = () => undefined;

  private constructor(socketPath: string) {
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    // This form of the address is the one that always takes Node's own sockets.
    this.#connection = createConnection({ busAddress: `unix:socket=${socketPath}`, authMethods: ["EXTERNAL"] });
    this.#connection.on("error", (error: Error) => this.close(error));
    this.#connection.on("message", (message: Message) => this.#receive(message));
    this.#connection.once("connect", () => guardReads(this.#connection.stream, (error) => this.close(error)));
    this.#connection.stream.on("close", () => this.close(new Error("The other side closed the connection")));
  }

  /**
   * Connects and says Hello: a message bus answers with a name, systemd's private socket with an error, and so the two
   * are told apart. Rejects with Problem "systemd-unreachable", or "aborted".
   */
  static async connect(socketPath: string, signal: AbortSignal): Promise<Peer> {
    if (/[,;:=]/.test(socketPath)) {
      throw new Problem("systemd-unreachable", `Cannot connect to systemd at ${socketPath}`, {
        hint: "The path of the socket may hold none of , ; : =",
      });
    }
    signal.throwIfAborted();
    const peer = new Peer(socketPath);
    const asked = { toStop: false };
    const give = (): void => {
      asked.toStop = true;
      peer.close(new Error("Connecting was given up"));
    };
    const late = setTimeout(() => peer.close(new Error(`No answer within ${connectTimeoutMs} ms`)), connectTimeoutMs);
    signal.addEventListener("abort", give, { once: true });
    try {
      await peer.#open();
      peer.bus = await peer.#hello();
      return peer;
    } catch (error) {
      peer.close(error instanceof Error ? error : new Error(String(error)));
      if (asked.toStop) throw new Problem("aborted", "Cannot go on connecting to systemd", { cause: signal.reason });
      throw unreachableAt(socketPath, error instanceof Problem ? error.cause : error);
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", give);
    }
  }

  /**
   * Rejects with PeerError when the other side answers with an error, with Problem "systemd-unreachable" when the
   * connection ends first or no answer comes in time.
   */
  call(call: Call): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(lost(call.member, this.#end));
        return;
      }
      const serial = (this.#serial = this.#serial === 0xffff_ffff ? 1 : this.#serial + 1);
      const message = new Message({
        serial,
        path: call.path,
        interface: call.interface,
        member: call.member,
        signature: call.signature ?? "",
        body: call.body ?? [],
        ...(call.destination === undefined ? {} : { destination: call.destination }),
      });
      const timer = setTimeout(() => {
        this.#pending.delete(serial);
        reject(lost(call.member, new Error(`No answer within ${callTimeoutMs} ms`)));
      }, callTimeoutMs);
      this.#pending.set(serial, { resolve, reject, timer });
      try {
        this.#connection.message(message);
      } catch (error) {
        this.#pending.delete(serial);
        clearTimeout(timer);
        reject(lost(call.member, error));
      }
    });
  }

  /** Ends the connection; every call that still waits is rejected. Safe to repeat. */
  close(reason: Error = new Error("The connection was closed")): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#connection.stream.destroy();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(lost("call", reason));
    }
    this.#pending.clear();
    this.#tellClosed(reason);
  }

  /** Until the handshake is over and systemd has had the time to read its end by itself. */
  async #open(): Promise<void> {
    let settled: NodeJS.Timeout | undefined;
    try {
      const end = await Promise.race([
        this.closed,
        new Promise<undefined>((resolve) => {
          this.#connection.once("connect", () => {
            settled = setTimeout(() => resolve(undefined), settleMs);
          });
        }),
      ]);
      if (end !== undefined) throw end;
    } finally {
      clearTimeout(settled);
    }
  }

  async #hello(): Promise<boolean> {
    const bus = { destination: busName, path: "/org/freedesktop/DBus" };
    // What becomes of a nudge does not matter: the first request's answer is what is waited for.
    const nudge = setInterval(() => {
      this.call({ ...bus, interface: "org.freedesktop.DBus.Peer", member: "Ping" }).catch(() => undefined);
    }, nudgeMs);
    try {
      await this.call({ ...bus, interface: busName, member: "Hello" });
      return true;
    } catch (error) {
      if (error instanceof PeerError) return false;
      throw error;
    } finally {
      clearInterval(nudge);
    }
  }

  #receive(message: Message): void {
    switch (message.type) {
      case replyType:
      case errorType:
        this.#settle(message);
        return;
      case signalType:
        this.onSignal({
          path: message.path ?? "",
          interface: message.interface ?? "",
          member: message.member ?? "",
          body: message.body,
        });
        return;
      case callType:
        return; // nothing is offered here, and systemd asks for nothing
    }
  }

  #settle(message: Message): void {
    const serial = message.replySerial ?? 0;
    const pending = this.#pending.get(serial);
    if (pending === undefined) return; // its deadline has passed
    this.#pending.delete(serial);
    clearTimeout(pending.timer);
    if (message.type === replyType) pending.resolve(message.body);
    else pending.reject(new PeerError(message.errorName ?? "", firstText(message.body)));
  }
}

function firstText(body: readonly unknown[]): string {
  const [first] = body;
  return typeof first === "string" ? first : "";
}

function lost(member: string, cause: unknown): Problem {
  return new Problem("systemd-unreachable", `Cannot get systemd's answer to ${member}`, { cause });
}

function unreachableAt(socketPath: string, cause: unknown): Problem {
  return new Problem("systemd-unreachable", `Cannot connect to systemd at ${socketPath}`, { cause });
}
