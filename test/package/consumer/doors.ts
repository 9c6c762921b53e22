// Imports every door by itself. Prints what each one gives, or the message with which it refuses.
const doors: Record<string, () => Promise<object>> = {
  tailrace: () => import("tailrace"),
  "tailrace/server": () => import("tailrace/server"),
  "tailrace/client": () => import("tailrace/client"),
  "tailrace/jetstream": () => import("tailrace/jetstream"),
  "tailrace/package.json": () => import("tailrace/package.json", { with: { type: "json" } }),
};

const found: Record<string, unknown> = {};
for (const [name, open] of Object.entries(doors)) {
  found[name] = await open().then(
    (door) => Object.keys(door),
    (error: Error & { reason?: string; details?: unknown }) => ({
      reason: error.reason,
      details: error.details,
      message: error.message,
    }),
  );
}
console.log(JSON.stringify(found));
