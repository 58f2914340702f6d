/** Every bar, in the order of the issue; a new one is one line. */
import type { Bar } from './bar.ts';
import { burstAddresses } from './burst.ts';

export const BARS: readonly Bar[] = [burstAddresses];
