/** A lab's status for people. */
import { DROP_REASONS, type DropReason } from '../../lab/fabric/ruleset.ts';
import type { InstanceStatus, LabStatus } from '../../lab/status.ts';
import { table } from '../table.ts';

export function statusText(lab: LabStatus): string {
  const parts = [
    `lab ${lab.name} (pid ${lab.pid}) in ${lab.folder}\nEC2 endpoint ${lab.ec2Endpoint}, region ${lab.region}\n`,
    table(
      ['SUBNET', 'IPV4', 'IPV6', 'FREE IPV4'],
      // What an IPv6 range has left nobody counts.
      lab.subnets.map(({ id, cidr4, cidr6, free4 }) => [id, cidr4 ?? '-', cidr6 ?? '-', free4 ?? '-']),
    ),
    table(['INSTANCE', 'ID', 'TYPE', 'NAMESPACE', 'DAEMON'], lab.instances.map(instanceRow)),
    table(
      ['INSTANCE', 'ENI', 'LINK', 'MAC', 'STATE', 'CHECK', 'PRIMARY', 'PUBLIC', 'MORE', 'BLOCKS'],
      lab.instances.flatMap(eniRows),
    ),
    table(['INTERNET', 'IPV4', 'IPV6'], [[lab.internet.netns, lab.internet.address4, lab.internet.address6]]),
    table(
      ['DROPPED', 'PACKETS', 'WHY'],
      (Object.keys(DROP_REASONS) as DropReason[]).map((reason) => [
        reason,
        lab.fabric.drops[reason] ?? 0,
        DROP_REASONS[reason],
      ]),
    ),
    lab.faults.length === 0
      ? 'no faults\n'
      : table(
          ['FAULT', 'WHAT'],
          lab.faults.map(({ name, what }) => [name, what]),
        ),
    ...lab.problems.map((problem) => `PROBLEM ${problem}\n`),
  ];
  return parts.join('\n');
}

function instanceRow({ name, id, instanceType, netns, daemon }: InstanceStatus): string[] {
  return [name, id, instanceType, netns, daemonText(daemon)];
}

function daemonText(daemon: InstanceStatus['daemon']): string {
  if (daemon === null) return '-';
  if (daemon.pid !== null) return `pid ${daemon.pid}`;
  return daemon.ending === null ? 'not started' : `ended (${daemon.ending})`;
}

/** A node may have some hundred addresses: the first of them, and how many there are. */
const SHOWN_BLOCKS = 2;

function eniRows({ name, enis }: InstanceStatus): (string | number)[][] {
  return enis.map((eni) => [
    name,
    eni.id,
    eni.link ?? '-',
    eni.mac,
    eni.state,
    eni.sourceDestCheck ? 'on' : 'off',
    [eni.primary4, eni.primary6].filter(Boolean).join(' '),
    eni.public4 ?? '-',
    eni.blocks.length,
    `${eni.blocks.slice(0, SHOWN_BLOCKS).join(' ')}${eni.blocks.length > SHOWN_BLOCKS ? ' ...' : ''}`,
  ]);
}
