// flotilla's own unit files on this machine, and the links by which systemd finds them. Given to systemd.ts.
// What lies here is the only record of what was placed; a link that leads elsewhere is the host's and is never touched.
// All of it lies on /run, in memory: read and written at once, 1,000 units in some 20 ms, without a thread's detour.
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import type { LaunchNote, Launched, PlacedUnit } from "../../domain/action.ts";
import { type UnitHash, type UnitName, byName, parseUnitName } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { DropIn, Unit } from "../../domain/unit.ts";
import type { Log } from "../../ports/log.ts";
import { systemdHash, unitHash } from "../../text/hash.ts";
import { concatenate, listValue, parseUnitFile } from "../../text/unit-file.ts";
import { fenceDropIn, fenceStepMs, fenceText, permitFiles } from "./permit.ts";
import { upFiles } from "./userspace.ts";

/** systemd applies drop-ins by file name; three digits before each name keep them in our order. */
const mostDropIns = 1_000;
const dropInFolder = ".d";
/** Folders beside a unit whose links make up for lines of [Install] in other units. */
const dependencyFolder = /\.(wants|requires|upholds)$/;
/** A name that ends with a dash is also the prefix of others: systemd reads its drop-ins for all of them. */
const prefixName = /^[^@]*-(@.*)?\.[a-z]+$/;
/** What is noted of a launch: the hash, the restart on request, and the hash of what systemd reads; "-" for what there is none of. */
const launchNote = /^([0-9a-f]{40})(?: ([0-9a-z-]{1,64}))?(?: ([0-9a-f]{40}))?\n$/;
/** Of a launch to come: the hash, the invocation before it, and the rest. */
const aheadNote = /^([0-9a-f]{40}) ([0-9a-f]{32}|-) ([0-9a-z-]{1,64})(?: ([0-9a-f]{40}))?\n$/;

export interface UnitFilesOptions {
  /** systemd's runtime unit folder. */
  readonly unitDirectory: string;
  /** flotilla's own, gone at reboot. */
  readonly runDirectory: string;
  readonly log: Log;
}

/** A unit as it lies here. */
export interface LyingUnit extends Omit<PlacedUnit, "unsettled"> {
  readonly install: Install;
  /** What systemd was to be told next when that was noted last, and has not been settled since. */
  readonly ahead?: Ahead;
  /** When its text or drop-ins were last written, by whomever: wall clock, µs. */
  readonly changedUs: number;
}

/** A stop; or a launch, and the invocation of the unit that it shall end. */
export type Ahead<Note = Launch> = "stop" | { readonly note: Note; readonly invocation: string };

/** With what systemd reads of the text that the note is of, where that lay there when it was noted. */
export interface Launch extends LaunchNote {
  readonly as?: UnitHash;
}

/** What an [Install] section asks for. */
export interface Install {
  readonly present: boolean;
  /** Alias= and Also=, as written, in order: the other names that enabling would touch. */
  readonly others: readonly string[];
}

/** What the files of a unit say. */
interface Contents {
  readonly hash: UnitHash;
  readonly systemdHash: UnitHash;
  readonly install: Install;
  readonly fenceStepMs: number | undefined;
}

interface Remembered extends Contents {
  readonly signature: string;
  readonly changedUs: number;
}

export class UnitFiles {
  readonly #units: string;
  readonly #permit: string;
  readonly #userspace: string;
  readonly #launched: string;
  readonly #ahead: string;
  readonly #enabled: string;
  readonly #installDue: string;
  readonly #temporary: string;
  readonly #reloadMark: string;
  readonly #upMark: string;
  readonly #links: string;
  readonly #log: Log;
  readonly #remembered = new Map<UnitName, Remembered>();
  /** Those that are being removed, and have no links meanwhile. */
  readonly #leaving = new Set<UnitName>();
  #cleaned = false;
  #reloadsNoted = 0;
  #temporaries = 0;

  constructor(options: UnitFilesOptions) {
    this.#units = join(options.runDirectory, "units");
    this.#permit = join(options.runDirectory, "permit");
    this.#userspace = join(options.runDirectory, "userspace");
    this.#launched = join(options.runDirectory, "launched");
    this.#ahead = join(options.runDirectory, "ahead");
    this.#enabled = join(options.runDirectory, "enabled");
    this.#installDue = join(options.runDirectory, "install-due");
    this.#temporary = join(options.runDirectory, "unfinished");
    this.#reloadMark = join(options.runDirectory, "reload-due");
    this.#upMark = join(options.runDirectory, "up");
    this.#links = options.unitDirectory;
    this.#log = options.log;
  }

