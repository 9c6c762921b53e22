import { createHash } from "node:crypto";
import { sendEmpty, sendText } from "../http.ts";
import { hasTag } from "../projection.ts";
import type { Exchange, Route } from "../route.ts";
import { openApiDocument } from "./document.ts";

interface Document {
  readonly text: string;
  readonly tag: string;
}

/** Made when it is first asked for; a server's routes never change. */
const documents = new WeakMap<readonly Route[], Document>();

/** Answers with the OpenAPI document of this server. */
export function sendOpenApi({ routes, request, response }: Exchange): void {
  const { text, tag } = documentOf(routes);
  const headers = { etag: tag, "cache-control": "no-cache" };
  if (hasTag(request, tag)) sendEmpty(response, 304, headers);
  else sendText(response, 200, text, headers);
}

function documentOf(routes: readonly Route[]): Document {
  let document = documents.get(routes);
  if (document === undefined) {
    const text = JSON.stringify(openApiDocument(routes));
    document = { text, tag: `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"` };
    documents.set(routes, document);
  }
  return document;
}
