// Bytes -> the parts of user-data, each with what it is and where it stands: gzip, MIME multipart, #cloud-config-archive.
import type { Place } from "../domain/problem.ts";
import type { UserData } from "../domain/user-data.ts";
import { parseMime } from "../text/mime.ts";
import { type YamlNode, parseYaml } from "../text/yaml.ts";
import { fromGzip } from "./files.ts";
import { type HeaderKind, readHeader } from "./header.ts";
import { type Notes, shown } from "./notes.ts";
import { Source } from "./source.ts";

/** As it is handed over; clouds take 16 to 64 KiB, and a config drive is a little larger. */
export const maxPackedBytes = 1024 * 1024;
/** All of it unpacked. */
export const maxUnpackedBytes = 16 * 1024 * 1024;
export const maxParts = 100;
/** Archives within parts within parts. */
const maxNesting = 4;

export interface Part {
  readonly kind: "cloud-config" | "script";
  /** A plain file name, unique among the parts. */
  readonly name: string;
  readonly source: Source;
}

export interface Payload {
  readonly kind: UserData["kind"];
  readonly parts: readonly Part[];
}

/** Every part that can be used; what cannot is in the notes as an error. */
export async function unpack(bytes: Uint8Array, file: string, notes: Notes): Promise<Payload> {
  const unpacker = new Unpacker(file, notes);
  const kind = await unpacker.whole(bytes);
  return { kind, parts: unpacker.parts };
}

interface Piece {
  readonly file: string;
  readonly name: string | undefined;
  /** What a MIME type or an archive says it is; undefined: told by its first line. */
  readonly said: HeaderKind | undefined;
  readonly shift: { readonly lines: number; readonly columns: number };
  readonly nesting: number;
}

class Unpacker {
  readonly parts: Part[] = [];
  readonly #file: string;
  readonly #notes: Notes;
  #left = maxUnpackedBytes;
  #names = new Set<string>();

  constructor(file: string, notes: Notes) {
    this.#file = file;
    this.#notes = notes;
  }