  /**
   * Every unit of ours, in name order. A file whose link is missing gets it back (a crash came between the two); one
   * whose place the host has taken since is left out; a link of ours without a file is taken away.
   */
  placed(): readonly LyingUnit[] {
    return reading("the placed units", () => {
      this.#folders();
      const present = new Set<UnitName>();
      for (const entry of readdirSync(this.#units, { withFileTypes: true })) {
        const name = entry.isFile() ? parseUnitName(entry.name) : undefined;
        if (name?.ok === true) present.add(name.value);
      }
      this.#dropDangling(present);
      for (const name of this.#remembered.keys()) if (!present.has(name)) this.#remembered.delete(name);
      return [...present].sort(byName).flatMap((name) => {
        if (this.#leaving.has(name) || this.#link(name)) return [this.#lying(name)];
        this.#log.warn("unit.place-taken", { unit: name });
        return [];
      });
    });
  }

  /** Files first, links last, so that a link always leads to a whole unit. Rejects with "unit-foreign" or "disk-write". */
  write(unit: Unit): void {
    if (unit.dropIns.length > mostDropIns) {
      throw new Problem("disk-write", `Cannot write unit "${unit.name}"`, {
        hint: `It has over ${mostDropIns} drop-ins`,
      });
    }
    writing(`unit "${unit.name}"`, () => {
      this.#folders();
      const dropIns = dropInsOf(unit);
      if (dropIns.size > 0 && prefixName.test(unit.name)) throw prefixProblem(unit.name);
      // Before anything is written: what is refused leaves the older text as it is, whole
      for (const entry of [unit.name, ...this.#dropInEntries(unit.name, [...dropIns.keys()])]) {
        const place = this.#lookAt(entry);
        if (place.kind === "host") throw foreignProblem(unit.name, place.path);
      }
      this.#remembered.delete(unit.name);
      this.noteReload(true);
      if (!unit.hasInstall) this.uninstall([unit.name]);
      // Before the text: whoever finds that finds what is still to be done for it
      if (unit.hasInstall) this.#put(join(this.#installDue, unit.name), "");
      else rmSync(join(this.#installDue, unit.name), { force: true });
      if (unit.fence !== undefined) this.writePermit();
      this.#writeDropIns(unit.name, dropIns);
      this.#put(this.#file(unit.name), unit.text);
      if (!this.#link(unit.name)) throw foreignProblem(unit.name, join(this.#links, unit.name));
    });
  }

  /** The units that stand for the permit, where they are missing. True when any was: then a reload is due. */
  writePermit(): boolean {
    return writing("the units of the permit", () => {
      const write = this.#missingOf(permitFiles, this.#permit);
      if (write !== undefined) this.noteReload(true);
      write?.();
      return write !== undefined;
    });
  }

  /** The target that stands for userspace, where it is missing; systemd finds what it has never known without a reload. */
  writeUp(): void {
    writing("the target of userspace", () => this.#missingOf(upFiles, this.#userspace)?.());
  }

  /**
   * The first half of a removal: what systemd could start it by. `placed` still has the unit, and puts its links back only in
   * another process, which removes it again.
   */
  unlink(name: UnitName): void {
    writing(`the removal of unit "${name}"`, () => {
      this.#leaving.add(name);
      this.letGo(name);
      if (this.#lookAt(name).kind === "ours") rmSync(join(this.#links, name), { force: true });
      this.#unlinkDropIns(name, new Map());
    });
  }

  /** The removal has come to nothing. */
  relink(name: UnitName): void {
    writing(`the links of unit "${name}"`, () => {
      this.#leaving.delete(name);
      this.#link(name);
    });
  }

  /** The second half, of a unit that is certainly down: now it is no longer known. */
  discard(name: UnitName): void {
    writing(`the removal of unit "${name}"`, () => {
      this.#leaving.delete(name);
      this.#remembered.delete(name);
      for (const notes of [this.#launched, this.#ahead, this.#enabled, this.#installDue])
        rmSync(join(notes, name), { force: true });
      rmSync(`${this.#file(name)}${dropInFolder}`, { recursive: true, force: true });
      rmSync(this.#file(name), { force: true });
    });
  }

  /** What systemd's runtime folder has under this name. */
  placeOf(name: UnitName): { readonly kind: "free" | "ours" | "host"; readonly path: string } {
    return reading(`the place of unit "${name}"`, () => this.#lookAt(name));
  }

  noteLaunched(name: UnitName, note: LaunchNote | undefined): Launched {
    return writing(`the start of unit "${name}"`, () => {
      this.#folders();
      if (note === undefined) rmSync(join(this.#launched, name), { force: true });
      else this.#put(join(this.#launched, name), `${[note.hash, ...this.#rest(name, note)].join(" ")}\n`);
      rmSync(join(this.#ahead, name), { force: true });
      return this.#launchedNote(name);
    });
  }

  wasLaunched(name: UnitName): boolean {
    return reading(`the start of unit "${name}"`, () => statOf(join(this.#launched, name)) !== undefined);
  }

  noteAhead(name: UnitName, ahead: Ahead<LaunchNote>): void {
    writing(`what is next for unit "${name}"`, () => {
      this.#folders();
      if (ahead === "stop")
        this.#put(join(this.#ahead, name), ""); // also a full file system takes an empty file
      else {
        const { note, invocation } = ahead;
        const words = [note.hash, invocation === "" ? "-" : invocation, ...this.#rest(name, note)];
        this.#put(join(this.#ahead, name), `${words.join(" ")}\n`);
      }
    });
  }

  #rest(name: UnitName, { hash, restart = "-" }: LaunchNote): readonly string[] {
    const known = statOf(this.#file(name)) === undefined ? undefined : this.#contents(name);
    return known?.hash === hash ? [restart, known.systemdHash] : [restart];
  }

  /** Before a unit is stopped that shall go on: an agent that finds this starts it. False where something is noted already. */
  noteBreak(name: UnitName): boolean {
    if (statOf(join(this.#ahead, name)) !== undefined) return false;
    this.noteAhead(name, "stop");
    return true;
  }

  /** It has been started again. */
  endBreak(name: UnitName): void {
    writing(`what is next for unit "${name}"`, () => {
      const path = join(this.#ahead, name);
      if (aheadOf(readText(path)) === "stop") rmSync(path, { force: true });
    });
  }

  /** As after a reboot: whatever was told to start, and was to be told next, has come to its end. */
  forgetLaunches(): void {
    writing("the end of userspace", () => {
      for (const notes of [this.#launched, this.#ahead]) rmSync(notes, { recursive: true, force: true });
      this.#folders();
    });
  }

  /** Whether the target that stands for userspace was up. */
  wasUp(): boolean {
    return reading("the mark of userspace", () => statOf(this.#upMark) !== undefined);
  }

  noteUp(isUp: boolean): void {
    writing("the mark of userspace", () => {
      this.#folders();
      if (isUp) writeFileSync(this.#upMark, "");
      else rmSync(this.#upMark, { force: true });
    });
  }

  /** What its [Install] section asks for has been done, or refused. */
  noteInstalled(name: UnitName): void {
    writing(`the mark of unit "${name}"`, () => rmSync(join(this.#installDue, name), { force: true }));
  }

  /** Before it is removed: nothing starts it any more for its [Install] section. True when that takes a reload. */
  letGo(name: UnitName): boolean {
    return writing(`the end of [Install] of unit "${name}"`, () => {
      if (statOf(join(this.#enabled, name)) === undefined) return false;
      this.#put(join(this.#installDue, name), "");
      return this.uninstall([name]);
    });
  }

  /** Before it is: what this mark stands for is taken away by `uninstall`. */
  noteEnabled(name: UnitName): void {
    writing(`the mark of unit "${name}"`, () => {
      this.noteReload(true);
      this.#put(join(this.#enabled, name), "");
    });
  }

  /**
   * Takes away what enabling these units has made since boot, perhaps with other texts, and true when it was anything. Not
   * left to systemd, whose disabling does the same to every unit of Also=, and to the unit's own link.
   */
  uninstall(names: readonly UnitName[]): boolean {
    return writing("the end of [Install]", () => {
      const enabled = names.filter((name) => statOf(join(this.#enabled, name)) !== undefined);
      if (enabled.length === 0) return false;
      this.noteReload(true);
      const targets = new Set(enabled.flatMap((name) => [this.#file(name), join(this.#links, name)]));
      const own = new Set(enabled.map((name) => join(this.#links, name)));
      for (const folder of [this.#links, ...foldersIn(this.#links, dependencyFolder)]) {
        const links = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink());
        for (const path of links.map((entry) => join(folder, entry.name)))
          if (!own.has(path) && targets.has(resolve(folder, readlinkSync(path)))) rmSync(path, { force: true });
        if (folder !== this.#links && readdirSync(folder).length === 0) rmdirSync(folder);
      }
      for (const name of enabled) rmSync(join(this.#enabled, name), { force: true });
      return true;
    });
  }

  /** Whether unit files have changed since systemd last read them; survives a crash of the agent. */
  reloadDue(): boolean {
    return reading("the reload mark", () => statOf(this.#reloadMark) !== undefined);
  }

  /** How often a reload has become due: the one that begins now is none for what comes after. */
  get reloadsNoted(): number {
    return this.#reloadsNoted;
  }

  noteReload(due: boolean): void {
    writing("the reload mark", () => {
      this.#folders();
      if (due) this.#reloadsNoted += 1;
      if (due) writeFileSync(this.#reloadMark, "");
      else rmSync(this.#reloadMark, { force: true });
    });
  }

  /** Writes those of our own files that are missing in this folder, or in systemd's; undefined when none is. */
  #missingOf(files: ReadonlyMap<string, string>, folder: string): (() => void) | undefined {
    this.#folders();
    const missing = [...files].filter(([name, text]) => {
      const link = join(this.#links, name);
      const stat = statOf(link);
      const isOurs = stat?.isSymbolicLink() === true && readlinkSync(link) === join(folder, name);
      if (stat !== undefined && !isOurs) throw foreignProblem(name as UnitName, link);
      return stat === undefined || readText(join(folder, name)) !== text;
    });
    if (missing.length === 0) return undefined;
    return () => {
      for (const [name, text] of missing) {
        this.#put(join(folder, name), text);
        if (statOf(join(this.#links, name)) === undefined) symlinkSync(join(folder, name), join(this.#links, name));
      }
    };
  }

  #file(name: UnitName): string {
    return join(this.#units, name);
  }

  /** What a crash left half written is thrown away once. */
  #folders(): void {
    if (!this.#cleaned) rmSync(this.#temporary, { recursive: true, force: true });
    this.#cleaned = true;
    const notes = [this.#launched, this.#ahead, this.#enabled, this.#installDue];
    for (const folder of [this.#units, this.#permit, this.#userspace, ...notes, this.#temporary, this.#links]) {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
    }
  }

  /** Whole or not at all for whoever reads it meanwhile. No fsync: all of this is gone at reboot anyway. */
  #put(path: string, text: string): void {
    const temporary = join(this.#temporary, String(++this.#temporaries));
    try {
      writeFileSync(temporary, text, { mode: 0o644 });
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  #writeDropIns(name: UnitName, wanted: ReadonlyMap<string, string>): void {
    const folder = `${this.#file(name)}${dropInFolder}`;
    if (wanted.size > 0) mkdirSync(folder, { recursive: true, mode: 0o755 });
    for (const [file, text] of wanted) this.#put(join(folder, file), text);
    if (wanted.size === 0) rmSync(folder, { recursive: true, force: true });
    else for (const file of readdirSync(folder)) if (!wanted.has(file)) rmSync(join(folder, file), { recursive: true });
    this.#unlinkDropIns(name, wanted);
  }

  /**
   * What leads systemd to these drop-ins: one link for their folder, or one for each where the host has a folder of that name, as
   * `systemctl edit --runtime` makes it.
   */
  #dropInEntries(name: UnitName, files: readonly string[]): readonly string[] {
    if (files.length === 0) return [];
    const folder = `${name}${dropInFolder}`;
    return this.#isHostFolder(folder) ? files.map((file) => join(folder, file)) : [folder];
  }

  #isHostFolder(folder: string): boolean {
    return statOf(join(this.#links, folder))?.isDirectory() === true;
  }

  /** All of our links to drop-ins but those that are still wanted. */
  #unlinkDropIns(name: UnitName, wanted: ReadonlyMap<string, string>): void {
    const folder = `${name}${dropInFolder}`;
    const inHosts = this.#isHostFolder(folder) ? readdirSync(join(this.#links, folder)) : [];
    const entries = inHosts.filter((file) => !wanted.has(file)).map((file) => join(folder, file));
    for (const entry of wanted.size === 0 ? [folder, ...entries] : entries)
      if (this.#lookAt(entry).kind === "ours") rmSync(join(this.#links, entry), { force: true });
  }

  /**
   * True when the unit's own link stands; false when the host has something in its way. What is missing is made anew, the drop-ins
   * first; one whose place the host has is not in force.
   */
  #link(name: UnitName): boolean {
    if (this.#lookAt(name).kind === "host") return false;
    const folder = `${this.#file(name)}${dropInFolder}`;
    const dropIns = statOf(folder) === undefined ? [] : readdirSync(folder);
    for (const each of [...this.#dropInEntries(name, dropIns), name]) {
      const { kind, path } = this.#lookAt(each);
      if (kind === "host") this.#log.warn("unit.drop-in-place-taken", { unit: name, path });
      if (kind !== "free") continue;
      // Systemd may have read its units without
      this.noteReload(true);
      symlinkSync(join(this.#units, each), path);
    }
    return true;
  }

  /** Whether systemd finds it. */
  #isFenceLinked(name: UnitName): boolean {
    return this.#dropInEntries(name, [fenceDropIn]).every((entry) => this.#lookAt(entry).kind === "ours");
  }

  #lookAt(entry: string): { readonly kind: "free" | "ours" | "host"; readonly path: string } {
    const path = join(this.#links, entry);
    const stat = statOf(path);
    if (stat === undefined) return { kind: "free", path };
    if (!stat.isSymbolicLink()) return { kind: "host", path };
    return { kind: readlinkSync(path) === join(this.#units, entry) ? "ours" : "host", path };
  }

  #dropDangling(present: ReadonlySet<string>): void {
    for (const entry of readdirSync(this.#links, { withFileTypes: true })) {
      if (!entry.isSymbolicLink()) continue;
      const target = readlinkSync(join(this.#links, entry.name));
      if (target !== join(this.#units, entry.name)) continue;
      const unit = entry.name.endsWith(dropInFolder) ? entry.name.slice(0, -dropInFolder.length) : entry.name;
      if (present.has(unit)) continue;
      this.#log.warn("unit.dangling-link", { link: entry.name });
      rmSync(join(this.#links, entry.name), { force: true });
    }
  }

  #contents(name: UnitName): Remembered {
    const folder = `${this.#file(name)}${dropInFolder}`;
    const dropIns = (statOf(folder) === undefined ? [] : readdirSync(folder)).sort(byName);
    const paths = [this.#file(name), ...dropIns.map((file) => join(folder, file))];
    // Whatever changes a file, this changes with it.
    const stats = [...paths, folder].map((path) => ({ path, stat: statOf(path) }));
    const signature = stats.map(({ path, stat }) => `${path} ${stat?.ino} ${stat?.ctimeNs}`).join("\n");
    const remembered = this.#remembered.get(name);
    const changedUs = Math.max(...stats.map(({ stat }) => Number((stat?.ctimeNs ?? 0n) / 1_000n)));
    const known =
      remembered?.signature === signature ? remembered : { signature, changedUs, ...this.#readUnit(name, dropIns) };
    this.#remembered.set(name, known);
    return known;
  }

  #launchedNote(name: UnitName): Launched {
    const [, launched, restarted, launchedAs] = launchNote.exec(readText(join(this.#launched, name)) ?? "") ?? [];
    return {
      launched: launched as UnitHash | undefined,
      ...(restarted === undefined || restarted === "-" ? {} : { restarted }),
      ...(launchedAs === undefined ? {} : { launchedAs: launchedAs as UnitHash }),
    };
  }

  #lying(name: UnitName): LyingUnit {
    const known = this.#contents(name);
    const ahead = aheadOf(readText(join(this.#ahead, name)));
    return {
      name,
      hash: known.hash,
      install: known.install,
      changedUs: known.changedUs,
      ...this.#launchedNote(name),
      ...(ahead === undefined ? {} : { ahead }),
      ...(statOf(join(this.#installDue, name)) === undefined ? {} : { installDue: true }),
      ...(known.fenceStepMs === undefined || !this.#isFenceLinked(name) ? {} : { fenceStepMs: known.fenceStepMs }),
    };
  }

  /** Our own drop-in is none of the unit's texts. */
  #readUnit(name: UnitName, files: readonly string[]): Contents {
    const text = readFileSync(this.#file(name), "utf8");
    const read = (file: string): string => readFileSync(join(`${this.#file(name)}${dropInFolder}`, file), "utf8");
    const dropIns = files
      .filter((file) => file !== fenceDropIn)
      .map((file) => ({ name: file.replace(/^[0-9]{3}-/, ""), text: read(file) }));
    const stepMs = files.includes(fenceDropIn) ? fenceStepMs(name, read(fenceDropIn)) : undefined;
    return {
      hash: unitHash(text, dropIns),
      systemdHash: systemdHash({ text, dropIns, fence: stepMs === undefined ? undefined : { stepMs } }),
      install: installOf([text, ...dropIns.map((dropIn) => dropIn.text)]),
      fenceStepMs: stepMs,
    };
  }
}

function aheadOf(text: string | undefined): Ahead | undefined {
  if (text === "") return "stop";
  const [, hash, invocation, restart, as] = aheadNote.exec(text ?? "") ?? [];
  if (hash === undefined) return undefined;
  const note = {
    hash: hash as UnitHash,
    restart: restart === "-" ? undefined : restart,
    ...(as === undefined ? {} : { as: as as UnitHash }),
  };
  return { note, invocation: invocation === undefined || invocation === "-" ? "" : invocation };
}

function installOf(texts: readonly string[]): Install {
  const read = texts.map((text) => parseUnitFile(text, ""));
  const whole = concatenate(read.flatMap((each) => (each.ok ? [each.value] : [])));
  const others = ["Alias", "Also"].flatMap((key) => listValue(whole, { section: "Install", key }));
  return {
    present: whole.sections.includes("Install"),
    others: others.flatMap((value) => value.split(/\s+/).filter((word) => word !== "")),
  };
}

/** Texts by file name. */
function dropInsOf(unit: Unit): ReadonlyMap<string, string> {
  const texts = new Map(unit.dropIns.map((dropIn, at) => [fileOfDropIn(dropIn, at), dropIn.text]));
  if (unit.fence !== undefined) texts.set(fenceDropIn, fenceText(unit.name, unit.fence.stepMs));
  return texts;
}

function fileOfDropIn(dropIn: DropIn, at: number): string {
  // Checked where the commit was read; a name that is a path must not get this far all the same.
  if (basename(dropIn.name) !== dropIn.name || !dropIn.name.endsWith(".conf") || dropIn.name.includes("\0")) {
    throw new Problem("disk-write", `Cannot write drop-in ${JSON.stringify(dropIn.name)}`, {
      hint: "It must be a plain file name that ends with .conf",
    });
  }
  return `${String(at).padStart(3, "0")}-${dropIn.name}`;
}

export function foreignProblem(name: UnitName, where: string): Problem {
  return new Problem("unit-foreign", `Cannot place unit "${name}": this machine has one of its own at ${where}`, {
    hint: "Give the unit another name, or remove the machine's own",
  });
}

function prefixProblem(name: UnitName): Problem {
  return new Problem("unit-prefix", `Cannot give unit "${name}" drop-ins, or OnPartition=stop, which is one`, {
    hint: "systemd reads them for every unit whose name begins so; give it a name that does not end with -",
  });
}

function foldersIn(folder: string, like: RegExp): readonly string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && like.test(entry.name)).map(({ name }) => join(folder, name));
}

function statOf(path: string) {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function readText(path: string): string | undefined {
  return statOf(path) === undefined ? undefined : readFileSync(path, "utf8");
}

function reading<T>(what: string, work: () => T): T {
  return guarded("disk-read", `Cannot read ${what}`, work);
}

function writing<T>(what: string, work: () => T): T {
  return guarded("disk-write", `Cannot write ${what}`, work);
}

function guarded<T>(code: string, message: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(code, message, { cause: error });
  }
}
