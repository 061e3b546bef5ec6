// Every way to an agent's API, as its settings have it: the unix socket, TCP, and sockets that systemd holds for it. Who comes
// over TCP shows a token or a certificate, unless only programs of this machine can come.
import { chmod, chown, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { isLoopback, showAddress } from "../domain/listen.ts";
import { Problem } from "../domain/problem.ts";
import type { ApiSettings } from "../domain/settings.ts";
import type { ApiHandler, ApiServer } from "../ports/api-server.ts";
import type { Log } from "../ports/log.ts";
import { type Guard, localGuard, tokenGuard } from "./api-guard.ts";
import { type TlsTexts, serveApi, serveInherited, serveTcp } from "./api-server.ts";
import { groupNumber } from "./group.ts";
import type { InheritedSocket } from "./inherited-sockets.ts";
import { createSettingsFiles } from "./settings-files.ts";

/** The group whose members may use the unix socket of a machine's own agent where the settings name none. */
const usualGroup = "flotilla";
/** Whoever may write to a unix socket may connect to it. */
const writableByAll = 0o002;

export interface DoorOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly api: ApiSettings;
  /** Whose agent it is: the machine's, or a user's own. */
  readonly scope: "system" | "user";
  /** What systemd has made: a unix socket at that path stands in place of our own. */
  readonly inherited: readonly InheritedSocket[];
  readonly log: Log;
}

export interface ApiDoors extends ApiServer {
  /** Where it is reached besides the unix socket, for people. */
  readonly others: readonly string[];
}

/**
 * Opens all of them, or none: rejects with what serveApi and serveTcp reject with, or Problem "api-group" (there is no
 * such group, or the socket cannot be given to it), "api-tls" (no certificate and key), "api-open" (a socket of systemd's
 * that anybody could use), "socket-activation".
 */
export async function openDoors(handler: ApiHandler, options: DoorOptions): Promise<ApiDoors> {
  const { api, socket, inherited } = options;
  const tls = await readTls(api);
  const guard = guardOf(api);
  const opened: { close(): Promise<void> }[] = [];
  const others: string[] = [];
  try {
    // The unix socket first: of two agents on one machine the second finds out before anything else happens
    const own = await socketOf(options);
    if (own === undefined) opened.push(await openSocket(handler, options));
    for (const each of inherited) {
      if (each.at.kind === "tcp") refuseOpen(each, api);
      else await warnOfOpen(each.at.path, options.log);
      const isTcp = each.at.kind === "tcp";
      opened.push(await takeInherited(handler, { socket: each, ...(isTcp ? { tls, guard } : {}) }));
      if (each !== own) others.push(isTcp ? scheme(tls) + placeOf(each) : placeOf(each));
    }
    for (const address of api.listen) {
      opened.push(await serveTcp(handler, { ...address, tls, guard }));
      others.push(scheme(tls) + showAddress(address));
    }
  } catch (error) {
    await Promise.all(opened.map((each) => each.close()));
    throw error;
  }
  return {
    socket,
    others,
    close: async () => {
      await Promise.all(opened.map((each) => each.close()));
    },
  };
}

function scheme(tls: TlsTexts | undefined): string {
  return tls === undefined ? "http://" : "https://";
}

function placeOf({ at }: InheritedSocket): string {
  return at.kind === "unix" ? at.path : showAddress(at);
}

/** The one of systemd's that lies where our own would, also when a link leads there. */
async function socketOf({ socket, inherited }: DoorOptions): Promise<InheritedSocket | undefined> {
  const wanted = await stat(socket).catch(() => undefined); // nothing is there: then no socket of systemd's is
  for (const each of inherited) {
    if (each.at.kind !== "unix") continue;
    const found = await stat(each.at.path).catch(() => undefined); // somebody removed it; it can still be served
    if (each.at.path === socket || (found !== undefined && found.ino === wanted?.ino && found.dev === wanted.dev))
      return each;
  }
  return undefined;
}

