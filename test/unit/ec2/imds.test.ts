/** Instance metadata as an instance sees it: sessions first, then folders and texts. */
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createImds, type Imds } from '../../../src/lab/imds/imds.ts';
import { accessKeyOf } from '../../../src/lab/imds/role.ts';
import { onStage, REGION, type Stage } from './stage.ts';

const TTL = 'x-aws-ec2-metadata-token-ttl-seconds';
const TOKEN = 'x-aws-ec2-metadata-token';

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

class Instance {
  readonly imds: Imds;
  readonly #server: Server;

  constructor(stage: Stage) {
    this.imds = createImds({ cloud: stage.cloud, clock: stage.clock, region: REGION, instance: stage.node });
    this.#server = createServer(this.imds.listener);
  }

  async open(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  send(method: string, path: string, headers: Record<string, string> = {}): Promise<Reply> {
    const { port } = this.#server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const sent = request({ port, method, path, headers, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  async token(seconds = '60'): Promise<string> {
    return (await this.send('PUT', '/latest/api/token', { [TTL]: seconds })).body;
  }

  async get(path: string): Promise<string | undefined> {
    const { status, body } = await this.send('GET', path, { [TOKEN]: await this.token() });
    return status === 200 ? body : undefined;
  }

  meta(path: string): Promise<string | undefined> {
    return this.get(`/latest/meta-data/${path}`);
  }
}

const onInstance = (run: (instance: Instance, stage: Stage) => Promise<void>) =>
  onStage(async (stage) => {
    const instance = await new Instance(stage).open();
    try {
      await run(instance, stage);
    } finally {
      await instance.close();
    }
  });

test(
  'a session is asked for with its length, and not through a proxy',
  onInstance(async (instance) => {
    const put = async (headers: Record<string, string>) =>
      (await instance.send('PUT', '/latest/api/token', headers)).status;
    expect(await put({})).toBe(400);
    for (const ttl of ['0', '21601', '-1', '1.5', 'x', ''])
      expect([ttl, await put({ [TTL]: ttl })]).toEqual([ttl, 400]);
    for (const ttl of ['1', '21600']) expect(await put({ [TTL]: ttl })).toBe(200);
    expect(await put({ [TTL]: '60', 'x-forwarded-for': '10.0.0.9' })).toBe(403);
    const { headers, body } = await instance.send('PUT', '/latest/api/token', { [TTL]: '60' });
    expect([headers[TTL], body.length]).toEqual(['60', 56]);
    expect((await instance.send('GET', '/latest/api/token', { [TOKEN]: body })).status).toBe(405);
    expect((await instance.send('POST', '/latest/meta-data/', { [TOKEN]: body })).status).toBe(405);
  }),
);

test(
  'nothing is told without a session, with a wrong one or with one that ended',
  onInstance(async (instance, stage) => {
    const get = async (headers: Record<string, string>) =>
      (await instance.send('GET', '/latest/meta-data/instance-id', headers)).status;
    expect(await get({})).toBe(401);
    expect(await get({ [TOKEN]: 'forged' })).toBe(401);
    const token = await instance.token('30');
    stage.clock.advance(29_999);
    expect(await get({ [TOKEN]: token })).toBe(200);
    stage.clock.advance(1);
    expect(await get({ [TOKEN]: token })).toBe(401);
  }),
);

test(
  'the instance knows itself',
  onInstance(async (instance, stage) => {
    const [eni] = stage.cloud.truth.enisOf(stage.node);
    expect(await instance.meta('instance-id')).toBe(stage.node);
    expect(await instance.meta('instance-type')).toBe('m5.large');
    expect(await instance.meta('mac')).toBe(eni?.mac);
    expect(await instance.meta('local-ipv4')).toBe(eni?.primary4);
    expect(await instance.meta('placement/availability-zone')).toBe('us-east-1a');
    expect(await instance.meta('placement/region')).toBe(REGION);
    expect(JSON.parse((await instance.get('/latest/dynamic/instance-identity/document')) ?? '')).toMatchObject({
      instanceId: stage.node,
      instanceType: 'm5.large',
      availabilityZone: 'us-east-1a',
      region: REGION,
      privateIp: eni?.primary4,
    });
  }),
);

test(
  'folders are listed, with and without their last slash; what is not there is 404',
  onInstance(async (instance, stage) => {
    expect(await instance.get('/')).toBe('latest/');
    expect(await instance.get('/latest/')).toBe('dynamic/\nmeta-data/');
    expect((await instance.meta(''))?.split('\n')).toEqual(
      expect.arrayContaining(['instance-id', 'network/', 'placement/', 'iam/', 'mac']),
    );
    expect(await instance.meta('network/interfaces/macs')).toBe(await instance.meta('network/interfaces/macs/'));
    expect(await instance.meta('public-ipv4')).toBeUndefined();
    expect((await instance.meta(''))?.split('\n')).not.toContain('public-ipv4');
    for (const path of [
      'nothing',
      'instance-id/',
      'instance-id/more',
      'toString',
      'network/interfaces/macs/02:00:00:00:00:00/',
    ])
      expect([path, await instance.meta(path)]).toEqual([path, undefined]);
    expect(await instance.get('/2021-07-15/meta-data/instance-id')).toBe(stage.node);
    expect(await instance.get('//')).toBe('latest/');
    expect(await instance.get('/latest/meta-data/instance-id?x=y')).toBe(stage.node);
    expect(await instance.get('/v1/meta-data/instance-id')).toBeUndefined();
  }),
);

test(
  'an ENI is there from its link to its end, with all its addresses',
  onInstance(async (instance, stage) => {
    const macs = async () => (await instance.meta('network/interfaces/macs/'))?.split('\n').length;
    stage.cloud.faults.arm({ kind: 'link-late', byMs: 60_000 }, { calls: 1 });
    const eni = await stage.createEni({
      SecondaryPrivateIpAddressCount: 2,
      'SecurityGroupId.1': 'sg-0123456789abcdef0',
    });
    await stage.attach(eni, 1);
    expect(stage.cloud.truth.eni(eni as never)?.attachment?.state).toBe('attached');
    expect(await macs()).toBe(1);
    stage.clock.advance(60_000);
    expect(await macs()).toBe(2);
    await stage.value('AssignPrivateIpAddresses', { NetworkInterfaceId: eni, 'Ipv4Prefix.1': '10.0.1.64/28' });
    await stage.value('AssignIpv6Addresses', { NetworkInterfaceId: eni, 'Ipv6Addresses.1': '2001:db8:7::77' });
    const row = stage.cloud.truth.eni(eni as never);
    const item = (name: string) => instance.meta(`network/interfaces/macs/${row?.mac}/${name}`);
    expect(await item('device-number')).toBe('1');
    expect(await item('interface-id')).toBe(eni);
    expect(await item('subnet-id')).toBe(stage.subnet);
    expect(await item('vpc-id')).toBe(stage.vpc);
    const four = (row?.blocks ?? []).filter((cidr) => cidr.endsWith('/32')).map((cidr) => cidr.slice(0, -3));
    expect(await item('local-ipv4s')).toBe([row?.primary4, ...four].join('\n'));
    expect(await item('ipv4-prefix')).toBe('10.0.1.64/28');
    expect(await item('ipv6s')).toBe('2001:db8:7::77');
    expect(await item('subnet-ipv4-cidr-block')).toBe('10.0.1.0/24');
    expect(await item('subnet-ipv6-cidr-blocks')).toBe('2001:db8:7::/64');
    expect(await item('vpc-ipv4-cidr-block')).toBe('10.0.0.0/16');
    expect(await item('vpc-ipv4-cidr-blocks')).toBe('10.0.0.0/16');
    expect(await item('vpc-ipv6-cidr-blocks')).toBe('2001:db8:7::/56');
    expect(await item('security-group-ids')).toBe('sg-0123456789abcdef0');
    stage.cloud.takeEni(eni as never);
    expect(await macs()).toBe(1);
  }),
);

test(
  'the role’s credentials name the instance',
  onInstance(async (instance, stage) => {
    const role = await instance.meta('iam/security-credentials/');
    expect(role).toBe('underway-lab-node');
    const credentials = JSON.parse((await instance.meta(`iam/security-credentials/${role}`)) ?? '');
    expect(credentials).toMatchObject({ Code: 'Success', Type: 'AWS-HMAC', AccessKeyId: accessKeyOf(stage.node) });
    expect(Date.parse(credentials.Expiration)).toBe(stage.clock.wallMs() + 6 * 3_600_000);
  }),
);

test(
  'while it is down, connections break; while the instance is terminated, its machine can still ask',
  onInstance(async (instance, stage) => {
    const code = async (): Promise<string> => {
      try {
        return String((await instance.send('PUT', '/latest/api/token', { [TTL]: '60' })).status);
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? '';
      }
    };
    instance.imds.down = true;
    expect(await code()).toBe('ECONNRESET');
    instance.imds.down = false;
    expect(await code()).toBe('200');
    stage.cloud.terminate(stage.node);
    expect(await instance.meta('instance-id')).toBe(stage.node);
    expect(await instance.meta('mac')).toBeUndefined();
  }),
);
