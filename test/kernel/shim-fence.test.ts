/** A DEL that no daemon takes: the binary writes it down and puts the pod's link into the dead group. */
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Attachment, attachmentKey } from '../../src/core/brand.ts';
import { linkName } from '../../src/core/link-name.ts';
import { LINK_GROUP } from '../../src/datapath/numbering.ts';
import { Stand, shimBinary } from '../unit/shim/stand.ts';
import { TestNetworks, tool } from './namespaces.ts';

const binary = shimBinary();
const describeShim = binary === undefined ? describe.skip : describe;

const FIRST: Attachment = { network: 'underway', containerId: 'c1', ifname: 'eth0' };
const ATTACHMENTS: readonly Attachment[] = [
  FIRST,
  { network: 'underway', containerId: 'f3'.repeat(32), ifname: 'net1' },
  { network: 'n'.repeat(80), containerId: 'C_.-'.repeat(32), ifname: 'abcdefghijklmno' },
  { network: 'a.b-c_D', containerId: '0', ifname: '~' },
];

describeShim('a DEL without a daemon', () => {
  const nets = new TestNetworks();
  let netns: string;
  let stand: Stand;
  beforeAll(async () => {
    netns = await nets.make();
  });
  afterAll(() => nets.close());
  beforeEach(() => {
    stand = new Stand(binary ?? '');
    stand.configure('deadline_ms=60');
    for (const attachment of ATTACHMENTS)
      tool(netns, 'ip', 'link', 'add', linkName(attachmentKey(attachment)), 'type', 'veth');
  });
  afterEach(async () => {
    for (const attachment of ATTACHMENTS) tool(netns, 'ip', 'link', 'del', linkName(attachmentKey(attachment)));
    await stand.close();
  });

  const del = ({ containerId, ifname }: Attachment, config: string) => {
    const env = { CNI_COMMAND: 'DEL', CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_PATH: '/opt/cni/bin' };
    const words = ['netns', 'exec', netns.slice('/run/netns/'.length), join(stand.folder, 'underway')];
    return spawnSync('ip', words, { env: { PATH: process.env.PATH, ...env }, input: config, encoding: 'utf8' });
  };
  const done = { status: 0, stdout: '', stderr: '' };
  /** The names of those that are cut off. */
  const dead = (): readonly string[] =>
    JSON.parse(tool(netns, 'ip', '-j', 'link', 'show', 'group', String(LINK_GROUP.dead)) || '[]')
      .map(({ ifname }: { readonly ifname: string }) => ifname)
      .sort();

  test.each(ATTACHMENTS)(
    '$network $containerId $ifname: its link alone is cut off, and the DEL is kept',
    (attachment) => {
      const config = JSON.stringify({ cniVersion: '1.0.0', name: attachment.network, type: 'underway' });
      expect(del(attachment, config)).toMatchObject(done);
      expect(dead()).toEqual([linkName(attachmentKey(attachment))]);
      expect(readdirSync(join(stand.state, 'del'))).toHaveLength(1);
    },
  );

  test.each([
    ['the name of something inside', '{"a":{"name":"underway"}}'],
    ['another network', '{"name":"other"}'],
    ['a name that is none', '{"name":{"name":"underway"}}'],
    ['a long name', `{"name":"underway${'x'.repeat(80)}"}`],
    ['no JSON', 'name'],
  ])('%s cuts nothing off, and the DEL is kept all the same', (_, config) => {
    for (const attachment of ATTACHMENTS) expect(del(attachment, config)).toMatchObject(done);
    expect(dead()).toEqual([]);
    expect(readdirSync(join(stand.state, 'del'))).toHaveLength(ATTACHMENTS.length);
  });

  test('that cannot be kept either has cut the pod off', () => {
    writeFileSync(stand.state, 'in the way');
    expect(del(FIRST, '{"name":"underway"}')).toMatchObject({ status: 1 });
    expect(dead()).toEqual([linkName(attachmentKey(FIRST))]);
  });
});
