// User-data in one line of a test: what it says, and what was noticed, each finding as "LINE:COLUMN severity code".
import type { Addresses, UserDataReading } from "../../../agent/domain/user-data.ts";
import { readUserData } from "../../../agent/userdata/userdata.ts";

export const addresses: Addresses = {
  values: { private_ipv4: "10.0.0.7", public_ipv4: "192.0.2.7" },
  looked: {
    private_ipv4: ["metadata of ec2"],
    public_ipv4: ["metadata of ec2"],
    private_ipv6: ["metadata of ec2: none", "interface eth0: none"],
    public_ipv6: ["metadata of ec2: none"],
  },
};

/** Text is taken as it is; bytes too. */
export function read(given: string | Uint8Array, known?: Addresses): Promise<UserDataReading> {
  const bytes = typeof given === "string" ? new TextEncoder().encode(given) : given;
  return readUserData(bytes, { file: "user-data", ...(known === undefined ? {} : { addresses: known }) });
}

/** The body of a cloud-config: its first line is line 2. */
export function config(body: string, known?: Addresses): Promise<UserDataReading> {
  return read(`#cloud-config\n${body}\n`, known);
}

/** `3:5 error unknown-key`, in order. */
export function said({ findings }: UserDataReading): readonly string[] {
  return findings.map(
    ({ severity, problem: { code, at } }) =>
      `${at?.line ?? "-"}:${at?.column ?? "-"} ${severity} ${code.replace("user-data-", "")}`,
  );
}
