/** All that a run came to, as `--json` has it. NaN, which JSON has as null, is what was not measured. Pure but for the machine's name. */
import { cpus, release } from 'node:os';
import type { ForwardingRow } from './forwarding.ts';
import type { LatencyFigures } from './latency.ts';
import type { MemoryFigures } from './memory.ts';
import { type Ratios, ratiosOf, type Verdict, verdicts } from './ratios.ts';

export interface Measured {
  readonly latency?: LatencyFigures;
  readonly forwarding?: readonly ForwardingRow[];
  readonly memory?: MemoryFigures;
}

export interface Figures extends Measured {
  readonly ratios: Ratios;
  readonly rssMb250: number;
  readonly bars: readonly Verdict[];
  readonly run: {
    readonly quick: boolean;
    readonly seconds: number;
    readonly endedAt: string;
    readonly cpu: string;
    readonly cpuCount: number;
    readonly kernel: string;
    readonly node: string;
  };
}

export function figuresOf(measured: Measured, run: { readonly quick: boolean; readonly seconds: number }): Figures {
  const ratios = ratiosOf(measured.latency?.rows ?? [], measured.forwarding ?? []);
  const rssMb250 = measured.memory?.idle.rssMb ?? Number.NaN;
  const [cpu] = cpus();
  return {
    ratios,
    rssMb250,
    bars: verdicts(ratios, rssMb250),
    run: {
      ...run,
      endedAt: new Date().toISOString(),
      cpu: cpu?.model ?? '',
      cpuCount: cpus().length,
      kernel: release(),
      node: process.version,
    },
    ...measured,
  };
}
