import { type AttachmentKey, attachmentKey } from '../../../src/core/brand.ts';
import { isLinkName, linkName } from '../../../src/core/link-name.ts';

const key = (n: number): AttachmentKey =>
  attachmentKey({ network: 'underway', containerId: n.toString(16).padStart(64, '0'), ifname: 'eth0' });

test('a name fits IFNAMSIZ, says whose it is, and is the same for ever', () => {
  expect(linkName(key(1))).toMatch(/^uw[0-9a-f]{13}$/);
  expect(linkName(key(1))).toBe(linkName(key(1)));
  // A golden value: another hash would orphan the links of every running pod at the daemon's next start.
  expect(linkName('underway/0123456789abcdef/eth0' as AttachmentKey)).toBe('uwe156a4df50304');
  expect([linkName(key(2)), 'uw0', 'uw0123456789abcd', 'eth0'].map(isLinkName)).toEqual([true, false, false, false]);
});

test('30,000 container ids that differ in a few digits share no name', () => {
  const names = new Set<string>();
  for (let n = 0; n < 30_000; n++) names.add(linkName(key(n)));
  expect(names.size).toBe(30_000);
});

test('each of the 13 digits takes all 16 values about equally often', () => {
  const counts = Array.from({ length: 13 }, () => new Array<number>(16).fill(0));
  for (let n = 0; n < 4_800; n++) {
    for (const [at, digit] of [...linkName(key(n)).slice(2)].entries()) {
      const row = counts[at] ?? [];
      row[Number.parseInt(digit, 16)] = (row[Number.parseInt(digit, 16)] ?? 0) + 1;
    }
  }
  // 300 expected, standard deviation 17: five of them either way.
  for (const count of counts.flat()) expect(Math.abs(count - 300)).toBeLessThan(84);
});
