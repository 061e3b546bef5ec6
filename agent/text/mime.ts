// MIME multipart as user-data has it: its parts in order, each decoded. Given to userdata/. The one importer of postal-mime.
import PostalMime from "postal-mime";

/** Nesting of multiparts. */
const maxMimeDepth = 8;
const maxMimeHeaderBytes = 64 * 1024;

export interface MimePart {
  /** Lowercase, without parameters: `text/cloud-config`. */
  readonly type: string;
  readonly filename: string | undefined;
  /** Decoded from base64 or quoted-printable. */
  readonly content: Uint8Array;
}

export type MimeReading =
  { readonly ok: true; readonly parts: readonly MimePart[] } | { readonly ok: false; readonly cause: unknown };

/**
 * The parts of a MIME message, nested multiparts unfolded, in order. Every part comes as bytes, also plain text: mail
 * programs would join those.
 */
export async function parseMime(bytes: Uint8Array): Promise<MimeReading> {
  try {
    const { attachments } = await PostalMime.parse(asAttachments(bytes), {
      attachmentEncoding: "arraybuffer",
      maxNestingDepth: maxMimeDepth,
      maxHeadersSize: maxMimeHeaderBytes,
      forceRfc822Attachments: true,
    });
    const parts = attachments.map(({ mimeType, filename, content }) => ({
      type: mimeType,
      filename: filename === null || filename === "" ? undefined : filename,
      content: typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(content),
    }));
    return { ok: true, parts };
  } catch (cause) {
    return { ok: false, cause };
  }
}

/** The same message with every part an attachment. Latin-1 keeps every byte. */
function asAttachments(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString("latin1");
  const named = text.matchAll(/\bboundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))/gi);
  const marks = new Set(Array.from(named, ([, quoted, bare]) => `--${quoted ?? bare ?? ""}`));
  // folded: the header's name was on the line before, and its value is on this one
  let head: "none" | "open" | "folded" | "disposed" = "none";
  const lines = text.split("\n").flatMap((line) => {
    const bare = line.trimEnd();
    if (marks.has(bare)) head = "open";
    else if (bare === "" && head !== "none") {
      const added = head === "open" ? ["Content-Disposition: attachment"] : [];
      head = "none";
      return [...added, line];
    } else if (head === "open" && /^content-disposition:/i.test(line)) {
      head = bare.endsWith(":") ? "folded" : "disposed";
      return [line.replace(/^(content-disposition:\s*)[\w-]+/i, "$1attachment")];
    } else if (head === "folded") {
      head = "disposed";
      return [line.replace(/^(\s+)[\w-]+/, "$1attachment")];
    }
    return [line];
  });
  return Buffer.from(lines.join("\n"), "latin1");
}
