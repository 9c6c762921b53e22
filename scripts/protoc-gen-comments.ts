// A plugin of buf: makes gen/tailrace/v1/comments.ts, the comments of proto/ by what they stand at. Descriptors carry none at
// run time, and the OpenAPI document of a server shows them.
import type { AnyDesc, DescFile } from "@bufbuild/protobuf";
import { createEcmaScriptPlugin, getComments, runNodeJs, type Schema } from "@bufbuild/protoplugin";

function generateTs(schema: Schema): void {
  const file = schema.generateFile("tailrace/v1/comments.ts");
  file.print("// @generated from proto/tailrace/v1 by scripts/protoc-gen-comments.ts");
  file.print('/** Comments of messages and enums by their full names, and of fields by "message.field". */');
  file.print("export const comments: { readonly [name: string]: string } = {");
  const print = (name: string, desc: Exclude<AnyDesc, DescFile>): void => {
    const text = (getComments(desc).leading ?? "").replace(/\s+/g, " ").trim();
    if (text !== "") file.print("  ", JSON.stringify(name), ": ", JSON.stringify(text), ",");
  };
  for (const { messages, enums } of schema.files) {
    for (const message of messages) {
      print(message.typeName, message);
      for (const field of message.fields) print(`${message.typeName}.${field.name}`, field);
    }
    for (const one of enums) print(one.typeName, one);
  }
  file.print("};");
}

runNodeJs(createEcmaScriptPlugin({ name: "protoc-gen-comments", version: "v1", generateTs }));
