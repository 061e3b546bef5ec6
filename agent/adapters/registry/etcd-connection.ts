// The way to an etcd cluster through any of its endpoints: chooses one that answers, logs in, bounds every call in time, and
// lets no other cluster than the known one be used. Given to etcd.ts and etcd-members.ts, which know what to ask.
import { readFile } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import type { RegistrySettings } from "../../domain/settings.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import { systemRoots } from "../system-roots.ts";
import { type Stop, aborted, refused, unlessStopped } from "./calls.ts";
import {
  type Credentials,
  type EtcdStream,
  type Sent,
  type ServiceName,
  loadChannels,
  openChannel,
} from "./etcd-channel.ts";
import { Endpoint } from "./etcd-endpoint.ts";
import { CallFailed, callFailed, grpc, isEndpointFault, isStaleToken, problemOf } from "./etcd-errors.ts";

/** A refused password is not tried again for this long: each try costs etcd a quarter of a second. */
const refusedLoginMs = 1_000;
/** Methods that change nothing, whichever cluster is asked. */
const changeless: ReadonlySet<string> = new Set([
  ...["authenticate", "range", "memberList", "watch"],
  ...["leaseTimeToLive", "leaseKeepAlive"],
]);
/** Longer than the deadline of a call, which has first to be heard of. */
const deadlineSlack = 1.25;

export interface UnaryCall {
  readonly service: ServiceName;
  readonly method: string;
  readonly request: object;
  readonly signal?: AbortSignal | undefined;
}

export interface StreamCall extends UnaryCall {
  /** Without a first message for so long the endpoint rests; one that comes later still counts. The call's deadline unless set. */
  readonly doubtMs?: number;
}

/** A stream that etcd has answered on. */
export interface OpenStream extends EtcdStream {
  readonly first: unknown;
}

/** What is known of the cluster before the first call. */
export interface KnownCluster {
  /** Lowercase hex; undefined: whichever answers first. */
  readonly clusterId: string | undefined;
  readonly endpoints: readonly string[];
}

export interface EtcdConnectionOptions {
  /** `endpoints` is not empty, and all https or all http. */
  readonly settings: RegistrySettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked once, before the first call. Never rejects. */
  readonly known?: () => Promise<KnownCluster>;
  /** The Problem for an endpoint that belongs to another cluster. */
  readonly foreign?: (url: string, ids: { readonly known: string; readonly found: string }) => Problem;
}

/** Connects at the first call. */
export class EtcdConnection {
  readonly #options: EtcdConnectionOptions;
  readonly #closed = new AbortController();
  #endpoints: readonly Endpoint[] = [];
  #beginning: Promise<void> | undefined;
  #clusterId: string | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;
  #token: Promise<string> | undefined;
  /** Endpoints of another cluster that were told of. */
  readonly #toldForeign = new Set<string>();
  /** Faults of endpoints so far. */
  faults = 0;

  constructor(options: EtcdConnectionOptions) {
    this.#options = options;
  }

  /** Ends with `close`. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Of the first endpoint that answered, or known before; lowercase hex. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  get endpoints(): readonly string[] {
    return this.#endpoints.map(({ url }) => url);
  }

  /** From now on calls go to these. Those that stay keep their connections; streams on the others go on until they break. */
  use(urls: readonly string[]): void {
    if (this.#closed.signal.aborted) return;
    const before = new Map(this.#endpoints.map((endpoint) => [endpoint.url, endpoint]));
    this.#endpoints = urls.map((url) => before.get(url) ?? this.#newEndpoint(url));
    for (const [url, endpoint] of before) if (!urls.includes(url)) endpoint.retire();
    this.#options.log.debug("registry.endpoints", { endpoints: urls.join(" ") });
  }

  /** A unary call; rejects with Problems. */
  async call<Response>(what: string, call: UnaryCall): Promise<Response> {
    try {
      return await this.unary<Response>(what, call);
    } catch (error) {
      throw problemOf(what, error);
    }
  }

  /** A unary call; rejects with CallFailed, or with a Problem when it was stopped or nobody is there to be asked. */
  async unary<Response>(what: string, { service, method, request, signal }: UnaryCall): Promise<Response> {
    const timeoutMs = this.#options.settings.requestTimeoutMs;
    const response = await this.#bounded(what, { signal, timeoutMs }, () =>
      this.#loggedIn((token) =>
        this.#onEndpoint(method, (endpoint) => this.#ask(endpoint, { service, method, request, token })),
      ),
    );
    return response as Response;
  }

