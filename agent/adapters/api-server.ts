// Puts an HTTP application where it can be reached: the API on a unix socket that root and its group may use, the discovery
// service on a TCP port. The one importer of @hono/node-server.
// A socket left behind by a dead agent is replaced; one that a living agent answers on is never touched.
import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { dirname } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import { Problem } from "../domain/problem.ts";
import type { ApiHandler, ApiServer, TcpServer } from "../ports/api-server.ts";
import { checkSocketPath } from "./socket-path.ts";

/** Requests and event streams together. */
const maxConnections = 256;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const keepAliveTimeoutMs = 5_000;
const maxHeaderBytes = 16 * 1024;
/** How long running requests may take when the server closes. */
const closeGraceMs = 2_000;
/** A socket that neither answers nor refuses within this belongs to somebody. */
const probeTimeoutMs = 1_000;

/**
 * Listens on `socket`, mode 0660; makes its folder when there is none. Rejects with Problem "api-socket-taken" (another
 * agent answers there), "api-socket-foreign" (something else lies there), "api-socket-path" (too long) or "api-socket".
 */
export async function serveApi(handler: ApiHandler, options: { readonly socket: string }): Promise<ApiServer> {
  const { socket } = options;
  checkSocketPath(socket);
  const server = createServer(handler, undefined);
  try {
    await mkdir(dirname(socket), { recursive: true, mode: 0o755 });
    await clearStale(socket);
    await listen(server, { path: socket });
    await chmod(socket, 0o660);
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

export interface TcpOptions {
  /** An address of this machine; "::" or "0.0.0.0" for all of them. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM texts; undefined: plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

/** Listens on a TCP port. Rejects with Problem "server-listen": taken, no such address, no right to it, a bad certificate. */
export async function serveTcp(handler: ApiHandler, { host, port, tls }: TcpOptions): Promise<TcpServer> {
  const shown = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  let server: Server | undefined;
  try {
    const listening = (server = createServer(handler, tls));
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
    throw new Problem("server-listen", `Cannot listen on ${shown}`, { hint, cause });
  }
}

function createServer(handler: ApiHandler, tls: TcpOptions["tls"]): Server {
  const limits = {
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    maxHeaderSize: maxHeaderBytes,
  };
  const server = createAdaptorServer({
    fetch: (request) => handler.handle(request),
    overrideGlobalObjects: false,
    hostname: "localhost",
    ...(tls === undefined
      ? { serverOptions: limits }
      : {
          createServer: createTlsServer,
          serverOptions: { ...limits, cert: tls.cert, key: tls.key, minVersion: "TLSv1.2" },
        }),
  }) as Server;
  server.maxConnections = maxConnections;
  return server;
}

type Where = { readonly path: string } | { readonly host: string; readonly port: number };

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
