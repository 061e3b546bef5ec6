// Every way to an agent's API, as its settings have it: the unix socket, TCP, and sockets that systemd holds for it. Who comes
// over TCP shows a token or a certificate, unless only programs of this machine can come. An agent needs its unix socket; every
// other door stays shut while something that it needs is missing.
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

/** A way in that the agent can do without. */
export interface SideDoor {
  /** For people: an address, a path, or the group that the unix socket goes to. */
  readonly name: string;
  /** To be called until it resolves. Rejects while it stays shut. */
  readonly open: () => Promise<void>;
}

export interface ApiDoors extends ApiServer {
  /** Not open yet. */
  readonly sides: readonly SideDoor[];
}

/**
 * Opens the unix socket, for this user alone: rejects with what serveApi rejects with, or "socket-activation". The others
 * reject with what serveTcp rejects with, "api-group" (there is no such group, or the socket cannot be given to it), "api-tls"
 * (no certificate and key), "api-open" (a socket of systemd's that anybody could use), "socket-activation", or the problem of a
 * token that is missing. Close when none of them is being opened.
 */
export async function openDoors(handler: ApiHandler, options: DoorOptions): Promise<ApiDoors> {
  const { api, socket, inherited, log } = options;
  const opened: { close(): Promise<void> }[] = [];
  const sides: SideDoor[] = [];
  const own = await socketOf(options);
  if (own === undefined) {
    opened.push(await serveApi(handler, { socket }));
    const group = api.group ?? (options.scope === "user" ? undefined : usualGroup);
    if (group !== undefined) sides.push({ name: `group ${group}`, open: () => giveToGroup(group, options) });
  } else {
    if (own.at.kind === "unix") await warnOfOpen(own.at.path, log);
    opened.push(await takeInherited(handler, { socket: own }));
  }
  const side = (name: string, open: (secured: Secured) => Promise<{ close(): Promise<void> }>): void => {
    const secure = async (): Promise<Secured> => ({ tls: await readTls(api), guard: guardOf(api) });
    const each = async (): Promise<void> => {
      opened.push(await open(await secure()));
      log.info("api.listening", { at: name });
    };
    sides.push({ name, open: each });
  };
  for (const each of inherited) {
    if (each === own) continue;
    const take = once((secured: Secured) => takeInherited(handler, { socket: each, ...secured }));
    if (each.at.kind === "tcp")
      side(scheme(api) + placeOf(each), async (secured) => {
        refuseOpen(each, api);
        return take(secured);
      });
    else {
      const { path } = each.at;
      sides.push({
        name: path,
        open: async () => {
          await warnOfOpen(path, log);
          opened.push(await take({}));
          log.info("api.listening", { at: path });
        },
      });
    }
  }
  for (const address of api.listen)
    side(scheme(api) + showAddress(address), (secured) => serveTcp(handler, { ...address, ...secured }));
  return {
    socket,
    sides,
    close: async () => {
      await Promise.all(opened.map((each) => each.close()));
    },
  };
}

/** What stands between a door and who comes over TCP. */
interface Secured {
  readonly tls?: TlsTexts | undefined;
  readonly guard?: Guard | undefined;
}

/** A descriptor that could not be served is closed by that, and its number may be another's: it is never tried again. */
function once<From, T>(work: (from: From) => Promise<T>): (from: From) => Promise<T> {
  let done: Promise<T> | undefined;
  return (from) => (done ??= work(from));
}

function scheme({ tls }: ApiSettings): string {
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

/** For a group where there is one: never for the user's own group, which others may have, too. */
async function giveToGroup(group: string, { socket, api, log }: DoorOptions): Promise<void> {
  const gid = await groupNumber(group);
  if (gid === undefined) {
    if (api.group === undefined) return;
    throw new Problem("api-group", `Cannot give the API's socket to the group "${group}": there is none`, {
      hint: `Make it (groupadd --system ${group}), or set [API] Group= to another one`,
    });
  }
  try {
    await chown(socket, -1, gid);
    await chmod(socket, 0o660);
  } catch (cause) {
    const hint = "flotilla must run as root or be of that group";
    const problem = new Problem("api-group", `Cannot give the API's socket to the group "${group}"`, { hint, cause });
    if (api.group !== undefined) throw problem;
    // Nobody asked for it: an agent that may not give its socket away has it for itself
    log.debug("api.group", { what: problem.message });
  }
}

async function takeInherited(
  handler: ApiHandler,
  { socket, ...options }: Secured & { readonly socket: InheritedSocket },
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
  const [problem] = problems;
  if (problem !== undefined)
    throw new Problem("api-tls", `Cannot serve the API with ${problem.at?.file ?? "its certificate"}`, {
      hint: problem.hint,
      cause: problem,
    });
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
