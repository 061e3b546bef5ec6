// A metadata service as a tree of values below one address. Given to the sources that speak to one.
import { networkInterfaces } from "node:os";
import type { MetadataHttp } from "./metadata-http.ts";
import { maxUserDataBytes, noUserData } from "./source.ts";

/** Where nearly all of them answer. */
export const usualAddress = "http://169.254.169.254";
/** Interfaces that a service may be behind. */
const maxInterfaces = 4;

/** The usual address, and the same service over IPv6 on each interface, for machines that have nothing else. */
export function usualAddresses(): readonly string[] {
  const names = Object.entries(networkInterfaces())
    .filter(([, addresses = []]) => addresses.some(({ address }) => address.startsWith("fe80:")))
    .map(([name]) => name)
    .filter((name) => /^[A-Za-z0-9_.-]+$/.test(name));
  return [usualAddress, ...names.slice(0, maxInterfaces).map((name) => `http://[fe80::a9fe:a9fe%${name}]`)];
}

export interface ServiceOptions {
  /** The part of the URL that all paths share, with "/" at its end. */
  readonly base: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Service {
  /** A value as text, trimmed; undefined when there is none or it is empty. */
  text(path: string): Promise<string | undefined>;
  bytes(path: string, mostBytes?: number): Promise<Buffer | undefined>;
  /** As it is; empty when there is none. */
  userData(path: string): Promise<Uint8Array>;
}

/** Calls reject as `MetadataHttp.ask`; a status of 4xx means that there is no such value. */
export function serviceAt(http: MetadataHttp, { base, headers = {} }: ServiceOptions): Service {
  const bytes: Service["bytes"] = async (path, mostBytes) => {
    const url = `${base}${path}`;
    const answer = await http.ask({ url, headers, ...(mostBytes === undefined ? {} : { mostBytes }) });
    return answer.kind === "answered" ? answer.body : undefined;
  };
  return {
    bytes,
    async text(path) {
      const text = (await bytes(path))?.toString("utf8").trim();
      return text === "" ? undefined : text;
    },
    userData: async (path) => (await bytes(path, maxUserDataBytes)) ?? noUserData,
  };
}
