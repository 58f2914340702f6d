/**
 * The Provider contract on the real path of a node: the AWS adapter with its SDK, credentials and identity from the
 * lab's instance metadata, calls to the lab's EC2. The cloud runs on virtual time, which moves while a request is in.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CAPABILITIES } from '../../../providers/aws/capabilities.ts';
import { createAwsProvider } from '../../../providers/aws/provider.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { createEc2Endpoint } from '../../../src/lab/ec2/endpoint.ts';
import { createImds } from '../../../src/lab/imds/imds.ts';
import { providerContract } from '../../contract/provider-suite.ts';
import { type MakeWorld, populate, stepping, turn } from '../../contract/provider-world.ts';
import { VirtualClock } from '../../unit/memory/virtual-clock.ts';

const REGION = 'us-east-1';

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

const makeWorld: MakeWorld = async () => {
  const clock = new VirtualClock();
  const cloud = new MemoryCloud({ clock, seed: 7, figures: AWS_2026 });
  const populated = populate(cloud);
  const ec2 = createEc2Endpoint({ cloud, clock, region: REGION });
  let inFlight = 0;
  const count: RequestListener = (_, response) => {
    inFlight++;
    response.on('close', () => inFlight--);
  };
  ec2.on('request', count);
  const { listener } = createImds({ cloud, clock, region: REGION, instance: populated.instance });
  const metadata = createServer(listener);
  const provider = createAwsProvider({
    endpoint: await listen(ec2),
    metadataEndpoint: await listen(metadata),
    env: {},
    onUnknownCode: (code) => {
      throw new Error(`the adapter does not know ${code}`);
    },
  });
  return {
    ...populated,
    cloud,
    provider,
    run: (promise) =>
      stepping(promise, () => {
        if (inFlight > 0) clock.step();
      }),
    async wait(ms) {
      clock.advance(ms);
      await turn();
    },
    async close() {
      provider.close();
      await Promise.all([close(ec2), close(metadata)]);
    },
  };
};

providerContract('AWS on the lab', CAPABILITIES, makeWorld);
