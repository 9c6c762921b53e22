import { execFileSync } from "node:child_process";
import { join } from "node:path";
import {
  createFileRegistry,
  type DescEnum,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const checkout = join(import.meta.dirname, "../..");

/** The schema as it stands in proto/, read by the compiler of buf: not what was generated from it some time ago. */
export const schema: FileRegistry = createFileRegistry(
  fromBinary(
    FileDescriptorSetSchema,
    execFileSync(join(checkout, "node_modules/.bin/buf"), ["build", "--as-file-descriptor-set", "-o", "-"], {
      cwd: checkout,
      env: { ...process.env, PATH: `${join(process.execPath, "..")}:${process.env["PATH"]}` },
    }),
  ),
);

/** Files of the package. */
export const files: readonly DescFile[] = [...schema.files].filter(({ proto }) => proto.package === "tailrace.v1");

/** A message of the package, by its name in it. */
export function messageOf(name: string): DescMessage {
  const found = schema.getMessage(`tailrace.v1.${name}`);
  if (found === undefined) throw new Error(`the schema has no message ${name}`);
  return found;
}

/** An enum of the package, by its name in it. */
export function enumOf(name: string): DescEnum {
  const found = schema.getEnum(`tailrace.v1.${name}`);
  if (found === undefined) throw new Error(`the schema has no enum ${name}`);
  return found;
}

/** Whether a dotted path of field names leads to a field. */
export function hasPath(message: DescMessage, path: string): boolean {
  const [name = "", ...rest] = path.split(".");
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) return false;
  return rest.length === 0 || (field.message !== undefined && hasPath(field.message, rest.join(".")));
}
