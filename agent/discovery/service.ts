// What a discovery service knows and answers: the part of etcd's v2 key space that a first cluster needs, with the checks
// that the historic service lacked. Pure: state and a question in, state and an answer out. Its HTTP is in
// api/discovery-service.ts. Protocol: etcd's v2 discovery, as its own `--discovery` speaks it up to etcd 3.6.

/** More members than this make an etcd slower, not safer. */
export const maxClusterSize = 9;
/** Tokens of one service at the same time. */
export const maxTokens = 1_000;
const maxEntryChars = 2_048;
const maxUrls = 8;

/** One member that has registered: `id` as etcd computes it, `value` is `NAME=URL` or `NAME=URL1,NAME=URL2`. */
export interface ServiceEntry {
  readonly id: string;
  readonly value: string;
  readonly createdIndex: number;
}

export interface ServiceToken {
  readonly token: string;
  /** 1 to 9. */
  readonly size: number;
  readonly createdIndex: number;
  readonly createdAtMs: number;
  /** When the last of `size` members registered; left out while some are missing. */
  readonly formedAtMs?: number;
  /** In the order of their registration. */
  readonly entries: readonly ServiceEntry[];
}

export interface ServiceState {
  /** Rises with each change, over all tokens: etcd's X-Etcd-Index. */
  readonly index: number;
  readonly tokens: ReadonlyMap<string, ServiceToken>;
}

export const emptyService: ServiceState = { index: 0, tokens: new Map() };

/** Wait for the first event whose index is `from` or more. */
export interface Waiting {
  readonly from: number;
}

export type ServiceAsk =
  | { readonly kind: "new"; readonly token: string; readonly size: string; readonly nowMs: number }
  | { readonly kind: "size"; readonly token: string }
  | { readonly kind: "list"; readonly token: string; readonly wait: Waiting | undefined }
  | { readonly kind: "entry"; readonly token: string; readonly id: string; readonly wait: Waiting | undefined }
  | {
      readonly kind: "register";
      readonly token: string;
      readonly id: string;
      readonly value: string;
      /** `prevExist=false`: the only way to register. */
      readonly onlyNew: boolean;
      readonly nowMs: number;
    }
  | { readonly kind: "forget"; readonly token: string };

export type ServiceAnswer =
  | { readonly kind: "json"; readonly status: number; readonly body: object }
  /** Nothing yet: ask again when the state has changed. */
  | { readonly kind: "wait" };

export interface Answered {
  /** The same object when nothing has changed. */
  readonly state: ServiceState;
  readonly answer: ServiceAnswer;
}

/** etcd's own error codes, and two of our own above its range. */
export const serviceErrors = { notFound: 100, exists: 105, invalid: 209, forbidden: 403, full: 480, duplicate: 481 };

/** Answers one question. Throws nothing: whatever is wrong with it is an answer with a status and a message. */
export function answerService(state: ServiceState, ask: ServiceAsk): Answered {
  if (ask.kind === "new") return makeToken(state, ask);
  const found = state.tokens.get(ask.token);
  if (found === undefined) return unchanged(state, noToken(state, ask.token));
  switch (ask.kind) {
    case "size": {
      const node = { key: `/${found.token}/_config/size`, value: String(found.size), ...indexes(found.createdIndex) };
      return unchanged(state, json(200, { action: "get", node }));
    }
    case "list":
      return unchanged(state, ask.wait === undefined ? listing(found) : firstEvent(found, ask.wait));
    case "entry":
      return unchanged(state, oneEntry(state, { found, id: ask.id, wait: ask.wait }));
    case "register":
      return register(state, { ...ask, found });
    case "forget": {
      const tokens = new Map(state.tokens);
      tokens.delete(ask.token);
      const index = state.index + 1;
      const node = { key: `/${ask.token}`, dir: true, createdIndex: found.createdIndex, modifiedIndex: index };
      return { state: { index, tokens }, answer: json(200, { action: "delete", node }) };
    }
  }
}

