// User-data from an https server that the operator named: read where its certificate is trusted, refused where it is not.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { createUserDataSources } from "../../agent/adapters/sources/sources.ts";
import { quickClock, rootWith } from "../fakes/metadata-service.ts";
import { silentLog } from "../fakes/silent-log.ts";

const userData = "#cloud-config\nhostname: from-https\n";
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

async function world(t: TestContext) {
  const root = rootWith(t);
  const [keyFile, certificate] = [join(root, "key.pem"), join(root, "certificate.pem")];
  const made = spawnSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat(
      ["-subj", "/CN=user-data.example", "-addext", "subjectAltName=DNS:user-data.example"],
      ["-keyout", keyFile, "-out", certificate],
    ),
    { encoding: "utf8" },
  );
  assert.equal(made.status, 0, made.stderr);
  const server = createServer({ key: readFileSync(keyFile), cert: readFileSync(certificate) }, (_request, response) =>
    response.end(userData),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const before = process.env["SSL_CERT_FILE"];
  t.after(() => {
    server.closeAllConnections();
    server.close();
    if (before === undefined) delete process.env["SSL_CERT_FILE"];
    else process.env["SSL_CERT_FILE"] = before;
  });
  const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sources = createUserDataSources({
    clock: quickClock,
    log: silentLog,
    root,
    connect: { "user-data.example:443": place, "other.example:443": place },
  });
  return {
    certificate,
    search: (url: string) => sources.search({ url, timeoutMs: 4_000 }, { signal: new AbortController().signal }),
  };
}

suite("user-data over https", { skip: !hasOpenssl && "openssl is missing" }, () => {
  test("with a certificate that the host trusts", async (t) => {
    const { certificate, search } = await world(t);
    process.env["SSL_CERT_FILE"] = certificate;
    const { found, probes } = await search("https://user-data.example/web");
    assert.equal(Buffer.from(found?.userData ?? []).toString(), userData, JSON.stringify(probes));
  });

  test("with one for another name", async (t) => {
    const { certificate, search } = await world(t);
    process.env["SSL_CERT_FILE"] = certificate;
    const { found, probes } = await search("https://other.example/web");
    assert.equal(found, undefined);
    assert.match(probes[0]?.why ?? "", /^Cannot reach https:\/\/other\.example\/web: .*altnames/i);
  });

  test("with one that nobody vouches for", async (t) => {
    const { search } = await world(t);
    const { found, probes } = await search("https://user-data.example/web");
    assert.equal(found, undefined);
    assert.match(probes[0]?.why ?? "", /^Cannot reach https:\/\/user-data\.example\/web: .*certificate, in 4 s$/);
  });
});
