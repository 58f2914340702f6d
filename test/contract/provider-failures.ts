/** Contract cases about calls that do not end well: throttled, denied, lost on the way, answered by nobody. */
import type { CloudFault } from '../../providers/memory/faults.ts';
import { type Scene, wish } from './provider-world.ts';

type Case = (name: string, run: (scene: Scene) => Promise<void>) => void;

const RESET = { kind: 'lost-reply', silent: false } as const;

const armOnce = (scene: Scene, fault: CloudFault, action: Parameters<typeof scene.world.cloud.call>[0]) =>
  scene.world.cloud.faults.arm(fault, { calls: 1, actions: [action] });

export function failureCases(it: Case): void {
  it('says throttled, having done nothing', async (scene) => {
    armOnce(scene, { kind: 'throttle' }, 'assign');
    expect((await scene.failure(scene.assign(scene.primary.id, wish(4, 32, 1)))).kind).toBe('throttled');
    expect(scene.primary.blocks).toEqual([]);
    expect(await scene.value(scene.assign(scene.primary.id, wish(4, 32, 1)))).toHaveLength(1);
  });

  it('says denied, having done nothing', async (scene) => {
    armOnce(scene, { kind: 'deny' }, 'create-eni');
    expect((await scene.failure(scene.provider.createEni(scene.createWish(), scene.options()))).kind).toBe('denied');
    expect(scene.world.cloud.truth.enis()).toHaveLength(2);
  });

  it('says when the account has all its ENIs', async (scene) => {
    armOnce(scene, { kind: 'eni-limit' }, 'create-eni');
    const failure = await scene.failure(scene.provider.createEni(scene.createWish(), scene.options()));
    expect(failure).toMatchObject({ kind: 'exhausted', scope: 'account' });
  });

  it('keeps the code and the message of the cloud for people', async (scene) => {
    armOnce(scene, { kind: 'throttle' }, 'assign');
    const failure = await scene.failure(scene.assign(scene.primary.id, wish(4, 32, 1)));
    expect(failure.code).not.toBe('');
    expect(failure.message).not.toBe('');
  });

  it('says ambiguous when the answer to a create is lost', async (scene) => {
    armOnce(scene, RESET, 'create-eni');
    expect((await scene.failure(scene.provider.createEni(scene.createWish(), scene.options()))).kind).toBe('ambiguous');
    expect(scene.world.cloud.truth.enis()).toHaveLength(3);
  });

  it('sends an assign once when its answer is lost', async (scene) => {
    armOnce(scene, RESET, 'assign');
    expect((await scene.failure(scene.assign(scene.primary.id, wish(4, 32, 2)))).kind).toBe('ambiguous');
    await scene.world.wait(1000);
    expect(scene.primary.blocks).toHaveLength(2);
    expect(scene.world.cloud.callCounts.get('assign')).toBe(1);
  });

  it('says ambiguous when the answer to an unassign is lost', async (scene) => {
    const blocks = await scene.value(scene.assign(scene.primary.id, wish(4, 32, 2)));
    await scene.settle();
    armOnce(scene, RESET, 'unassign');
    const failure = await scene.failure(scene.provider.unassign(scene.primary.id, blocks, scene.options()));
    expect(failure.kind).toBe('ambiguous');
    expect(scene.primary.blocks).toEqual([]);
  });

  it('says ambiguous when nothing was done and nobody said so', async (scene) => {
    armOnce(scene, { kind: 'lost-request', silent: false }, 'assign');
    expect((await scene.failure(scene.assign(scene.primary.id, wish(4, 32, 2)))).kind).toBe('ambiguous');
    expect(scene.primary.blocks).toEqual([]);
  });

  it('says ambiguous when no answer comes in time', async (scene) => {
    armOnce(scene, { kind: 'lost-reply', silent: true }, 'assign');
    const asked = { ...wish(4, 32, 1), token: scene.token() };
    const failure = await scene.failure(scene.provider.assign(scene.primary.id, asked, scene.options(800)));
    expect(failure.kind).toBe('ambiguous');
    expect(scene.primary.blocks).toHaveLength(1);
  });

  it('says ambiguous when its caller stops waiting, and the work goes on', async (scene) => {
    armOnce(scene, { kind: 'latency', factor: 1, plusMs: 300 }, 'assign');
    const patience = new AbortController();
    const asked = { ...wish(4, 32, 1), token: scene.token() };
    const call = scene.provider.assign(scene.primary.id, asked, { signal: patience.signal, timeoutMs: 10_000 });
    await scene.until(() => scene.world.cloud.callCounts.get('assign') === 1);
    patience.abort();
    expect((await scene.failure(call)).kind).toBe('ambiguous');
    await scene.until(() => scene.primary.blocks.length === 1);
  });

  it('never calls a cloud out of reach done or refused', async (scene) => {
    armOnce(scene, { kind: 'api-down' }, 'assign');
    const failure = await scene.failure(scene.assign(scene.primary.id, wish(4, 32, 1)));
    expect(['transient', 'ambiguous']).toContain(failure.kind);
    expect(scene.primary.blocks).toEqual([]);
  });

  it('says not found for an ENI that never was', async (scene) => {
    const unknown = 'eni-0ffffffffffffffff' as typeof scene.primary.id;
    expect((await scene.failure(scene.assign(unknown, wish(4, 32, 1)))).kind).toBe('notFound');
    expect((await scene.failure(scene.attach(unknown, 1))).kind).toBe('notFound');
    expect((await scene.failure(scene.provider.tag(unknown, { a: 'b' }, scene.options()))).kind).toBe('notFound');
  });
}
