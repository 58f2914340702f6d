/** Every bar, in the order of the issue; a new one is one line. */
import type { Bar } from './bar.ts';
import { burstAddresses, burstJitter, burstPrefixes, burstPrefixesSecondary } from './burst.ts';
import { churnBar, churnTight } from './churn.ts';
import { day } from './day.ts';
import { giveBack } from './give-back.ts';
import { stepCost } from './step-cost.ts';
import { thousandNodes } from './thousand-nodes.ts';

export const BARS: readonly Bar[] = [
  burstAddresses,
  burstPrefixes,
  burstPrefixesSecondary,
  burstJitter,
  churnBar,
  churnTight,
  giveBack,
  day,
  thousandNodes,
  stepCost,
];
