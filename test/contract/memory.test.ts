import { ec2Capabilities, ecsCapabilities } from '../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../providers/memory/figures.ts';
import { MemoryProvider } from '../../providers/memory/provider.ts';
import type { Capabilities } from '../../src/core/cloud.ts';
import { VirtualClock } from '../unit/memory/virtual-clock.ts';
import { providerContract } from './provider-suite.ts';
import { type MakeWorld, populate, stepping, turn } from './provider-world.ts';

const worldOf =
  (capabilities: Capabilities): MakeWorld =>
  async () => {
    const clock = new VirtualClock();
    const cloud = new MemoryCloud({ clock, seed: 7 });
    const populated = populate(cloud);
    const provider = new MemoryProvider({ cloud, instance: populated.instance, capabilities, clock });
    return {
      ...populated,
      cloud,
      provider,
      run: (promise) =>
        stepping(promise, () => {
          if (!clock.step()) throw new Error('nothing left to wait for');
        }),
      async wait(ms) {
        clock.advance(ms);
        await turn();
      },
      async close() {},
    };
  };

const ec2 = ec2Capabilities(AWS_2026);
const ecs = ecsCapabilities(AWS_2026);
providerContract('memory as EC2', ec2, worldOf(ec2));
providerContract('memory as ECS', ecs, worldOf(ecs));