/** For this user alone, and for a group where there is one: never for the user's own group, which others may have, too. */
async function openSocket(handler: ApiHandler, { socket, api, scope, log }: DoorOptions): Promise<ApiServer> {
  if (api.group === undefined && scope === "user") return serveApi(handler, { socket });
  const group = api.group ?? usualGroup;
  const gid = await groupNumber(group);
  if (gid === undefined && api.group !== undefined)
    throw new Problem("api-group", `Cannot give the API's socket to the group "${group}": there is none`, {
      hint: `Make it (groupadd --system ${group}), or set [API] Group= to another one`,
    });
  const server = await serveApi(handler, { socket });
  if (gid === undefined) return server;
  try {
    await chown(socket, -1, gid);
    await chmod(socket, 0o660);
  } catch (cause) {
    const hint = "flotilla must run as root or be of that group";
    const problem = new Problem("api-group", `Cannot give the API's socket to the group "${group}"`, { hint, cause });
    if (api.group !== undefined) {
      await server.close();
      throw problem;
    }
    // Nobody asked for it: an agent that may not give its socket away has it for itself
    log.debug("api.group", { what: problem.message });
  }
  return server;
}

async function takeInherited(
  handler: ApiHandler,
  {
    socket,
    ...options
  }: { readonly socket: InheritedSocket; readonly tls?: TlsTexts | undefined; readonly guard?: Guard | undefined },
): Promise<{ close(): Promise<void> }> {
  try {
    return await serveInherited(handler, { ...options, fd: socket.fd });
  } catch (cause) {
    throw new Problem("socket-activation", `Cannot serve the API on ${placeOf(socket)}, "${socket.name}" of systemd`, {
      cause,
    });
  }
}

function guardOf({ token, tls }: ApiSettings): Guard | undefined {
  if (token !== undefined) return tokenGuard(token);
  return tls?.clientCaFile === undefined ? localGuard : undefined;
}

/** As settings/ refuses Listen=: what systemd listens on only shows here. */
function refuseOpen(socket: InheritedSocket, { token, tls }: ApiSettings): void {
  if (socket.at.kind === "unix" || isLoopback(socket.at.host)) return;
  if (token !== undefined || tls?.clientCaFile !== undefined) return;
  throw new Problem("api-open", `Cannot serve the API on ${placeOf(socket)} to whoever reaches it`, {
    hint: `Whoever may ask is root on every machine: set [API] TokenFile= or TLSClientCAFile=, or have the unit of "${socket.name}" listen on 127.0.0.1`,
  });
}

/** A word only, as for a port of this machine's own: the folder may let nobody in. */
async function warnOfOpen(path: string, log: Log): Promise<void> {
  const found = await stat(path).catch(() => undefined); // somebody removed it: nobody comes by it
  if (found === undefined || (found.mode & writableByAll) === 0) return;
  log.warn("api.open", {
    message: `Cannot tell who asks on ${path}: any user of this machine may`,
    hint: "Whoever may ask is root on every machine: set SocketMode=0660 in the unit of the socket",
  });
}

async function readTls({ tls }: ApiSettings): Promise<TlsTexts | undefined> {
  if (tls === undefined) return undefined;
  const { certFile, keyFile, clientCaFile } = tls;
  const paths = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
  const read = await createSettingsFiles().secrets(paths);
  const problems = paths.flatMap((path) => {
    const found = read.get(path);
    return found?.ok === false ? found.problems : [];
  });
  if (problems.length > 0) throw new AggregateError(problems, "Cannot serve the API over TLS");
  const text = (path: string): string => {
    const found = read.get(path);
    return found?.ok === true ? found.value.text : "";
  };
  const texts = {
    cert: text(certFile),
    key: text(keyFile),
    ca: clientCaFile === undefined ? undefined : text(clientCaFile),
  };
  try {
    createSecureContext(texts);
  } catch (cause) {
    throw new Problem("api-tls", `Cannot serve the API with the certificate ${certFile} and the key ${keyFile}`, {
      hint: "[API] TLSCertFile= and TLSKeyFile= are PEM, and belong together",
      cause,
    });
  }
  if (texts.ca !== undefined && !texts.ca.includes("-----BEGIN CERTIFICATE-----"))
    throw new Problem("api-tls", `Cannot tell clients by ${clientCaFile ?? ""}: it holds no certificate`, {
      hint: "[API] TLSClientCAFile= is PEM",
    });
  return texts;
}