export interface Lifetimes {
  /** A token whose cluster has formed is of no more use. */
  readonly formedMs: number;
  /** A token that nobody completes is given up. */
  readonly openMs: number;
}

/** The state without the tokens whose time is over; the same object when there are none. */
export function expireTokens(state: ServiceState, nowMs: number, lifetimes: Lifetimes): ServiceState {
  const over = [...state.tokens.values()].filter(({ createdAtMs, formedAtMs }) =>
    formedAtMs === undefined ? nowMs - createdAtMs > lifetimes.openMs : nowMs - formedAtMs > lifetimes.formedMs,
  );
  if (over.length === 0) return state;
  const tokens = new Map(state.tokens);
  for (const { token } of over) tokens.delete(token);
  return { index: state.index + 1, tokens };
}

function makeToken(state: ServiceState, ask: Extract<ServiceAsk, { readonly kind: "new" }>): Answered {
  if (!/^[1-9]$/.test(ask.size))
    return unchanged(
      state,
      refuse(state, {
        status: 400,
        code: serviceErrors.invalid,
        message: "Bad size",
        cause: `A cluster has 1 to ${maxClusterSize} members`,
      }),
    );
  if (state.tokens.size >= maxTokens)
    return unchanged(
      state,
      refuse(state, {
        status: 403,
        code: serviceErrors.forbidden,
        message: "Too many tokens",
        cause: `This service keeps ${maxTokens} tokens`,
      }),
    );
  if (state.tokens.has(ask.token))
    return unchanged(
      state,
      refuse(state, { status: 412, code: serviceErrors.exists, message: "Key already exists", cause: `/${ask.token}` }),
    );
  const index = state.index + 1;
  const size = Number(ask.size);
  const made: ServiceToken = { token: ask.token, size, createdIndex: index, createdAtMs: ask.nowMs, entries: [] };
  const node = { key: `/${ask.token}/_config/size`, value: ask.size, ...indexes(index) };
  return {
    state: { index, tokens: new Map(state.tokens).set(ask.token, made) },
    answer: json(201, { action: "set", node }),
  };
}

interface Registering {
  readonly found: ServiceToken;
  readonly id: string;
  readonly value: string;
  readonly onlyNew: boolean;
  readonly nowMs: number;
}

function register(state: ServiceState, { found, id, value, onlyNew, nowMs }: Registering): Answered {
  const own = found.entries.find((entry) => entry.id === id);
  const wrong = (status: number, code: number, message: string, cause: string): Answered =>
    unchanged(state, refuse(state, { status, code, message, cause }));
  if (!onlyNew)
    return wrong(
      403,
      serviceErrors.forbidden,
      "Only new members register",
      "Ask with prevExist=false; nothing of a token is overwritten",
    );
  if (!/^[0-9a-f]{1,16}$/.test(id))
    return wrong(400, serviceErrors.invalid, "Bad member id", "A member id is 1 to 16 lowercase hex digits");
  if (own !== undefined) return wrong(412, serviceErrors.exists, "Key already exists", `/${found.token}/${id}`);
  const member = parseEntry(value);
  if (member === undefined)
    return wrong(
      400,
      serviceErrors.invalid,
      "Bad member",
      `A member is NAME=URL or NAME=URL1,NAME=URL2, of at most ${maxEntryChars} characters`,
    );
  if (found.entries.length >= found.size) {
    const cause = `All ${found.size} members of this token have registered`;
    return unchanged(
      state,
      refuse(state, {
        status: 403,
        code: serviceErrors.full,
        message: "The cluster is full",
        cause,
        node: nodeOf(found),
      }),
    );
  }
  const clash = clashOf(member, found.entries);
  if (clash !== undefined) return wrong(403, serviceErrors.duplicate, "Another member has this name or URL", clash);
  const index = state.index + 1;
  const entries = [...found.entries, { id, value, createdIndex: index }];
  const changed: ServiceToken = { ...found, entries, ...(entries.length === found.size ? { formedAtMs: nowMs } : {}) };
  return {
    state: { index, tokens: new Map(state.tokens).set(found.token, changed) },
    answer: json(201, { action: "create", node: entryNode(found.token, { id, value, createdIndex: index }) }),
  };
}

