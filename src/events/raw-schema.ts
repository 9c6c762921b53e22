import { clone, createFileRegistry, type DescFile, type DescMessage, type DescService } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Type, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/**
 * A service with a schema in which a message field of one of its messages is bytes. On the wire that is the same thing,
 * but Connect leaves the bytes alone. It costs some milliseconds.
 */
export function withRawField(service: DescService, message: DescMessage, fieldName: string): DescService {
  const file = clone(FileDescriptorProtoSchema, service.file.proto);
  const field = file.messageType
    .find(({ name }) => name === message.name)
    ?.field.find(({ name }) => name === fieldName);
  if (field === undefined) throw new Error(`${message.typeName}.${fieldName} is not where it was`);
  field.type = FieldDescriptorProto_Type.BYTES;
  field.typeName = "";
  const known = new Map<string, DescFile>();
  collect(service.file, known);
  const raw = createFileRegistry(file, (name) => known.get(name)).getService(service.typeName);
  if (raw === undefined) throw new Error(`${service.typeName} is not where it was`);
  return raw;
}

function collect(file: DescFile, into: Map<string, DescFile>): void {
  for (const dependency of file.dependencies) {
    into.set(`${dependency.name}.proto`, dependency);
    collect(dependency, into);
  }
}
