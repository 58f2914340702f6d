/**
 * A rule's expressions, one to one with the kernel's (NFTA_EXPR_*), both ways.
 * Invariant: what is encoded is decoded as an equal list, so a rule that is read tells by itself whether it is the one
 * wanted; one with anything else in it reads as an empty rule, which is never wanted.
 */
import type { NftCompare, NftExpr, NftMetaKey } from '../../datapath/nft.ts';
import { attributeMap, attributeText, type MessageWriter, parseAttributes } from '../netlink.ts';
import { LIST_ELEM, readValue, readVerdict, writeValue, writeVerdict } from './message.ts';

const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const META_KEY: Record<NftMetaKey, number> = {
  mark: 3,
  iif: 4,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
  iifgroup: 21,
};
const CT_KEY = { state: 0, mark: 3 } as const;
const PAYLOAD_BASE = { link: 0, network: 1, transport: 2 } as const;
const COMPARE: Record<NftCompare, number> = { eq: 0, neq: 1, lt: 2, gt: 4 };
const VERDICT_REGISTER = 0;
/** NFT_REG32_00. */
const FIRST_REGISTER = 8;
const LOOKUP_INVERT = 1;
const FIB_OIF = 1;
const FIB_SADDR_IIF = 0x9;
const NAT_SNAT = 0;
/** NF_NAT_RANGE_PROTO_RANDOM_FULLY. */
const FULLY_RANDOM = 0x10;
const NFPROTO = { 4: 2, 6: 10 } as const;
const OBJECT_COUNTER = 1;
/** NFT_LIMIT_PKT_BYTES, NFT_LIMIT_F_INV. */
const LIMIT = { bytes: 1, over: 1 } as const;

type Of<Op extends NftExpr['op']> = Extract<NftExpr, { op: Op }>;

const register = (number: number): number => FIRST_REGISTER + number;

/** Into the attribute that holds the list, which the caller has opened. */
export function writeExpressions(writer: MessageWriter, expressions: readonly NftExpr[]): void {
  for (const expression of expressions) {
    writer.nest(LIST_ELEM, () => {
      writer.attributeText(NFTA_EXPR.NAME, KERNEL_NAME[expression.op]);
      writer.nest(NFTA_EXPR.DATA, () => writeExpression(writer, expression));
    });
  }
}

const KERNEL_NAME: Record<NftExpr['op'], string> = {
  meta: 'meta',
  'meta-set': 'meta',
  ct: 'ct',
  'ct-set': 'ct',
  payload: 'payload',
  bitwise: 'bitwise',
  cmp: 'cmp',
  lookup: 'lookup',
  immediate: 'immediate',
  verdict: 'immediate',
  fib: 'fib',
  snat: 'nat',
  masquerade: 'masq',
  counter: 'objref',
  limit: 'limit',
};

function writeExpression(writer: MessageWriter, expression: NftExpr): void {
  const numbers = (...values: readonly (readonly [number, number])[]): void => {
    for (const [type, value] of values) writer.attributeU32be(type, value);
  };
  switch (expression.op) {
    case 'meta':
      return numbers([1, register(expression.to)], [2, META_KEY[expression.key]]);
    case 'meta-set':
      return numbers([2, META_KEY[expression.key]], [3, register(expression.from)]);
    case 'ct':
      return numbers([1, register(expression.to)], [2, CT_KEY[expression.key]]);
    case 'ct-set':
      return numbers([2, CT_KEY[expression.key]], [4, register(expression.from)]);
    case 'payload': {
      const { to, base, offset, length } = expression;
      return numbers([1, register(to)], [2, PAYLOAD_BASE[base]], [3, offset], [4, length]);
    }
    case 'bitwise':
      numbers([1, register(expression.from)], [2, register(expression.to)], [3, expression.mask.length]);
      writeValue(writer, 4, expression.mask);
      return writeValue(writer, 5, expression.xor);
    case 'cmp':
      numbers([1, register(expression.from)], [2, COMPARE[expression.how]]);
      return writeValue(writer, 3, expression.value);
    case 'lookup':
      return writeLookup(writer, expression);
    case 'immediate':
      numbers([1, register(expression.to)]);
      return writeValue(writer, 2, expression.value);
    case 'verdict':
      numbers([1, VERDICT_REGISTER]);
      return writeVerdict(writer, 2, expression);
    case 'fib':
      return numbers([1, register(expression.to)], [2, FIB_OIF], [3, FIB_SADDR_IIF]);
    case 'snat': {
      const { family, from, fullyRandom } = expression;
      return numbers(
        [1, NAT_SNAT],
        [2, NFPROTO[family]],
        [3, register(from)],
        ...(fullyRandom ? [[7, FULLY_RANDOM] as const] : []),
      );
    }
    case 'masquerade':
      return;
    case 'counter':
      numbers([1, OBJECT_COUNTER]);
      return writer.attributeText(2, expression.name);
    case 'limit':
      writer.attributeU64be(1, expression.bytesPerSecond);
      writer.attributeU64be(2, 1);
      return numbers([3, expression.burstBytes], [4, LIMIT.bytes], [5, LIMIT.over]);
  }
}

