// Reads the body of a request: JSON of a bounded size, within a bounded time, and refused before it is read where that can be
// told. Knows no web framework, so that every wing of the API can use it.
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";

/** A unit of the greatest size that is taken, with its escapes, and room. */
export const maxBodyBytes = 512 * 1024;
/** From the first look until the last byte. */
export const bodyTimeoutMs = 10_000;

export interface BodyOptions {
  readonly clock: Clock;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

/**
 * The parsed JSON of a request's body. Rejects with Problem "api-body-type" (it says that it is something else),
 * "api-body-size", "api-body-time", "api-body-json" (no JSON, no UTF-8, nothing) or "aborted".
 */
export async function readJsonBody(request: Request, options: BodyOptions): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  if (type === "" && saidBytes(request) === 0 && !request.headers.has("transfer-encoding")) throw noBody();
  // Also what keeps a web page of somebody else's from asking in its reader's name
  if (!/^application\/json *(;|$)/i.test(type)) {
    throw new Problem("api-body-type", `Cannot take a body of type "${type.slice(0, 64)}"`, {
      hint: "Content-Type: application/json",
    });
  }
  return parse(await readBody(request, options));
}

/** Refuses a body where none is taken; an empty object from a careful client is let pass. */
export function refuseBody(request: Request): void {
  const hint = "Send none";
  if (request.headers.has("transfer-encoding")) {
    throw new Problem("api-body-length", "Cannot take a body of unknown length", { hint });
  }
  if (saidBytes(request) > maxIdleBytes) {
    throw new Problem("api-body-size", `Cannot take a body of more than ${maxIdleBytes} bytes`, { hint });
  }
}

/** What is left unread of a request: no more than this is on its way. */
const maxIdleBytes = 4096;

function saidBytes(request: Request): number {
  return Number(request.headers.get("content-length") ?? "0");
}

/** The bytes of a request's body, of whatever type. Rejects as `readJsonBody` does, but for what is no JSON. */
export async function readBody(request: Request, { clock, signal }: BodyOptions): Promise<Uint8Array> {
  if (saidBytes(request) > maxBodyBytes) throw tooLarge();
  if (request.body === null) return new Uint8Array();
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  const done = new AbortController();
  const alarm = clock.sleep(bodyTimeoutMs, AbortSignal.any([signal, done.signal])).then(
    (): never => {
      throw new Problem("api-body-time", `Cannot wait for the body longer than ${bodyTimeoutMs / 1000} s`);
    },
    (): never => {
      throw new Problem("aborted", "Cannot read the body: the client has gone");
    },
  );
  try {
    const chunks: Uint8Array[] = [];
    for (let bytes = 0; ;) {
      const { done: isOver, value } = await Promise.race([reader.read(), alarm]);
      if (isOver) return Buffer.concat(chunks);
      bytes += value.length;
      if (bytes > maxBodyBytes) throw tooLarge();
      chunks.push(value);
    }
  } catch (error) {
    // What still comes is nobody's; that it cannot be stopped changes nothing for the answer
    reader.cancel(error).catch(() => undefined);
    throw error;
  } finally {
    done.abort();
    alarm.catch(() => undefined); // told already, or no longer asked
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch (cause) {
    if (bytes.length === 0) throw noBody();
    throw new Problem("api-body-json", "Cannot read the body as JSON", { hint: bodyHint, cause });
  }
}

const bodyHint = "GET /v2/openapi.json says what it takes";

function noBody(): Problem {
  return new Problem("api-body-json", "Cannot read a body where there is none", { hint: bodyHint });
}

function tooLarge(): Problem {
  return new Problem("api-body-size", `Cannot take a body of more than ${maxBodyBytes} bytes`, {
    hint: "A unit has 256 KiB at most",
  });
}
