import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { comments } from "../../../gen/tailrace/v1/comments.ts";
import type { JsonSchema } from "../route.ts";

const integer = { type: "integer" };
/** Integers of 64 bits are texts in proto3 JSON: JSON's own numbers would lose the last digits of large ones. */
const longInteger = { type: "string", pattern: "^-?[0-9]+$" };
const unsignedLongInteger = { type: "string", pattern: "^[0-9]+$" };
const float = { anyOf: [{ type: "number" }, { type: "string", enum: ["NaN", "Infinity", "-Infinity"] }] };

const scalars: Readonly<Record<ScalarType, JsonSchema>> = {
  [ScalarType.DOUBLE]: float,
  [ScalarType.FLOAT]: float,
  [ScalarType.INT64]: longInteger,
  [ScalarType.UINT64]: unsignedLongInteger,
  [ScalarType.INT32]: integer,
  [ScalarType.FIXED64]: unsignedLongInteger,
  [ScalarType.FIXED32]: { ...integer, minimum: 0 },
  [ScalarType.BOOL]: { type: "boolean" },
  [ScalarType.STRING]: { type: "string" },
  [ScalarType.BYTES]: { type: "string", contentEncoding: "base64" },
  [ScalarType.UINT32]: { ...integer, minimum: 0 },
  [ScalarType.SFIXED32]: integer,
  [ScalarType.SFIXED64]: longInteger,
  [ScalarType.SINT32]: integer,
  [ScalarType.SINT64]: longInteger,
};

/** Messages whose JSON is not that of their fields. */
const wellKnown: Readonly<Record<string, JsonSchema>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" },
  "google.protobuf.Struct": { type: "object" },
  "google.protobuf.Value": {},
};

/** Collects the schemas of messages and enums as they are referred to (OpenAPI: `components.schemas`). */
export class Schemas {
  readonly components: Record<string, JsonSchema> = {};

  /** The schema of a message's proto3 JSON, as a reference. */
  message(desc: DescMessage): JsonSchema {
    return wellKnown[desc.typeName] ?? this.#refer(desc, {});
  }

  /** The same for a message that a request is: a member that it does not have is refused. */
  request(desc: DescMessage): JsonSchema {
    return this.#refer(desc, { additionalProperties: false });
  }

  /** A schema by a name. */
  named(name: string, schema: JsonSchema): JsonSchema {
    this.components[name] = schema;
    return referenceTo(name);
  }

  #refer(desc: DescMessage, more: JsonSchema): JsonSchema {
    const name = nameOf(desc);
    if (this.components[name] === undefined) {
      // There before its fields are looked at: messages may contain themselves.
      this.components[name] = {};
      this.components[name] = { ...this.#members(desc), ...more };
    }
    return referenceTo(name);
  }

  /** No member is required: proto3 JSON leaves out whatever has its default. */
  #members(desc: DescMessage): JsonSchema {
    const choices = desc.oneofs.map(
      ({ fields }) => `At most one of ${fields.map((field) => field.jsonName).join(", ")}.`,
    );
    return {
      type: "object",
      ...described(desc.typeName, choices),
      properties: Object.fromEntries(
        desc.fields.map((field) => [
          field.jsonName,
          { ...this.#field(field), ...described(`${desc.typeName}.${field.name}`) },
        ]),
      ),
    };
  }

  #field(field: DescField): JsonSchema {
    if (field.fieldKind === "list") return { type: "array", items: this.#value(field) };
    if (field.fieldKind === "map") return { type: "object", additionalProperties: this.#value(field) };
    return this.#value(field);
  }

  #value(field: DescField): JsonSchema {
    if (field.message !== undefined) return this.message(field.message);
    if (field.enum !== undefined) return this.#enum(field.enum);
    return scalars[field.scalar as ScalarType];
  }

  /** A value that the server does not know is its number in JSON. */
  #enum(desc: DescEnum): JsonSchema {
    const values = desc.values.map((value) => value.name);
    return this.named(nameOf(desc), {
      ...described(desc.typeName),
      anyOf: [{ type: "string", enum: values }, { type: "integer" }],
    });
  }
}

/** The name of a type within its package: `components` allows no more than letters, digits, ".", "-" and "_". */
function nameOf(desc: DescMessage | DescEnum): string {
  return desc.typeName.slice(desc.file.proto.package.length + 1);
}

/** What the contract says of it. */
function described(name: string, more: readonly string[] = []): JsonSchema {
  const said = [comments[name] ?? "", ...more].filter((text) => text !== "").join(" ");
  return said === "" ? {} : { description: said };
}

function referenceTo(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}
