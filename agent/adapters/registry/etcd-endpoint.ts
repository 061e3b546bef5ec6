// One etcd endpoint and how it fares: it gets calls while it is good, rests after a fault, and is good again once it has
// answered a check. Given to etcd-connection.ts, which chooses among several.
import type { Clock } from "../../ports/clock.ts";
import type { Channel, EtcdStream, Sent } from "./etcd-channel.ts";
import { CallFailed, isDropped, isEndpointFault } from "./etcd-errors.ts";

/** How long an endpoint rests after a fault: each time twice as long, until a call goes well. */
const firstRestMs = 1_000;
const longestRestMs = 30_000;
/** A connection on which nothing was answered for so long is given up; an answer that is merely late is there by then. */
const silentMs = 4_000;
/** The same for one that is not up yet: at half a second each way that takes nearly 5 s. */
const connectingMs = 10_000;

export interface EndpointParts {
  /** http://HOST:PORT or https://HOST:PORT. */
  readonly url: string;
  readonly clock: Clock;
  readonly open: () => Promise<Channel>;
  /** Asks it something that only a member in touch with its cluster answers. Rejects with CallFailed or a Problem. */
  readonly ask: (endpoint: Endpoint) => Promise<void>;
}

export class Endpoint {
  readonly url: string;
  readonly #parts: EndpointParts;
  #channel: Promise<Channel> | undefined;
  #checking: Promise<void> | undefined;
  #isGood = false;
  #restMs = firstRestMs;
  #restUntilMs = -Infinity;
  #callsUnderWay = 0;
  #isRetired = false;
  #isSilent = false;
  #isForeign = false;
  /** There is no connection, and none is being made that might still come up. */
  #isDown = false;
  /** Since when it was asked and has answered nothing. */
  #askedMs: number | undefined;
  /** Whether the connection has ever brought an answer. */
  #isProven = false;
  readonly #streams = new Set<EtcdStream>();

  constructor(parts: EndpointParts) {
    this.url = parts.url;
    this.#parts = parts;
  }

  get isGood(): boolean {
    return this.#isGood;
  }

  /** Its last answer that named a cluster named another one than ours. */
  get isForeign(): boolean {
    return this.#isForeign;
  }

