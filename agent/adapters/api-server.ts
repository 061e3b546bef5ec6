// Puts an HTTP application where it can be reached: on a unix socket of this user's own, on a TCP port, or on a
// socket that systemd holds. The one importer of @hono/node-server. A socket left behind by a dead agent is replaced; one
// that a living agent answers on, or that systemd made, is never touched.
import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { type Server, type ServerOptions, createServer as createPlainServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type Socket, connect } from "node:net";
import { dirname } from "node:path";
import { RequestError, getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { showAddress } from "../domain/listen.ts";
import { Problem } from "../domain/problem.ts";
import type { ApiHandler, ApiServer, TcpServer } from "../ports/api-server.ts";
import { type Refusal, rawRefusal, refuse, sendAnswer } from "./api-answer.ts";
import { Connections, type Exchange, type Limits, usualLimits } from "./api-connections.ts";
import type { Guard } from "./api-guard.ts";
import { checkSocketPath } from "./socket-path.ts";

const maxHeaderBytes = 16 * 1024;
/** Between two looks of the HTTP server at who is late with a request. */
const lateRequestsMs = 1_000;
/** After a refusal that the HTTP parser caused: the client has this long to read it. */
const lingerMs = 1_000;
/** A client that is gone without a word is found out, after this and what the kernel adds. */
const probeSilentMs = 60_000;
/** How long running requests may take when the server closes. */
const closeGraceMs = 2_000;
/** A socket that neither answers nor refuses within this belongs to somebody. */
const probeTimeoutMs = 1_000;

/** What every kind of socket takes. */
export interface ServeOptions {
  /** Asked before each request; over a unix socket the file's mode has done that. */
  readonly guard?: Guard | undefined;
  /** Other than the usual ones. */
  readonly limits?: Partial<Limits>;
}

export interface SocketOptions extends ServeOptions {
  readonly socket: string;
}

/**
 * Listens on `socket`, mode 0600; makes its folder when there is none. Rejects with Problem "api-socket-taken" (another
 * agent answers there), "api-socket-foreign" (something else lies there), "api-socket-path" (too long) or "api-socket".
 */
export async function serveApi(handler: ApiHandler, options: SocketOptions): Promise<ApiServer> {
  const { socket } = options;
  checkSocketPath(socket);
  const server = createServer(handler, options);
  try {
    await mkdir(dirname(socket), { recursive: true, mode: 0o755 });
    await clearStale(socket);
    await listen(server, { path: socket });
    await chmod(socket, 0o600);
  } catch (error) {
    server.close();
    if (error instanceof Problem) throw error;
    throw new Problem("api-socket", `Cannot listen on "${socket}"`, {
      hint: "The agent needs the right to make files in that folder",
      cause: error,
    });
  }
  let closing: Promise<void> | undefined;
  return { socket, close: () => (closing ??= close(server, handler)) };
}

/** Takes away what a dead agent left at the path. */
async function clearStale(socket: string): Promise<void> {
  const found = await lstat(socket).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Problem("api-socket-foreign", `Cannot listen on "${socket}": it is there and is not a socket`, {
      hint: "Remove it, or set another path for the API socket",
    });
  }
  if (await isAnswered(socket)) {
    throw new Problem("api-socket-taken", `Cannot listen on "${socket}": another agent answers there`, {
      hint: "One agent runs on a machine: systemctl status flotilla",
    });
  }
  const again = await lstat(socket);
  if (again.ino === found.ino && again.dev === found.dev) await unlink(socket);
}

/** Whether a process listens on the socket. Only a clear refusal says that none does. */
function isAnswered(socket: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(socket);
    probe.setTimeout(probeTimeoutMs);
    const end = (settle: () => void): void => {
      probe.destroy();
      settle();
    };
    probe.once("connect", () => end(() => resolve(true)));
    probe.once("timeout", () => end(() => resolve(true)));
    probe.once("error", (error) => {
      if (hasCode(error, "ECONNREFUSED") || hasCode(error, "ENOENT")) end(() => resolve(false));
      // EAGAIN: its queue of connections is full, so somebody owns it
      else if (hasCode(error, "EAGAIN")) end(() => resolve(true));
      else end(() => reject(error));
    });
  });
}

/** PEM texts. `ca`: only clients with a certificate of one of these are let in. */
export interface TlsTexts {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string | undefined;
}

export interface TcpOptions extends ServeOptions {
  /** An address of this machine; "::" or "0.0.0.0" for all of them. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Undefined: plain HTTP. */
  readonly tls?: TlsTexts | undefined;
}

/** Listens on a TCP port. Rejects with Problem "server-listen": taken, no such address, no right to it, a bad certificate. */
export async function serveTcp(handler: ApiHandler, options: TcpOptions): Promise<TcpServer> {
  const { host, port } = options;
  let server: Server | undefined;
  try {
    const listening = (server = createServer(handler, options));
    await listen(listening, { host, port });
    const address = listening.address();
    let closing: Promise<void> | undefined;
    return {
      port: typeof address === "object" && address !== null ? address.port : port,
      close: () => (closing ??= close(listening, handler)),
    };
  } catch (cause) {
    server?.close();
    const hint = hasCode(cause, "EADDRINUSE") ? "Another program listens there; take another port" : undefined;
    throw new Problem("server-listen", `Cannot listen on ${showAddress({ host, port })}`, { hint, cause });
  }
}

