// Asks etcd's peer URLs who is in the cluster, for a machine that knows no client URL yet (etcd's own `GET /members`).
// Given to discovery through wire. Straight to the peers: no proxy, no redirect; bounded in size and time.
import { readFile } from "node:fs/promises";
import type { EtcdMember, EtcdMembers } from "../../ports/etcd-cluster.ts";
import { type PlainAnswer, type TlsTexts, plainRequest } from "../plain-http.ts";
import { aborted, refused, unreachable } from "./calls.ts";

/** Peers are asked side by side; more than these are not asked. */
const maxPeers = 32;
const maxAnswerBytes = 256 * 1024;
const defaultTimeoutMs = 3_000;

/** PEM files; each may be left out: the host's own authorities, no client certificate. */
export interface PeerTls {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface PeerOptions {
  readonly tls?: PeerTls | undefined;
  /** For each peer, from connecting to the last byte; 3,000 unless set. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The members as the first of the peers to answer sees them. Nobody has agreed on it: a peer that was cut off may tell an old
 * list. Rejects with Problem "registry-unreachable" (none answered as etcd does; all that they said is the cause),
 * "registry-refused" (a certificate file cannot be read; no peer URL) or "aborted".
 */
export async function membersOverPeer(peerUrls: readonly string[], options: PeerOptions = {}): Promise<EtcdMembers> {
  const { timeoutMs = defaultTimeoutMs, signal } = options;
  const what = `ask etcd's peers for their members at ${peerUrls.slice(0, 3).join(", ").slice(0, 256)}`;
  if (peerUrls.length === 0) throw refused("ask etcd's peers for their members", "There is no peer URL");
  const tls = await readTls(options.tls ?? {});
  const over = new AbortController();
  const signals = [over.signal, ...(signal === undefined ? [] : [signal])];
  try {
    return await Promise.any(
      peerUrls.slice(0, maxPeers).map(async (url) => {
        try {
          const limits = { timeoutMs, maxBytes: maxAnswerBytes, signal: AbortSignal.any(signals) };
          return parseMembers(await plainRequest({ url: new URL("/members", url).href, tls, ...limits }));
        } catch (error) {
          throw new Error(`${url}: ${wordsOf(error)}`);
        }
      }),
    );
  } catch (error) {
    if (signal?.aborted === true) throw aborted(what, signal.reason);
    throw unreachable(
      what,
      error,
      "Check that etcd runs there, and that its peer port can be reached from this machine",
    );
  } finally {
    over.abort();
  }
}

function parseMembers({ status, headers, text }: PlainAnswer): EtcdMembers {
  const clusterId = String(headers["x-etcd-cluster-id"] ?? "").toLowerCase();
  if (status !== 200) throw new Error(`HTTP status ${status}`);
  if (!/^[0-9a-f]{1,16}$/.test(clusterId)) throw new Error("this is not etcd");
  // Ids are numbers of 64 bits, which JSON's reader would round. Within a JSON text this pattern can only be a key.
  const value: unknown = JSON.parse(text.replace(/"id":\s*(\d+)/g, '"id":"$1"'));
  if (!Array.isArray(value) || value.length === 0) throw new Error("this is not etcd");
  const members = value.map(readMember).sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
  return { clusterId: clusterId.replace(/^0+(?=.)/, ""), members };
}

/** As etcd's own type says: what is empty is left out. */
function readMember(value: unknown): EtcdMember {
  const { id, name, peerURLs, clientURLs, isLearner } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof id !== "string" || !/^\d{1,20}$/.test(id) || !isTextList(peerURLs)) throw new Error("this is not etcd");
  return {
    id: BigInt(id).toString(16),
    name: typeof name === "string" ? name : "",
    peerUrls: peerURLs,
    clientUrls: isTextList(clientURLs) ? clientURLs : [],
    isLearner: isLearner === true,
  };
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

async function readTls({ caFile, certFile, keyFile }: PeerTls): Promise<TlsTexts> {
  const [ca, cert, key] = await Promise.all([readPem(caFile), readPem(certFile), readPem(keyFile)]);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw refused(`read etcd's peer certificate file "${path}"`, "Check the path and its rights", error);
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof SyntaxError) return "this is not etcd";
  return error instanceof Error ? error.message : String(error);
}
