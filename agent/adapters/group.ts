// The number of a group: from the machine's own file, and from whatever else answers for names there (getent(1)).
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";

/** A directory service that is away must not hold up an agent. */
const askTimeoutMs = 2_000;

/** `group` is a name or a number, which stands for itself. Undefined: there is none of that name. */
export async function groupNumber(group: string): Promise<number | undefined> {
  if (/^\d+$/.test(group)) return Number(group);
  const own = await readFile("/etc/group", "utf8").catch(() => ""); // a machine without the file has other ways
  return numberIn(own, group) ?? numberIn(await getent(group), group);
}

function numberIn(text: string, group: string): number | undefined {
  for (const line of text.split("\n")) {
    const [name, , number = ""] = line.split(":");
    if (name === group && /^\d+$/.test(number)) return Number(number);
  }
  return undefined;
}

/** Its line, or "" when there is no such group or nobody to ask. */
function getent(group: string): Promise<string> {
  if (!/^[A-Za-z_]/.test(group)) return Promise.resolve("");
  return new Promise((resolve) => {
    execFile("getent", ["group", group], { timeout: askTimeoutMs, killSignal: "SIGKILL" }, (error, stdout) =>
      resolve(error === null ? stdout : ""),
    );
  });
}
