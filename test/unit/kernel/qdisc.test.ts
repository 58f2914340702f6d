/**
 * Compared with the messages of tc (iproute2 6.1, golden/tc.txt, captured with strace). Left out here of what tc sends: a
 * table of 1 kB and the bucket in bytes, which the kernel has from the link layer and from the bucket in ticks.
 */
import type { QdiscObject } from '../../../src/datapath/kernel-state.ts';
import { type Message, parseAttributes, parseMessages } from '../../../src/kernel/netlink.ts';
import { decodeQdisc, dumpQdiscs, putQdisc, removeQdisc } from '../../../src/kernel/rtnetlink/qdisc.ts';
import { goldens } from './golden.ts';

const tc = goldens('tc.txt');
const HEADER = 20;
const [PARMS, RATE_TABLE, BURST] = [1, 2, 6];
const linkName = (index: number) => (index === 7 ? 'eth1' : undefined);

function parsed(bytes: Buffer): Message {
  const [message] = parseMessages(bytes);
  if (message === undefined) throw new Error('no message');
  return message;
}

/** Type, header and attributes, those of the options one by one. */
function content(bytes: Buffer): object {
  const { type, payload } = parsed(bytes);
  const [kind, options] = parseAttributes(payload, HEADER).map(({ value }) => value);
  const inner = parseAttributes(options ?? Buffer.alloc(0)).map(
    ({ type, value }) => [type, Buffer.from(value)] as const,
  );
  const kept = inner.filter(([type]) => type !== RATE_TABLE && type !== BURST);
  // cell_log and cell_align say how the table is made.
  for (const [type, value] of kept) if (type === PARMS) value.fill(0, 0, 1).fill(0, 4, 6);
  return {
    type,
    header: payload.toString('hex', 0, HEADER),
    kind: kind?.toString(),
    options: kept.map(([type, value]) => `${type}=${value.toString('hex')}`),
  };
}

const slow: QdiscObject = {
  kind: 'qdisc',
  link: 'eth1',
  bytesPerSecond: 2_500_000,
  bucketTicks: 781_250,
  queueBytes: 250_000,
};
/** More than 32 bits of bytes a second. tc counts the ticks by the largest rate of 32 bits. */
const fast: QdiscObject = {
  ...slow,
  bytesPerSecond: 5_000_000_000,
  bucketTicks: 909_484,
  queueBytes: 500_000_000,
};

test.each([
  ['tc qdisc replace dev eth1 root tbf rate 20mbit burst 125000 limit 250000', putQdisc(slow, 7)],
  ['tc qdisc replace dev eth1 root tbf rate 40gbit burst 250000000 limit 500000000', putQdisc(fast, 7)],
  ['tc qdisc del dev eth1 root', removeQdisc(7)],
])('%s', (command, ours) => {
  expect(content(ours)).toEqual(content(tc.get(command) ?? Buffer.alloc(0)));
});

test('what is put reads back as it was; another link, kind or place is not ours', () => {
  for (const object of [slow, fast]) expect(decodeQdisc(parsed(putQdisc(object, 7)), linkName)).toEqual(object);
  expect(decodeQdisc(parsed(putQdisc(slow, 8)), linkName)).toBeUndefined();
  const other = Buffer.from(putQdisc(slow, 7));
  other.write('htb', 16 + HEADER + 4);
  expect(decodeQdisc(parsed(other), linkName)).toBeUndefined();
  const child = Buffer.from(putQdisc(slow, 7));
  child.writeUInt32LE(0x1_0001, 16 + 12);
  expect(decodeQdisc(parsed(child), linkName)).toBeUndefined();
  expect(parsed(dumpQdiscs()).payload).toHaveLength(HEADER);
});
