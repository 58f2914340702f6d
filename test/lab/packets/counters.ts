/** How many packets went over each link of a namespace. */
import { existsSync, readFileSync } from 'node:fs';
import { inNamespace } from '../../../src/kernel/namespace.ts';

export interface LinkCounters {
  readonly received: number;
  /** Without what the kernel sends of itself in the first seconds of a link: who listens to which group, and who routes. */
  readonly sent: number;
}

const OF_ITSELF = ['Icmp6OutMLDv2Reports', 'Icmp6OutRouterSolicits'];

/** By link name, from the kernel's own table: `eth1: bytes packets errs drop fifo frame compressed multicast bytes packets ...`. */
export function linkCounters(netns: string): Readonly<Record<string, LinkCounters>> {
  return inNamespace(netns, () => {
    const rows = readFileSync('/proc/thread-self/net/dev', 'utf8')
      .split('\n')
      .slice(2)
      .filter((line) => line.includes(':'));
    return Object.fromEntries(
      rows.map((line) => {
        const [name = '', figures = ''] = line.split(':');
        const columns = figures.trim().split(/\s+/).map(Number);
        const link = name.trim();
        return [link, { received: columns[1] ?? 0, sent: (columns[9] ?? 0) - sentOfItself(link) }];
      }),
    );
  });
}

function sentOfItself(link: string): number {
  const file = `/proc/thread-self/net/dev_snmp6/${link}`;
  const rows = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const counts = rows.map((row) => row.split(/\s+/)).filter(([name = '']) => OF_ITSELF.includes(name));
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}
