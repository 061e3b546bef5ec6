// What ssh said when it could not connect, as one Problem with a hint. Pure.
import { Problem } from "../../domain/problem.ts";

export interface SshSaid {
  /** `machine 12345678.../10.0.0.1`, `tunnel "gate"`. */
  readonly what: string;
  readonly host: string;
  /** What ssh itself wrote while it connected, not what the command wrote. */
  readonly own: string;
  /** The same of the connection to the tunnel; "" without one. */
  readonly tunnel: string;
  readonly tunnelHost: string | undefined;
}

/** ssh's words that are kept: a dozen lines. */
const mostWords = 1_200;

interface Kind {
  readonly code: string;
  readonly says: RegExp;
  readonly hint: (host: string) => string;
}

/** The first that fits, so that what lies deeper stands first. */
const kinds: readonly Kind[] = [
  {
    code: "ssh-host-key",
    says: /IDENTIFICATION HAS CHANGED|host key .* has changed|REVOKED HOST KEY/i,
    hint: (host) =>
      `If the machine was made anew, take its old key away: ssh-keygen -R ${host}; if not, somebody may be listening`,
  },
  {
    code: "ssh-host-key",
    says: /Host key verification failed|host key is known|authenticity of host/i,
    hint: (host) => `Look at its key and accept it once: ssh ${host}; or check none: --strict-host-key-checking=false`,
  },
  {
    code: "ssh-denied",
    says: /Permission denied|Too many authentication failures|No supported authentication/i,
    hint: () => "Is the key in the agent (ssh-add -l), and the user the right one (--ssh-username)?",
  },
  {
    code: "ssh-timeout",
    says: /timed out|Timeout, server .* not responding/i,
    hint: () =>
      "Is the machine up, and its ssh port open to you? --ssh-timeout SECONDS waits longer, --tunnel goes through another machine",
  },
  {
    code: "ssh-refused",
    says: /Connection refused|No route to host|Network is unreachable|open failed|Could not resolve hostname/i,
    hint: () =>
      "Is an ssh server running there, on this port? --ssh-port names another one, --tunnel goes through another machine",
  },
];

/** Undefined: ssh itself said nothing that is wrong, so the status is the command's own. */
export function sshFailure(said: SshSaid): Problem | undefined {
  const own = wordsOf(said.own);
  const tunnel = wordsOf(said.tunnel);
  // Behind a tunnel that is not reached the machine is not reached either: the first is the reason. What the tunnel refuses to
  // open is the machine's.
  if (said.tunnelHost !== undefined && tunnel.length > 0 && !/open failed/i.test(said.tunnel)) {
    return problem({ what: `tunnel "${said.tunnelHost}"`, host: said.tunnelHost, words: tunnel });
  }
  if (own.length === 0 && tunnel.length === 0) return undefined;
  return problem({ what: said.what, host: said.host, words: [...tunnel, ...own] });
}

function problem({ what, host, words }: { what: string; host: string; words: readonly string[] }): Problem {
  const text = words.join("; ").slice(0, mostWords);
  const kind = kinds.find(({ says }) => says.test(text));
  return new Problem(kind?.code ?? "ssh-failed", `Cannot reach ${what} by ssh`, {
    hint: kind?.hint(host) ?? `Try it by hand: ssh -v ${host}`,
    cause: new Error(text),
  });
}

/** Lines that say something went wrong: without the frame of the famous warning, and without what is only a notice. */
function wordsOf(log: string): readonly string[] {
  return log
    .split(/\r?\n/)
    .map((line) => line.replace(/^@+|@+$/g, "").trim())
    .filter(
      (line) => line !== "" && !/^(Warning: Permanently added|Connection to .* closed|Shared connection)/.test(line),
    )
    .filter((line) => !/^(\*\* |Pseudo-terminal|Authenticated to|Transferred:|Bytes per second|debug\d)/.test(line));
}
