// The registry on etcd (v3), for clusters of more than one machine. Uses etcd3's connections and messages only: its own
// retries, watches, leases and elections lose writes, events and leadership. The one importer of etcd3 and cockatiel,
// both loaded at the first call.
import { readFile } from "node:fs/promises";
import type { ConnectionPool } from "etcd3/lib/connection-pool.js";
import { Problem } from "../../domain/problem.ts";
import type { RegistrySettings } from "../../domain/settings.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { Change, Entry, LeaseId, Registry, Snapshot, WatchBatch, WriteResult } from "../../ports/registry.ts";
import {
  type Stop,
  type Transaction,
  aborted,
  checkKey,
  checkPrefix,
  checkTransaction,
  describeTransaction,
  refused,
  shownKey,
  unlessStopped,
  unreachable,
} from "./calls.ts";
import {
  CallFailed,
  callFailed,
  grpc,
  isCompacted,
  isEndpointFault,
  isLeaseGone,
  isStaleToken,
  problemOf,
} from "./etcd-errors.ts";

/** Keys asked for in one page; fewer while the pages are larger than this many bytes. */
const pageKeys = 2_000;
const pageBytes = 8 * 1024 * 1024;
const fewestPageKeys = 16;
/** A snapshot overtaken by compactions is begun anew this often. */
const maxReadRestarts = 5;
/** A renewal is worth less the longer it takes: its deadline is never longer than this. */
const longestRenewMs = 1_000;
/** An endpoint that failed this often in a row is left alone for a while, if there are others. */
const failuresInARow = 3;
const leaveAloneMs = 1_000;
/** A refused password is not tried again for this long: each try costs etcd a quarter of a second. */
const refusedLoginMs = 1_000;
/** etcd punishes pings that come more often than every 5 s. */
const pingEveryMs = 10_000;
const pingTimeoutMs = 3_000;
/** Pauses between attempts to connect; gRPC's own would grow to two minutes. */
const firstReconnectMs = 200;
const longestReconnectMs = 2_000;
/** Longer than the deadline of a call, which has first to be heard of. */
const deadlineSlack = 1.25;

export interface EtcdOptions {
  readonly settings: RegistrySettings;
  readonly clock: Clock;
  readonly log: Log;
}

/** Connects at the first call. `settings.endpoints` is not empty, and all https or all http. */
export function createEtcdRegistry(options: EtcdOptions): Registry {
  return new EtcdRegistry(options);
}

type ServiceName = "KV" | "Lease" | "Watch" | "Auth";
type Metadata = Parameters<Parameters<ConnectionPool["withConnection"]>[1]>[0]["metadata"];

interface DuplexStream extends AsyncIterable<unknown> {
  write(message: object): void;
  cancel(): void;
  on(event: "error", listener: (error: Error) => void): void;
}

/** A gRPC service object, as far as it is used here: generated from etcd's proto files at run time, and so without types. */
interface Service {
  readonly [method: string]: (...args: readonly unknown[]) => unknown;
}

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly lease: string;
}
interface Header {
  readonly revision: string;
}
interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}
interface WatchResponse {
  readonly header: Header;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly events: readonly { readonly type: "Put" | "Delete"; readonly kv: KeyValue }[];
}

class EtcdRegistry implements Registry {
  readonly #settings: RegistrySettings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #prefix: string;
  readonly #closed = new AbortController();
  #pool: Promise<ConnectionPool> | undefined;
  #token: Promise<string> | undefined;
  /** The last fault of an endpoint, to be told while all of them are being left alone. */
  #lastFault: CallFailed | undefined;

