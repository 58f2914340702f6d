import { statusText } from '../../../src/cli/lab/status-text.ts';
import type { LabStatus } from '../../../src/lab/status.ts';

const LAB: LabStatus = {
  name: 'x',
  pid: 1,
  ready: true,
  folder: '/run/x',
  region: 'eu-central-1',
  ec2Endpoint: 'http://127.0.0.1:1',
  subnets: [
    { id: 'subnet-1', cidr4: '10.0.0.0/20', cidr6: null, free4: 4_091 },
    { id: 'subnet-2', cidr4: null, cidr6: '2001:db8:1::/64', free4: null },
  ],
  instances: [],
  internet: { netns: 'n', address4: '192.0.2.1', address6: '2001:db8::1' },
  fabric: { netns: 'f', drops: {} },
  faults: [],
  problems: [],
};

test('a subnet without IPv4 has no count of free addresses: it is not full', () => {
  const lines = statusText(LAB).split('\n');
  expect(lines.filter((line) => /^SUBNET|^subnet-/.test(line)).map((line) => line.split(/ {2,}/))).toEqual([
    ['SUBNET', 'IPV4', 'IPV6', 'FREE IPV4'],
    ['subnet-1', '10.0.0.0/20', '-', '4091'],
    ['subnet-2', '-', '2001:db8:1::/64', '-'],
  ]);
});
