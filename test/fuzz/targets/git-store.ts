// A git server that sends what it likes: its answers as they are, or a pack, a tree or a commit made whole around hostile
// bytes, so that every checksum holds; and a store whose own files were damaged on the disk. The first line says which; a store
// takes it in whole, or reads it whole, or refuses it by name.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type ServerResponse, createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { deflateSync } from "node:zlib";
import { parseLocation } from "../../../agent/adapters/git/location.ts";
import { readHead, writeHead } from "../../../agent/adapters/git/record.ts";
import { Store } from "../../../agent/adapters/git/store.ts";
import { type CommitId, parseCommitId } from "../../../agent/domain/names.ts";
import { type Said, type Target, mustHold, problemsOf, textOf } from "../target.ts";

interface Answers {
  readonly advertised: Uint8Array;
  readonly sent: Uint8Array;
  readonly expected: string;
}

let answers: Answers | undefined;
const server = createServer((request, response) => {
  request.resume();
  const type = (kind: string): ServerResponse =>
    response.setHeader("content-type", `application/x-git-upload-pack-${kind}`);
  if (request.method === "GET") type("advertisement").end(answers?.advertised);
  else type("result").end(answers?.sent);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const address = server.address();
const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/units.git`;

type Kind = "commit" | "tree" | "blob";
interface GitObject {
  readonly kind: Kind;
  readonly bytes: Uint8Array;
}
const kinds: Readonly<Record<Kind, number>> = { commit: 1, tree: 2, blob: 3 };
const blob: GitObject = { kind: "blob", bytes: Buffer.from("[Service]\nExecStart=/bin/true\n") };
const usualTree: GitObject = {
  kind: "tree",
  bytes: Buffer.concat([Buffer.from("100644 web.service\0"), Buffer.from(idOf(blob), "hex")]),
};
const person = "A <a@example.org> 1700000000 +0000";

function idOf({ kind, bytes }: GitObject): string {
  return createHash("sha1").update(`${kind} ${bytes.length}\0`).update(bytes).digest("hex");
}

/** Entries of a pack (gitformat-pack(5)), behind its head. */
function entriesOf(objects: readonly GitObject[]): Buffer {
  return Buffer.concat(
    objects.map(({ kind, bytes }) => {
      const size = [((bytes.length >= 16 ? 0x80 : 0) | (kinds[kind] << 4) | (bytes.length & 15)) & 0xff];
      for (let rest = bytes.length >> 4; rest > 0; rest >>= 7) size.push((rest >= 128 ? 0x80 : 0) | (rest & 127));
      return Buffer.concat([Uint8Array.from(size), deflateSync(bytes)]);
    }),
  );
}

function packOf(entries: Uint8Array, count: number): Buffer {
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
  head.writeUInt32BE(count, 8);
  const body = Buffer.concat([head, entries]);
  return Buffer.concat([body, createHash("sha1").update(body).digest()]);
}

function packet(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, "0")), bytes]);
}

function answersWith(pack: Uint8Array, commit: string): Answers {
  const refs = packet(Buffer.from(`${commit} refs/heads/main\0side-band-64k ofs-delta agent=git/2\n`));
  const advertised = Buffer.concat([
    packet(Buffer.from("# service=git-upload-pack\n")),
    Buffer.from("0000"),
    refs,
    Buffer.from("0000"),
  ]);
  const parts: Buffer[] = [packet(Buffer.from("NAK\n"))];
  for (let at = 0; at < pack.length; at += 60_000)
    parts.push(packet(Buffer.concat([Uint8Array.of(1), pack.subarray(at, at + 60_000)])));
  return { advertised, sent: Buffer.concat([...parts, Buffer.from("0000")]), expected: commit };
}

function commitOf(tree: GitObject, text = `author ${person}\ncommitter ${person}\n\nUnits\n`): GitObject {
  return { kind: "commit", bytes: Buffer.from(`tree ${idOf(tree)}\n${text}`, "latin1") };
}

const usualCommit = commitOf(usualTree);

/** Each makes a server's answers of what stands behind the first line. */
const makers: Readonly<Record<string, (body: Uint8Array) => Answers>> = {
  // Both answers as they are, the second one behind a line of its own
  answers: (body) => {
    const at = Buffer.from(body).indexOf("\n=== \n");
    const [advertised, sent] = at < 0 ? [body, body] : [body.subarray(0, at), body.subarray(at + 6)];
    return { advertised, sent, expected: idOf(usualCommit) };
  },
  // The entries of a pack
  pack: (body) => answersWith(packOf(body, 3), idOf(usualCommit)),
  tree: (body) => {
    const tree: GitObject = { kind: "tree", bytes: body };
    const commit = commitOf(tree);
    return answersWith(packOf(entriesOf([commit, tree, blob, usualTree]), 4), idOf(commit));
  },
  commit: (body) => {
    const commit = commitOf(usualTree, Buffer.from(body).toString("latin1"));
    return answersWith(packOf(entriesOf([commit, usualTree, blob]), 3), idOf(commit));
  },
};

/** A store that was whole, and one of its files of which nobody knows what became. */
const kept: Readonly<Record<string, string>> = {
  idx: "store.git/objects/pack/pack-*.idx",
  "kept-pack": "store.git/objects/pack/pack-*.pack",
  ref: "store.git/refs/remotes/origin/units",
  config: "store.git/config",
  head: "store.head",
};

let wholeStore: Promise<string> | undefined;

async function makeStore(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
  answers = answersWith(packOf(entriesOf([usualCommit, usualTree, blob]), 3), idOf(usualCommit));
  await takeIn(directory, answers.expected);
  const [commit, branch, repository] = [answers.expected, "main", url];
  await writeHead(join(directory, "store.head"), { commit: commit as CommitId, branch, repository });
  return directory;
}

/** Reads all of the store with that file in it: what it says is right, or it says that it is damaged. */
async function readDamaged(directory: string, { file, bytes }: { readonly file: string; readonly bytes: Uint8Array }) {
  cpSync(await (wholeStore ??= makeStore()), directory, { recursive: true });
  const [path = ""] = globbed(directory, file);
  writeFileSync(path, bytes);
  const head = await readHead(join(directory, "store.head"));
  mustHold(head === undefined || /^[0-9a-f]{40}$/.test(head.commit), "a head that is a commit, or none");
  const store = new Store({ directory, folder: "" });
  const id = idOf(usualCommit) as CommitId;
  if (!(await store.has(id))) return "not there";
  return readAll(store, id);
}

function globbed(directory: string, file: string): readonly string[] {
  const [folder, ending] = [join(directory, dirname(file)), file.split("*")[1]];
  if (ending === undefined) return [join(directory, file)];
  return readdirSync(folder).flatMap((name) => (name.endsWith(ending) ? [join(folder, name)] : []));
}

export const target: Target = {
  name: "git-store",
  reads: "answers of git servers",
  maxBytes: 64 * 1024,
  words: [
    ...[...Object.keys(makers), ...Object.keys(kept)].map((name) => `${name}\n`),
    ...[
      "\n=== \n",
      "0000",
      "0008NAK\n",
      "0011# service",
      "ERR no\n",
      "PACK",
      "100644 ",
      "40000 ",
      "120000 ",
      "web.service\0",
      "..\0",
    ],
    ...[
      `author ${person}\n`,
      `committer ${person}\n`,
      "gpgsig -----BEGIN",
      "parent ",
      `tree ${idOf(usualTree)}\n`,
      "\n\n",
      "encoding x\n",
    ],
  ],
  async run(input): Promise<Said> {
    const end = input.indexOf(0x0a);
    const name = textOf(input.subarray(0, Math.max(0, end)));
    const make = Object.hasOwn(makers, name) ? makers[name] : undefined;
    const file = Object.hasOwn(kept, name) ? kept[name] : undefined;
    if (make === undefined && file === undefined) return { outcome: "nothing", problems: [] };
    const bytes = input.subarray(end + 1);
    const directory = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
    try {
      if (file !== undefined)
        return { outcome: `${name} ${await readDamaged(directory, { file, bytes })}`, problems: [] };
      answers = make?.(bytes);
      return { outcome: `${name} ${await takeIn(directory, answers?.expected ?? "")}`, problems: [] };
    } catch (error) {
      return { outcome: `${name} refused`, problems: problemsOf(error) };
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  async close() {
    if (wholeStore !== undefined) rmSync(await wholeStore, { recursive: true, force: true });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  },
};

async function takeIn(directory: string, id: string): Promise<string> {
  const location = parseLocation(url);
  const expected = parseCommitId(id);
  mustHold(location.ok && expected.ok, "an address and an id");
  const none = { username: undefined, password: undefined, caFile: undefined, sshKeyFile: undefined };
  const access = { location: location.value, ...none, knownHostsFile: undefined, environment: {} };
  const store = new Store({ directory, folder: "" });
  const errand = { access, branch: "main", known: undefined, expected: expected.value, anew: false };
  const { commit } = await store.bring(errand, new AbortController().signal);
  return readAll(store, commit);
}

async function readAll(store: Store, commit: CommitId): Promise<string> {
  const { subject, author, atMs } = await store.info(commit);
  mustHold(!/\p{Cc}/u.test(subject + author), "words without control characters");
  mustHold(Number.isFinite(atMs), `a time, not ${atMs}`);
  const entries = await store.tree(commit);
  for (const { oid, kind } of entries.slice(0, 20)) {
    if (kind === "submodule") continue;
    const bytes = await store.blob(oid);
    mustHold(idOf({ kind: "blob", bytes }) === oid, "the bytes that the id says");
  }
  return entries.length === 0 ? "empty" : "taken";
}