  constructor({ settings, clock, log }: EtcdOptions) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#prefix = settings.prefix;
  }

  async read(prefix: string, signal?: AbortSignal): Promise<Snapshot> {
    const what = `read registry keys under ${shownKey(prefix)}`;
    checkPrefix(what, prefix);
    for (let restarts = 0; ; restarts++) {
      try {
        return await this.#readPages(what, prefix, signal);
      } catch (error) {
        if (isCompacted(error) && restarts < maxReadRestarts) continue;
        throw problemOf(what, error);
      }
    }
  }

  /** Rejects with CallFailed when the first page's revision is compacted on the way. */
  async #readPages(what: string, prefix: string, signal: AbortSignal | undefined): Promise<Snapshot> {
    const end = endOf(this.#bytes(prefix));
    const entries: Entry[] = [];
    let key = this.#bytes(prefix);
    let revision: string | undefined;
    let limit = pageKeys;
    for (;;) {
      const request = { key, range_end: end, limit, ...(revision === undefined ? {} : { revision }) };
      const page = await this.#unary<RangeResponse>(what, { service: "KV", method: "range", request, signal });
      revision ??= page.header.revision;
      let bytes = 0;
      for (const each of page.kvs) {
        entries.push(this.#entry(each));
        bytes += each.key.length + each.value.length;
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return { revision: whole(revision), entries };
      if (bytes > pageBytes) limit = Math.max(fewestPageKeys, Math.floor((limit * pageBytes) / bytes));
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  async get(
    key: string,
    signal?: AbortSignal,
  ): Promise<{ readonly entry: Entry | undefined; readonly revision: number }> {
    const what = `read registry key ${shownKey(key)}`;
    checkKey(what, key);
    const request = { key: this.#bytes(key) };
    const response = await this.#call<RangeResponse>(what, { service: "KV", method: "range", request, signal });
    const found = response.kvs[0];
    return { entry: found === undefined ? undefined : this.#entry(found), revision: whole(response.header.revision) };
  }

  async write(transaction: Transaction, signal?: AbortSignal): Promise<WriteResult> {
    const what = describeTransaction(transaction);
    checkTransaction(what, transaction);
    const compare = transaction.guards.map(({ kind, key, revision }) => ({
      key: this.#bytes(key),
      result: "Equal",
      ...(kind === "created"
        ? { target: "Create", create_revision: String(revision) }
        : { target: "Mod", mod_revision: String(revision) }),
    }));
    const success = transaction.writes.map((write) =>
      write.kind === "delete"
        ? { request_delete_range: { key: this.#bytes(write.key) } }
        : { request_put: { key: this.#bytes(write.key), value: Buffer.from(write.value), lease: write.lease ?? "0" } },
    );
    const request = { compare, success, failure: [] };
    const response = await this.#call<{ readonly header: Header; readonly succeeded: boolean }>(what, {
      service: "KV",
      method: "txn",
      request,
      signal,
    });
    return { applied: response.succeeded, revision: whole(response.header.revision) };
  }

  async grantLease(ttlMs: number, signal?: AbortSignal): Promise<{ readonly id: LeaseId; readonly ttlMs: number }> {
    const what = `get a lease of ${ttlMs} ms`;
    if (!(ttlMs > 0)) throw refused(what, "A lease lasts longer than 0 ms");
    const request = { TTL: String(Math.ceil(ttlMs / 1000)), ID: "0" };
    const response = await this.#call<{ readonly ID: string; readonly TTL: string }>(what, {
      service: "Lease",
      method: "leaseGrant",
      request,
      signal,
    });
    return { id: response.ID as LeaseId, ttlMs: whole(response.TTL) * 1000 };
  }

  async renewLease(id: LeaseId, signal?: AbortSignal): Promise<void> {
    const what = `renew lease "${id}"`;
    const timeoutMs = Math.min(this.#settings.requestTimeoutMs, longestRenewMs);
    const { TTL } = await this.#bounded(what, { signal, timeoutMs }, () =>
      this.#connected("Lease", async (service, metadata) => {
        const stream = openStream(service, "leaseKeepAlive", [metadata, { deadline: this.#deadline(timeoutMs) }]);
        try {
          stream.write({ ID: id });
          return (await firstOf(stream[Symbol.asyncIterator]())) as { readonly TTL: string };
        } finally {
          stream.cancel();
        }
      }),
    );
    if (whole(TTL) <= 0) throw new Problem("lease-lost", `Cannot ${what}`, { hint: "The lease has ended" });
  }

  async revokeLease(id: LeaseId, signal?: AbortSignal): Promise<void> {
    const what = `revoke lease "${id}"`;
    try {
      await this.#unary(what, { service: "Lease", method: "leaseRevoke", request: { ID: id }, signal });
    } catch (error) {
      if (!isLeaseGone(error)) throw problemOf(what, error);
    }
  }

  async *watch(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    const what = `watch registry keys under ${shownKey(prefix)}`;
    checkPrefix(what, prefix);
    const request = {
      key: this.#bytes(prefix),
      range_end: endOf(this.#bytes(prefix)),
      start_revision: String(from),
      progress_notify: true,
    };
    const { stream, responses, first } = await this.#openWatch(what, request, signal);
    const stop = (): void => stream.cancel();
    const signals = [signal, this.#closed.signal];
    for (const each of signals) each.addEventListener("abort", stop, { once: true });
    try {
      // From here on the place is our own: a header's revision says where etcd is, not what it has sent.
      let done = from - 1;
      yield this.#batch(what, first, done);
      for (;;) {
        const batch = this.#batch(what, await this.#nextOf(what, responses, signal), done);
        if (batch.revision === done && batch.changes.length === 0) continue;
        done = batch.revision;
        yield batch;
      }
    } finally {
      for (const each of signals) each.removeEventListener("abort", stop);
      stream.cancel();
    }
  }

  /** Resolves once etcd has taken the watch, so that a dead endpoint counts as failed before it is trusted with one. */
  async #openWatch(
    what: string,
    request: object,
    signal: AbortSignal,
  ): Promise<{ stream: DuplexStream; responses: AsyncIterator<unknown>; first: WatchResponse }> {
    const timeoutMs = this.#settings.requestTimeoutMs;
    let isWanted = true;
    const attempt = (): Promise<{ stream: DuplexStream; responses: AsyncIterator<unknown>; first: WatchResponse }> =>
      this.#connected("Watch", async (service, metadata) => {
        const stream = openStream(service, "watch", [metadata]);
        const over = new AbortController();
        const late = this.#clock.sleep(timeoutMs, over.signal).then(
          () => stream.cancel(),
          () => undefined, // answered in time
        );
        try {
          stream.write({ create_request: request });
          const responses = stream[Symbol.asyncIterator]();
          const first = (await firstOf(responses)) as WatchResponse;
          if (!isWanted) stream.cancel();
          return { stream, responses, first };
        } catch (error) {
          stream.cancel();
          throw error;
        } finally {
          over.abort();
          await late;
        }
      });
    try {
      return await this.#bounded(what, { signal, timeoutMs }, attempt);
    } catch (error) {
      isWanted = false; // should it open all the same, nobody would end it
      throw error;
    }
  }

  async #nextOf(what: string, responses: AsyncIterator<unknown>, signal: AbortSignal): Promise<WatchResponse> {
    try {
      return (await firstOf(responses)) as WatchResponse;
    } catch (error) {
      for (const stop of this.#stops(what, signal)) if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
      throw unreachable(
        what,
        callFailed(error),
        "The connection broke; nothing is lost if the watch is taken up again",
      );
    }
  }

  /** `done`: the last revision of which everything was delivered. */
  #batch(what: string, response: WatchResponse, done: number): WatchBatch {
    if (response.canceled) throw this.#canceled(what, response);
    if (response.created && response.events.length === 0) return { revision: done, changes: [] };
    const changes = response.events.map(({ type, kv }): Change => {
      if (type === "Put") return { kind: "put", entry: this.#entry(kv) };
      return { kind: "delete", key: this.#key(kv.key), revision: whole(kv.mod_revision) };
    });
    const last = response.events.at(-1);
    // Without events it is a progress note: etcd sends those only to watches that have been sent everything so far.
    const revision = whole(last === undefined ? response.header.revision : last.kv.mod_revision);
    return { revision: Math.max(revision, done), changes };
  }

  /** etcd ends a watch at a compacted revision, and for reasons it does not always give: then only reading anew is safe. */
  #canceled(what: string, { compact_revision, cancel_reason }: WatchResponse): Problem {
    const cause = new CallFailed(grpc.outOfRange, cancel_reason === "" ? "etcd ended the watch" : cancel_reason);
    if (isStaleToken(cause)) {
      this.#token = undefined;
      return unreachable(what, cause, "etcd has forgotten the login; the watch may be taken up again");
    }
    if (compact_revision === "0" && /permission denied/i.test(cancel_reason)) return problemOf(what, cause);
    return new Problem("watch-compacted", `Cannot ${what}`, {
      hint: "That far back the history is no longer kept; read anew",
      cause,
    });
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new Error("The registry was closed"));
    const pool = await this.#pool?.catch(() => undefined); // what could not be opened needs no closing
    pool?.close();
  }

  /** A unary call; rejects with Problems. */
  async #call<Response>(what: string, call: UnaryCall): Promise<Response> {
    try {
      return await this.#unary<Response>(what, call);
    } catch (error) {
      throw problemOf(what, error);
    }
  }

  /** A unary call; rejects with CallFailed, or with a Problem when it was stopped or nobody answered. */
  async #unary<Response>(what: string, { service, method, request, signal }: UnaryCall): Promise<Response> {
    const timeoutMs = this.#settings.requestTimeoutMs;
    return this.#bounded(
      what,
      { signal, timeoutMs },
      () => this.#connected(service, (stub, metadata) => this.#send<Response>(stub, method, [request, metadata])),
      { raw: true },
    );
  }

  #send<Response>(
    service: Service,
    method: string,
    [request, metadata]: readonly [object, Metadata],
  ): Promise<Response> {
    const deadline = this.#deadline(this.#settings.requestTimeoutMs);
    return new Promise((resolve, reject) => {
      const answer = (error: Error | null, response: Response): void => {
        if (error === null) resolve(response);
        else reject(callFailed(error));
      };
      service[method]?.(request, metadata, { deadline }, answer);
    });
  }

  /** gRPC wants a moment of the wall clock and turns it into a span at once. */
  #deadline(timeoutMs: number): number {
    return this.#clock.wallMs() + timeoutMs;
  }

  /** One attempt, bounded in time whatever the library does, and ended by the signals. What goes on after is not heard. */
  async #bounded<T>(
    what: string,
    { signal, timeoutMs }: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
    attempt: () => Promise<T>,
    { raw = false } = {},
  ): Promise<T> {
    const stops = this.#stops(what, signal);
    for (const stop of stops) if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
    const over = new AbortController();
    const late = this.#clock.sleep(timeoutMs * deadlineSlack, over.signal).then(() => {
      throw new CallFailed(grpc.deadlineExceeded, `No answer within ${timeoutMs} ms`);
    });
    try {
      return await unlessStopped(Promise.race([attempt(), late]), stops);
    } catch (error) {
      throw raw ? error : problemOf(what, error);
    } finally {
      over.abort();
    }
  }

  #stops(what: string, signal: AbortSignal | undefined): readonly Stop[] {
    const problem = (reason: unknown): Problem => aborted(what, reason);
    const own = { signal: this.#closed.signal, problem };
    return signal === undefined ? [own] : [{ signal, problem }, own];
  }

  /** Runs `use` on an endpoint, logged in if there is a user. A stale token was refused unlooked at: that one call is sent again. */
  async #connected<T>(name: ServiceName, use: (service: Service, metadata: Metadata) => Promise<T>): Promise<T> {
    const token = await this.#login();
    try {
      return await this.#onEndpoint(name, token, use);
    } catch (error) {
      if (token === undefined || !isStaleToken(error)) throw error;
      this.#token = undefined;
      return await this.#onEndpoint(name, await this.#login(), use);
    }
  }

  async #onEndpoint<T>(
    name: ServiceName,
    token: string | undefined,
    use: (service: Service, metadata: Metadata) => Promise<T>,
  ): Promise<T> {
    const pool = await this.#open();
    const attempt = { isSent: false };
    try {
      return await pool.withConnection(name, async ({ client, metadata }) => {
        attempt.isSent = true;
        if (token !== undefined) metadata.set("token", token);
        return use(client as unknown as Service, metadata);
      });
    } catch (error) {
      if (attempt.isSent && isEndpointFault(error)) this.#lastFault = callFailed(error);
      throw attempt.isSent ? callFailed(error) : (this.#lastFault ?? callFailed(error));
    }
  }

  /** One login at a time, shared by all calls; undefined without a user. */
  #login(): Promise<string | undefined> {
    const { username, password } = this.#settings;
    if (username === undefined) return Promise.resolve(undefined);
    if (this.#token !== undefined) return this.#token;
    const request = { name: username, password: password?.reveal() ?? "" };
    const token = this.#onEndpoint("Auth", undefined, async (service, metadata) => {
      const response = await this.#send<{ readonly token: string }>(service, "authenticate", [request, metadata]);
      return response.token;
    });
    this.#token = token;
    token.catch(async (error: unknown) => {
      const isRefused = problemOf("log in", error).code === "registry-refused";
      if (isRefused) await this.#clock.sleep(refusedLoginMs, this.#closed.signal).catch(() => undefined); // closed: no matter
      if (this.#token === token) this.#token = undefined;
    });
    return token;
  }

  #open(): Promise<ConnectionPool> {
    if (this.#pool !== undefined) return this.#pool;
    const opening = this.#connect();
    this.#pool = opening;
    opening.catch(() => {
      if (this.#pool === opening) this.#pool = undefined; // a file may be readable next time
    });
    return opening;
  }

  async #connect(): Promise<ConnectionPool> {
    const { endpoints } = this.#settings;
    const [{ ConnectionPool }, policies, credentials] = await Promise.all([
      import("etcd3/lib/connection-pool.js"),
      import("cockatiel"),
      this.#credentials(),
    ]);
    const options: ConstructorParameters<typeof ConnectionPool>[0] = {
      hosts: [...endpoints],
      ...(credentials === undefined ? {} : { credentials }),
      grpcOptions: {
        "grpc.max_receive_message_length": -1,
        "grpc.keepalive_time_ms": pingEveryMs,
        "grpc.keepalive_timeout_ms": pingTimeoutMs,
        "grpc.initial_reconnect_backoff_ms": firstReconnectMs,
        "grpc.max_reconnect_backoff_ms": longestReconnectMs,
      },
      faultHandling: {
        global: policies.noop, // no call is repeated behind the caller's back
        host: () =>
          endpoints.length === 1
            ? policies.noop
            : policies.circuitBreaker(policies.handleWhen(isEndpointFault), {
                halfOpenAfter: leaveAloneMs,
                breaker: new policies.ConsecutiveBreaker(failuresInARow),
              }),
      },
    };
    this.#log.debug("registry.opened", { endpoints: endpoints.join(" ") });
    try {
      return new ConnectionPool(options);
    } catch (error) {
      throw refused("set up the connection to the registry", "Check its CA, certificate and key files", error);
    }
  }

  async #credentials(): Promise<{ rootCertificate: Buffer; privateKey: Buffer; certChain: Buffer } | undefined> {
    const { caFile, certFile, keyFile } = this.#settings;
    const [ca, cert, key] = await Promise.all([readPem(caFile), readPem(certFile), readPem(keyFile)]);
    if (ca === undefined && cert === undefined && key === undefined) return undefined;
    return {
      // Each may be undefined (the system's own authorities, no client certificate), which etcd3's type does not say.
      rootCertificate: ca as Buffer,
      privateKey: key as Buffer,
      certChain: cert as Buffer,
    };
  }

  #bytes(key: string): Buffer {
    return Buffer.from(`${this.#prefix}${key}`);
  }

  #key(bytes: Buffer): string {
    return bytes.toString("utf8").slice(this.#prefix.length);
  }

  #entry(kv: KeyValue): Entry {
    return {
      key: this.#key(kv.key),
      value: kv.value.toString("utf8"),
      createRevision: whole(kv.create_revision),
      modRevision: whole(kv.mod_revision),
      ...(kv.lease === "0" ? {} : { lease: kv.lease as LeaseId }),
    };
  }
}

interface UnaryCall {
  readonly service: ServiceName;
  readonly method: string;
  readonly request: object;
  readonly signal: AbortSignal | undefined;
}

/** Its errors are heard where it is read; those that come after must not end the process. */
function openStream(service: Service, method: string, args: readonly unknown[]): DuplexStream {
  const stream = service[method]?.(...args) as DuplexStream;
  stream.on("error", () => undefined);
  return stream;
}

/** The next message; rejects with CallFailed when there is none. */
async function firstOf(messages: AsyncIterator<unknown>): Promise<unknown> {
  let next: IteratorResult<unknown>;
  try {
    next = await messages.next();
  } catch (error) {
    throw callFailed(error);
  }
  if (next.done === true) throw new CallFailed(grpc.unavailable, "The stream ended");
  return next.value;
}

/** The key after all keys that begin with these bytes (etcd's range_end). Keys are ASCII, so the last byte never overflows. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

/** etcd's 64-bit numbers come as text. */
function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw refused(`read etcd's number "${text.slice(0, 32)}"`, "It is not a whole number below 2^53");
  return value;
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw refused(`read registry certificate file "${path}"`, "Check the path and its rights", error);
  }
}
