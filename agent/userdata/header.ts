// The first line of user-data, which says what it is; the frequent mistakes in it, and what to do about each.

export type HeaderKind = "cloud-config" | "script" | "archive" | "multipart" | "ignition" | "empty" | "unknown";

export interface Header {
  /** What to read it as; `cloud-config` also behind a mistake, so that the rest can be looked at as well. */
  readonly kind: HeaderKind;
  /** Undefined: nothing is wrong. */
  readonly mistake: { readonly message: string; readonly hint: string } | undefined;
}

const firstLineHint = "The first line must be #cloud-config, with nothing before it, or begin with #!";

interface Mistake {
  readonly pattern: RegExp;
  readonly message: string;
  readonly hint: string;
  readonly kind: HeaderKind;
}

/** Looked at in order; `pattern` sees the beginning of the whole text. */
const mistakes: readonly Mistake[] = [
  {
    pattern: /^\ufeff/,
    message: "Cannot take a byte order mark before #cloud-config",
    hint: "Save the file as UTF-8 without a byte order mark",
    kind: "cloud-config",
  },
  {
    pattern: /^\s*\n\s*#!/,
    message: "Cannot take blank lines before #!",
    hint: "Make #! the first two characters",
    kind: "script",
  },
  {
    pattern: /^\s+#cloud-config\s/,
    message: "Cannot take blank lines or blanks before #cloud-config",
    hint: "Make it the very first line",
    kind: "cloud-config",
  },
  {
    pattern: /^#+ *template: *jinja/i,
    message: "Cannot fill in a Jinja template",
    hint: "Fill it in first; for addresses write $private_ipv4, for the host's name in metadata %H",
    kind: "cloud-config",
  },
  {
    pattern: /^#include(-once)?\b/,
    message: "Cannot fetch other user-data with #include",
    hint: "Put it all into one file, or send several as MIME multipart",
    kind: "unknown",
  },
  {
    pattern: /^#cloud-boothook\b/,
    message: "Cannot run a #cloud-boothook",
    hint: "Use bootcmd in a #cloud-config",
    kind: "unknown",
  },
  {
    pattern: /^#part-handler\b/,
    message: "Cannot run a #part-handler",
    hint: "It is Python for cloud-init itself",
    kind: "unknown",
  },
  {
    pattern: /^#cloud-config-jsonp\b/,
    message: "Cannot read #cloud-config-jsonp",
    hint: "Send #cloud-config; several parts are merged by themselves",
    kind: "unknown",
  },
  {
    pattern: /^#upstart-job\b/,
    message: "Cannot run an #upstart-job",
    hint: "Write a unit under coreos.units",
    kind: "unknown",
  },
  {
    pattern: /^#\s*cloud-boothook|^\s*<(powershell|script)>/i,
    message: "Cannot run a script for another system",
    hint: firstLineHint,
    kind: "unknown",
  },
  {
    // `# cloud-config`, `#Cloud-Config`, `#cloud_config`, `#cloudconfig`, `# cloud config:`
    pattern: /^[^\S\n]*#[^\S\n]*cloud[-_ ]?config\b[^\n]*/i,
    message: "Cannot recognise the first line",
    hint: "It must be exactly #cloud-config: small letters, no blank behind the #",
    kind: "cloud-config",
  },
  {
    pattern: /^[^\n]*\n(?:[^\n]*\n){0,9}#cloud-config\s/,
    message: "Cannot find #cloud-config on the first line: it stands further down",
    hint: "Make it the very first line",
    kind: "cloud-config",
  },
  {
    pattern: /^variant:\s*(fcos|flatcar|r4e|openshift)/m,
    message: "Cannot read Butane",
    hint: "It is for Ignition: translate it with butane",
    kind: "unknown",
  },
  {
    pattern: /^(?:---\s*\n)?(?:\s*#[^\n]*\n)*[\w-]+:(?:\s|$)/,
    message: "Cannot recognise user-data without a header",
    hint: "Put #cloud-config on the first line",
    kind: "cloud-config",
  },
  {
    pattern: /^\[[A-Z][A-Za-z]*\]\s*$/m,
    message: "Cannot take a unit file or settings for user-data",
    hint: "Put it into #cloud-config: units under coreos.units, files under write_files",
    kind: "unknown",
  },
];

/** Of a text that is not recognised so much is looked at: patterns that look further may take their time. */
const headChars = 4096;

/** What a text is, by how it begins. */
export function readHeader(text: string): Header {
  const head = text.slice(0, headChars);
  const good = (kind: HeaderKind): Header => ({ kind, mistake: undefined });
  if (text.trim() === "") return good("empty");
  if (text.startsWith("#!")) return good("script");
  if (/^#cloud-config[^\S\n]*(\n|$)/.test(text)) return good("cloud-config");
  if (/^#cloud-config-archive[^\S\n]*(\n|$)/.test(text)) return good("archive");
  if (/^(?:[\w-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:content-type|mime-version):/i.test(head)) return good("multipart");
  if (/^\s*\{/.test(text)) return readJson(text);
  const found = mistakes.find(({ pattern }) => pattern.test(head));
  if (found !== undefined) return { kind: found.kind, mistake: { message: found.message, hint: found.hint } };
  const packed = /^[A-Za-z0-9+/\s]{24,}={0,2}\s*$/.test(text.slice(0, 65_536))
    ? Buffer.from(text.slice(0, 64), "base64")
    : undefined;
  if (packed?.toString("latin1").startsWith("#") === true || (packed?.[0] === 0x1f && packed[1] === 0x8b))
    return {
      kind: "unknown",
      mistake: { message: "Cannot take user-data in base64", hint: "It was encoded once too often; send it as it is" },
    };
  return { kind: "unknown", mistake: { message: "Cannot recognise this user-data", hint: firstLineHint } };
}

function readJson(text: string): Header {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON or not: without a header it is neither of what is known
    return {
      kind: "unknown",
      mistake: { message: "Cannot recognise this user-data: it begins like JSON and is none", hint: firstLineHint },
    };
  }
  if (isIgnition(value)) return { kind: "ignition", mistake: undefined };
  return {
    kind: "cloud-config",
    mistake: { message: "Cannot recognise JSON without a header", hint: "Put #cloud-config on a line before it" },
  };
}

function isIgnition(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if ("ignitionVersion" in value) return true;
  return (
    "ignition" in value && typeof value.ignition === "object" && value.ignition !== null && "version" in value.ignition
  );
}
