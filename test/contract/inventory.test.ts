import { describe, expect, it } from "vitest";
import { enumOf, hasPath, messageOf, schema } from "./descriptors.ts";
import { answers, envelope, origins, vocabularies } from "./inventory.ts";

const event = messageOf("Event");
const payloads = event.fields.filter(({ oneof }) => oneof?.name === "payload");

describe("what the origin systems publish", () => {
  it.each(origins)("has a home: $kind", ({ home, fields }) => {
    const payload = payloads.find(({ name }) => name === home);
    expect(payload?.message, `Event has no payload ${home}`).toBeDefined();
    for (const [field, path] of Object.entries(fields)) {
      const found = path.startsWith("event.")
        ? hasPath(event, path.slice("event.".length))
        : payload?.message !== undefined && hasPath(payload.message, path);
      expect(found, `${field} should be at ${home}.${path}`).toBe(true);
    }
  });

  it("is named once", () => {
    const kinds = origins.map(({ kind }) => kind);
    expect(new Set(kinds).size).toBe(kinds.length);
    // The number of variants that were counted in the origins, so that none drops out of the list unseen.
    expect(kinds.length).toBeGreaterThanOrEqual(64);
  });

  it("accounts for every payload: none is there that nobody asked for", () => {
    expect(payloads.map(({ name }) => name).filter((name) => !origins.some(({ home }) => home === name))).toEqual([]);
  });

  it.each(Object.entries(envelope))("has a place for the envelope's %s", (_, place) => {
    if (place.startsWith("none: ")) return expect(place.length).toBeGreaterThan("none: ".length);
    const [message = "", ...path] = place.split(".");
    expect(hasPath(messageOf(message), path.join("."))).toBe(true);
  });

  it.each(Object.entries(vocabularies))("has every name of %s", (_, { enum: name, names }) => {
    const values = enumOf(name).values.map((value) => value.localName.toLowerCase());
    for (const wanted of names) expect(values).toContain(wanted);
  });

  it("answers to one caller what is for one caller", () => {
    expect(payloads.map(({ name }) => name).filter((name) => Object.hasOwn(answers, name))).toEqual([]);
    for (const place of Object.values(answers)) {
      const [, service, method] = /^(\w+Service)\.(\w+)$/.exec(place) ?? [];
      if (service === undefined) continue;
      expect(schema.getService(`tailrace.v1.${service}`)?.methods.map(({ name }) => name)).toContain(method);
    }
  });
});
