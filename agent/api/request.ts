// What a request says beside its path and body: who asks, what narrows, and whether a web page of somebody else's sent it.
import { Problem } from "../domain/problem.ts";
import { type Person, maxPersonChars } from "../domain/submitted.ts";

const unknownPerson: Person = "unknown";

/** The header Flotilla-By: printable ASCII, at most 128 characters; else Problem "api-by". */
export function personOf(request: Request): Person {
  const by = (request.headers.get("flotilla-by") ?? "").trim();
  if (by === "") return unknownPerson;
  if (by.length <= maxPersonChars && /^[\x20-\x7e]+$/.test(by)) return by;
  throw new Problem("api-by", "Cannot take the header Flotilla-By", {
    hint: `It is user@host: printable ASCII, at most ${maxPersonChars} characters`,
  });
}

/** The values of each key of the query; Problem "api-query" for a key that is not among those that are taken. */
export function queryOf(request: Request, taken: readonly string[]): (key: string) => readonly string[] {
  const { searchParams } = new URL(request.url);
  for (const key of searchParams.keys()) {
    if (taken.includes(key)) continue;
    throw new Problem("api-query", `Cannot take "${key.slice(0, 64)}" in the query`, {
      hint: taken.length === 0 ? "Nothing is asked there" : `Keys are ${taken.join(", ")}`,
    });
  }
  return (key) => searchParams.getAll(key);
}

/**
 * A browser says from where the page is that asks. A page from elsewhere may not change anything in its reader's name:
 * Problem "api-origin". Programs other than browsers say nothing.
 */
export function mustBeFromHere(request: Request): void {
  if (request.method === "GET" || request.method === "HEAD") return;
  const origin = request.headers.get("origin");
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (origin === null || origin === `http://${host}` || origin === `https://${host}`) return;
  throw new Problem("api-origin", `Cannot let a page from "${origin.slice(0, 128)}" change anything here`, {
    hint: "Ask without the header Origin, as programs do",
  });
}
