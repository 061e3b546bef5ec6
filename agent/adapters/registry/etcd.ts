// The registry on etcd (v3), for clusters of more than one machine. Knows etcd's messages for keys, leases and watches; how
// they reach a member is etcd-connection.ts's, which members there are etcd-membership.ts's.
import { Problem } from "../../domain/problem.ts";
import type { RegistrySettings } from "../../domain/settings.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log } from "../../ports/log.ts";
import type { Change, Entry, LeaseId, Registry, Snapshot, WatchBatch, WriteResult } from "../../ports/registry.ts";
import {
  type Transaction,
  checkKey,
  checkPrefix,
  checkTransaction,
  describeTransaction,
  refused,
  shownKey,
  unreachable,
} from "./calls.ts";
import { EtcdConnection, type OpenStream, type StreamCall, type UnaryCall } from "./etcd-connection.ts";
import { CallFailed, callFailed, grpc, isCompacted, isLeaseGone, isStaleToken, problemOf } from "./etcd-errors.ts";
import { type Keeping, Membership } from "./etcd-membership.ts";

/** Keys asked for in one page; fewer while the pages are larger than this many bytes. */
const pageKeys = 2_000;
const pageBytes = 8 * 1024 * 1024;
const fewestPageKeys = 16;
/** A snapshot overtaken by compactions is begun anew this often. */
const maxReadRestarts = 5;
/**
 * A renewal is worth less the longer it takes: after this the next one goes to another member, if there is one. Shorter than
 * the second after which a machine sends another, which would else go to the same one.
 */
const renewDoubtMs = 800;

export interface EtcdOptions {
  readonly settings: RegistrySettings;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the cluster's id and its endpoints are kept for the next start; without it they are not. */
  readonly keeping?: Keeping;
}

/**
 * Connects at the first call. `settings.endpoints` is not empty, and all https or all http. They are where the cluster is
 * first asked for; from then on its members' own client URLs are used as well. Another cluster than the one that was kept is
 * "registry-refused".
 */
export function createEtcdRegistry(options: EtcdOptions): Registry {
  return new EtcdRegistry(options);
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
  readonly header: Header | null;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}
interface WatchResponse {
  readonly header: Header | null;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  readonly events: readonly { readonly type: "Put" | "Delete"; readonly kv: KeyValue }[];
}

class EtcdRegistry implements Registry {
  readonly #connection: EtcdConnection;
  readonly #membership: Membership;
  readonly #prefix: string;

