// A machine to be set up that exists in memory only, for tests: files, accounts, units, and what was run. It can be told to
// fail at a step, or to be without room or rights for a path.
import { blockOf, withBlock, withVariables } from "../../agent/adapters/setup/blocks.ts";
import { type Looked, type SetupFacts, type Step, type StepOf, bootMark } from "../../agent/domain/first-boot.ts";
import { Problem } from "../../agent/domain/problem.ts";
import { sha256 } from "../../agent/text/digest.ts";
import type { HostSetup, UnitLook } from "../../agent/ports/host-setup.ts";

export type FakeEntry =
  | { readonly kind: "file"; readonly text: string; readonly mode: number; readonly owner: string }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "folder" };

interface FakeAccount {
  readonly home: string;
  readonly groups: readonly string[];
  readonly password?: string;
  readonly locked?: boolean;
}

export class FakeSetup implements HostSetup {
  readonly files = new Map<string, FakeEntry>();
  readonly accounts = new Map<string, FakeAccount>([["root", { home: "/root", groups: [] }]]);
  readonly groups = new Map<string, readonly string[]>([["root", []]]);
  readonly units = new Map<string, UnitLook>();
  readonly enabled = new Set<string>();
  readonly mounted = new Set<string>();
  hostname = "fresh";
  ownFacts: Partial<SetupFacts> = {};
  /** Paths below which nothing can be written. */
  readonly readOnly: string[] = [];
  /** Ids of steps that fail when they are carried out. */
  readonly broken = new Set<string>();
  /** By the id of the step beside which they are told. */
  readonly warnings = new Map<string, Problem>();
  /** Ids of steps that were carried out, in order. */
  readonly applied: string[] = [];
  /** To ask for it fails. */
  strangePath = "";
  /** Called before each step is carried out. */
  onApply: (step: Step) => void = () => undefined;
  isClosed = false;