  /** Resolves when it has answered; one check at a time, shared by all that ask. Rejects as `ask` does. */
  check(): Promise<void> {
    if (this.#checking !== undefined) return this.#checking;
    const checking = this.#check().finally(() => (this.#checking = undefined));
    this.#checking = checking;
    return checking;
  }

  /** Begins a check if it has rested long enough; nobody waits for it. */
  checkWhenRested(): void {
    if (this.#isGood || this.#checking !== undefined) return;
    if (this.#parts.clock.monotonicMs() < this.#restUntilMs) return;
    this.check().catch(() => undefined); // noted: it rests on
  }

  /** Rejects with CallFailed; a fault of the endpoint's is noted. */
  async call(sent: Sent, timeoutMs: number): Promise<unknown> {
    const response = await this.callToCheck(sent, timeoutMs);
    this.#restMs = firstRestMs;
    return response;
  }

  /** The same, and its success does not shorten the rests: an endpoint may answer checks and fail with all else. */
  async callToCheck(sent: Sent, timeoutMs: number): Promise<unknown> {
    // gRPC wants a moment of the wall clock and turns it into a span at once.
    const response = await this.#with((channel) => channel.call(sent, this.#parts.clock.wallMs() + timeoutMs));
    this.#heard();
    return response;
  }

  /** A stream on which `sent.request` has been sent. That it breaks is noted as a fault. */
  async open(sent: Sent): Promise<EtcdStream> {
    const inner = await this.#with((channel) => channel.open(sent));
    let isOpen = true;
    const stream: EtcdStream = {
      next: async () => {
        try {
          const message = await inner.next();
          this.#heard();
          return message;
        } catch (error) {
          if (isOpen) this.#note(error);
          stream.cancel();
          throw error;
        }
      },
      cancel: () => {
        isOpen = false;
        this.#streams.delete(stream);
        inner.cancel();
      },
    };
    this.#streams.add(stream);
    return stream;
  }

  /**
   * While another endpoint is good: breaks the streams of one that did not pass its last check, for gRPC's own pings take 13 s to
   * find out; and lets its connection go, for gRPC would try to make one every 2 s for good.
   */
  letGoIfSilent(): void {
    if (!this.#isSilent) return;
    this.#endStreams();
    if (this.#isDown || this.#isStuck()) this.#letGo();
  }

  /** It rests: a fault that showed elsewhere than in a call. */
  fail(): void {
    this.#isGood = false;
    this.#restUntilMs = this.#parts.clock.monotonicMs() + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, longestRestMs);
  }

  /** It belongs to another cluster: it rests for long, and no answer makes it good but one of our cluster. */
  disown(): void {
    this.#isForeign = true;
    this.#restMs = longestRestMs;
    this.fail();
  }

  /** An answer named our cluster. */
  own(): void {
    this.#isForeign = false;
  }

  /** It answered after all. */
  pass(): void {
    this.#heard();
    this.#isSilent = false;
    this.#isGood = !this.#isRetired && !this.#isForeign;
    this.#restMs = firstRestMs;
  }

  /** It gets no more calls. Those under way and the streams that are open end in their own time. */
  retire(): void {
    this.#isRetired = true;
    this.#isGood = false;
    if (this.#callsUnderWay === 0) this.#close();
  }

  /** The same at once: what is under way is no longer heard. */
  end(): void {
    this.#isRetired = true;
    this.#isGood = false;
    this.#close();
  }

  async #check(): Promise<void> {
    try {
      await this.#parts.ask(this);
    } catch (error) {
      // It answers, if only that it wants to know who asks: the call itself will tell.
      const answers = error instanceof CallFailed && !isEndpointFault(error);
      this.#isSilent = !answers;
      if (!answers) {
        this.fail();
        this.#isDown = isDropped(error);
        // behind one address there may be several members, and the next connection may lead to one that answers
        if (this.#isStuck()) this.#letGo();
        throw error;
      }
      this.#heard();
    }
    this.#isSilent = false;
    this.#isGood = !this.#isRetired && !this.#isForeign;
    if (this.#isForeign) this.#restUntilMs = this.#parts.clock.monotonicMs() + longestRestMs;
  }

  async #with<T>(use: (channel: Channel) => Promise<T>): Promise<T> {
    this.#callsUnderWay++;
    this.#askedMs ??= this.#parts.clock.monotonicMs();
    try {
      return await use(await this.#open());
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      if (--this.#callsUnderWay === 0 && this.#isRetired) this.#close();
    }
  }

  /** A check at once tells a short trouble from a lasting one, and frees the streams of an endpoint that went silent. */
  #note(error: unknown): void {
    if (isDropped(error)) {
      this.#isProven = false; // gRPC makes another one
      this.#askedMs = this.#parts.clock.monotonicMs();
    } else if (error instanceof CallFailed && !isEndpointFault(error)) this.#heard();
    if (!isEndpointFault(error) || !this.#isGood) return;
    this.fail();
    this.check().catch(() => undefined); // noted: it rests
  }

  #heard(): void {
    this.#askedMs = undefined;
    this.#isProven = true;
  }

  #isStuck(): boolean {
    const silence = this.#askedMs === undefined ? 0 : this.#parts.clock.monotonicMs() - this.#askedMs;
    return silence >= (this.#isProven ? silentMs : connectingMs);
  }

  #endStreams(): void {
    for (const stream of [...this.#streams]) stream.cancel();
  }

  /** The next to ask makes a new connection. Streams would live on, on one that nobody uses. */
  #letGo(): void {
    this.#endStreams();
    this.#close();
    this.#channel = undefined;
    this.#askedMs = undefined;
    this.#isProven = false;
  }

  #open(): Promise<Channel> {
    if (this.#channel !== undefined) return this.#channel;
    const opening = this.#parts.open();
    this.#channel = opening;
    opening.catch(() => {
      if (this.#channel === opening) this.#channel = undefined; // a file may be readable next time
    });
    return opening;
  }

  #close(): void {
    this.#channel?.then(
      (channel) => channel.close(),
      () => undefined, // what could not be opened needs no closing
    );
  }
}
