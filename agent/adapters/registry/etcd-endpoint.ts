// One etcd endpoint and how it fares: it gets calls while it is good, rests after a fault, and is good again once it has
// answered a check. Given to etcd-connection.ts, which chooses among several.
import type { Clock } from "../../ports/clock.ts";
import type { Channel, EtcdStream, Sent } from "./etcd-channel.ts";
import { CallFailed, isEndpointFault } from "./etcd-errors.ts";

/** How long an endpoint rests after a fault: each time twice as long, until a call goes well. */
const firstRestMs = 1_000;
const longestRestMs = 30_000;

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
  readonly #streams = new Set<EtcdStream>();

  constructor(parts: EndpointParts) {
    this.url = parts.url;
    this.#parts = parts;
  }

  get isGood(): boolean {
    return this.#isGood;
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
  callToCheck(sent: Sent, timeoutMs: number): Promise<unknown> {
    // gRPC wants a moment of the wall clock and turns it into a span at once.
    return this.#with((channel) => channel.call(sent, this.#parts.clock.wallMs() + timeoutMs));
  }

  /** A stream on which `sent.request` has been sent. That it breaks is noted as a fault. */
  async open(sent: Sent): Promise<EtcdStream> {
    const inner = await this.#with((channel) => channel.open(sent));
    let isOpen = true;
    const stream: EtcdStream = {
      next: async () => {
        try {
          return await inner.next();
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

  /** Breaks the streams of an endpoint that did not pass its last check: gRPC's own pings take 13 s to find out. */
  endStreamsIfSilent(): void {
    if (this.#isSilent) for (const stream of [...this.#streams]) stream.cancel();
  }

  /** It rests: a fault that showed elsewhere than in a call. */
  fail(): void {
    this.#isGood = false;
    this.#restUntilMs = this.#parts.clock.monotonicMs() + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, longestRestMs);
  }

  /** It answered after all. */
  pass(): void {
    this.#isSilent = false;
    this.#isGood = !this.#isRetired;
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
        throw error;
      }
    }
    this.#isSilent = false;
    this.#isGood = !this.#isRetired;
  }

  async #with<T>(use: (channel: Channel) => Promise<T>): Promise<T> {
    this.#callsUnderWay++;
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
    if (!isEndpointFault(error) || !this.#isGood) return;
    this.fail();
    this.check().catch(() => undefined); // noted: it rests
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
