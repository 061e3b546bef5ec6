// User-data that somebody named outright: a file, a URL, or a URL on the kernel command line.
import type { SourceName } from "../../ports/user-data-sources.ts";
import { isWebPage } from "./facts.ts";
import { readWhole } from "./files.ts";
import { lastValue } from "./identity.ts";
import { withoutSecrets } from "./metadata-http.ts";
import { absent, type Answer, type Asking, found, maxUserDataBytes, noMetadata, type Source, unfit } from "./source.ts";

export const fileSource: Source = {
  name: "file",
  async ask({ file, signal }) {
    if (file === undefined) return absent("no file was named");
    const reading = readWhole(file, { mostBytes: maxUserDataBytes, mayBePipe: true });
    // a pipe that nobody writes to cannot be left in another way
    const userData = await Promise.race([reading, rejectOn(signal)]);
    if (userData === undefined) throw unfit(`Cannot read ${file}: there is no such file`);
    return found("file", { where: file, userData, metadata: noMetadata });
  },
};

export const urlSource: Source = {
  name: "url",
  async ask(asking) {
    return asking.url === undefined ? absent("no URL was named") : askNamed(asking.url, { source: "url", asking });
  },
};

export const kernelCommandLine: Source = {
  name: "kernel-command-line",
  async ask(asking) {
    const url = lastValue(asking.identity.words, ["cloud-config-url", "cloud_config_url"]);
    if (url === undefined || url === "") return absent("no cloud-config-url= on the kernel command line");
    return askNamed(url, { source: "kernel-command-line", asking });
  },
};

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

async function askNamed(
  url: string,
  { source, asking }: { readonly source: SourceName; readonly asking: Asking },
): Promise<Answer> {
  const userData = await readNamed(url, asking);
  if (userData === undefined) throw unfit(`Cannot read ${withoutSecrets(url)}: there is no such document`);
  return found(source, { where: withoutSecrets(url), userData, metadata: noMetadata });
}

/** The document at a URL that the operator named; undefined: it answered 4xx. A web page is refused. */
export async function readNamed(url: string, { http }: Asking): Promise<Buffer | undefined> {
  const answer = await http.ask({ url, isNamed: true, mostBytes: maxUserDataBytes });
  if (answer.kind === "refused") return undefined;
  if (isWebPage(answer.body))
    throw unfit(
      `Cannot use ${withoutSecrets(url)}: it is a web page, not user-data`,
      "A login page may stand in the way",
    );
  return answer.body;
}
