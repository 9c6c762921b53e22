import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { invalidRequest, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { findJsonFault } from "../wire/json-fault.ts";
import { type HttpRequest, headerOf } from "./http.ts";

/** The one content type of bodies here. */
export const bodyType = "application/json";

/** Whether a request has that type. */
export function hasBodyType(request: HttpRequest): boolean {
  const [type = ""] = (headerOf(request, "content-type") ?? "").split(";", 1);
  return type.trim().toLowerCase() === bodyType;
}

/** Whether a body is sent as it is. Compressed ones could hold any amount in a few bytes. */
export function isReadable(request: HttpRequest): boolean {
  const encoding = (headerOf(request, "content-encoding") ?? "").trim().toLowerCase();
  return encoding === "" || encoding === "identity";
}

/** Why a body that is not is refused. */
export const unreadEncoding = invalidRequest(
  "content-encoding",
  "what is compressed is not read here; send it as it is (identity)",
);

/**
 * Reads a body as proto3 JSON. None at all is the message without any field.
 * @throws TailraceError `invalid_request` naming the field, `limit_exceeded`.
 */
export async function readMessage<Desc extends DescMessage>(
  request: HttpRequest,
  schema: Desc,
): Promise<MessageShape<Desc>> {
  const bytes = await readBody(request);
  const message = bytes.length === 0 ? emptyObject : bytes;
  const fault = findJsonFault(schema, message);
  if (fault !== undefined) throw fault;
  return fromJson(schema, JSON.parse(message.toString("utf8")) as JsonValue, { ignoreUnknownFields: false });
}

const emptyObject = Buffer.from("{}");

/** @throws TailraceError `limit_exceeded` before more than `limits.maxRequestBytes` are held. */
function readBody(request: HttpRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tooLarge = (): void => {
      request.off("data", take);
      // The rest is read and thrown away: a connection that is cut while it sends never hears why.
      request.resume();
      reject(
        new TailraceError(
          "limit_exceeded",
          { limit: "max_request_bytes", maximum: limits.maxRequestBytes },
          `A request has at most ${limits.maxRequestBytes} bytes.`,
        ),
      );
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limits.maxRequestBytes) tooLarge();
      else chunks.push(chunk);
    };
    if (Number(headerOf(request, "content-length") ?? 0) > limits.maxRequestBytes) {
      tooLarge();
      return;
    }
    request.on("data", take);
    request.once("end", () => resolve(Buffer.concat(chunks)));
    // Nobody is left to be told.
    request.once("close", () => reject(invalidRequest("body", "it was cut")));
    request.once("error", () => reject(invalidRequest("body", "it was cut")));
  });
}
