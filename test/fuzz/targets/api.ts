// Requests to the API, ours and fleet's: methods, paths, queries, headers and bodies. The input is a request as HTTP has it.
import { Problem } from "../../../agent/domain/problem.ts";
import { FakeCluster, heldPicture } from "../../fakes/fake-cluster.ts";
import { api, mustBeAsDocumented } from "../../unit/api/asking.ts";
import { requestIn } from "../request.ts";
import { type Said, type Target, mustHold } from "../target.ts";

async function textOfAnswer(response: Response): Promise<string> {
  if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) return response.text();
  await response.body?.cancel();
  return "";
}

export const target: Target = {
  name: "api",
  reads: "requests to the API",
  maxBytes: 600 * 1024,
  words: [
    ...[
      "GET ",
      "POST ",
      "PUT ",
      "PATCH ",
      "DELETE ",
      "HEAD ",
      "OPTIONS ",
      "/v2/units",
      "/v2/machines/",
      "/v2/unit-files/web.service",
    ],
    ...[
      "/v2/holds",
      "/v2/events",
      "/v2/changes",
      "/v2/status",
      "/fleet/v1/units",
      "/fleet/v1/machines",
      "/fleet/v1/state",
      "/v1/units/",
    ],
    ...[
      "?unit=",
      "&machine=",
      "?nextPageToken=",
      "?unitName=",
      "&machineID=",
      "%2e%2e",
      "%ff",
      "..",
      "content-type: application/json\n",
    ],
    ...[
      "flotilla-by: ann@desk\n",
      "content-length: 5\n",
      "transfer-encoding: chunked\n",
      "origin: http://x\n",
      "host: x\n",
      "\n\n",
    ],
    ...[
      '{"text":"[Service]\\nExecStart=/bin/true\\n"}',
      '"target":"launched"',
      '"desiredState":"launched"',
      '"options":[{"section":"Service","name":"a","value":"b"}]',
    ],
    ...[
      '{"patterns":["*"]}',
      '"forMs":1',
      '"why":"',
      '[{"op":"add","path":"/a/metadata/b","value":"c"}]',
      '"metadata":{"a":null}',
      '"withinMs":',
    ],
  ],
  async run(input): Promise<Said> {
    const request = requestIn(input);
    if (request === undefined) return { outcome: "no request", problems: [] };
    const { method, url } = request;
    const { pathname } = new URL(url);
    const handler = api(new FakeCluster(heldPicture()));
    const response = await handler.handle(request);
    const { status } = response;
    const text = await textOfAnswer(response);
    const [logged] = handler.log.errors;
    if (logged?.error instanceof Error) throw logged.error;
    mustHold(status < 500, `an answer, not ${status} ${text.slice(0, 300)}`);
    mustHold(text.length < 512 * 1024 || status === 200, "a short answer");
    const isFleets = !/^\/v2(?:\/|$)/.test(pathname);
    if (status >= 400 && method !== "HEAD")
      return { outcome: String(status), problems: [problemIn(text, { status, isFleets })], texts: [text] };
    const isOurs = pathname.startsWith("/v2/") && text !== "" && method !== "HEAD";
    if (isOurs) mustBeAsDocumented({ method, path: pathname, status, json: JSON.parse(text) });
    return { outcome: `${method} ${status}`, problems: [] };
  },
};

/** The refusal: of our shape, or of fleet's where fleet's clients ask. */
function problemIn(
  text: string,
  { status, isFleets }: { readonly status: number; readonly isFleets: boolean },
): Problem {
  const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown; readonly message?: unknown } };
  const { code, message } = error ?? {};
  const isOurs = typeof code === "string" && code !== "" && message !== "";
  mustHold(
    typeof message === "string" && (isOurs || (isFleets && code === status)),
    `a refusal: ${text.slice(0, 200)}`,
  );
  return new Problem(isOurs ? code : "fleet", message === "" ? "(fleet's servers say nothing)" : message);
}
