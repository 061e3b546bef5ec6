// The certificates that this host trusts for TLS, for adapters that speak to places the operator named.
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";

const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The host's own bundle; Node's where there is none. Rejects with nothing. */
export async function systemRoots(): Promise<readonly (string | Buffer)[]> {
  for (const path of systemBundles) {
    try {
      return [await readFile(path)];
    } catch {
      continue; // distributions differ; the next name may be this one's
    }
  }
  return rootCertificates;
}