  /**
   * Opens a stream, sends `request` on it and waits for the first answer, so that a dead endpoint counts as failed before it
   * is trusted with a stream. Rejects with Problems. The stream ends with `close`, or when it is cancelled.
   */
  async stream(what: string, call: StreamCall): Promise<OpenStream> {
    const { service, method, request, signal } = call;
    const timeoutMs = this.#options.settings.requestTimeoutMs;
    const doubtMs = Math.min(call.doubtMs ?? timeoutMs, timeoutMs);
    let opening: Promise<OpenStream> | undefined;
    try {
      return await this.#bounded(what, { signal, timeoutMs }, () => {
        opening = this.#loggedIn((token) =>
          this.#onEndpoint(method, (endpoint) =>
            this.#firstOf(endpoint, { service, method, request, token }, { doubtMs, timeoutMs }),
          ),
        );
        return opening;
      });
    } catch (error) {
      // should it open all the same, nobody else would end it
      opening?.then(
        (stream) => stream.cancel(),
        () => undefined,
      );
      throw problemOf(what, error);
    }
  }

  /** Stops of a call under `signal`: its own end and `close`. */
  stops(what: string, signal?: AbortSignal): readonly Stop[] {
    const problem = (reason: unknown): Problem => aborted(what, reason);
    const own = { signal: this.#closed.signal, problem };
    return signal === undefined ? [own] : [{ signal, problem }, own];
  }

  /** etcd said that it does not know the login any more: the next call makes a new one. */
  forgetLogin(): void {
    this.#token = undefined;
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new Error("The registry was closed"));
    await this.#beginning?.catch(() => undefined); // what could not be begun needs no closing
    for (const endpoint of this.#endpoints) endpoint.end();
    this.#endpoints = [];
  }

  #newEndpoint(url: string): Endpoint {
    return new Endpoint({
      url,
      clock: this.#options.clock,
      open: async () => openChannel(url, await this.#readCredentials()),
      ask: (endpoint) => this.#check(endpoint),
    });
  }

  /** Which endpoints there are is asked once, before the first call; nothing of it is taken from the call's time. */
  #begin(): Promise<void> {
    const { settings, known } = this.#options;
    this.#beginning ??= (async () => {
      const [found] = await Promise.all([known?.(), loadChannels()]);
      this.#clusterId = found?.clusterId;
      this.use([...new Set([...(found?.endpoints ?? []), ...settings.endpoints])]);
    })();
    return this.#beginning;
  }

  /**
   * A read that takes a majority: an endpoint that is cut off from the others does not pass. It needs no login. An etcd with users
   * refuses it, and does not say of which cluster it is: it says so of its members, whoever asks. It must be known before it
   * is shown a login, for one of another cluster does not refuse that, but waits until it comes to it.
   */
  async #check(endpoint: Endpoint): Promise<void> {
    const { prefix, requestTimeoutMs } = this.#options.settings;
    const ask = async (service: Sent["service"], method: string, request: object): Promise<void> =>
      this.#recognise(
        endpoint,
        await endpoint.callToCheck({ service, method, request, token: undefined }, requestTimeoutMs),
      );
    try {
      await ask("KV", "range", { key: Buffer.from(prefix), count_only: true });
    } catch (error) {
      if (isEndpointFault(error) || error instanceof Problem) throw error;
      await ask("Cluster", "memberList", {});
      throw error;
    }
  }

  async #ask(endpoint: Endpoint, sent: Sent): Promise<unknown> {
    const response = await endpoint.call(sent, this.#options.settings.requestTimeoutMs);
    this.#recognise(endpoint, response);
    return response;
  }

  async #firstOf(
    endpoint: Endpoint,
    sent: Sent,
    { doubtMs, timeoutMs }: { readonly doubtMs: number; readonly timeoutMs: number },
  ): Promise<OpenStream> {
    const { clock } = this.#options;
    const stream = await endpoint.open(sent);
    const over = new AbortController();
    const sentMs = clock.monotonicMs();
    const wait = async (): Promise<void> => {
      await clock.sleep(doubtMs, over.signal);
      endpoint.fail();
      await clock.sleep(timeoutMs - doubtMs, over.signal);
    };
    const late = wait().then(
      () => {
        stream.cancel();
        return true;
      },
      () => false, // answered in time
    );
    try {
      const first = await stream.next();
      this.#recognise(endpoint, first);
      if (clock.monotonicMs() >= sentMs + doubtMs) endpoint.pass();
      return { first, next: () => stream.next(), cancel: () => stream.cancel() };
    } catch (error) {
      stream.cancel();
      over.abort();
      throw (await late) ? new CallFailed(grpc.deadlineExceeded, `No answer within ${timeoutMs} ms`) : error;
    } finally {
      over.abort();
    }
  }

  /** Every answer names its cluster; one of another cluster is not used. The first to answer says which one it is. */
  #recognise(endpoint: Endpoint, response: unknown): void {
    const decimal = (response as { readonly header?: { readonly cluster_id?: string } | null }).header?.cluster_id;
    if (decimal === undefined || decimal === "0") return; // some answers have no header
    const found = hexId(decimal);
    this.#clusterId ??= found;
    if (found === this.#clusterId) {
      endpoint.own();
      return;
    }
    endpoint.disown();
    const ids = { known: this.#clusterId, found };
    const problem = this.#options.foreign?.(endpoint.url, ids) ?? mixed(endpoint.url, ids);
    if (!this.#toldForeign.has(endpoint.url)) this.#options.log.error("registry.foreign-cluster", problem);
    this.#toldForeign.add(endpoint.url);
    throw problem;
  }

  /** One attempt, bounded in time whatever the library does, and ended by the signals. What goes on after is not heard. */
  async #bounded<T>(
    what: string,
    { signal, timeoutMs }: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
    attempt: () => Promise<T>,
  ): Promise<T> {
    const stops = this.stops(what, signal);
    for (const stop of stops) if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
    await unlessStopped(this.#begin(), stops);
    const over = new AbortController();
    const late = this.#options.clock.sleep(timeoutMs * deadlineSlack, over.signal).then(() => {
      throw new CallFailed(grpc.deadlineExceeded, `No answer within ${timeoutMs} ms`);
    });
    try {
      return await unlessStopped(Promise.race([attempt(), late]), stops);
    } finally {
      over.abort();
    }
  }

  /** Runs `use` logged in if there is a user. A stale token was refused unlooked at: that one call is sent again. */
  async #loggedIn<T>(use: (token: string | undefined) => Promise<T>): Promise<T> {
    const token = await this.#login();
    try {
      return await use(token);
    } catch (error) {
      if (token === undefined || !isStaleToken(error)) throw error;
      this.#token = undefined;
      return await use(await this.#login());
    }
  }

  /**
   * Runs `use` on one endpoint; on another one as well if the first has certainly done nothing for the call, or belongs to
   * another cluster and was asked nothing that changes one.
   */
  async #onEndpoint<T>(method: string, use: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    for (let left = this.#endpoints.length; ; left--) {
      const endpoint = await this.#choose();
      try {
        return await use(endpoint);
      } catch (error) {
        if (isEndpointFault(error)) this.faults++;
        const failure = error instanceof Problem ? error : callFailed(error);
        const isUndone =
          failure instanceof CallFailed ? failure.isUndone : endpoint.isForeign && changeless.has(method);
        if (left <= 1 || !isUndone) throw failure;
      }
    }
  }

  /** Any endpoint that is good; while none is, the first to answer a check. Rejects with what the checks came to. */
  async #choose(): Promise<Endpoint> {
    for (const endpoint of this.#endpoints) endpoint.checkWhenRested();
    const good = this.#endpoints.filter((endpoint) => endpoint.isGood);
    const chosen = good[Math.floor(this.#options.clock.random() * good.length)];
    if (chosen !== undefined) {
      for (const endpoint of this.#endpoints) endpoint.letGoIfSilent();
      return chosen;
    }
    const errors: unknown[] = [];
    // one of another cluster is the last to be asked: it may have become one of ours
    for (const isForeign of [false, true]) {
      const asked = this.#endpoints.filter((endpoint) => endpoint.isForeign === isForeign);
      try {
        return await Promise.any(asked.map((endpoint) => endpoint.check().then(() => endpoint)));
      } catch (error) {
        const failures: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
        errors.push(...failures);
      }
    }
    throw errors.find((each) => each instanceof Problem) ?? errors[0];
  }

  /** One login at a time, shared by all calls; undefined without a user. */
  #login(): Promise<string | undefined> {
    const { username, password } = this.#options.settings;
    if (username === undefined) return Promise.resolve(undefined);
    if (this.#token !== undefined) return this.#token;
    const request = { name: username, password: password?.reveal() ?? "" };
    const sent: Sent = { service: "Auth", method: "authenticate", request, token: undefined };
    const token = this.#onEndpoint(sent.method, async (endpoint) => {
      const response = (await this.#ask(endpoint, sent)) as { readonly token: string };
      return response.token;
    });
    this.#token = token;
    token.catch(async (error: unknown) => {
      const isRefused = problemOf("log in", error).code === "registry-refused";
      // closed meanwhile: no matter
      if (isRefused) await this.#options.clock.sleep(refusedLoginMs, this.#closed.signal).catch(() => undefined);
      if (this.#token === token) this.#token = undefined;
    });
    return token;
  }

  /** Read once and used for all endpoints; read anew after a failure. */
  #readCredentials(): Promise<Credentials | undefined> {
    if (this.#credentials !== undefined) return this.#credentials;
    const reading = readCredentials(this.#options.settings);
    this.#credentials = reading;
    reading.catch(() => {
      if (this.#credentials === reading) this.#credentials = undefined;
    });
    return reading;
  }
}

/** etcd's 64-bit ids come as decimal text; people know them as hex. */
export function hexId(decimal: string): string {
  return BigInt(decimal).toString(16);
}

function mixed(url: string, { known, found }: { readonly known: string; readonly found: string }): Problem {
  return refused(
    `use etcd at "${url}"`,
    `It belongs to cluster ${found}, the other endpoints to cluster ${known}; name endpoints of one cluster only`,
  );
}

async function readCredentials(files: RegistrySettings): Promise<Credentials | undefined> {
  const authorities = files.caFile === undefined ? readRoots(files.endpoints) : readPem(files.caFile);
  const [ca, cert, key] = await Promise.all([authorities, readPem(files.certFile), readPem(files.keyFile)]);
  return ca === undefined && cert === undefined && key === undefined ? undefined : { ca, cert, key };
}

/** The host's own; undefined where nothing is asked over TLS. */
async function readRoots(endpoints: readonly string[]): Promise<Buffer | undefined> {
  if (!endpoints.some((url) => url.startsWith("https:"))) return undefined;
  try {
    const roots = await systemRoots(process.env["SSL_CERT_FILE"]);
    return Buffer.from(roots.map(String).join("\n"));
  } catch (error) {
    throw refused("read the certificates that SSL_CERT_FILE names", "Check its path and its rights", error);
  }
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw refused(`read registry certificate file "${path}"`, "Check the path and its rights", error);
  }
}
