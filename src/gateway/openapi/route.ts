import { createHash } from "node:crypto";
import { sendEmpty, sendText } from "../http.ts";
import { hasTag } from "../projection.ts";
import type { Exchange, Route } from "../route.ts";

interface Document {
  readonly text: string;
  readonly tag: string;
}

/** Made, and what makes it loaded, when it is first asked for; a server's routes never change. */
const documents = new WeakMap<readonly Route[], Promise<Document>>();

/** Answers with the OpenAPI document of this server. */
export async function sendOpenApi({ routes, request, response }: Exchange): Promise<void> {
  const { text, tag } = await documentOf(routes);
  const headers = { etag: tag, "cache-control": "no-cache" };
  if (hasTag(request, tag)) sendEmpty(response, 304, headers);
  else sendText(response, 200, text, headers);
}

function documentOf(routes: readonly Route[]): Promise<Document> {
  let document = documents.get(routes);
  if (document === undefined) {
    document = makeDocument(routes);
    documents.set(routes, document);
  }
  return document;
}

async function makeDocument(routes: readonly Route[]): Promise<Document> {
  const { openApiDocument } = await import("./document.ts");
  const text = JSON.stringify(openApiDocument(routes));
  return { text, tag: `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"` };
}