  async facts(asked: Parameters<HostSetup["facts"]>[0]): Promise<SetupFacts> {
    if (asked.paths.includes(this.strangePath)) throw new Problem("setup-facts", `Cannot look at ${this.strangePath}`);
    const paths = asked.paths.filter((path) => this.files.has(path));
    return {
      hostname: this.hostname,
      machineId: "0123456789abcdef0123456789abcdef",
      bootId: "b".repeat(32),
      kernel: "6.1.0",
      systems: ["debian"],
      defaultUser: "root",
      units: new Set(asked.units.filter((unit) => this.units.has(unit))),
      programs: new Set(asked.programs),
      paths: new Set(paths),
      ours: new Set(paths.filter((path) => this.#isOurs(path))),
      contents: new Map(
        paths.flatMap((path) => {
          const digest = this.#digest(path);
          return digest === undefined ? [] : [[path, digest] as const];
        }),
      ),
      flotilla: "/usr/bin/flotilla",
      ...this.ownFacts,
    };
  }

  async look(step: Step): Promise<Looked> {
    switch (step.kind) {
      case "hostname":
        return looked(this.hostname, step.hostname);
      case "group": {
        const members = this.groups.get(step.name);
        return looked(members?.join(), [...new Set([...(members ?? []), ...step.members])].join());
      }
      case "user": {
        const groups = this.accounts.get(step.user.name)?.groups;
        return looked(groups?.join(), [...new Set([...(groups ?? []), ...step.user.groups])].join());
      }
      case "password": {
        const { password } = this.accounts.get(step.user) ?? {};
        return { same: step.isHash && password === step.password.reveal(), before: undefined, after: undefined };
      }
      case "lock":
        return looked(String(this.accounts.get(step.user)?.locked ?? true), String(step.locked));
      case "authorized-keys": {
        const keys = blockOf(this.#text(this.#keysOf(step.user)) ?? "", step.set) ?? [];
        return looked(keys.length === 0 ? undefined : keys.join("\n"), this.#keysWanted(step).join("\n"));
      }
      case "file": {
        const { path, mode, owner, group, isSecret } = step.file;
        const found = this.files.get(path);
        const goal = this.#goal(step.file);
        const same =
          found?.kind === "file" &&
          found.text === goal &&
          (step.file.append || (found.mode === mode && found.owner === `${owner}:${group}`));
        if (isSecret) return { same, before: undefined, after: undefined };
        return { same, before: found?.kind === "file" ? found.text : undefined, after: goal };
      }
      case "block":
        return looked(this.#text(step.path) ?? "", withBlock(this.#text(step.path) ?? "", step.name, step.lines));
      case "variables":
        return looked(this.#text(step.path), this.#variables(step));
      case "link": {
        const found = this.files.get(step.path);
        return looked(found?.kind === "link" ? `-> ${found.target}` : found?.kind, `-> ${step.target}`);
      }
      case "remove":
        return looked(this.files.get(step.path)?.kind, undefined);
      case "unmask":
        return looked(this.#isMask(step.path) ? "masked" : undefined, undefined);
      case "swap":
        return looked(this.mounted.has(step.file) ? "on" : undefined, "on");
      case "mount":
        return looked(this.mounted.has(step.mountPoint) ? "on" : undefined, "on");
      case "enable":
        return looked(String(this.enabled.has(step.unit)), String(step.enabled));
      case "unit": {
        const active = this.units.get(step.unit)?.active;
        const same =
          (step.command === "start" && active === "active") ||
          (step.command === "stop" && active !== "active") ||
          (step.command.includes("try") && (active === undefined || active === "inactive" || active === "failed"));
        return { same, before: active, after: same ? active : step.command };
      }
      case "command":
        return { same: false, before: undefined, after: step.means };
      case "packages":
      case "reload":
      case "phone-home":
      case "power":
        return { same: false, before: undefined, after: step.kind };
    }
  }

  async check(step: Step, before: readonly Step[]): Promise<readonly Problem[]> {
    const problems: Problem[] = [];
    const say = (code: string, what: string): void => void problems.push(new Problem(code, what, { at: step.at }));
    for (const path of pathsOf(step)) {
      if (this.files.get(path)?.kind === "folder") say("setup-path", `Cannot write ${path}: a folder stands there`);
      if (this.readOnly.some((each) => path.startsWith(each))) say("setup-write", `Cannot write ${path}`);
    }
    const makes = (name: string): boolean =>
      before.some(
        (each) => (each.kind === "user" && each.user.name === name) || (each.kind === "group" && each.name === name),
      );
    if (step.kind === "file" && !this.accounts.has(step.file.owner) && !makes(step.file.owner))
      say("setup-owner", `Cannot give ${step.file.path} to ${step.file.owner}:${step.file.group}`);
    if ("user" in step && typeof step.user === "string" && !this.accounts.has(step.user) && !makes(step.user))
      say("setup-user", `Cannot set the keys of ${step.user}: there is no such account`);
    const needsUnit = (step.kind === "enable" && step.enabled) || (step.kind === "unit" && step.command === "start");
    if (needsUnit && !this.#hasUnit(step.unit, before)) say("setup-unit", `Cannot start unit "${step.unit}"`);
    return problems;
  }

  async apply(step: Step, signal: AbortSignal, warn?: (warning: Problem) => void): Promise<readonly string[]> {
    this.onApply(step);
    if (signal.aborted) throw new Problem("aborted", `Cannot go on with "${step.id}"`);
    if (this.broken.has(step.id))
      throw new Problem("setup-apply", `Cannot carry out "${step.id}"`, { hint: "Mend it" });
    this.applied.push(step.id);
    const warning = this.warnings.get(step.id);
    if (warning !== undefined) warn?.(warning);
    return this.#apply(step);
  }

  #apply(step: Step): readonly string[] {
    switch (step.kind) {
      case "hostname":
        this.hostname = step.hostname;
        return ["/etc/hostname"];
      case "group":
        this.groups.set(step.name, [...new Set([...(this.groups.get(step.name) ?? []), ...step.members])]);
        return [];
      case "user": {
        const known = this.accounts.get(step.user.name) ?? { home: `/home/${step.user.name}`, groups: [] };
        this.accounts.set(step.user.name, { ...known, groups: [...new Set([...known.groups, ...step.user.groups])] });
        if (step.user.userGroup) this.groups.set(step.user.name, []);
        return [];
      }
      case "password":
        this.#change(step.user, { password: step.password.reveal(), locked: false });
        return [];
      case "lock":
        this.#change(step.user, { locked: step.locked });
        return [];
      case "authorized-keys": {
        const path = this.#keysOf(step.user);
        this.#write(
          path,
          withBlock(this.#text(path) ?? "", step.set, this.#keysWanted(step)),
          0o600,
          `${step.user}:${step.user}`,
        );
        return [path];
      }
      case "file":
        this.#write(step.file.path, this.#goal(step.file), step.file.mode, `${step.file.owner}:${step.file.group}`);
        return [step.file.path];
      case "block":
        this.#write(step.path, withBlock(this.#text(step.path) ?? "", step.name, step.lines));
        return [step.path];
      case "variables":
        this.#write(step.path, this.#variables(step));
        return [step.path];
      case "link": {
        const found = this.files.get(step.path);
        if (found?.kind === "file") this.files.set(`${step.path}.before-flotilla`, found);
        this.files.set(step.path, { kind: "link", target: step.target });
        return [step.path];
      }
      case "remove":
        if (step.content !== undefined && this.files.has(step.path) && this.#digest(step.path) !== step.content)
          throw new Problem("setup-changed", `Leaving ${step.path}`, { hint: "Somebody changed it" });
        return this.files.delete(step.path) ? [step.path] : [];
      case "unmask":
        return this.#isMask(step.path) && this.files.delete(step.path) ? [step.path] : [];
      case "swap":
        this.mounted.add(step.file);
        return [step.file];
      case "mount":
        this.mounted.add(step.mountPoint);
        return [];
      case "enable":
        if (step.enabled) this.enabled.add(step.unit);
        else this.enabled.delete(step.unit);
        return [];
      case "unit":
        this.units.set(step.unit, {
          ...upUnit,
          ...(step.command === "stop" ? { active: "inactive", sub: "dead" } : {}),
        });
        return [];
      case "command":
      case "packages":
      case "reload":
      case "phone-home":
      case "power":
        return [];
    }
  }

  async unitStates(units: readonly string[]): Promise<ReadonlyMap<string, UnitLook>> {
    return new Map(units.map((unit) => [unit, this.units.get(unit) ?? noUnit]));
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** Everything that can be seen of it, for comparing two machines. */
  picture(): unknown {
    return {
      hostname: this.hostname,
      files: Object.fromEntries([...this.files].sort()),
      accounts: Object.fromEntries([...this.accounts].sort()),
      enabled: [...this.enabled].sort(),
      units: Object.fromEntries([...this.units].sort()),
    };
  }

  #digest(path: string): string | undefined {
    const text = this.#text(path);
    return text === undefined ? undefined : sha256(text);
  }

  #isOurs(path: string): boolean {
    const text = this.#text(path);
    return text !== undefined && (text.startsWith(bootMark) || /^(\s*([#;].*)?\n?)*$/.test(text));
  }

  #change(user: string, change: Partial<FakeAccount>): void {
    this.accounts.set(user, { home: `/home/${user}`, groups: [], ...this.accounts.get(user), ...change });
  }

  #keysOf(user: string): string {
    return `${this.accounts.get(user)?.home ?? `/home/${user}`}/.ssh/authorized_keys`;
  }

  #keysWanted({ user, set, keys, keeps }: StepOf<"authorized-keys">): readonly string[] {
    const now = blockOf(this.#text(this.#keysOf(user)) ?? "", set) ?? [];
    return keeps === true ? [...new Set([...now, ...keys])] : keys;
  }

  #text(path: string): string | undefined {
    const found = this.files.get(path);
    return found?.kind === "file" ? found.text : undefined;
  }

  #write(path: string, text: string, mode = 0o644, owner = "root:root"): void {
    this.files.set(path, { kind: "file", text, mode, owner });
  }

  #goal({ path, content, append }: Extract<Step, { kind: "file" }>["file"]): string {
    const text = Buffer.from(content).toString("utf8");
    const now = this.#text(path);
    return append && now !== undefined ? (now.includes(text) ? now : now + text) : text;
  }

  #variables({ path, base, values }: Extract<Step, { kind: "variables" }>): string {
    return withVariables(this.#text(path) ?? (base === undefined ? "" : (this.#text(base) ?? "")), values);
  }

  #isMask(path: string): boolean {
    const found = this.files.get(path);
    return found?.kind === "link" ? found.target === "/dev/null" : found?.kind === "file" && found.text === "";
  }

  #hasUnit(unit: string, before: readonly Step[]): boolean {
    const path = `/etc/systemd/system/${unit}`;
    const comes = before.some(
      (each) => pathsOf(each).includes(path) || (each.kind === "packages" && each.names.length > 0),
    );
    return comes || this.units.has(unit) || this.files.has(path);
  }
}

export const upUnit: UnitLook = {
  load: "loaded",
  active: "active",
  sub: "running",
  result: "success",
  job: undefined,
  isSkipped: false,
  sinceMs: 0,
  isOneshot: false,
  failedNeed: undefined,
};
const noUnit: UnitLook = { ...upUnit, load: "not-found", active: "inactive", sub: "dead", result: "" };

function looked(before: string | undefined, after: string | undefined): Looked {
  return { same: before === after, before, after };
}

function pathsOf(step: Step): readonly string[] {
  if (step.kind === "file") return [step.file.path];
  return "path" in step ? [step.path] : [];
}
