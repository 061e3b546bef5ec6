// Answers of whatever listens where an agent should, as they come to a command from a socket. The first line says what was
// asked; "=== " on a line of its own stands between the answers to several connections.
import { createApiClient } from "../../../agent/adapters/api-client.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import { socketReach } from "../../../agent/ports/reach.ts";
import { answersIn, startRawServer } from "../raw-server.ts";
import { type Said, type Target, mustHold, problemsOf } from "../target.ts";

const server = await startRawServer();
const client = createApiClient({
  ...socketReach("/unused"),
  endpoint: { kind: "http", origin: `http://127.0.0.1:${server.port}` },
});
const maxChanges = 100_000;

/** By what the first line says. */
const questions: Readonly<Record<string, () => Promise<unknown>>> = {
  get: () => client.get("/v2/units"),
  post: () => client.post("/v2/sync"),
  put: () => client.put("/v2/unit-files/a.service", { text: "" }, { by: "ann@desk" }),
  changes: async () => {
    let count = 0;
    for await (const each of client.changes(new AbortController().signal))
      mustHold(++count < maxChanges, `not too many times ${each}`);
  },
};

function isMistake(cause: unknown): boolean {
  const isOwn = cause instanceof TypeError || cause instanceof RangeError || cause instanceof ReferenceError;
  return isOwn && !("code" in cause);
}

export const target: Target = {
  name: "api-answers",
  reads: "answers of an agent to a command, from a socket",
  maxBytes: 256 * 1024,
  words: [
    ...Object.keys(questions).map((name) => `${name}\n`),
    ...["=== \n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "\r\n\r\n"],
    ...["Content-Type: application/json\r\n", "Content-Type: text/event-stream\r\n", "Content-Length: 10\r\n"],
    ...["Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "5\r\nabcde\r\n", "0\r\n\r\n", "HTTP/1.1 101 a\r\n"],
    ...["event: change\n", "data: {}\n\n", ": \n\n", '{"error":{"code":"a-b","message":"b","hint":"c"}}'],
    ...['"problems":[{"code":"a","message":"b","file":"f","line":1}]', '"code":"', '"message":"', '"hint":"', "{}"],
  ],
  async run(input): Promise<Said> {
    const { whom, answers } = answersIn(input);
    const ask = Object.hasOwn(questions, whom) ? questions[whom] : undefined;
    if (ask === undefined) return { outcome: "nothing", problems: [] };
    server.answers = answers;
    const problems: Problem[] = [];
    try {
      await ask();
    } catch (error) {
      problems.push(...problemsOf(error));
    }
    // Whatever breaks on the way counts as an agent that cannot be reached; what is thrown by mistake must not
    for (const { cause } of problems) mustHold(!isMistake(cause), `no mistake: ${String(cause)}`);
    mustHold(whom !== "changes" || problems.length > 0, "an end of changes that is told");
    return { outcome: `${whom} ${problems.length === 0 ? "taken" : "refused"}`, problems };
  },
  close: () => server.close(),
};