export interface InheritedOptions extends ServeOptions {
  /** A file descriptor of this process, on which systemd listens already. */
  readonly fd: number;
  readonly tls?: TlsTexts | undefined;
}

/** Takes connections from a socket that somebody else made. Closing leaves it as it is, its file too: it is not ours. */
export async function serveInherited(
  handler: ApiHandler,
  options: InheritedOptions,
): Promise<{ close(): Promise<void> }> {
  const server = createServer(handler, options);
  try {
    await listen(server, { fd: options.fd });
  } catch (error) {
    server.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return { close: () => (closing ??= close(server, handler)) };
}

function createServer(handler: ApiHandler, options: ServeOptions & { readonly tls?: TlsTexts | undefined }): Server {
  const { guard, tls } = options;
  const limits = { ...usualLimits, ...options.limits };
  const bounds: ServerOptions = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: lateRequestsMs,
    maxHeaderSize: maxHeaderBytes,
    keepAlive: true,
    keepAliveInitialDelay: probeSilentMs,
  };
  const server =
    tls === undefined
      ? createPlainServer(bounds)
      : createTlsServer({
          ...bounds,
          ...tls,
          minVersion: "TLSv1.2",
          handshakeTimeout: limits.headersMs,
          ...(tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
        });
  const exchanges = new WeakMap<object, Exchange>();
  const listener = getRequestListener(
    async (request, { outgoing }) => {
      const exchange = exchanges.get(outgoing);
      if (exchange === undefined) throw new Error("An answer for a request that nobody has taken");
      const response = await handler.handle(request);
      exchange.answering(isStream(response));
      await sendAnswer(response, exchange.outgoing, exchange);
      return RESPONSE_ALREADY_SENT;
    },
    {
      hostname: "localhost",
      overrideGlobalObjects: false,
      errorHandler: (error) =>
        Response.json({ error: entityOf(error) }, { status: statusOf(error), headers: { Connection: "close" } }),
    },
  );
  const connections = new Connections(server, limits, (exchange) => {
    const { incoming, outgoing, path } = exchange;
    const refusal = guard?.(incoming.headers) ?? tooLong(incoming.headers["content-length"], limits);
    if (refusal !== undefined) {
      refuse(outgoing, refusal, path);
      return;
    }
    if (incoming.headers.expect !== undefined) outgoing.writeContinue();
    exchanges.set(outgoing, exchange);
    listener(incoming, outgoing).catch((error: unknown) => {
      outgoing.destroy(error instanceof Error ? error : undefined); // whatever it was, the client is not left waiting
    });
  });
  server.on("request", (incoming, outgoing) => connections.take(incoming, outgoing));
  // Refused before the client sends what it asks about
  server.on("checkContinue", (incoming, outgoing) => connections.take(incoming, outgoing));
  server.on("clientError", (error: Error, socket: Socket) => {
    const exchange = connections.exchangeOn(socket);
    if (!socket.writable || exchange?.outgoing.headersSent === true || hasCode(error, "ECONNRESET"))
      return void socket.destroy();
    socket.end(rawRefusal(unreadable(error)));
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
  return server;
}

/** Whether the answer goes on for as long as somebody listens. */
function isStream({ headers }: Response): boolean {
  return headers.get("transfer-encoding") === "chunked" || headers.get("content-type") === "text/event-stream";
}

function tooLong(length: string | undefined, { bodyBytes }: Limits): Refusal | undefined {
  if (Number(length ?? "0") <= bodyBytes) return undefined;
  return { status: 413, code: "api-body-size", message: `Cannot take a body of more than ${bodyBytes} bytes` };
}

/** What the HTTP parser could not make sense of, or did not get in time. */
function unreadable(error: Error): Refusal {
  if (hasCode(error, "ERR_HTTP_REQUEST_TIMEOUT"))
    return { status: 408, code: "api-time", message: "Cannot wait any longer for the request" };
  if (hasCode(error, "HPE_HEADER_OVERFLOW"))
    return { status: 431, code: "api-head-size", message: `Cannot take a head of more than ${maxHeaderBytes} bytes` };
  return { status: 400, code: "api-http", message: "Cannot read the request: it is no HTTP/1.1" };
}

/** A request whose URL or host is none, or an application that broke its word and threw. */
function entityOf(error: unknown): { readonly code: string; readonly message: string } {
  return error instanceof RequestError
    ? { code: "api-http", message: `Cannot read the request: ${error.message}` }
    : { code: "internal", message: "Cannot answer" };
}

function statusOf(error: unknown): number {
  return error instanceof RequestError ? 400 : 500;
}

type Where = { readonly path: string } | { readonly host: string; readonly port: number } | { readonly fd: number };

function listen(server: Server, where: Where): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function close(server: Server, handler: ApiHandler): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  handler.endStreams();
  server.closeIdleConnections();
  const cutOff = setTimeout(() => server.closeAllConnections(), closeGraceMs);
  try {
    await closed;
  } finally {
    clearTimeout(cutOff);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
