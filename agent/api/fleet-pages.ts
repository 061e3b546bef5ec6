// Pages of fleet's collections. A token is fleet's own four bytes, and after them the last thing that was seen: a page goes
// on behind it, so that nothing is missed or seen twice while others come and go. Inner part of fleet.ts.
import { FleetFailure } from "./fleet-answers.ts";

/** Items on a page: fleet's own number, which its clients count on. */
export const pageSize = 100;

/** Which page is asked for. */
export interface PageAsked {
  /** From 1. */
  readonly page: number;
  /** The key of the last item of the page before; undefined for the first page, and for fleet's own tokens. */
  readonly after: string | undefined;
}

const lastPage = 0xffff;
/** A unit's name and a machine's id, and room. */
const maxKeyBytes = 512;

/** The page that the query asks for; a token that cannot be read is 400, in fleet's words. */
export function pageAsked(query: URLSearchParams): PageAsked {
  const [token, ...more] = query.getAll("nextPageToken");
  if (more.length > 0) throw new FleetFailure(400, "too many values for page token");
  return token === undefined ? { page: 1, after: undefined } : checked(readToken(token));
}

/** The page of `all`, which is in the order of its keys, and the token of the next one while there may be one. */
export function pageOf<T>(
  all: readonly T[],
  { page, after, keyOf }: PageAsked & { readonly keyOf: (item: T) => string },
): { readonly items: readonly T[]; readonly nextPageToken: string | undefined } {
  const from = after === undefined ? (page - 1) * pageSize : firstBehind(all, { after, keyOf });
  const items = all.slice(from, from + pageSize);
  const last = items.at(-1);
  // A full page has a next one, even when that is empty: fleet has it so, and something may have come meanwhile
  if (last === undefined || items.length < pageSize) return { items, nextPageToken: undefined };
  const next = { limit: pageSize, page: Math.min(page + 1, lastPage), after: keyOf(last) };
  return { items, nextPageToken: encodeToken(next) };
}

export interface PageToken {
  readonly limit: number;
  readonly page: number;
  readonly after?: string | undefined;
}

/** fleet's token where `after` is left out. */
export function encodeToken({ limit, page, after = "" }: PageToken): string {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(limit, 0);
  head.writeUInt16LE(page, 2);
  const text = Buffer.concat([head, Buffer.from(after)]).toString("base64url");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

/** Throws 400 for what is no token, in the words of fleet's decoder. */
export function readToken(token: string): PageToken {
  const fault = base64Fault(token);
  if (fault !== undefined) throw new FleetFailure(400, `illegal base64 data at input byte ${fault}`);
  const bytes = Buffer.from(token, "base64url");
  if (bytes.length < 4) throw new FleetFailure(400, bytes.length === 0 ? "EOF" : "unexpected EOF");
  if (bytes.length > 4 + maxKeyBytes) throw new FleetFailure(400, "page token is too long");
  const after = bytes.toString("utf8", 4);
  return { limit: bytes.readUInt16LE(0), page: bytes.readUInt16LE(2), ...(after === "" ? {} : { after }) };
}

/** Throws 400 for a token that asks for other pages than there are. */
export function checked({ limit, page, after }: PageToken): PageAsked {
  if (limit !== pageSize) throw new FleetFailure(400, `token limit must be ${pageSize}`);
  if (page === 0) throw new FleetFailure(400, "token page must be greater than zero");
  return { page, after };
}

/** Where the text ceases to be base64url with its padding; undefined when it is that whole. */
function base64Fault(text: string): number | undefined {
  const digits = /^[A-Za-z0-9_-]*/.exec(text)?.[0].length ?? 0;
  const padding = text.slice(digits);
  const rest = digits % 4;
  if (padding === ["", undefined, "==", "="][rest]) return undefined;
  return padding === "" ? digits - rest : digits;
}

function firstBehind<T>(
  all: readonly T[],
  { after, keyOf }: { readonly after: string; readonly keyOf: (item: T) => string },
): number {
  let from = 0;
  let to = all.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const item = all[middle];
    if (item !== undefined && keyOf(item) <= after) from = middle + 1;
    else to = middle;
  }
  return from;
}
