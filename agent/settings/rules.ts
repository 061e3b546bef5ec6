// Rules between options: what needs what, what excludes what, and what was set but does nothing.
import { Problem } from "../domain/problem.ts";
import { transportOf } from "./addresses.ts";
import { apiConflicts, apiNeeds, apiWarnings } from "./api-rules.ts";
import { title, type Choice } from "./chosen.ts";
import { etcdConflicts, etcdIdle, etcdPairs } from "./etcd-rules.ts";
import { options } from "./options.ts";
import { formatDuration } from "./values.ts";

/** What one option asks of another. */
export function acrossOptions(chosen: Choice): readonly Problem[] {
  const problems: Problem[] = [];
  const needs = (name: string, other: string): void => {
    const has = chosen.chosen(name);
    if (has !== undefined && !chosen.has(other))
      problems.push(
        new Problem("setting-missing", `Cannot use ${has.origin.label} alone`, {
          hint: `Set ${title(other)}= too`,
          at: has.origin.at,
        }),
      );
  };
  needs("Registry.CertFile", "Registry.KeyFile");
  needs("Registry.KeyFile", "Registry.CertFile");
  needs("Registry.Password", "Registry.Username");
  needs("Registry.Username", "Registry.Password");
  needs("Git.Password", "Git.Username");
  for (const [one, other] of etcdPairs) {
    needs(one, other);
    needs(other, one);
  }
  for (const [one, other] of apiNeeds) needs(one, other);
  problems.push(...etcdConflicts(chosen), ...apiConflicts(chosen));
  const token = chosen.chosen("Git.Token");
  const password = chosen.chosen("Git.Password");
  if (token !== undefined && password !== undefined)
    problems.push(
      new Problem("setting-conflict", `Cannot use ${token.origin.label} together with ${password.origin.label}`, {
        hint: "Keep the token or the password",
        at: token.origin.at,
      }),
    );
  for (const lease of ["Agent.EngineLease", "Agent.MachineLease"]) {
    if (chosen.number("Registry.RequestTimeout") * 2 <= chosen.number(lease)) continue;
    const origin = chosen.chosen("Registry.RequestTimeout")?.origin ?? chosen.chosen(lease)?.origin;
    problems.push(
      new Problem(
        "setting-conflict",
        `Cannot renew a lease of ${formatDuration(chosen.number(lease))} when a request may take ${formatDuration(chosen.number("Registry.RequestTimeout"))}`,
        { hint: `Set [Registry] RequestTimeout= to at most half of ${title(lease)}=`, at: origin?.at },
      ),
    );
  }
  return problems;
}

/** What was set and does nothing: usually something beside it is missing or misspelled. */
export function withoutEffect(chosen: Choice): readonly Problem[] {
  const warnings: Problem[] = [];
  const idle = (names: readonly string[], hint: string): void => {
    for (const name of names) {
      const has = chosen.chosen(name);
      if (has !== undefined)
        warnings.push(
          new Problem("setting-idle", `Cannot use ${has.origin.label}; it has no effect`, { hint, at: has.origin.at }),
        );
    }
  };
  const url = chosen.optional("Git.URL");
  const transport = url === undefined ? undefined : transportOf(url);
  const web = ["Git.Username", "Git.Token", "Git.Password"];
  const ssh = ["Git.SSHKeyFile", "Git.KnownHostsFile"];
  if (transport === undefined)
    idle(
      options.filter(({ section, key }) => section === "Git" && key !== "URL").map(({ name }) => name),
      "There is no [Git] URL=",
    );
  else {
    if (transport !== "ssh") idle(ssh, "The repository is not reached by ssh");
    if (transport !== "https") idle(["Git.CAFile"], "The repository is not reached by https");
    if (transport === "ssh" || transport === "local") idle(web, "The repository is not reached by https or http");
  }
  const discovery = chosen.optional("Etcd.Discovery") ?? chosen.list("Etcd.DiscoveryEndpoints")[0];
  if (discovery?.startsWith("http:") === true && chosen.has("Etcd.DiscoveryPassword"))
    warnings.push(
      new Problem("secret-in-clear", "Cannot hide the discovery password: http sends it in the clear", {
        hint: "Take https:// URLs",
        at: chosen.chosen("Etcd.DiscoveryPassword")?.origin.at,
      }),
    );
  if (transport === "http" && (chosen.has("Git.Token") || chosen.has("Git.Password")))
    warnings.push(
      new Problem("secret-in-clear", "Cannot hide the git password: http sends it in the clear", {
        hint: "Take an https:// URL",
        at: chosen.chosen("Git.URL")?.origin.at,
      }),
    );
  const endpoints = chosen.list("Registry.Endpoints");
  const encrypted = endpoints[0]?.startsWith("https://") === true;
  if (endpoints.length > 0 && !encrypted)
    idle(["Registry.CAFile", "Registry.CertFile", "Registry.KeyFile"], "The endpoints are http, not https");
  for (const { names, hint } of etcdIdle(chosen)) idle(names, hint);
  // With [Etcd] the endpoints are found, and the rest of [Registry] is about them
  if (endpoints.length === 0 && !chosen.hasSection("Etcd"))
    idle(
      options
        .filter(({ section, kind }) => section === "Registry" && kind !== "secret-file")
        .map(({ name }) => name)
        .filter((name) => name !== "Registry.RequestTimeout"),
      "There is no [Registry] Endpoints=",
    );
  warnings.push(...apiWarnings(chosen));
  if (url === undefined) warnings.push(noRepository(chosen.flag("Agent.AllowSubmit")));
  return warnings;
}

/** What people submit needs none; a machine that takes nothing from them has nothing to do. */
function noRepository(allowSubmit: boolean): Problem {
  return allowSubmit
    ? new Problem("setting-no-repository", "Cannot take units from git: no repository is set", {
        hint: "Set [Git] URL=, or run what people submit alone",
      })
    : new Problem("setting-no-repository", "Cannot take any new unit: no repository is set, and AllowSubmit=no", {
        hint: "Set [Git] URL=, or [Agent] AllowSubmit=yes",
      });
}
