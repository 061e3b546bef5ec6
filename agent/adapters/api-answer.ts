// Puts answers on a connection: those of the application piece by piece, as fast as the client takes them, and the server's
// own refusals, which have the shape of every other failure. For api-server.ts and its connections.
import { STATUS_CODES, type ServerResponse } from "node:http";

/** A piece of an answer that is handed to the socket at once; the next one waits until this one has been taken. */
const pieceBytes = 64 * 1024;

/** Why a request gets no further than the server. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 408 | 413 | 417 | 429 | 431 | 500 | 503;
  readonly code: string;
  /** As a Problem's: the action and the value, without a full stop. */
  readonly message: string;
  readonly hint?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `{"error":{code,message,hint?}}`; below /fleet/v1 and /v1-alpha fleet's own, whose code is the number of the status. */
export function entityText({ status, code, message, hint }: Refusal, path: string): string {
  const isFleet = /^\/(fleet\/v1|v1-alpha)(\/|\?|$)/.test(path);
  const error = isFleet
    ? { code: status, message: hint === undefined ? message : `${message}: ${hint}` }
    : { code, message, ...(hint === undefined ? {} : { hint }) };
  return `${JSON.stringify({ error })}\n`;
}

/** The last answer on its connection: what the client has sent beside is not looked at. */
export function refuse(outgoing: ServerResponse, refusal: Refusal, path: string): void {
  if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
  const body = entityText(refusal, path);
  outgoing.writeHead(refusal.status, {
    ...refusal.headers,
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    Connection: "close",
  });
  outgoing.end(body);
}

/** A whole HTTP answer, for a connection that the HTTP parser has given up or never had. */
export function rawRefusal(refusal: Refusal): string {
  const body = entityText(refusal, "/v2");
  const head = [
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ""}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** What is said of an answer on its way, for those who watch over slow readers. */
export interface Progress {
  /** The client has taken something, or there is something new: so many bytes of it are still in this process. */
  unread(bytes: number): void;
}

/**
 * Sends the answer, with its length when it is all there and else in chunks. At most one piece of it stands in the socket,
 * so that a client that reads nothing is seen. Resolves when all of it has been handed over or the client has gone.
 */
export async function sendAnswer(response: Response, outgoing: ServerResponse, progress: Progress): Promise<void> {
  const headers = Object.fromEntries(response.headers);
  if (response.body === null) {
    outgoing.writeHead(response.status, headers);
    outgoing.end();
    return;
  }
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const gone = (): void => void reader.cancel().catch(() => undefined); // what the stream says to that is nobody's any more
  outgoing.once("close", gone);
  try {
    const first = reader.read();
    const start = await soon(first);
    const second = start?.done === false ? reader.read() : undefined;
    const isWhole = start?.done === true || (second !== undefined && (await soon(second))?.done === true);
    if (isWhole && headers["content-length"] === undefined) {
      delete headers["transfer-encoding"];
      headers["content-length"] = String(start?.value?.length ?? 0);
    }
    if (outgoing.destroyed) return;
    outgoing.writeHead(response.status, headers);
    if (start === undefined) outgoing.flushHeaders();
    for (let next = first; ; next = next === first && second !== undefined ? second : reader.read()) {
      const { done, value } = await next;
      if (done) break;
      if (!(await sendPieces(value, outgoing, progress))) return;
    }
    outgoing.end();
  } catch (error) {
    // It broke in the middle: only a broken connection tells the client so
    outgoing.destroy(error instanceof Error ? error : undefined);
  } finally {
    outgoing.off("close", gone);
  }
}

/** False when the client has gone. */
async function sendPieces(bytes: Uint8Array, outgoing: ServerResponse, progress: Progress): Promise<boolean> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (outgoing.destroyed) return false;
    progress.unread(bytes.length - at);
    if (!outgoing.write(bytes.subarray(at, at + pieceBytes)) && !(await drained(outgoing))) return false;
  }
  progress.unread(0);
  return !outgoing.destroyed;
}

/** Resolves with false when there is nobody left to take anything. */
function drained(outgoing: ServerResponse): Promise<boolean> {
  if (outgoing.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const settle = (isOpen: boolean): void => {
      outgoing.off("drain", onDrain);
      outgoing.off("close", onClose);
      resolve(isOpen);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    outgoing.on("drain", onDrain);
    outgoing.on("close", onClose);
  });
}

/** What is there already, or undefined. */
function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([promise, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]);
}
