// Failures of the network, of TLS, of programs and of disks, in words that say what to do. Given to this adapter's files.
// No message holds a secret: values are the shown address and host names only.
import { Problem, explainError } from "../../domain/problem.ts";
import type { Excess, PackBounds } from "./pack.ts";

const certificateCodes = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_UNTRUSTED",
  "CERT_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UND_ERR_PRX_TLS",
]);

/** A failed connection or request, as Node and undici report it. */
export function networkProblem(error: unknown, shown: string): Problem {
  if (error instanceof Problem) return error;
  const code = errorCode(error);
  const cause = inOneLine(error);
  const unreachable = (what: string, hint: string) =>
    new Problem("git-unreachable", `${what} "${shown}"`, { hint, cause });

  if (code !== undefined && certificateCodes.has(code))
    return new Problem("git-refused", `Cannot trust the certificate of "${shown}"`, {
      hint: "Set the CA file if the server's certificate is signed by a CA of your own; check the clock and the host name",
      cause,
    });
  switch (code ?? "") {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return unreachable("Cannot find the host of", "Check the host name, and this machine's DNS");
    case "ECONNREFUSED":
      return unreachable("Cannot connect to the host of", "Check the port, and that the server is running");
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return unreachable("Cannot reach the host of", "Check this machine's network and routes");
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return unreachable("Cannot connect in time to the host of", "Check the network and any firewall in between");
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
      return unreachable("Cannot get an answer in time from", "The server went silent; it is tried again later");
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
      return unreachable("Cannot read the whole answer of", "The connection was cut; it is tried again later");
    default:
      if (code?.startsWith("ERR_SSL") === true || code === "EPROTO")
        return new Problem("git-refused", `Cannot agree on TLS with the server of "${shown}"`, {
          hint: "Check that the address is https and its port speaks TLS",
          cause,
        });
      return unreachable("Cannot fetch from", "It is tried again later");
  }
}

const noSpace = new Set(["ENOSPC", "EDQUOT"]);

/** A failed write of the store's own files. */
export function writeProblem(error: unknown, path: string): Problem {
  if (error instanceof Problem) return error;
  const code = errorCode(error);
  return new Problem("disk-write", `Cannot write "${path}"`, {
    hint:
      code !== undefined && noSpace.has(code)
        ? "The disk is full; make room there"
        : "Check that the folder is there, and who may write it",
    cause: error,
  });
}

export function abortedProblem(shown: string): Problem {
  return new Problem("aborted", `Cannot finish the work on "${shown}": it was called off`);
}

export function tooLarge(shown: string, maxBytes: number): Problem {
  return new Problem("git-repository", `Cannot fetch from "${shown}"`, {
    hint: `Its answer is larger than ${maxBytes / 1024 / 1024} MiB; keep units in a repository of their own`,
  });
}

/** From the store to git.ts alone, which remembers such a refusal and tells it as "git-repository". */
export const packSizeCode = "git-pack-size";

export function packTooLarge(shown: string, { bound, largest }: Excess, bounds: PackBounds): Problem {
  const most = mib(bounds[bound]);
  const what = {
    object: `It holds a file of ${mib(largest)}, or larger ones; at most ${most} are taken`,
    largeResults: `Its versions of files larger than ${mib(bounds.largeResult)} unpack to more than ${most}, the largest to ${mib(largest)}`,
    all: `It unpacks to more than ${most}, its largest file to ${mib(largest)}`,
  }[bound];
  return new Problem(packSizeCode, `Cannot take in the commits of "${shown}"`, {
    hint: `${what}. Remove large files from the branch and its history, or keep units in a repository of their own`,
  });
}

function mib(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MiB`;
}

/** Node's code of an error, or of the first error behind it that has one. */
export function errorCode(error: unknown): string | undefined {
  for (let each = error, depth = 0; each instanceof Error && depth < 8; depth++) {
    if ("code" in each && typeof each.code === "string") return each.code;
    const first: unknown = each instanceof AggregateError ? each.errors[0] : undefined;
    each = first ?? each.cause;
  }
  return undefined;
}

/** The innermost words of an error: OpenSSL's hold line breaks, and an AggregateError has none of its own. */
function inOneLine(error: unknown): Error | undefined {
  let inner = error;
  while (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0];
  return complaint(explainError(inner));
}

/** What a server or program wrote, fit for one line of ours. */
export function complaint(text: string): Error | undefined {
  const line = text
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, 500);
  return line === "" ? undefined : new Error(line);
}
