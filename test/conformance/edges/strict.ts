import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/** Numbers of a field and of a payload that tests put into events on purpose, to see that they survive. */
export const strangerField = 15;
export const strangerKind = 199;

/** Holds a message against the schema: no field that it does not have, and no value that an enum does not name. */
export function expectKnown<Desc extends DescMessage>(schema: Desc, message: Message): void {
  check(reflect(schema, message as never), schema.name);
}

function check(message: ReflectMessage, path: string): void {
  const strangers = (message.getUnknown() ?? []).filter(({ no }) => no !== strangerField && no !== strangerKind);
  if (strangers.length > 0) throw new Error(`${path} has fields that the schema does not have: ${strangers[0]?.no}`);
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const at = `${path}.${field.name}`;
    if (field.fieldKind === "enum") {
      const number = message.get(field);
      if (field.enum.value[number] === undefined) throw new Error(`${at} is ${number}, which its enum does not name`);
    } else if (field.fieldKind === "message") {
      check(message.get(field), at);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) check(item as ReflectMessage, `${at}[]`);
    }
  }
}
