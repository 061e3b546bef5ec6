// coreos.units: names, texts, drop-ins, and what is asked of systemd.
import { isTemplate, parseUnitName } from "../domain/names.ts";
import type { CloudConfig, UnitCommand, UnitEntry } from "../domain/user-data.ts";
import { suggest } from "../text/suggest.ts";
import { type UnitFile, lastValue, listValue, parseUnitFile } from "../text/unit-file.ts";
import { shown } from "./notes.ts";
import { type Reader, lineWithin } from "./reader.ts";
import { secretIn } from "./secrets.ts";
import type { MapValue, TextValue } from "./values.ts";

const commands: readonly UnitCommand[] = [
  ...(["start", "stop", "restart", "reload", "try-restart"] as const),
  ...(["reload-or-restart", "reload-or-try-restart"] as const),
];

/** Units whose settings are made of user-data: enabled, they start on later boots before these are there. */
const configured: Readonly<Record<string, string>> = {
  "etcd.service": "etcd",
  "etcd2.service": "etcd2",
  "etcd-member.service": "etcd2",
  "fleet.service": "fleet",
  "flotilla.service": "fleet and flotilla",
  "flanneld.service": "flannel",
  "locksmithd.service": "locksmith",
};

export function readUnits(reader: Reader, coreos: MapValue): CloudConfig["units"] {
  const units = reader.maps(coreos, "units").flatMap((map) => readUnit(reader, map) ?? []);
  const seen = new Map<string, UnitEntry>();
  for (const unit of units) {
    const before = seen.get(unit.name);
    const twice = { hint: `It stands on line ${before?.at.line ?? 0} as well; join the two`, at: unit.at };
    if (before?.content !== undefined && unit.content !== undefined)
      reader.notes.error("unit-twice", `Cannot take two texts for unit "${shown(unit.name)}"`, twice);
    else if (before !== undefined)
      reader.notes.warning("unit-twice", `Cannot recommend to name unit "${shown(unit.name)}" twice`, twice);
    seen.set(unit.name, unit);
  }
  return units;
}

function readUnit(reader: Reader, map: MapValue): UnitEntry | undefined {
  const name = reader.text(map, "name");
  if (name === undefined) return undefined;
  const isNetwork = /\.(network|netdev|link)$/.test(name.value);
  if (!checkName(reader, { ...name, isNetwork })) return undefined;
  const written = reader.raw(map, "content");
  const content = written === undefined || written.text.trim() === "" ? undefined : written;
  const parsed = content === undefined ? undefined : checkText(reader, content, name.value);
  const command = reader.text(map, "command");
  const unit: UnitEntry = {
    name: name.value,
    content: content === undefined ? undefined : reader.tokens.fill(content.text, content.at),
    runtime: reader.flag(map, "runtime") === true,
    enable: reader.flag(map, "enable") === true,
    mask: reader.flag(map, "mask") === true,
    command: commands.find((each) => each === command?.value),
    dropIns: readDropIns(reader, map),
    at: name.at,
  };
  checkTogether(reader, map, { unit, parsed, isNetwork });
  return unit;
}

function checkName(
  { notes }: Reader,
  { value, at, isNetwork }: { readonly value: string; readonly at: UnitEntry["at"]; readonly isNetwork: boolean },
): boolean {
  if (isNetwork && /^[A-Za-z0-9:_.@-]{1,240}\.(network|netdev|link)$/.test(value) && !value.startsWith("."))
    return true;
  const parsed = parseUnitName(value);
  if (parsed.ok) return true;
  const suffix = /\.([A-Za-z]+)$/.exec(value)?.[1];
  const near = suffix === undefined ? undefined : suggest(suffix, ["service", "socket", "timer", "network", "mount"]);
  for (const { message, hint } of parsed.problems)
    notes.error("unit-name", message, {
      hint:
        suffix === undefined && !value.includes(".")
          ? `Did you mean "${shown(value)}.service"?`
          : near === undefined
            ? hint
            : `Did you mean ".${near}"?`,
      at,
    });
  return false;
}

