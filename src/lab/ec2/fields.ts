/**
 * Parameters as data: each field says its type and how its text is read, so an action is a table of fields and
 * handlers only see values that are what their types say.
 *
 * Invariant: a name that no field reads is refused (`UnknownParameter`), at every depth.
 */
import { type Cidr, cidrLength, type Family, familyOf, type Ip, parseCidr, parseIp } from '../../core/ip.ts';
import { Ec2Error, invalidValue, missing, unknown } from './ec2-error.ts';
import type { QueryNode } from './query.ts';

export interface Field<T> {
  readonly kind: 'string' | 'integer' | 'boolean' | 'list' | 'structure';
  readonly required: boolean;
  /** What a list holds. */
  readonly of?: Field<unknown>;
  /** What a structure holds. */
  readonly fields?: Fields;
  /** `name` is the whole one, for messages. Absent parameters read as undefined, lists as empty. */
  read(node: QueryNode | undefined, name: string): T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type Input<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

function scalar<T>(
  kind: 'string' | 'integer' | 'boolean',
  parse: (text: string, name: string) => T,
): Field<T | undefined> {
  return {
    kind,
    required: false,
    read(node, name) {
      const [deeper] = node?.children.keys() ?? [];
      if (deeper !== undefined) throw unknown(`${name}.${deeper}`);
      return node?.text === undefined ? undefined : parse(node.text, name);
    },
  };
}

export const text = (limits: { readonly lengthMax?: number } = {}): Field<string | undefined> =>
  scalar('string', (value, name) => {
    const { lengthMax = 1_024 } = limits;
    if (value.length <= lengthMax) return value;
    throw invalidValue(`Value for parameter ${name} is invalid. It is longer than ${lengthMax} characters.`);
  });

export const oneOf = <V extends string>(...values: readonly V[]): Field<V | undefined> =>
  scalar('string', (value, name) => {
    const found = values.find((each) => each === value);
    if (found !== undefined) return found;
    throw invalidValue(`Value (${value}) for parameter ${name} is invalid. Expected: ${values.join(', ')}.`);
  });

export const integer = ({ min, max = 2 ** 31 - 1 }: { readonly min: number; readonly max?: number }) =>
  scalar('integer', (value, name) => {
    if (!/^-?\d{1,10}$/.test(value)) throw invalidValue(`Value (${value}) for parameter ${name} is not an integer.`);
    const number = Number(value);
    const expected = number < min ? `at least ${min}` : number > max ? `at most ${max}` : undefined;
    if (expected === undefined) return number;
    throw invalidValue(`Value (${value}) for parameter ${name} is invalid. Expecting a value of ${expected}.`);
  });

export const flag = (): Field<boolean | undefined> =>
  scalar('boolean', (value, name) => {
    if (/^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
    throw invalidValue(`Value (${value}) for parameter ${name} is not a boolean.`);
  });

/** Ids as EC2 has written them until 2018 (8 hex digits) and since (17). */
export const id = <Id extends string = string>(prefix: string, code: string): Field<Id | undefined> => {
  const shape = new RegExp(`^${prefix}-(?:[0-9a-f]{8}|[0-9a-f]{17})$`);
  return scalar('string', (value) => {
    if (shape.test(value)) return value as Id;
    throw new Ec2Error(`${code}.Malformed`, `Invalid id: "${value}" (expecting "${prefix}-...")`);
  });
};

export const address = (family: Family): Field<Ip | undefined> =>
  scalar('string', (value, name) => {
    const ip = parseIp(value);
    if (ip !== undefined && familyOf(ip) === family) return ip;
    throw invalidValue(`Value (${value}) for parameter ${name} is invalid. Expecting an IPv${family} address.`);
  });

/** A block with no host bits; of just this length where one is given. */
export const block = (family: Family, length?: number): Field<Cidr | undefined> =>
  scalar('string', (value, name) => {
    const cidr = value.includes('/') ? parseCidr(value) : undefined;
    const fits = cidr !== undefined && familyOf(cidr) === family && cidrLength(cidr) === (length ?? cidrLength(cidr));
    // EC2 takes any spelling of an IPv6 block, but host bits make it another block than was meant.
    if (fits && parseIp(value.slice(0, value.indexOf('/'))) === cidr.slice(0, cidr.indexOf('/'))) return cidr;
    throw invalidValue(
      `Value (${value}) for parameter ${name} is invalid. This is not a valid ${length === undefined ? '' : `/${length} `}CIDR block.`,
    );
  });

/** `Name.1`, `Name.2`: in order of their numbers, which may have gaps. */
export function list<T>(of: Field<T | undefined>): Field<readonly T[]> {
  return {
    kind: 'list',
    required: false,
    of,
    read(node, name) {
      const [odd] = [...(node?.children.keys() ?? [])].filter((key) => !/^\d{1,9}$/.test(key));
      if (odd !== undefined) throw unknown(`${name}.${odd}`);
      // Some clients write an empty list as the bare name.
      if (node?.text !== undefined && node.text !== '') throw unknown(name);
      const ordered = [...(node?.children ?? [])].sort(([a], [b]) => Number(a) - Number(b));
      const values: T[] = [];
      for (const [at, child] of ordered) {
        const value = of.read(child, `${name}.${at}`);
        if (value === undefined) throw invalidValue(`Value for parameter ${name}.${at} is invalid.`);
        values.push(value);
      }
      return values;
    },
  };
}

export function structure<F extends Fields>(fields: F): Field<Input<F> | undefined> {
  return {
    kind: 'structure',
    required: false,
    fields,
    read: (node, name) => (node === undefined ? undefined : readFields(fields, node, `${name}.`)),
  };
}

/** The parameter must be there; a list must hold something. */
export function need<T>(field: Field<T>): Field<Exclude<T, undefined>> {
  return {
    ...field,
    required: true,
    read(node, name) {
      const value = field.read(node, name);
      if (value === undefined || (Array.isArray(value) && value.length === 0)) throw missing(name);
      return value as Exclude<T, undefined>;
    },
  };
}

/** Every field's value; `prefix` is what the names begin with, for messages. */
export function readFields<F extends Fields>(fields: F, node: QueryNode, prefix = ''): Input<F> {
  for (const name of node.children.keys()) if (!Object.hasOwn(fields, name)) throw unknown(`${prefix}${name}`);
  if (node.text !== undefined && node.text !== '') throw unknown(prefix.slice(0, -1));
  const values = Object.entries(fields).map(([name, field]) => [
    name,
    field.read(node.children.get(name), `${prefix}${name}`),
  ]);
  return Object.fromEntries(values) as Input<F>;
}
