// Sections that only pass names and values on: fleet, flannel, locksmith, update, oem, and the agent's own settings.
import type { Entry, SettingEntry } from "../domain/user-data.ts";
import { type Field, rootField, settingNames } from "./fields.ts";
import { readMetadata } from "./metadata.ts";
import type { Reader } from "./reader.ts";
import { type MapValue, type Value, pathOf } from "./values.ts";

/** Sections whose keys hold a password. */
const isSecretKey = (key: string): boolean => /password$/.test(key);

/** Every key of a section with its value as text, in order; a list is joined by commas, an empty value is left out. */
export function plainEntries(reader: Reader, section: MapValue): readonly Entry[] {
  return Array.from(section.entries).flatMap(([key, { value, at }]) => {
    const text = joined(reader, key, value);
    // the place of the value has the key's path and points at what is wrong with it
    return text === undefined ? [] : [{ key, value: text, isSecret: isSecretKey(key), at: lineOf(value, at) }];
  });
}

export function readEntries(reader: Reader, coreos: MapValue, section: string): readonly Entry[] {
  const map = reader.map(coreos, section);
  return map === undefined ? [] : plainEntries(reader, map);
}

function joined(reader: Reader, key: string, value: Value): string | undefined {
  if (key === "metadata") return readMetadata(reader, value);
  if (value.kind !== "list") return reader.filled(value)?.value;
  const texts = value.items.flatMap((item) => reader.filled(item)?.value ?? []);
  return texts.length === 0 ? undefined : texts.join(",");
}

function lineOf(value: Value, key: Entry["at"]): Entry["at"] {
  return value.kind === "list" || value.kind === "map" ? key : value.at;
}

/** `flotilla:` with the names of flotilla.conf. */
export function readSettings(reader: Reader, root: MapValue): readonly SettingEntry[] {
  const flotilla = reader.map(root, "flotilla");
  if (flotilla === undefined) return [];
  return Array.from(flotilla.entries).flatMap(([section, { value: keys }]) =>
    keys.kind !== "map"
      ? []
      : Array.from(keys.entries).flatMap(([key, { value, at }]) => {
          const name = settingNames.get(`${section}.${key}`);
          const field = fieldAt(["flotilla", section, key]);
          if (name === undefined || field === undefined) return [];
          const isMap = field.types.has("map");
          const text = isMap ? readMetadata(reader, value) : joined(reader, "", value);
          if (text === undefined) return [];
          if (/[\n\r]/.test(text)) {
            reader.notes.error("value", `Cannot take more than one line for "${pathOf(`flotilla.${section}`, key)}"`, {
              hint: "Write it on one line; a secret of several lines goes into a file",
              at,
            });
            return [];
          }
          return [{ ...name, value: text, isSecret: field.isSecret, at: lineOf(value, at) }];
        }),
  );
}

function fieldAt(path: readonly string[]): Field | undefined {
  return path.reduce<Field | undefined>((field, key) => field?.fields.get(key), rootField());
}