/** Faults of the syntax, each on its own line; undefined where it cannot be read. */
function checkText(reader: Reader, content: TextValue, name: string): UnitFile | undefined {
  const parsed = parseUnitFile(content.text, name);
  if (!parsed.ok) {
    for (const { message, hint, at } of parsed.problems)
      reader.notes.error("unit-text", `${message} of "${shown(name)}"`, { hint, at: lineWithin(content, at?.line) });
    return undefined;
  }
  const secret = secretIn(content.text.replace(/^(Environment=)["']?/gm, ""));
  if (secret !== undefined)
    reader.notes.warning(
      "secret-readable",
      `Cannot keep ${secret.what} in "${shown(name)}" secret: unit files are for all to read`,
      {
        hint: 'Put it into a file with permissions "0600", and name that with EnvironmentFile=',
        at: lineWithin(content, secret.line),
      },
    );
  return parsed.value;
}

function readDropIns(reader: Reader, map: MapValue): UnitEntry["dropIns"] {
  const seen = new Set<string>();
  return reader.maps(map, "drop_ins").flatMap((each) => {
    const name = reader.text(each, "name");
    const content = reader.raw(each, "content");
    if (name === undefined || content === undefined) return [];
    if (!/^[A-Za-z0-9:_.@\\-]{1,240}\.conf$/.test(name.value) || name.value.startsWith(".")) {
      reader.notes.error("drop-in-name", `Cannot take "${shown(name.value)}" as the name of a drop-in`, {
        hint: /[/\s]/.test(name.value)
          ? "It must be a file name ending in .conf"
          : "It must end in .conf: systemd reads no other",
        at: name.at,
      });
      return [];
    }
    if (seen.has(name.value))
      reader.notes.error("drop-in-twice", `Cannot take drop-in "${shown(name.value)}" twice`, {
        hint: "Join the two, or give one another name",
        at: name.at,
      });
    seen.add(name.value);
    checkText(reader, content, name.value);
    return [{ name: name.value, content: reader.tokens.fill(content.text, content.at), at: name.at }];
  });
}

function checkTogether(
  reader: Reader,
  map: MapValue,
  {
    unit,
    parsed,
    isNetwork,
  }: { readonly unit: UnitEntry; readonly parsed: UnitFile | undefined; readonly isNetwork: boolean },
): void {
  const { notes } = reader;
  const warn = (code: string, message: string, more: { readonly key: string; readonly hint: string }): void =>
    notes.warning(code, message, { hint: more.hint, at: reader.keyAt(map, more.key) });
  const name = shown(unit.name);
  if (isNetwork) {
    for (const key of ["command", "enable", "mask"].filter((each) => map.entries.has(each)))
      warn("unit-network", `Cannot use "${key}" for "${name}": it is a file of networkd, not a unit`, {
        key,
        hint: "Take it away; networkd is restarted by itself",
      });
    return;
  }
  const named = parseUnitName(unit.name);
  if (unit.command !== undefined && unit.command !== "stop" && named.ok && isTemplate(named.value))
    notes.error("unit-template", `Cannot ${unit.command} "${name}": a template is never run itself`, {
      hint: `Name an instance: ${name.replace("@.", "@1.")}`,
      at: reader.keyAt(map, "command"),
    });
  const section = configured[unit.name];
  if (unit.enable && section !== undefined)
    warn("unit-enable", `Cannot recommend "enable" for "${name}", whose settings are made of "${section}"`, {
      key: "enable",
      hint: "On later boots it could start without them; command: start is enough",
    });
  if (unit.mask && unit.content !== undefined)
    warn("unit-mask", `Cannot keep the text of "${name}": mask puts a link to /dev/null in its place`, {
      key: "mask",
      hint: "Take away mask or content",
    });
  if (unit.mask && unit.command !== undefined && unit.command !== "stop")
    warn("unit-mask", `Cannot ${unit.command} "${name}": it is masked`, {
      key: "command",
      hint: "Take away mask or command",
    });
  if (unit.enable && parsed !== undefined && !parsed.assignments.some((each) => each.section === "Install"))
    warn("unit-install", `Cannot enable "${name}": its text has no [Install] section`, {
      key: "enable",
      hint: "Add one with WantedBy=multi-user.target",
    });
  if (parsed !== undefined && unit.name.endsWith(".service") && !startsSomething(parsed))
    warn("unit-start", `Cannot start "${name}": its text has no ExecStart=`, {
      key: "content",
      hint: "Add one to its [Service] section",
    });
  if (isIdle(unit))
    notes.warning("unit-idle", `Cannot see what is to be done with "${name}"`, {
      hint: "Give it content, drop-ins or a command",
      at: unit.at,
    });
}

/** As systemd's own check of a service (systemd.service(5)). */
function startsSomething(file: UnitFile): boolean {
  const has = (key: string): boolean => listValue(file, { section: "Service", key }).length > 0;
  return (
    has("ExecStart") ||
    lastValue(file, { section: "Service", key: "SuccessAction" }) !== undefined ||
    (has("ExecStop") && lastValue(file, { section: "Service", key: "RemainAfterExit" }) !== undefined)
  );
}

function isIdle({ content, runtime, enable, mask, command, dropIns }: UnitEntry): boolean {
  return content === undefined && !runtime && !enable && !mask && command === undefined && dropIns.length === 0;
}
