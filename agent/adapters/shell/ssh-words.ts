// What ssh(1) is called with, and how words are written so that the shell at the other end reads the same words. Pure; given to
// ssh.ts and to the API's way through a tunnel.
import type { SshAddress } from "../../domain/ssh-address.ts";
import type { SshOptions } from "../../ports/reach.ts";

export interface SshCall {
  readonly ssh: SshOptions;
  readonly to: SshAddress;
  /** What the shell there reads; undefined: a login. */
  readonly command: string | undefined;
  /** Whether somebody is there to be asked for a password or about a key. */
  readonly mayAsk: boolean;
  /** A terminal for the command. */
  readonly terminal: boolean;
  readonly forwardAgent: boolean;
  /** Files to which ssh itself says what it has to say: of this connection, and of the one to the tunnel. */
  readonly logs: { readonly own: string; readonly tunnel: string };
}

/** A connection over which nothing has come for three times this long is over: the machine is gone. */
const aliveSeconds = 15;
const aliveTries = 3;

/** The words behind `ssh`. The addresses were checked: none of them begins with a dash. */
export function sshWords(call: SshCall): readonly string[] {
  const { ssh, to, command, terminal, forwardAgent, logs } = call;
  return [
    ...commonWords(call, logs.own),
    ...(ssh.tunnel === undefined ? [] : ["-o", `ProxyCommand=${proxyCommand(call, ssh.tunnel)}`]),
    ...(forwardAgent ? ["-A"] : []),
    ...(terminal ? ["-t"] : command === undefined ? [] : ["-T"]),
    // What a user has set for logins would stand in the way of any other command
    ...(command === undefined ? [] : ["-o", "RemoteCommand=none"]),
    ...placeWords(ssh, to),
    "--",
    ...(command === undefined ? [] : [command]),
  ];
}

/** The words behind `ssh` for a command on the tunnel itself. */
export function tunnelWords(call: SshCall): readonly string[] {
  return sshWords({ ...call, ssh: { ...call.ssh, tunnel: undefined, port: undefined } });
}

/** What holds for each hop alike, also where the user's own configuration says otherwise. */
function commonWords({ ssh, mayAsk }: SshCall, log: string): readonly string[] {
  const settings = [
    ...(mayAsk ? [] : ["BatchMode=yes"]),
    `ConnectTimeout=${Math.max(1, Math.ceil(ssh.timeoutMs / 1000))}`,
    "LogLevel=INFO", // less than this says nothing of what went wrong
    `ServerAliveInterval=${aliveSeconds}`,
    `ServerAliveCountMax=${aliveTries}`,
    ...hostKeySettings(ssh),
  ];
  return ["-E", log, ...settings.flatMap((each) => ["-o", each])];
}

function hostKeySettings({ checkHostKeys, knownHostsFile }: SshOptions): readonly string[] {
  if (checkHostKeys === false) {
    // Neither asked, nor refused, nor kept
    return ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null"];
  }
  return [
    ...(checkHostKeys === true ? ["StrictHostKeyChecking=ask"] : []),
    ...(knownHostsFile === undefined ? [] : [`UserKnownHostsFile="${knownHostsFile.replaceAll("%", "%%")}"`]),
  ];
}

function placeWords(ssh: SshOptions, { user = ssh.username, host, port = ssh.port }: SshAddress): readonly string[] {
  return [
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    host, // IPv6 without brackets is what ssh takes
  ];
}

/**
 * Not ssh's own -J, which would not hand on which host keys are known. ssh has its user's shell read this, after putting in
 * place what begins with a percent sign.
 */
function proxyCommand(call: SshCall, tunnel: SshAddress): string {
  const words = [
    "ssh",
    ...commonWords(call, call.logs.tunnel),
    // Forwarding to the first hop is for logins of a person there, not for passing through
    ...["-a", "-W", "[%h]:%p"],
    ...placeWords({ ...call.ssh, port: undefined }, tunnel),
  ];
  return words.map((word) => (word === "[%h]:%p" ? quoteWord(word) : quoteWord(word).replaceAll("%", "%%"))).join(" ");
}

/** Several words as one text that a POSIX shell (and csh, fish) reads as these words again. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
