// write_files: paths, modes and packed contents.
import { gunzipSync } from "node:zlib";
import type { CloudConfig, FileEntry } from "../domain/user-data.ts";
import { shown } from "./notes.ts";
import { type Reader, lineWithin } from "./reader.ts";
import { secretIn } from "./secrets.ts";
import { tellTemplate } from "./shape.ts";
import { findMark } from "./templates.ts";
import type { MapValue, TextValue } from "./values.ts";

/** One file's content, unpacked. */
export const maxFileBytes = 16 * 1024 * 1024;
/** All files' contents: an alias is a few bytes, and its anchor's content once more. */
const maxAllFilesBytes = 64 * 1024 * 1024;

/** Modes that people mean when they write them in decimal, as other programs do: 420 is 0644. */
const decimalModes: ReadonlyMap<string, string> = new Map(
  ["0400", "0440", "0444", "0600", "0640", "0644", "0660", "0664", "0666", "0700", "0750", "0755", "0775", "0777"].map(
    (octal) => [String(Number.parseInt(octal, 8)), octal],
  ),
);

export function readFiles(reader: Reader, root: MapValue): CloudConfig["writeFiles"] {
  const room: Room = { left: maxAllFilesBytes };
  const files = reader.maps(root, "write_files").flatMap((map) => readFile(reader, map, room) ?? []);
  const seen = new Map<string, FileEntry>();
  for (const file of files) {
    const before = seen.get(file.path);
    if (before !== undefined && !file.append)
      reader.notes.warning("file-twice", `Cannot keep "${shown(file.path)}" of line ${before.at.line ?? 0}`, {
        hint: "This later one replaces it; keep one of them, or say append: true",
        at: file.at,
      });
    seen.set(file.path, file);
  }
  return files;
}

/** Bytes that the contents of further files may have; below 0: those before had more, which was said. */
interface Room {
  left: number;
}

function readFile(reader: Reader, map: MapValue, room: Room): FileEntry | undefined {
  const { notes } = reader;
  const written = reader.text(map, "path");
  if (written === undefined) return undefined;
  const path = cleanPath(reader, { value: written.value, at: written.at });
  const mode = readMode(reader, map);
  const [owner, group] = reader.text(map, "owner")?.value.split(":") ?? [];
  const content = readContent(reader, map, room);
  if (path === undefined || content === undefined) return undefined;
  // its content is fetched by cloud-init: an empty file in its place would be worse than none
  if (map.entries.has("source") && !map.entries.has("content")) return undefined;
  if (mode === undefined || (mode & 0o004) !== 0) {
    const text = Buffer.from(content).toString("latin1");
    const secret = secretIn(text);
    const value = reader.raw(map, "content");
    if (secret !== undefined)
      notes.warning("secret-readable", `Cannot keep ${secret.what} in "${shown(path)}" secret: everybody may read it`, {
        hint: 'Add permissions: "0600"',
        at: value === undefined || isPacked(reader, map) ? written.at : lineWithin(value, secret.line),
      });
  }
  return {
    path,
    content,
    mode,
    owner: owner === "" ? undefined : owner,
    group: group === "" ? undefined : group,
    append: reader.flag(map, "append") === true,
    defer: reader.flag(map, "defer") === true,
    at: written.at,
  };
}

function cleanPath({ notes }: Reader, { value, at }: { value: string; at: FileEntry["at"] }): string | undefined {
  const parts = value.split("/").filter((part) => part !== "" && part !== ".");
  const fault = pathFault(value, parts);
  if (fault !== undefined) {
    const [what, hint] = fault;
    notes.error("path", `Cannot write a file at "${shown(value)}": ${what}`, { hint, at });
    return undefined;
  }
  if (!value.startsWith("/"))
    notes.warning("path-relative", `Cannot take "${shown(value)}" as it is: it is not absolute`, {
      hint: `It is written to /${shown(value)}; put the slash there`,
      at,
    });
  if (parts[0] === "usr")
    notes.warning("path-usr", `Cannot write "${shown(value)}" on a system whose /usr is read-only`, {
      hint: "It is on CoreOS and Flatcar; take /etc or /opt there",
      at,
    });
  return `/${parts.join("/")}`;
}

