// The front door: bytes of user-data -> what it says, checked, with everything that was noticed. Never throws on what it
// is given; everything is bounded; no secret stands in a finding.
import type { Addresses, CloudConfig, Script, UserDataReading } from "../domain/user-data.ts";
import { buildConfig } from "./build.ts";
import { readDocument } from "./document.ts";
import { mergeMaps } from "./merge.ts";
import { Notes } from "./notes.ts";
import { type Part, unpack } from "./parts.ts";
import { Reader } from "./reader.ts";
import { tellTemplate } from "./shape.ts";
import { findMarks } from "./templates.ts";
import { Tokens } from "./tokens.ts";
import { emptyMap } from "./values.ts";

export interface ReadOptions {
  /** How the user calls it. */
  readonly file: string;
  /** Undefined: only checked, and tokens stay as they are. */
  readonly addresses?: Addresses;
}

/** Template marks that are told of one script. */
const maxMarksShown = 20;

/** Reads and checks one payload as it came: at most 1 MiB, 16 MiB unpacked. */
export async function readUserData(bytes: Uint8Array, { file, addresses }: ReadOptions): Promise<UserDataReading> {
  const notes = new Notes();
  const tokens = new Tokens(addresses, notes);
  const reader = new Reader(notes, tokens);
  const { kind, parts } = await unpack(bytes, file, notes);
  const documents = parts.flatMap((part) =>
    part.kind === "cloud-config" ? (readDocument(part.source, notes) ?? []) : [],
  );
  const root = mergeMaps(documents, notes) ?? emptyMap({ file });
  const config = buildConfig(reader, root);
  const scripts = parts.flatMap((part) => (part.kind === "script" ? [readScript(part, reader)] : []));
  return {
    userData: notes.hasErrors ? undefined : { kind, config, scripts },
    reach: reachOf(config),
    findings: notes.sorted(file),
    tokens: tokens.seen,
  };
}

function reachOf(config: CloudConfig): UserDataReading["reach"] {
  const { hostname, fqdn, preferFqdn, preserveHostname, sshAuthorizedKeys, users, groups } = config;
  return { hostname, fqdn, preferFqdn, preserveHostname, sshAuthorizedKeys, users, groups };
}

function readScript({ name, source }: Part, { notes, tokens }: Reader): Script {
  const at = source.at(0);
  let text = source.text.trimStart();
  if (text.includes("\r\n")) {
    notes.warning("line-ends", "Cannot run a script with Windows line ends as it is", {
      hint: "They are changed for you; save the file with LF",
      at,
    });
    text = text.replaceAll("\r\n", "\n");
  }
  if (!/^#! *\/\S/.test(text))
    notes.error("script", "Cannot see what runs this script", {
      hint: "The first line must be #! and an absolute path: #!/bin/sh",
      at,
    });
  for (const mark of findMarks(source.text, true).slice(0, maxMarksShown))
    tellTemplate(notes, { ...mark, at: source.at(mark.offset), isSure: false });
  return { name, text: tokens.fill(text, at), at };
}
