// Steps "phone-home" and "power": telling somebody that the machine is there, and ending the boot in another one.
import { hostname } from "node:os";
import { readFile } from "node:fs/promises";
import { Problem } from "../../domain/problem.ts";
import { plainRequest } from "../plain-http.ts";
import { type Around, type Doer, at, unlessMissing } from "./around.ts";
import { needPrograms } from "./users.ts";

const requestTimeoutMs = 10_000;
/** What is answered is of no interest. */
const maxAnswerBytes = 1024 * 1024;
const pauseMs = 3_000;
const mostTries = 20;
const shutdownTimeoutMs = 30_000;

export const phoneHome: Doer<"phone-home"> = {
  look: async ({ url, fields }) => ({
    same: false,
    before: undefined,
    after: `POST ${withoutSecrets(url)} (${fields.join(", ")})\n`,
  }),
  async check({ url, at: place }) {
    const hint = "It is an http:// or https:// URL";
    return /^https?:$/.test(parsed(url)?.protocol ?? "")
      ? []
      : [new Problem("setup-phone-home", `Cannot call ${withoutSecrets(url)}`, { hint, at: place })];
  },
  async apply({ url, fields, tries, at: place }, around, signal) {
    const instanceId = around.instanceId ?? (await machineId(around));
    const body = new URLSearchParams(await valuesOf(fields, around, instanceId)).toString();
    const target = url.replaceAll("$INSTANCE_ID", encodeURIComponent(instanceId));
    let last: unknown;
    for (let tried = 1; tried <= Math.min(Math.max(1, tries), mostTries); tried++) {
      if (tried > 1) await around.clock.sleep(pauseMs, signal);
      try {
        await post(target, body, signal);
        return [];
      } catch (error) {
        signal.throwIfAborted();
        last = error;
      }
    }
    const hint = "Whoever waits for the call does not know that this machine is there";
    throw new Problem("setup-phone-home", `Cannot call ${withoutSecrets(url)}`, { hint, at: place, cause: last });
  },
};

async function post(url: string, body: string, signal: AbortSignal): Promise<void> {
  const target = new URL(url);
  const { username, password } = target;
  // refusals may repeat the URL
  target.username = target.password = "";
  const name = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  const answer = await plainRequest({
    url: target.href,
    method: "POST",
    body,
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      ...(username === "" && password === "" ? {} : { authorization: `Basic ${name}` }),
    },
    timeoutMs: requestTimeoutMs,
    maxBytes: maxAnswerBytes,
    isEnough: () => true,
    signal,
  });
  if (answer.status >= 300) throw new Error(`It answered with status ${answer.status}`);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone percent sign stands for itself
  }
}

async function valuesOf(
  fields: readonly string[],
  around: Around,
  instanceId: string,
): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const field of fields) {
    const [, type] = /^pub_key_([a-z0-9]+)$/.exec(field) ?? [];
    const value =
      type !== undefined
        ? await unlessMissing(readFile(at(around, `/etc/ssh/ssh_host_${type}_key.pub`), "utf8"))
        : field === "instance_id"
          ? instanceId
          : field === "hostname" || field === "fqdn"
            ? hostname()
            : undefined;
    values[field] = value?.trim() ?? "N/A"; // cloud-init's own word for what there is none of
  }
  return values;
}

async function machineId(around: Around): Promise<string> {
  return ((await unlessMissing(readFile(at(around, "/etc/machine-id"), "utf8"))) ?? "").trim();
}

function parsed(url: string): URL | undefined {
  return URL.canParse(url) ? new URL(url) : undefined;
}

/** Scheme, host and path: a query or a user's part may hold a secret. */
function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = parsed(url) ?? {};
  return protocol === undefined ? "the URL" : `${protocol}//${host ?? ""}${pathname ?? ""}`;
}

const modes: Readonly<Record<"poweroff" | "reboot" | "halt", string>> = { poweroff: "-P", reboot: "-r", halt: "-H" };

export const power: Doer<"power"> = {
  look: async ({ mode, delay }) => ({ same: false, before: undefined, after: `${mode} (${delay})\n` }),
  async check({ delay, at: place }, around) {
    const hint = "It is now, or +MINUTES";
    return [
      ...(await needPrograms(around, [["shutdown"]])),
      ...(/^(now|\+?\d{1,5})$/.test(delay)
        ? []
        : [new Problem("setup-power", `Cannot take "${delay.slice(0, 32)}" as a delay`, { hint, at: place })]),
    ];
  },
  async apply({ mode, delay, message }, { programs }, signal) {
    const when = delay === "now" ? delay : `+${delay.replace(/^\+/, "")}`;
    const argv = ["shutdown", modes[mode], when, ...(message === "" ? [] : [message])];
    await programs.must(argv, { signal, timeoutMs: shutdownTimeoutMs });
    return [];
  },
};