function writeLookup(writer: MessageWriter, { set, from, not, verdictMap, to }: Of<'lookup'>): void {
  writer.attributeText(1, set);
  writer.attributeU32be(2, register(from));
  if (verdictMap === true) writer.attributeU32be(3, VERDICT_REGISTER);
  if (to !== undefined) writer.attributeU32be(3, register(to));
  if (not === true) writer.attributeU32be(5, LOOKUP_INVERT);
}

/** Of NFTA_RULE_EXPRESSIONS. Empty when any of them is none of ours. */
export function readExpressions(list: Buffer): NftExpr[] {
  const expressions: NftExpr[] = [];
  for (const { value } of parseAttributes(list)) {
    const attributes = attributeMap(value);
    const name = attributeText(attributes.get(NFTA_EXPR.NAME) ?? Buffer.alloc(0));
    const expression = READERS[name]?.(new Fields(attributes.get(NFTA_EXPR.DATA) ?? Buffer.alloc(0)));
    if (expression === undefined) return [];
    expressions.push(expression);
  }
  return expressions;
}

/** Attributes of one expression as this codec's types. */
class Fields {
  private readonly attributes: Map<number, Buffer>;

  constructor(data: Buffer) {
    this.attributes = attributeMap(data);
  }

  has = (type: number): boolean => this.attributes.has(type);
  number = (type: number): number => this.attributes.get(type)?.readUInt32BE(0) ?? 0;
  large = (type: number): number => Number(this.attributes.get(type)?.readBigUInt64BE(0) ?? 0n);
  text = (type: number): string => attributeText(this.attributes.get(type) ?? Buffer.alloc(0));
  value = (type: number): Uint8Array => readValue(this.attributes.get(type)) ?? new Uint8Array(0);
  verdict = (type: number) => readVerdict(this.attributes.get(type));

  /** The kernel gives a register that starts a 16-byte one by that one's number, 1 to 4. */
  register(type: number): number {
    const number = this.number(type);
    return number < FIRST_REGISTER ? (number - 1) * 4 : number - FIRST_REGISTER;
  }
}

const READERS: Record<string, (fields: Fields) => NftExpr | undefined> = {
  meta(fields) {
    const key = keyOf(META_KEY, fields.number(2));
    if (key === undefined) return undefined;
    if (!fields.has(3)) return { op: 'meta', key, to: fields.register(1) };
    return key === 'mark' ? { op: 'meta-set', key, from: fields.register(3) } : undefined;
  },
  ct(fields) {
    const key = keyOf(CT_KEY, fields.number(2));
    if (key === undefined || fields.has(3)) return undefined;
    if (!fields.has(4)) return { op: 'ct', key, to: fields.register(1) };
    return key === 'mark' ? { op: 'ct-set', key, from: fields.register(4) } : undefined;
  },
  payload(fields) {
    const base = keyOf(PAYLOAD_BASE, fields.number(2));
    if (base === undefined || fields.has(5)) return undefined;
    return { op: 'payload', base, offset: fields.number(3), length: fields.number(4), to: fields.register(1) };
  },
  bitwise(fields) {
    // Other operations (shifts, register with register) have no mask.
    if (!fields.has(4)) return undefined;
    return {
      op: 'bitwise',
      from: fields.register(1),
      to: fields.register(2),
      mask: fields.value(4),
      xor: fields.value(5),
    };
  },
  cmp(fields) {
    const how = keyOf(COMPARE, fields.number(2));
    return how && { op: 'cmp', from: fields.register(1), how, value: fields.value(3) };
  },
  lookup(fields) {
    const destination = !fields.has(3)
      ? {}
      : fields.number(3) === VERDICT_REGISTER
        ? { verdictMap: true }
        : { to: fields.register(3) };
    const not = (fields.number(5) & LOOKUP_INVERT) !== 0 ? { not: true } : {};
    return { op: 'lookup', set: fields.text(1), from: fields.register(2), ...not, ...destination };
  },
  immediate(fields) {
    if (fields.number(1) !== VERDICT_REGISTER) {
      return { op: 'immediate', to: fields.register(1), value: fields.value(2) };
    }
    const verdict = fields.verdict(2);
    return verdict && { op: 'verdict', ...verdict };
  },
  fib(fields) {
    if (fields.number(2) !== FIB_OIF || fields.number(3) !== FIB_SADDR_IIF) return undefined;
    return { op: 'fib', what: 'saddr . iif oif', to: fields.register(1) };
  },
  nat(fields) {
    const family = fields.number(2) === NFPROTO[4] ? 4 : 6;
    if (fields.number(1) !== NAT_SNAT || fields.has(5)) return undefined;
    const fullyRandom = (fields.number(7) & FULLY_RANDOM) !== 0;
    return { op: 'snat', family, from: fields.register(3), fullyRandom };
  },
  masq: (fields) => (fields.has(1) || fields.has(2) ? undefined : { op: 'masquerade' }),
  objref(fields) {
    if (fields.number(1) !== OBJECT_COUNTER || !fields.has(2)) return undefined;
    return { op: 'counter', name: fields.text(2) };
  },
  limit(fields) {
    if (fields.large(2) !== 1 || fields.number(4) !== LIMIT.bytes || fields.number(5) !== LIMIT.over) return undefined;
    return { op: 'limit', bytesPerSecond: fields.large(1), burstBytes: fields.number(3) };
  },
};

function keyOf<K extends string>(numbers: Record<K, number>, number: number): K | undefined {
  return (Object.keys(numbers) as K[]).find((key) => numbers[key] === number);
}
