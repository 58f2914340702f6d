/**
 * Classic BPF programs for SO_ATTACH_FILTER on a netlink socket (linux/filter.h), from rules that say what is dropped.
 * The kernel runs one before it queues a datagram, so what is dropped wakes nobody.
 */

/** Offsets into the datagram, which begins with the netlink header; values as netlink has them, least byte first. */
export interface Condition {
  readonly load: Load;
  /** Any of these; with `unless`, none. */
  readonly is: readonly number[];
  readonly unless?: boolean;
}
export type Load =
  | { readonly at: number; readonly bytes: 2 | 4; readonly mask?: number }
  /** Part of an attribute, which is looked for from `from` on; where there is none, of the message's header. */
  | { readonly attribute: number; readonly from: number; readonly part: 'whole' | 'upper-half' };

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

const LOAD = { word: 0x20, half: 0x28, halfAtX: 0x48, wordAtX: 0x40, immediate: 0x00, immediateX: 0x01 } as const;
const AND = 0x54;
const TO_X = 0x07;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const DROP: Instruction = [RETURN, 0, 0, 0];
const PASS: Instruction = [RETURN, 0, 0, 0xffff_ffff];
/** SKF_AD_OFF + SKF_AD_NLATTR: finds the attribute X, beginning at A; 0 when there is none. */
const FIND_ATTRIBUTE = 0xffff_f00c;
const INSTRUCTION_BYTES = 8;

/** Drops what meets all conditions of any of the rules; an array of struct sock_filter. */
export function dropFilter(rules: readonly (readonly Condition[])[]): Buffer {
  const program = [...rules.flatMap(dropRule), PASS];
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  for (const [n, [code, ifTrue, ifFalse, operand]] of program.entries()) {
    const at = n * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(code, at);
    bytes[at + 2] = ifTrue;
    bytes[at + 3] = ifFalse;
    bytes.writeUInt32LE(operand, at + 4);
  }
  return bytes;
}

/** Conditions are laid out from the last to the first, so that each knows how far it is to the next rule. */
function dropRule(conditions: readonly Condition[]): Instruction[] {
  const program = [DROP];
  for (const condition of conditions.toReversed()) program.unshift(...test(condition, program.length));
  return program;
}

/** Goes on where it holds, and else leaps over `length` more. */
function test({ load, is, unless = false }: Condition, length: number): Instruction[] {
  const compares = is.map((value, n): Instruction => {
    const left = is.length - 1 - n;
    const [hit, miss] = unless ? [left + length, 0] : [left, n === is.length - 1 ? length : 0];
    return [JUMP_IF_EQUAL, hit, miss, swapped(value, bytesOf(load))];
  });
  return [...loaded(load), ...compares];
}

const bytesOf = (load: Load): 2 | 4 => ('bytes' in load ? load.bytes : load.part === 'whole' ? 4 : 2);

function loaded(load: Load): Instruction[] {
  if ('bytes' in load) {
    const read: Instruction = [load.bytes === 2 ? LOAD.half : LOAD.word, 0, 0, load.at];
    return load.mask === undefined ? [read] : [read, [AND, 0, 0, swapped(load.mask, load.bytes)]];
  }
  return [
    [LOAD.immediate, 0, 0, load.from],
    [LOAD.immediateX, 0, 0, load.attribute],
    [LOAD.word, 0, 0, FIND_ATTRIBUTE],
    [TO_X, 0, 0, 0],
    // Behind the attribute's own header, and the lower half.
    load.part === 'whole' ? [LOAD.wordAtX, 0, 0, 4] : [LOAD.halfAtX, 0, 0, 6],
  ];
}

/** BPF loads what is in network order. */
function swapped(value: number, bytes: 2 | 4): number {
  const swap = Buffer.alloc(bytes);
  swap.writeUIntLE(value, 0, bytes);
  return swap.readUIntBE(0, bytes);
}