interface Member {
  readonly name: string;
  readonly urls: readonly string[];
}

/** A member's name and peer URLs; undefined when it is none, or when its parts have different names. */
function parseEntry(value: string): Member | undefined {
  if (value.length > maxEntryChars) return undefined;
  const parts = value.split(",").map((part) => /^([^=]*)=(.*)$/.exec(part)?.slice(1) ?? []);
  const [[name = ""] = []] = parts;
  const isGood = ([each = "", url = ""]: readonly string[]): boolean =>
    each === name &&
    /^[^\s=,]+$/.test(each) &&
    /^https?:\/\//.test(url) &&
    URL.canParse(url) &&
    new URL(url).pathname === "/";
  return parts.length <= maxUrls && parts.every(isGood)
    ? { name, urls: parts.map(([, url = ""]) => new URL(url).origin) }
    : undefined;
}

/** What a new member has in common with another one, in words; undefined: nothing. */
function clashOf(member: Member, entries: readonly ServiceEntry[]): string | undefined {
  for (const { id, value } of entries) {
    const other = parseEntry(value);
    if (other?.name === member.name) return `Member ${id} has the name ${member.name}: ${value}`;
    const url = other?.urls.find((each) => member.urls.includes(each));
    if (url !== undefined) return `Member ${id} has the URL ${url}: ${value}`;
  }
  return undefined;
}

function listing(found: ServiceToken): ServiceAnswer {
  return json(200, { action: "get", node: nodeOf(found) });
}

/** `_config` is hidden, as every name that begins with an underscore is in etcd. */
function nodeOf(found: ServiceToken): object {
  const nodes = found.entries.map((entry) => entryNode(found.token, entry));
  return {
    key: `/${found.token}`,
    dir: true,
    ...(nodes.length === 0 ? {} : { nodes }),
    ...indexes(found.createdIndex),
  };
}

function oneEntry(
  state: ServiceState,
  { found, id, wait }: { readonly found: ServiceToken; readonly id: string; readonly wait: Waiting | undefined },
): ServiceAnswer {
  const entry = found.entries.find((each) => each.id === id);
  if (wait !== undefined) return firstEvent({ ...found, entries: entry === undefined ? [] : [entry] }, wait);
  if (entry === undefined) return notFound(state, `/${found.token}/${id}`);
  return json(200, { action: "get", node: entryNode(found.token, entry) });
}

/** Entries are only ever made, so they are all the events there have been. */
function firstEvent({ token, entries }: ServiceToken, { from }: Waiting): ServiceAnswer {
  const event = entries.find(({ createdIndex }) => createdIndex >= from);
  return event === undefined ? { kind: "wait" } : json(200, { action: "create", node: entryNode(token, event) });
}

function entryNode(token: string, { id, value, createdIndex }: ServiceEntry): object {
  return { key: `/${token}/${id}`, value, ...indexes(createdIndex) };
}

function indexes(index: number): { readonly modifiedIndex: number; readonly createdIndex: number } {
  return { modifiedIndex: index, createdIndex: index };
}

function noToken(state: ServiceState, token: string): ServiceAnswer {
  return notFound(state, `/${token}`);
}

function notFound(state: ServiceState, cause: string): ServiceAnswer {
  return refuse(state, { status: 404, code: serviceErrors.notFound, message: "Key not found", cause });
}

interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly cause: string;
  /** The members, so that one that comes too late learns them in the same answer. */
  readonly node?: object;
}

function refuse({ index }: ServiceState, { status, code, ...more }: Refusal): ServiceAnswer {
  return json(status, { errorCode: code, ...more, index });
}

function json(status: number, body: object): ServiceAnswer {
  return { kind: "json", status, body };
}

function unchanged(state: ServiceState, answer: ServiceAnswer): Answered {
  return { state, answer };
}
