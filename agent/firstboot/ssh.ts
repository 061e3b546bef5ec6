// The SSH daemon: passwords for accounts by name, its own settings, and its host keys.
import type { SetupFacts, Step } from "../domain/first-boot.ts";
import { unlessShutOut } from "./accounts.ts";
import { type Draft, type Given, base, madeLines, tell, textFile } from "./draft.ts";

const dropIn = "/etc/ssh/sshd_config.d/10-flotilla.conf";
/** Debian's name and everybody else's. */
export const sshUnits: readonly string[] = ["ssh.service", "sshd.service"];
export const sshFolder = "/etc/ssh/sshd_config.d";

export function planPasswords({ config }: Given, draft: Draft): void {
  const { list, expire } = config.passwords;
  for (const { user, password, isHash, at } of list) {
    const id = `password ${user}`;
    const twice = draft.steps.findIndex((step) => step.id === id);
    if (twice >= 0) draft.steps.splice(twice, 1);
    draft.steps.push({
      ...base(id, { stage: "reach", at, frequency: "once-per-instance" }),
      kind: "password",
      user,
      password,
      isHash,
      expire,
    });
  }
}

/** sshd takes the first value that it meets, in the order of file names: this file comes before the image's own. */
export function planSshDaemon({ config, facts }: Given, draft: Draft): void {
  const { sshPasswordAuth, disableRoot } = config;
  const at = sshPasswordAuth?.at ?? disableRoot?.at;
  const lines: string[] = [];
  if (sshPasswordAuth !== undefined) {
    const word = sshPasswordAuth.value ? "yes" : "no";
    lines.push(`PasswordAuthentication ${word}`, `KbdInteractiveAuthentication ${word}`);
  }
  if (disableRoot?.value === true && facts.defaultUser === "root" && (config.users?.entries.length ?? 0) === 0)
    tell(draft, "warning", {
      code: "boot-disable-root",
      message: "Leaving root able to log in: there is no other account",
      hint: "Add an account under users: to let disable_root: true take effect",
      at: disableRoot.at,
    });
  else if (disableRoot !== undefined) lines.push(`PermitRootLogin ${disableRoot.value ? "no" : "prohibit-password"}`);
  if (lines.length === 0) return;
  if (!facts.paths.has(sshFolder)) {
    tell(draft, "warning", {
      code: "boot-sshd",
      message: `Cannot set ${lines.join(", ")}: there is no ${sshFolder}`,
      hint: "This image's sshd has no folder for settings of others; write its sshd_config with write_files:",
      at,
    });
    return;
  }
  const id = "own sshd settings";
  draft.steps.push({
    ...base(id, { stage: "files", at }),
    ...unlessShutOut(draft.steps),
    kind: "file",
    file: textFile(dropIn, { lines: [...madeLines, ...lines] }),
  });
  const reload = sshdReload(facts, { id: "reload sshd", after: [id] });
  if (reload !== undefined) draft.steps.push(reload);
}

/** Undefined: started for each connection, it reads its settings each time. */
export function sshdReload(
  facts: SetupFacts,
  { id, after }: { readonly id: string; readonly after: readonly string[] },
): Step | undefined {
  const unit = sshUnits.find((name) => facts.units.has(name));
  if (unit === undefined) return undefined;
  return {
    ...base(id, { stage: "files" }),
    onlyAfter: after,
    kind: "unit",
    unit,
    command: "reload-or-try-restart",
  };
}

const keyFile = (type: string): string => `/etc/ssh/ssh_host_${type}_key`;

/**
 * The new keys are made beside the old ones and take their places by a rename; only then go those of other types. sshd has
 * keys at any moment, also when ssh-keygen fails or the power goes.
 */
function newKeysScript(types: readonly string[]): string {
  const fresh = ".flotilla-new";
  // `-A` makes those that are missing below a root: etc/ssh in it is ssh-keygen's own
  const folder = `${fresh}/etc/ssh`;
  const make =
    types.length === 0
      ? [`ssh-keygen -A -f ${fresh}`]
      : types.map((type) => `ssh-keygen -q -N '' -t ${type} -f ${folder}/ssh_host_${type}_key`);
  return [
    "set -e",
    "cd /etc/ssh",
    `rm -rf ${fresh}`,
    `mkdir -p ${folder}`,
    ...make,
    `for key in ${folder}/ssh_host_*_key; do [ -s "$key" ]; done`,
    `old=`,
    `for key in ssh_host_*_key ssh_host_*_key.pub; do if [ -e "$key" ] && [ ! -e "${folder}/$key" ]; then old="$old $key"; fi; done`,
    `mv -f ${folder}/ssh_host_*_key ${folder}/ssh_host_*_key.pub .`,
    "rm -f $old",
    `rm -rf ${fresh}`,
    "if command -v restorecon >/dev/null; then restorecon ssh_host_*; fi",
  ].join("; ");
}

/** Host keys that are given; else new ones where the image brought some along. */
export function planHostKeys({ config, facts, isCopied }: Given, draft: Draft): void {
  const changed: string[] = [];
  const wanted = config.sshDeleteKeys?.value ?? (isCopied && config.sshKeys.length === 0);
  if (wanted) {
    const id = "new host keys";
    changed.push(id);
    draft.steps.push({
      ...base(id, { stage: "files", at: config.sshDeleteKeys?.at, frequency: "once-per-instance" }),
      kind: "command",
      argv: ["/bin/sh", "-c", newKeysScript(config.sshKeyTypes)],
      input: undefined,
      means: "make new SSH host keys",
    });
  }
  for (const { type, text, at } of config.sshKeys) {
    const [, algorithm = type, part] = /^(\w+)_(private|public|certificate)$/.exec(type) ?? [];
    const suffix = part === "public" ? ".pub" : part === "certificate" ? "-cert.pub" : "";
    const isPrivate = suffix === "";
    const id = `host key ${type}`;
    changed.push(id);
    draft.steps.push({
      ...base(id, { stage: "files", at }),
      kind: "file",
      file: textFile(`${keyFile(algorithm)}${suffix}`, {
        lines: [text.reveal().trimEnd()],
        mode: isPrivate ? 0o600 : 0o644,
        isSecret: isPrivate,
      }),
    });
  }
  if (changed.length === 0) return;
  const reload = sshdReload(facts, { id: "reload sshd for host keys", after: changed });
  if (reload !== undefined) draft.steps.push(reload);
}