  async whole(bytes: Uint8Array): Promise<UserData["kind"]> {
    if (bytes.length > maxPackedBytes) {
      this.#notes.error("size", `Cannot read ${bytes.length} bytes of user-data`, {
        hint: `It must be at most ${maxPackedBytes} bytes; pack it with gzip, or fetch large files with runcmd`,
        at: { file: this.#file },
      });
      return "empty";
    }
    const shift = { lines: 0, columns: 0 };
    return this.#bytes(bytes, { file: this.#file, name: undefined, said: undefined, shift, nesting: 0 });
  }

  async #bytes(bytes: Uint8Array, piece: Piece): Promise<UserData["kind"]> {
    const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const plain = isPacked ? fromGzip(bytes, this.#left) : bytes;
    if (plain === undefined) {
      this.#notes.error("gzip", "Cannot unpack the gzip of this user-data", {
        hint: `It is damaged, or larger than ${maxUnpackedBytes} bytes`,
        at: { file: piece.file },
      });
      return "empty";
    }
    if (isPacked) this.#left -= plain.length;
    const text = this.#decode(plain, piece);
    return text === undefined ? "empty" : this.#text(text, plain, piece);
  }

  #decode(bytes: Uint8Array, { file, shift }: Piece): string | undefined {
    const fault = encodingFault(bytes);
    if (fault === undefined) return utf8.decode(bytes);
    const line = Buffer.from(bytes.subarray(0, fault.offset)).toString("latin1").split("\n").length + shift.lines;
    this.#notes.error("encoding", fault.message, { hint: fault.hint, at: { file, line } });
    return undefined;
  }

  async #text(text: string, bytes: Uint8Array, piece: Piece): Promise<UserData["kind"]> {
    const source = new Source(piece.file, text, piece.shift);
    const header = readHeader(text);
    // a part that its sender calls cloud-config or script needs no first line
    const isTold = (piece.said === "cloud-config" || piece.said === "script") && header.kind !== "empty";
    const kind = piece.said !== undefined && isTold && header.kind !== "script" ? piece.said : header.kind;
    const isTemplate = header.mistake?.message.includes("Jinja") === true;
    if (header.mistake !== undefined && (!isTold || isTemplate))
      this.#notes.error("header", header.mistake.message, { hint: header.mistake.hint, at: source.at(0) });
    switch (kind) {
      case "cloud-config":
      case "script":
        this.#add({ kind, name: piece.name, source });
        return kind;
      case "archive":
        await this.#archive(source, piece);
        return "multipart";
      case "multipart":
        await this.#multipart(bytes, piece);
        return "multipart";
      case "ignition":
        this.#notes.info("ignition", "Cannot use Ignition: it is another program's", {
          hint: "It is left alone",
          at: source.at(0),
        });
        return "ignition";
      case "empty":
      case "unknown":
        return "empty";
    }
  }

  #add({ kind, name, source }: { kind: Part["kind"]; name: string | undefined; source: Source }): void {
    if (this.parts.length >= maxParts) {
      this.#notes.error("parts", `Cannot read more than ${maxParts} parts`, {
        hint: "Join some of them",
        at: source.at(0),
      });
      return;
    }
    const wanted = (name ?? (this.parts.length === 0 ? "user-data" : `part-${this.parts.length + 1}`))
      .replace(/^.*\//s, "")
      .replace(/[^A-Za-z0-9._-]/g, "_")
      .replace(/^\.+/, "")
      .slice(0, 100);
    let unique = wanted === "" ? "part" : wanted;
    while (this.#names.has(unique)) unique = `${unique}-${this.parts.length + 1}`;
    this.#names.add(unique);
    this.parts.push({ kind, name: unique, source });
  }

  async #multipart(bytes: Uint8Array, piece: Piece): Promise<void> {
    const at: Place = { file: piece.file, line: 1 + piece.shift.lines };
    if (piece.nesting >= maxNesting) {
      this.#notes.error("parts", `Cannot read parts more than ${maxNesting} deep`, {
        hint: "Put them side by side",
        at,
      });
      return;
    }
    const read = await parseMime(bytes);
    if (!read.ok || read.parts.length === 0) {
      this.#notes.error("mime", "Cannot find the parts of this MIME multipart", {
        hint: "Make it with: cloud-init devel make-mime, or send one #cloud-config",
        at,
      });
      return;
    }
    const raw = Buffer.from(bytes).toString("latin1");
    let from = 0;
    for (const [index, part] of read.parts.entries()) {
      const found = findBody(raw, part.content, from);
      if (found !== undefined) from = found.end;
      const name = part.filename ?? `part ${index + 1}`;
      const lines = found === undefined ? undefined : found.line + piece.shift.lines;
      const below: Piece = {
        file: lines === undefined ? `${piece.file} (${shown(name)})` : piece.file,
        name: part.filename,
        said: saidByType(part.type),
        shift: { lines: lines ?? 0, columns: 0 },
        nesting: piece.nesting + 1,
      };
      if (isUsable(part.type)) await this.#bytes(part.content, below);
      else
        this.#notes.error("part-type", `Cannot use the part of type ${shown(part.type)}`, {
          hint: "Known are text/cloud-config, text/x-shellscript and text/plain",
          at: { file: below.file, line: 1 + below.shift.lines },
        });
    }
  }

  /** `#cloud-config-archive`: a YAML list of parts, each with content and perhaps a type and a filename. */
  async #archive(source: Source, piece: Piece): Promise<void> {
    const parsed = parseYaml(source.text);
    const list = parsed.ok ? parsed.documents[0] : undefined;
    if (list?.kind !== "list" || piece.nesting >= maxNesting) {
      this.#notes.error("archive", "Cannot read this #cloud-config-archive", {
        hint: 'It must be a list of parts: "- content: |"',
        at: source.at(parsed.ok ? 0 : parsed.fault.offset),
      });
      return;
    }
    for (const item of list.items) {
      const content = item.kind === "mapping" ? member(item, "content") : item;
      if (content?.kind !== "scalar") {
        this.#notes.error("archive", "Cannot find the content of a part", {
          hint: "Give it content",
          at: source.at(item.offset),
        });
        continue;
      }
      const type = item.kind === "mapping" ? member(item, "type") : undefined;
      const name = item.kind === "mapping" ? member(item, "filename") : undefined;
      const place = source.at(content.linesOffset ?? content.offset);
      await this.#bytes(new TextEncoder().encode(content.text), {
        file: piece.file,
        name: name?.kind === "scalar" ? name.text : undefined,
        said: type?.kind === "scalar" ? saidByType(type.text) : undefined,
        shift: { lines: (place.line ?? 1) - 1, columns: indentOf(source.text, content.linesOffset, content.text) },
        nesting: piece.nesting + 1,
      });
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Why bytes are no text, and from where on; undefined when they are UTF-8. */
function encodingFault(bytes: Uint8Array): { message: string; hint: string; offset: number } | undefined {
  const isWide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (isWide) return { message: "Cannot read UTF-16", hint: "Save the file as UTF-8", offset: 0 };
  const nul = bytes.indexOf(0);
  if (nul >= 0) return { message: "Cannot take a NUL byte in user-data", hint: "It is plain text", offset: nul };
  try {
    utf8.decode(bytes);
    return undefined;
  } catch {
    // where it goes wrong is found by reading again, leniently
    const read = Buffer.from(bytes).toString("utf8");
    const offset = Buffer.byteLength(read.slice(0, Math.max(0, read.indexOf("\ufffd"))));
    return { message: "Cannot read the text as UTF-8", hint: "Save the file as UTF-8", offset };
  }
}

function member(node: Extract<YamlNode, { kind: "mapping" }>, name: string): YamlNode | undefined {
  return node.pairs.find(({ key }) => key.kind === "scalar" && key.text === name)?.value;
}

/** Columns that a literal block stands further in than its text says. */
function indentOf(text: string, linesOffset: number | undefined, content: string): number {
  if (linesOffset === undefined) return 0;
  const written = /^ */.exec(text.slice(linesOffset, linesOffset + 1000))?.[0].length ?? 0;
  return Math.max(0, written - (/^ */.exec(content)?.[0].length ?? 0));
}

function saidByType(type: string): HeaderKind | undefined {
  if (type === "text/cloud-config") return "cloud-config";
  if (type === "text/x-shellscript") return "script";
  return undefined;
}

/** Types of which the first line can tell the rest. */
function isUsable(type: string): boolean {
  return (
    /^text\/(cloud-config|x-shellscript|plain|cloud-config-archive|jinja2|x-include-url|x-include-once-url|cloud-boothook|part-handler)$/.test(
      type,
    ) || /^application\/(gzip|x-gzip|octet-stream|x-gunzip)$/.test(type)
  );
}

/** Where a part that was not packed stands in the message: lines before it, and its end. */
function findBody(raw: string, content: Uint8Array, from: number): { line: number; end: number } | undefined {
  const body = Buffer.from(content).toString("latin1").trimEnd();
  if (body === "") return undefined;
  for (const text of [body, body.replaceAll(/\r?\n/g, "\r\n")]) {
    const offset = raw.indexOf(text, from);
    if (offset >= 0) return { line: raw.slice(0, offset).split("\n").length - 1, end: offset + text.length };
  }
  return undefined;
}
