// Several cloud-configs as one, in their order: lists joined, mappings merged, of two single values the later one wins.
import type { Notes } from "./notes.ts";
import { type MapEntry, type MapValue, type Value, pathOf } from "./values.ts";

export function mergeMaps(parts: readonly MapValue[], notes: Notes): MapValue | undefined {
  return parts.reduce<MapValue | undefined>(
    (before, part) => (before === undefined ? part : merge(before, part, { notes, path: "" })),
    undefined,
  );
}

function merge(
  one: MapValue,
  other: MapValue,
  { notes, path }: { readonly notes: Notes; readonly path: string },
): MapValue {
  const entries = new Map<string, MapEntry>(one.entries);
  for (const [key, entry] of other.entries) {
    const before = entries.get(key);
    const below = pathOf(path, key);
    if (before === undefined) entries.set(key, entry);
    else if (before.value.kind === "map" && entry.value.kind === "map")
      entries.set(key, { at: before.at, value: merge(before.value, entry.value, { notes, path: below }) });
    else if (before.value.kind === "list" && entry.value.kind === "list")
      entries.set(key, {
        at: before.at,
        value: { ...before.value, items: [...before.value.items, ...entry.value.items] },
      });
    else {
      if (!isSame(before.value, entry.value))
        notes.info("overridden", `Cannot keep "${below}" of ${before.at.file}, line ${before.at.line ?? 0}`, {
          hint: "This later part wins",
          at: entry.at,
        });
      entries.set(key, entry);
    }
  }
  return { kind: "map", entries, at: one.at };
}

function isSame(one: Value, other: Value): boolean {
  if (one.kind === "text" && other.kind === "text") return one.text === other.text;
  if (one.kind === "boolean" && other.kind === "boolean") return one.value === other.value;
  return one.kind === "number" && other.kind === "number" && one.value === other.value;
}
