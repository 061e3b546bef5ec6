import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { Problem } from "../../../../agent/domain/problem.ts";
import { step } from "../../../contract/host-setup.ts";
import { type ScratchRoot, openScratchRoot } from "./root.ts";

const never = new AbortController().signal;

describe("telling somebody that the machine is up", () => {
  const asked: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part: string) => (body += part));
    request.on("end", () => {
      asked.push({ url: request.url ?? "", headers: request.headers, body });
      response.writeHead(request.url === "/no" ? 500 : 200).end();
    });
  });
  let machine: ScratchRoot;
  let port = 0;
  before(async () => {
    machine = await openScratchRoot();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
  });
  after(async () => {
    server.close();
    await machine.close();
  });
  const tell = (path: string, who = ""): Promise<unknown> =>
    machine.setup.apply(
      step({ kind: "phone-home", url: `http://${who}127.0.0.1:${port}${path}`, fields: ["instance_id"], tries: 1 }),
      never,
    );

  test("sends what was asked for", async () => {
    await tell("/up");
    const call = asked.at(-1);
    assert.deepEqual([call?.url, call?.body], ["/up", `instance_id=${"ab".repeat(16)}`]);
    assert.equal(call?.headers.authorization, undefined);
  });

  test("sends the name in the URL as such", async () => {
    await tell("/up", "hunter2:p%40ss@");
    assert.equal(asked.at(-1)?.headers.authorization, `Basic ${Buffer.from("hunter2:p@ss").toString("base64")}`);
  });

  test("does not say it where it fails", async () => {
    await assert.rejects(tell("/no", "hunter2@"), (error) => {
      assert.ok(error instanceof Problem && error.code === "setup-phone-home");
      assert.ok(!`${error.message} ${error.hint ?? ""} ${String(error.cause)}`.includes("hunter2"));
      return true;
    });
  });
});
