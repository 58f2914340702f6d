/** What many measurements come to. */

export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}

/** The smallest that so much of them is not above. NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export const summary = (values: readonly number[]): Summary => ({
  count: values.length,
  p50: median(values),
  p99: quantile(values, 0.99),
});
