/** A client that is not ours takes an ENI through its life on the lab's endpoint, over real HTTP and real time. */
import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { createEc2Endpoint } from '../../../src/lab/ec2/endpoint.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { AT_ONCE, REGION } from '../../unit/ec2/stage.ts';
import { cidr } from '../../unit/memory/harness.ts';
import { findBoto } from './boto.ts';

const boto = await findBoto();
const testWithBoto = boto === undefined ? test.skip : test;

const CLIENT = fileURLToPath(new URL('./client.py', import.meta.url));

testWithBoto(
  'boto3 lists, creates, attaches, assigns, unassigns, detaches and deletes an ENI',
  async () => {
    const cloud = new MemoryCloud({ clock: systemClock, seed: 1, figures: AT_ONCE });
    const vpc = cloud.addVpc({ cidrs4: [cidr('10.0.0.0/16')] }).id;
    const subnet = cloud.addSubnet({ vpc, zone: 'us-east-1a', cidr4: cidr('10.0.1.0/24') }).id;
    const { id: node, primaryEni } = cloud.launch({ instanceType: 'm5.large', subnet });
    const server = createEc2Endpoint({ cloud, clock: systemClock, region: REGION });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { stdout } = await promisify(execFile)(boto?.python ?? '', [CLIENT, url, subnet, node], {
        timeout: 60_000,
      });
      const steps = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      const eni = steps[1]?.eni;
      expect(steps).toEqual([
        { step: 'list', enis: [primaryEni] },
        { step: 'create', eni, status: 'pending', addresses: ['10.0.1.5', '10.0.1.6', '10.0.1.7'] },
        {
          step: 'attach',
          eni,
          status: 'attached',
          when: expect.stringMatching(new RegExp(`^${new Date().getUTCFullYear()}-.*\\+00:00$`)),
          tags: [{ Key: 'by', Value: 'boto3 & <friends>' }],
          inUse: [400, 'InvalidParameterValue'],
        },
        {
          step: 'assign',
          addresses: ['10.0.1.8', '10.0.1.9', '10.0.1.10'],
          prefixes: [expect.stringMatching(/^10\.0\.1\.\d+\/28$/)],
          tooMany: [400, 'PrivateIpAddressLimitExceeded'],
          dryRun: [412, 'DryRunOperation'],
        },
        { step: 'unassign', left: 3 },
        { step: 'detach', attached: [primaryEni] },
        { step: 'delete', again: [400, 'InvalidNetworkInterfaceID.NotFound'] },
      ]);
      expect(cloud.truth.enis().map(({ id }) => id)).toEqual([primaryEni]);
      expect(cloud.invariants()).toEqual([]);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  },
  90_000,
);
