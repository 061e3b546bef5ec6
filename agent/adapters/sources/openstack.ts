// OpenStack's metadata service.
import { explainError, Problem } from "../../domain/problem.ts";
import { addressesOf } from "./facts.ts";
import { type Identity, notOf } from "./identity.ts";
import { readOpenStack } from "./openstack-data.ts";
import { serviceAt, usualAddresses } from "./service.ts";
import { absent, type Answer, type Asking, found, later, type Source } from "./source.ts";

const path = "/openstack/latest/";
/** How long an answer is waited for on a machine whose firmware says nothing, as many of other kinds than x86. */
const doubtMs = 15_000;
const doubtfulTries = 2;

export const openstack: Source = {
  name: "openstack",
  async ask(asking) {
    const { identity, isInsisted } = asking;
    if (isInsisted || isOpenStack(identity)) return ask(asking);
    if (!mayBeOpenStack(identity)) return absent(notOf(identity, "OpenStack"));
    try {
      return await ask(asking, doubtfulTries);
    } catch (error) {
      if (error instanceof Problem && error.code === "source-later") return later(explainError(error), doubtMs);
      throw error;
    }
  },
};

const products = ["OpenStack Nova", "OpenStack Compute"];
const assetTags = [...products, "HUAWEICLOUD", "OpenTelekomCloud", "Samsung Cloud Platform", "SAP CCloud VM"];

function isOpenStack({ product, assetTag }: Identity): boolean {
  return products.includes(product) || assetTags.includes(assetTag);
}

function mayBeOpenStack({ vendor, product, isContainer }: Identity): boolean {
  return !isContainer && vendor === "" && product === "" && !["x64", "ia32"].includes(process.arch);
}

async function ask({ http }: Asking, mostTries?: number): Promise<Answer> {
  const first = await http.ask({
    url: usualAddresses().map((address) => `${address}${path}meta_data.json`),
    ...(mostTries === undefined ? {} : { mostTries }),
  });
  if (first.kind === "refused") return absent(first.why);
  const base = first.url.slice(0, -"meta_data.json".length);
  const service = serviceAt(http, { base });
  const old = serviceAt(http, { base: `${base.slice(0, -path.length)}/latest/meta-data/` });
  const [userData, networkData, local, external] = await Promise.all([
    service.userData("user_data"),
    service.bytes("network_data.json"),
    old.text("local-ipv4"),
    old.text("public-ipv4"),
  ]);
  const addresses = addressesOf({ private_ipv4: local, public_ipv4: external });
  return found("openstack", {
    where: base,
    userData,
    metadata: readOpenStack({ metaData: first.body, networkData, addresses, where: base }),
  });
}
