// Words on a command line, of flotilla and of fleetctl: one word a line. Commands talk to an API within this process; one that
// waits is interrupted.
import { runCommand } from "../../../agent/cli/args.ts";
import { runFleetctl } from "../../../agent/cli/fleetctl.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { DirectClient } from "../../fakes/direct-client.ts";
import { FakeCluster, heldPicture } from "../../fakes/fake-cluster.ts";
import { FakeOutput, fakeTools } from "../../fakes/fake-tools.ts";
import { api } from "../../unit/api/asking.ts";
import { type Target, mustHold, textOf } from "../target.ts";

/** Turns of the event loop that a command gets before it is interrupted. */
const turns = 400;
/** What an interrupt ends with, which needs no words. */
const interrupted = 130;
/** What it may take after that: parts of the program may still be loading. */
const endMs = 10_000;
const maxLines = 3_000;

export const target: Target = {
  name: "command-line",
  reads: "command lines",
  maxBytes: 16 * 1024,
  words: [
    ...[
      "list-units\n",
      "list-machines\n",
      "list-unit-files\n",
      "status\n",
      "cat\n",
      "explain\n",
      "events\n",
      "hold\n",
      "resume\n",
      "drain\n",
    ],
    ...[
      "cordon\n",
      "start\n",
      "stop\n",
      "load\n",
      "unload\n",
      "destroy\n",
      "submit\n",
      "restart\n",
      "plan\n",
      "verify\n",
      "state\n",
      "sync\n",
    ],
    ...[
      "fleetctl\n",
      "--fields\n",
      "--fields=unit,machine\n",
      "--json\n",
      "--watch\n",
      "--no-legend\n",
      "--full\n",
      "--help\n",
      "help\n",
      "--\n",
    ],
    ...[
      "--unit\n",
      "--machine\n",
      "--socket\n",
      "/s\n",
      "--endpoint\n",
      "http://x\n",
      "--tunnel\n",
      "h:22\n",
      "--sort\n",
      "--block-attempts=3\n",
    ],
    ...[
      "web@1.service\n",
      "web@*\n",
      "*\n",
      "-x\n",
      "--why\n",
      "--for\n",
      "2h\n",
      "--since\n",
      "yesterday\n",
      "complete\n",
      "completion\nbash\n",
    ],
    ...[
      "discovery\nnew\n",
      "--size\n",
      "3\n",
      "ssh\n",
      "journal\n",
      "-n\n",
      "--lines=5\n",
      "validate-user-data\n",
      "bootstrap\n",
      "--dry-run\n",
    ],
  ],
  async run(input) {
    const words = textOf(input).split("\n").slice(0, 200);
    if (words.at(-1) === "") words.pop();
    const handler = api(new FakeCluster(heldPicture()));
    const stdout = new FakeOutput();
    const tools = fakeTools({ stdout, apiClient: async () => new DirectClient(handler) });
    const isFleet = words[0] === "fleetctl";
    let code: number | undefined;
    const running = (isFleet ? runFleetctl(words.slice(1), tools) : runCommand(words, tools)).then((ended) => {
      code = ended;
    });
    for (let turn = 0; turn < turns && code === undefined; turn++) await new Promise(setImmediate);
    if (code === undefined) tools.interrupt();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([running, new Promise((resolve) => (timer = setTimeout(resolve, endMs)))]);
    clearTimeout(timer);
    mustHold(code !== undefined, "an end after an interrupt");
    const { text } = tools.stderr;
    mustHold(Number.isInteger(code) && code >= 0 && code <= 255, `an exit code, not ${code}`);
    mustHold(
      code === 0 || code === interrupted || `${text}${stdout.text}`.trim() !== "",
      `a word on why it ends with ${code}`,
    );
    mustHold(code !== 0 || stdout.text !== "" || text.length < 4_000, "little said of what went well");
    mustHold(text.split("\n").length < maxLines, "a few lines of complaint");
    // What escapes sequences do to a terminal is not for a word to decide
    mustHold(!/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text), `plain text: ${JSON.stringify(text.slice(0, 200))}`);
    const problems = code === 0 || text.trim() === "" ? [] : [new Problem(`exit-${code}`, text.slice(0, 900))];
    return { outcome: `${isFleet ? "fleetctl " : ""}${code}`, problems, texts: [text, stdout.text] };
  },
};