  constructor({ settings, clock, log, keeping }: EtcdOptions) {
    const membership = new Membership({ configured: settings.endpoints, keeping, clock, log });
    this.#prefix = settings.prefix;
    this.#membership = membership;
    this.#connection = new EtcdConnection({
      settings,
      clock,
      log,
      known: () => membership.known(),
      foreign: (url, ids) => membership.foreign(url, ids),
    });
  }

  async read(prefix: string, signal?: AbortSignal): Promise<Snapshot> {
    const what = prefix === "" ? "read the registry" : `read registry keys under ${shownKey(prefix)}`;
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
      const page = await this.#connection.unary<RangeResponse>(what, {
        service: "KV",
        method: "range",
        request,
        signal,
      });
      revision ??= revisionIn(page);
      let bytes = 0;
      for (const each of page.kvs) {
        entries.push(this.#entry(each));
        bytes += each.key.length + each.value.length;
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return { revision: whole(revision), entries };
      if (bytes > pageBytes) limit = Math.max(fewestPageKeys, Math.floor((limit * pageBytes) / bytes));
      if (last.key.compare(key) < 0) throw refused(what, "etcd sends the same keys again and again");
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
    return { entry: found === undefined ? undefined : this.#entry(found), revision: whole(revisionIn(response)) };
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
    const response = await this.#call<{ readonly header: Header | null; readonly succeeded: boolean }>(what, {
      service: "KV",
      method: "txn",
      request,
      signal,
    });
    return { applied: response.succeeded, revision: whole(revisionIn(response)) };
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

  async renewLease(id: LeaseId, signal?: AbortSignal): Promise<number> {
    const what = `renew lease "${id}"`;
    const request = { ID: id };
    const call: StreamCall = { service: "Lease", method: "leaseKeepAlive", request, signal, doubtMs: renewDoubtMs };
    const stream = await this.#stream(what, call);
    stream.cancel();
    const first = stream.first as { readonly TTL: string; readonly header: Header | null };
    if (whole(first.TTL) <= 0) throw new Problem("lease-lost", `Cannot ${what}`, { hint: "The lease has ended" });
    return whole(revisionIn(first));
  }

  async leaseLeftMs(id: LeaseId, signal?: AbortSignal): Promise<number> {
    const request = { ID: id, keys: false };
    const response = await this.#call<{ readonly TTL: string }>(`ask after lease "${id}"`, {
      service: "Lease",
      method: "leaseTimeToLive",
      request,
      signal,
    });
    return Math.max(0, Number(response.TTL)) * 1000; // -1: there is no such lease
  }

  async revokeLease(id: LeaseId, signal?: AbortSignal): Promise<void> {
    const what = `revoke lease "${id}"`;
    try {
      await this.#connection.unary(what, { service: "Lease", method: "leaseRevoke", request: { ID: id }, signal });
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
    const call: StreamCall = { service: "Watch", method: "watch", request: { create_request: request }, signal };
    const stream = await this.#stream(what, call);
    const stops = this.#connection.stops(what, signal);
    for (const { signal: each } of stops) {
      if (each.aborted) stream.cancel();
      else each.addEventListener("abort", stream.cancel, { once: true });
    }
    try {
      // From here on the place is our own: a header's revision says where etcd is, not what it has sent.
      let done = from - 1;
      const first = this.#batch(what, stream.first as WatchResponse, done);
      done = first.revision;
      yield first;
      for (;;) {
        const batch = this.#batch(what, await this.#nextOf(what, stream, signal), done);
        if (batch.revision === done && batch.changes.length === 0) continue;
        done = batch.revision;
        yield batch;
      }
    } finally {
      for (const each of stops) each.signal.removeEventListener("abort", stream.cancel);
      stream.cancel();
    }
  }

  async #nextOf(what: string, stream: OpenStream, signal: AbortSignal): Promise<WatchResponse> {
    try {
      return (await stream.next()) as WatchResponse;
    } catch (error) {
      for (const stop of this.#connection.stops(what, signal))
        if (stop.signal.aborted) throw stop.problem(stop.signal.reason);
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
    if (response.created && whole(revisionIn(response)) < done) {
      throw new Problem("watch-compacted", `Cannot ${what} from revision ${done + 1}`, {
        hint: `etcd is at ${revisionIn(response)}: it was put back to an earlier state, or is behind; read anew`,
      });
    }
    if (response.events.some(isEmpty))
      throw unreachable(what, new Error("etcd sent an event without a key"), "The watch may be taken up again");
    if (response.created && response.events.length === 0) return { revision: done, changes: [] };
    const changes = response.events.map(({ type, kv }): Change => {
      if (type === "Put") return { kind: "put", entry: this.#entry(kv) };
      return { kind: "delete", key: this.#key(kv.key), revision: whole(kv.mod_revision) };
    });
    const last = response.events.at(-1);
    // Without events it is a progress note: etcd sends those only to watches that have been sent everything so far.
    const revision = whole(last === undefined ? revisionIn(response) : last.kv.mod_revision);
    return { revision: Math.max(revision, done), changes };
  }

  /** etcd ends a watch at a compacted revision, and for reasons it does not always give: then only reading anew is safe. */
  #canceled(what: string, { compact_revision, cancel_reason }: WatchResponse): Problem {
    const cause = new CallFailed(grpc.outOfRange, cancel_reason === "" ? "etcd ended the watch" : cancel_reason);
    if (isStaleToken(cause)) {
      this.#connection.forgetLogin();
      return unreachable(what, cause, "etcd has forgotten the login; the watch may be taken up again");
    }
    if (compact_revision === "0" && /permission denied/i.test(cancel_reason)) return problemOf(what, cause);
    return new Problem("watch-compacted", `Cannot ${what}`, {
      hint: "That far back the history is no longer kept; read anew",
      cause,
    });
  }

  async close(): Promise<void> {
    await this.#connection.close();
    await this.#membership.settled();
  }

  /** A unary call; rejects with Problems. */
  async #call<Response>(what: string, call: UnaryCall): Promise<Response> {
    const response = await this.#connection.call<Response>(what, call);
    this.#membership.look(this.#connection);
    return response;
  }

  /** A stream that etcd has answered on; rejects with Problems. */
  async #stream(what: string, call: StreamCall): Promise<OpenStream> {
    const stream = await this.#connection.stream(what, call);
    this.#membership.look(this.#connection);
    return stream;
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

/** The key after all keys that begin with these bytes (etcd's range_end). Keys are ASCII, so the last byte never overflows. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

/** Where etcd is, as every answer of its says. */
function revisionIn({ header }: { readonly header: Header | null }): string {
  if (header !== null) return header.revision;
  throw refused("understand etcd's answer", "It has no header: is it etcd that answers there?");
}

/** protobuf lets an event come without what changed. */
function isEmpty({ kv }: { readonly kv: KeyValue | null }): boolean {
  return kv === null;
}

/** etcd's 64-bit numbers come as text. */
function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw refused(`read etcd's number "${text.slice(0, 32)}"`, "It is not a whole number below 2^53");
  return value;
}
