import type { Ajv2020, ErrorObject, ValidateFunction } from "ajv/dist/2020.js";
import { openDoor } from "../../base/door.ts";
import type { StandardIssue, StandardSchemaV1 } from "../../runtime/jobs/standard-schema.ts";
import { nearest } from "../options/parse.ts";
import { type CommandTemplate, type JsonValue, RefusedValue } from "./template.ts";
import { WrongConfig } from "./wrong-config.ts";

/** The JSON Schema validator that is loaded when it is needed. */
export type Validator = typeof Ajv2020;

/** A parameter as the configuration declares it. */
export interface ParamDeclaration {
  /** JSON Schema (2020-12) of its value. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Whether its value may begin an argument with "-". */
  readonly allowLeadingDash: boolean;
}

/** Values of parameters by their names. */
export type Params = Readonly<Record<string, JsonValue>>;

interface CompiledParam {
  readonly declaration: ParamDeclaration;
  readonly validate: ValidateFunction;
}

/** Loads the validator, which only a configuration with operations needs. @throws TailraceError `part_missing`. */
export async function loadValidator(): Promise<Validator> {
  const door = { part: "A configuration file with operations", packages: ["ajv"] } as const;
  const { Ajv2020 } = await openDoor(door, () => import("ajv/dist/2020.js"));
  return Ajv2020;
}

/** Checks the parameters of one operation, fills in what has a default, and makes the command of them. */
export class ParamSchema implements StandardSchemaV1<unknown, Params> {
  readonly #params = new Map<string, CompiledParam>();
  readonly #template: CommandTemplate;
  readonly "~standard": StandardSchemaV1<unknown, Params>["~standard"];

  /** @param path Leads to the declarations. @throws WrongConfig. */
  constructor(
    validator: Validator,
    declarations: ReadonlyMap<string, ParamDeclaration>,
    template: CommandTemplate,
    path: readonly string[],
  ) {
    this.#template = template;
    for (const [name, declaration] of declarations) {
      this.#params.set(name, { declaration, validate: compile(validator, declaration, [...path, name]) });
    }
    this["~standard"] = { version: 1, vendor: "tailrace", validate: (value) => this.#validate(value) };
  }

  #validate(value: unknown) {
    const given = (value ?? {}) as Params;
    const values = new Map<string, JsonValue>();
    const issues: StandardIssue[] = [];
    for (const name of Object.keys(given)) {
      if (!this.#params.has(name)) issues.push({ path: [name], message: unknownParam(name, this.#params.keys()) });
    }
    for (const [name, { declaration, validate }] of this.#params) {
      const isGiven = Object.hasOwn(given, name);
      if (!isGiven && !Object.hasOwn(declaration.schema, "default")) {
        issues.push({ path: [name], message: "it is missing" });
        continue;
      }
      // A copy, because validating fills in defaults within it.
      const copy = structuredClone(isGiven ? given[name] : declaration.schema["default"]) as JsonValue;
      if (validate(copy)) values.set(name, copy);
      else issues.push(issueOf(name, validate.errors?.[0]));
    }
    if (issues.length > 0) return { issues };
    // Before there is a job: a value that can't be an argument is a mistake of the request, not a failure of the job.
    const params = Object.fromEntries(values);
    try {
      this.expand(params);
    } catch (error) {
      if (!(error instanceof RefusedValue)) throw error;
      return { issues: [{ path: [error.param], message: error.message }] };
    }
    return { value: params };
  }

  /** The command for parameters that were checked. */
  expand(params: Params): string[] {
    const values = new Map(Object.entries(params));
    return this.#template.expand(values, (name) => this.#params.get(name)?.declaration.allowLeadingDash === true);
  }
}

function compile(Validator: Validator, { schema }: ParamDeclaration, path: readonly string[]): ValidateFunction {
  const ajv = new Validator({
    // A keyword that is misspelt or means nothing where it stands would let everything through.
    strict: true,
    strictTypes: true,
    allowUnionTypes: true,
    useDefaults: true,
    logger: false,
  });
  // Filled in here: at the root of a schema the validator has nowhere to put it.
  const { default: byDefault, ...rest } = schema;
  let validate: ValidateFunction;
  try {
    validate = ajv.compile(rest);
  } catch (error) {
    throw new WrongConfig(path, `it is no JSON Schema that can be used: ${(error as Error).message}`);
  }
  if (Object.hasOwn(schema, "default") && !validate(structuredClone(byDefault))) {
    throw new WrongConfig([...path, "default"], detail(validate.errors?.[0]));
  }
  return validate;
}

function issueOf(name: string, error: ErrorObject | undefined): StandardIssue {
  const steps = (error?.instancePath ?? "").split("/").slice(1);
  const path = steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const extra = (error?.params as { additionalProperty?: string } | undefined)?.additionalProperty;
  return {
    path: [name, ...path, ...(extra === undefined ? [] : [extra])],
    message: detail(error),
  };
}

function detail(error: ErrorObject | undefined): string {
  const allowed = (error?.params as { allowedValues?: readonly unknown[] } | undefined)?.allowedValues;
  const values = allowed === undefined ? "" : `: ${allowed.map((value) => JSON.stringify(value)).join(", ")}`;
  return `it ${error?.message ?? "is not valid"}${values}`;
}

function unknownParam(name: string, known: Iterable<string>): string {
  const names = [...known];
  const near = nearest(name, names);
  if (near !== undefined) return `there is no such parameter; did you mean "${near}"?`;
  return names.length === 0
    ? "there is no such parameter; the operation takes none"
    : `there is no such parameter; the parameters are ${names.join(", ")}`;
}
