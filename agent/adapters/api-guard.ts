// Who may ask over TCP: whoever knows the token, and where there is none, programs of this machine but no web page that a
// browser on it has open. Certificates of clients are TLS's own matter, and checked before anything is heard.
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import type { Secret } from "../domain/settings.ts";
import type { Refusal } from "./api-answer.ts";

export type Guard = (headers: IncomingHttpHeaders) => Refusal | undefined;

/** `Authorization: Bearer TOKEN`, compared in a time that says nothing of how much of it is right. */
export function tokenGuard(token: Secret): Guard {
  const wanted = digest(token.reveal());
  return ({ authorization = "" }) => {
    const [, given = ""] = /^bearer +(\S+) *$/i.exec(authorization) ?? [];
    if (timingSafeEqual(digest(given), wanted)) return undefined;
    return {
      status: 401,
      code: "api-token",
      message: given === "" ? "Cannot answer without the API's token" : "Cannot accept this token",
      hint: "Send Authorization: Bearer and the token; the flotilla command takes it from FLOTILLA_TOKEN or --token-file",
      headers: { "WWW-Authenticate": 'Bearer realm="flotilla"' },
    };
  };
}

/**
 * A page of the internet can have its name lead to this machine, and then ask in its reader's name: who asks without a
 * token has to call this machine by an address, or localhost.
 */
export const localGuard: Guard = ({ host = "" }) => {
  const name = host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
  if (host === "" || isIP(name) !== 0 || /^(.*\.)?localhost$/i.test(name)) return undefined;
  return {
    status: 403,
    code: "api-host",
    message: `Cannot answer as "${host.slice(0, 128)}" without a token`,
    hint: "Ask for the address, such as 127.0.0.1, or set [API] TokenFile=",
  };
};

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
