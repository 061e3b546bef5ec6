// Rules between the options of [API]: nobody whom the agent cannot tell apart from an operator may reach it over a network.
// For settings/rules.ts only.
import { isLoopback, parseListenAddress, showAddress } from "../domain/listen.ts";
import { Problem } from "../domain/problem.ts";
import type { Choice } from "./chosen.ts";

/** As long as 12 random bytes in base64: nobody guesses it. */
const minTokenChars = 16;

/** Pairs of which the first is of no use without the second. */
export const apiNeeds: readonly (readonly [string, string])[] = [
  ["API.TLSCertFile", "API.TLSKeyFile"],
  ["API.TLSKeyFile", "API.TLSCertFile"],
  ["API.TLSClientCAFile", "API.TLSCertFile"],
];

/**
 * Whoever may ask the API can run a program as root on every machine. So an address that others can reach needs a way to
 * tell who asks: a token, or certificates of clients. TLS alone hides what is said; it does not say who speaks.
 */
export function apiConflicts(chosen: Choice): readonly Problem[] {
  const problems: Problem[] = [];
  const token = chosen.chosen("API.Token");
  const secret = chosen.secret("API.Token");
  if (token !== undefined && secret?.missing === undefined && !isToken(secret?.reveal() ?? ""))
    problems.push(
      new Problem("setting-value", `Cannot take the token of ${token.origin.label}`, {
        hint: `It must have at least ${minTokenChars} characters: ASCII, no blanks. One is made by: head -c 24 /dev/urandom | base64`,
        at: token.origin.at,
      }),
    );
  if (tellsWhoAsks(chosen)) return problems;
  const open = listening(chosen).filter(({ host }) => !isLoopback(host));
  if (open.length > 0)
    problems.push(
      new Problem("api-open", `Cannot serve the API on ${open.map(showAddress).join(" and ")} to whoever reaches it`, {
        hint: chosen.has("API.TLSCertFile")
          ? "TLS does not say who asks, and whoever may ask is root on every machine: set [API] TLSClientCAFile= or TokenFile= too"
          : "Whoever may ask is root on every machine: set [API] TokenFile=, or TLSCertFile=, TLSKeyFile= and TLSClientCAFile=, or listen on 127.0.0.1",
        at: chosen.chosen("API.Listen")?.origin.at,
      }),
    );
  return problems;
}

/** What is allowed and still worth a word. */
export function apiWarnings(chosen: Choice): readonly Problem[] {
  const at = chosen.chosen("API.Listen")?.origin.at;
  const addresses = listening(chosen);
  const others = addresses.filter(({ host }) => !isLoopback(host));
  if (others.length > 0 && chosen.has("API.Token") && !chosen.has("API.TLSCertFile"))
    return [
      new Problem(
        "secret-in-clear",
        `Cannot hide the API's token: ${others.map(showAddress).join(" and ")} is without TLS`,
        {
          hint: "Set [API] TLSCertFile= and TLSKeyFile=",
          at,
        },
      ),
    ];
  if (addresses.length > 0 && !tellsWhoAsks(chosen))
    return [
      new Problem(
        "api-local",
        `Cannot tell who asks on ${addresses.map(showAddress).join(" and ")}: any user of this machine may`,
        {
          hint: "Set [API] TokenFile=, or take the unix socket, which is for root and one group",
          at,
        },
      ),
    ];
  return [];
}

function tellsWhoAsks(chosen: Choice): boolean {
  return chosen.has("API.Token") || chosen.has("API.TokenFile") || chosen.has("API.TLSClientCAFile");
}

function listening(chosen: Choice): readonly NonNullable<ReturnType<typeof parseListenAddress>>[] {
  return chosen.list("API.Listen").flatMap((text) => parseListenAddress(text) ?? []);
}

/** What a header can carry, and nobody guess. */
function isToken(text: string): boolean {
  return text.length >= minTokenChars && /^[\x21-\x7e]+$/.test(text);
}
