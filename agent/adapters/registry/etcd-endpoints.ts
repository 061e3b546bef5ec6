// Which endpoints to use, by what the cluster says of its members; and the file that keeps them for the next start. Pure.
// Given to etcd-membership.ts.
import { type Checked, Problem, invalid, valid } from "../../domain/problem.ts";
import type { EtcdMember } from "../../ports/etcd-cluster.ts";

/** More are not used: clusters have up to nine members, with one or two client URLs each. */
export const maxLearned = 32;
const maxFileChars = 64 * 1024;

export interface KeptEndpoints {
  /** Lowercase hex. */
  readonly clusterId: string;
  /** Of the members when last heard of; may be empty. */
  readonly endpoints: readonly string[];
}

/**
 * The client URLs of started, voting members, in the members' order, each once: of the scheme that is configured, and none
 * that leads each machine to itself, unless one that is configured does so too. Empty: nothing usable was said.
 */
export function learnedEndpoints(configured: readonly string[], members: readonly EtcdMember[]): readonly string[] {
  const schemes = new Set(configured.map((url) => new URL(url).protocol));
  const localIsFine = configured.some((url) => isLocal(new URL(url).hostname));
  const urls = members
    .filter(({ name, isLearner }) => name !== "" && !isLearner)
    .flatMap(({ clientUrls }) => clientUrls)
    .flatMap((text) => (URL.canParse(text) ? [new URL(text)] : []))
    .filter(({ protocol, hostname }) => schemes.has(protocol) && hostname !== "")
    .filter(({ hostname }) => !isUnspecified(hostname) && (localIsFine || !isLocal(hostname)));
  return [...new Set(urls.map(({ origin }) => origin))].slice(0, maxLearned);
}

/** What was kept or learned first, then what is configured; each once, and of the configured scheme only. */
export function allEndpoints(configured: readonly string[], learned: readonly string[]): readonly string[] {
  const schemes = new Set(configured.map((url) => new URL(url).protocol));
  return [...new Set([...learned.filter((url) => schemes.has(new URL(url).protocol)), ...configured])];
}

export function encodeKept({ clusterId, endpoints }: KeptEndpoints): string {
  return `${JSON.stringify({ clusterId, endpoints }, null, 2)}\n`;
}

export function parseKept(text: string): Checked<KeptEndpoints> {
  let value: unknown;
  try {
    value = text.length > maxFileChars ? undefined : JSON.parse(text);
  } catch (error) {
    return invalid(new Problem("endpoints-shape", "Cannot read the kept endpoints of etcd", { cause: error }));
  }
  const { clusterId, endpoints } = (value ?? {}) as { readonly clusterId?: unknown; readonly endpoints?: unknown };
  const isGood =
    typeof clusterId === "string" &&
    /^[0-9a-f]{1,16}$/.test(clusterId) &&
    Array.isArray(endpoints) &&
    endpoints.length <= maxLearned &&
    endpoints.every((each) => typeof each === "string" && URL.canParse(each) && new URL(each).origin === each);
  if (isGood) return valid({ clusterId, endpoints: endpoints as readonly string[] });
  const hint = "It must hold a clusterId in hex, and endpoints like http://HOST:PORT";
  return invalid(new Problem("endpoints-shape", "Cannot read the kept endpoints of etcd", { hint }));
}

/** Leads each machine to itself: localhost, 127.0.0.0/8, ::1. */
function isLocal(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\])$/.test(hostname);
}

/** An address to listen on, not one to connect to: 0.0.0.0, ::. */
function isUnspecified(hostname: string): boolean {
  return /^(0\.0\.0\.0|\[::\]|\[::ffff:0:0\])$/.test(hostname);
}
