// A new token from a discovery service, and the random bits of one.
import { randomBytes } from "node:crypto";
import { Problem } from "../domain/problem.ts";
import { plainRequest } from "./plain-http.ts";

const timeoutMs = 10_000;
/** A URL with a token. */
const maxAnswerBytes = 4_096;

/** 128 random bits as 32 lowercase hex digits. */
export function randomToken(): string {
  return randomBytes(16).toString("hex");
}

export interface TokenAsk {
  /** Of the service: scheme, host and port. */
  readonly url: string;
  readonly size: number;
  /** PEM text; undefined: the host's own authorities. */
  readonly ca: string | undefined;
}

/** The token's whole URL. Rejects with Problem "discovery-service": it cannot be reached, or it refuses. */
export async function askForToken({ url, size, ca }: TokenAsk, signal: AbortSignal): Promise<string> {
  const what = `Cannot get a token from ${url}`;
  const asked = `${url}/new?size=${size}`;
  const answer = await plainRequest({
    ...{ url: asked, method: "POST", tls: { ca }, timeoutMs, maxBytes: maxAnswerBytes, signal },
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new Problem("discovery-service", what, {
      hint: "Does flotilla discovery serve run there? --at URL names another service",
      cause,
    });
  });
  const text = answer.text.trim();
  if (answer.status === 200 && /^https?:\/\/[^\s/]+\/[0-9a-f]{32}$/.test(text)) return text;
  throw new Problem("discovery-service", `${what}: it answered ${answer.status}, ${text.slice(0, 200)}`, {
    hint: "Is it flotilla that serves there, and of this version?",
  });
}
