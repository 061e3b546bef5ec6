// GET /v2/openapi.json: the API's own description.
import { apiDocument } from "../text/api-document.ts";
import { type Resource, found } from "./resource.ts";

export const openapi: Resource = {
  method: "GET",
  path: "/openapi.json",
  gives: "this API as an OpenAPI document",
  answer: async () => Promise.resolve(found(apiDocument)),
};