/** What is wrong with a path, and what to do. */
function pathFault(path: string, parts: readonly string[]): readonly [what: string, hint: string] | undefined {
  const [top = ""] = parts;
  if (/\p{Cc}/u.test(path)) return ["it holds a control character", "Write the path on one line"];
  if (Buffer.byteLength(path) > 4095) return ["it is too long", "Linux takes 4095 bytes"];
  if (parts.includes("..")) return ['it holds ".."', "Write the path that is meant"];
  if (path.endsWith("/") || parts.length === 0) return ["it is a directory", "Name the file in it"];
  if (top === "proc" || top === "sys")
    return [`/${top} is the kernel's`, "Use a file in /etc/sysctl.d or /etc/tmpfiles.d"];
  return top === "dev" ? ["/dev is the kernel's", "Name another path"] : undefined;
}

function readMode(reader: Reader, map: MapValue): number | undefined {
  const text = reader.text(map, "permissions");
  if (text === undefined) return undefined;
  const meant = decimalModes.get(text.value);
  if (meant !== undefined && meant.slice(1) !== text.value)
    reader.notes.warning("mode", `Cannot take ${text.value} for ${meant}: it is read as octal`, {
      hint: `It gives ${text.value.padStart(4, "0")}; write "${meant}" if that is meant`,
      at: text.at,
    });
  return Number.parseInt(text.value, 8);
}

function isPacked(reader: Reader, map: MapValue): boolean {
  const encoding = reader.text(map, "encoding")?.value;
  return reader.raw(map, "content")?.isBinary === true || (encoding !== undefined && encoding !== "text/plain");
}

/** Undefined when it cannot be unpacked, and where there is no room. */
function readContent(reader: Reader, map: MapValue, room: Room): Uint8Array | undefined {
  if (room.left < 0) return undefined;
  const content = unpackContent(reader, map);
  room.left -= content?.length ?? 0;
  if (room.left >= 0) return content;
  reader.notes.error("size", `Cannot take more than ${maxAllFilesBytes} bytes of files`, {
    hint: "An alias of a content is that content once more; fetch large files with runcmd",
    at: reader.keyAt(map, "content"),
  });
  return undefined;
}

function unpackContent(reader: Reader, map: MapValue): Uint8Array | undefined {
  const value = reader.raw(map, "content");
  const encoding = reader.text(map, "encoding")?.value ?? "text/plain";
  if (value === undefined) return new Uint8Array();
  const hasBase64 = /64/.test(encoding);
  const hasGzip = /^gz/.test(encoding);
  if (!value.isBinary && !hasBase64 && !hasGzip)
    return new TextEncoder().encode(reader.tokens.fill(value.text, value.at));
  const first = value.isBinary ? fromBase64(value.text) : new TextEncoder().encode(value.text);
  const second = first !== undefined && hasBase64 ? fromBase64(Buffer.from(first).toString("latin1")) : first;
  const last = second !== undefined && hasGzip ? fromGzip(second) : second;
  if (last === undefined) tellUndecodable(reader, value, encoding);
  return last;
}

function tellUndecodable({ notes }: Reader, value: TextValue, encoding: string): void {
  const mark = findMark(value.text, false);
  if (mark !== undefined) {
    tellTemplate(notes, { ...mark, at: value.at, isSure: true });
    return;
  }
  notes.error("content", `Cannot decode the content as "${value.isBinary ? "!!binary" : encoding}"`, {
    hint:
      /^gz/.test(encoding) && !/64/.test(encoding)
        ? "Gzip alone needs a !!binary value; use gz+b64"
        : "Encode it anew: base64 -w0 FILE",
    at: value.at,
  });
}

/** Strict base64 with white space between; undefined when it is none. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bare = text.replace(/\s+/g, "");
  return bare.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(bare) ? Buffer.from(bare, "base64") : undefined;
}

/** Undefined when it is none, is cut, or would be larger than `most`. */
export function fromGzip(bytes: Uint8Array, most: number = maxFileBytes): Uint8Array | undefined {
  try {
    return gunzipSync(bytes, { maxOutputLength: most });
  } catch {
    // zlib has an error for each way to be damaged; what to do is the same for all
    return undefined;
  }
}
