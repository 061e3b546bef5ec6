// Reads the files of settings and of secrets. Implements ports/settings-files.ts; knows no setting.
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Problem, invalid, valid, type Checked } from "../domain/problem.ts";
import type { SettingsText } from "../domain/settings.ts";
import type { SettingsFiles } from "../ports/settings-files.ts";

const confPath = "/etc/flotilla/flotilla.conf";
const fleetConfPath = "/etc/fleet/fleet.conf";

/** No file of settings comes near this. */
const maxFileBytes = 1024 * 1024;

/** `root` stands before the two well-known paths, for tests; named paths are taken as they are. */
export function createSettingsFiles({ root = "/" }: { readonly root?: string } = {}): SettingsFiles {
  return {
    async find(path) {
      const conf = path === undefined ? await read(join(root, confPath)) : await must(path);
      if (!conf.ok) return conf;
      if (conf.value !== undefined) return valid({ conf: conf.value, fleetConf: undefined });
      const fleetConf = await read(join(root, fleetConfPath));
      return fleetConf.ok ? valid({ conf: undefined, fleetConf: fleetConf.value }) : fleetConf;
    },
    async secrets(paths) {
      const entry = async (path: string): Promise<readonly [string, Checked<SettingsText>]> => [path, await must(path)];
      return new Map(await Promise.all(paths.map(entry)));
    },
  };
}

async function must(path: string): Promise<Checked<SettingsText>> {
  const found = await read(path);
  if (!found.ok) return found;
  return found.value === undefined ? refuse(path, "There is no such file") : valid(found.value);
}

async function read(file: string): Promise<Checked<SettingsText | undefined>> {
  let handle: FileHandle | undefined;
  try {
    // not blocking: a named pipe at this path must not hold the start up
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) return refuse(file, "It must be a regular file");
    const bytes = await upTo(maxFileBytes + 1, handle);
    if (bytes.length > maxFileBytes) return refuse(file, `It has more than ${maxFileBytes} bytes`);
    const text = decode(bytes);
    return text === undefined
      ? refuse(file, "It must be text in UTF-8")
      : valid({ file, text, mode: stats.mode & 0o7777 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return valid(undefined);
    const hint = code === "EACCES" ? "The user that runs flotilla must be allowed to read it" : undefined;
    return invalid(new Problem("settings-read", "Cannot read this file", { cause, hint, at: { file } }));
  } finally {
    await handle?.close();
  }
}

/** The file's first bytes, at most `most`, whatever size it claims to have. */
async function upTo(most: number, handle: FileHandle): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  while (size < most) {
    const part = Buffer.alloc(Math.min(64 * 1024, most - size));
    const { bytesRead } = await handle.read(part, 0, part.length, null);
    if (bytesRead === 0) break;
    parts.push(part.subarray(0, bytesRead));
    size += bytesRead;
  }
  return Buffer.concat(parts);
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // the one error that a strict decoder has: these bytes are no UTF-8
    return undefined;
  }
}

function refuse(file: string, hint: string): Checked<never> {
  return invalid(new Problem("settings-read", "Cannot read this file", { hint, at: { file } }));
}
