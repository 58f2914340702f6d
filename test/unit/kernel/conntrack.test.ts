import type { Ip } from '../../../src/core/ip.ts';
import { deleteByMark, deleteBySource } from '../../../src/kernel/conntrack.ts';
import { goldens, goldenText } from './golden.ts';

// Bytes that Linux 6.18 took; test/kernel shows which entries went.
test('deletes by filter are the bytes of golden/conntrack.txt', () => {
  const messages = new Map([
    ['original source 10.0.1.21', deleteBySource('10.0.1.21' as Ip, 'original')],
    ['reply source 10.0.1.21', deleteBySource('10.0.1.21' as Ip, 'reply')],
    ['original source 2001:db8:1::21', deleteBySource('2001:db8:1::21' as Ip, 'original')],
    ['mark 2/0x7f', deleteByMark({ mark: 2, mask: 0x7f })],
  ]);
  expect(goldenText(messages)).toBe(goldenText(goldens('conntrack.txt')));
});
