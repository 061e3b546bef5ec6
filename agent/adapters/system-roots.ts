// The certificates that this host trusts for TLS, for adapters that speak to places the operator named.
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";

const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * The bundle that was chosen (the variable SSL_CERT_FILE of OpenSSL), else the host's own, else Node's. Rejects only when
 * the chosen one cannot be read.
 */
export async function systemRoots(chosen = ""): Promise<readonly (string | Buffer)[]> {
  if (chosen !== "") return [await readFile(chosen)];
  for (const path of systemBundles) {
    try {
      return [await readFile(path)];
    } catch {
      continue; // distributions differ; the next name may be this one's
    }
  }
  return rootCertificates;
}
