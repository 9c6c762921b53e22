import type { GatewayContext } from "./context.ts";
import { type HttpResponse, sendJson } from "./http.ts";

/** JSON Schemas of the answers. */
export const healthzBody = {
  type: "object",
  properties: { status: { type: "string", const: "ok" } },
  required: ["status"],
};
export const readyzBody = {
  type: "object",
  properties: {
    ready: { type: "boolean" },
    reasons: {
      type: "array",
      items: {
        type: "object",
        properties: {
          reason: { type: "string" },
          message: { type: "string" },
          since: { type: "string", format: "date-time" },
        },
        required: ["reason", "message"],
      },
    },
  },
  required: ["ready", "reasons"],
};

/** The process is up and answers. */
export function healthz(response: HttpResponse): void {
  sendJson(response, 200, { status: "ok" });
}

/** Whether the server takes work, and why not: what clients are told, so nothing of the host. */
export function readyz({ runtime, isClosing }: GatewayContext, response: HttpResponse): void {
  const reasons: object[] = [];
  if (isClosing()) reasons.push({ reason: "server_closing", message: "The server is closing." });
  const health = runtime.health();
  if (!health.available) {
    const { reason, message } = health.error;
    reasons.push({ reason, message, since: new Date(health.sinceMs).toISOString() });
  }
  sendJson(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
}
