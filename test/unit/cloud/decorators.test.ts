import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { limited } from '../../../src/cloud/limited.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import type { CallOptions, Provider } from '../../../src/ports/provider.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';

const OPTIONS: CallOptions = { signal: new AbortController().signal, timeoutMs: 10_000 };

function world() {
  const clock = new VirtualClock();
  const cloud = new MemoryCloud({ clock, seed: 1, figures: { ...AWS_2026, spread: 0 } });
  const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr] });
  const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.1.0/24' as Cidr });
  const { id: instance, primaryEni } = cloud.launch({ instanceType: 'm5.large', subnet: subnet.id });
  const provider: Provider = new MemoryProvider({ cloud, instance, capabilities: ec2Capabilities(AWS_2026), clock });
  return { clock, cloud, provider, primaryEni };
}

test('at most four reads are out at once, and they do not hold up a write', async () => {
  const { clock, cloud, provider, primaryEni } = world();
  const bounded = limited(provider);
  const reads = Array.from({ length: 10 }, () => bounded.listEnis(OPTIONS));
  const write = bounded.unassign(primaryEni, ['10.0.1.99/32' as Cidr], OPTIONS);
  await clock.run(clock.nowMs() + 1);
  expect([cloud.callCounts.get('describe-enis'), cloud.callCounts.get('unassign')]).toEqual([4, 1]);
  await clock.run(clock.nowMs() + 1_000);
  expect((await Promise.all(reads)).every((answer) => answer.ok)).toBe(true);
  expect((await write).ok).toBe(true);
});
