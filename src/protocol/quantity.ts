/**
 * Kubernetes quantities (apimachinery's resource.Quantity): `10M`, `1Gi`, `1.5k`, `2e6`. Letters count: `M` is a million,
 * `Mi` 2^20, `m` a thousandth.
 */

/** The longest that says anything: the text is a pod's, and may have as much as an annotation holds. */
const LENGTH_MAX = 64;
const QUANTITY = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|([eE][+-]?\d+))?$/;

const SUFFIX: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The whole number that Kubernetes takes it for, which rounds up; undefined for a text that is none. */
export function parseQuantity(text: string): number | undefined {
  if (text.length > LENGTH_MAX) return undefined;
  const [, number, suffix = '', exponent = ''] = QUANTITY.exec(text) ?? [];
  if (number === undefined) return undefined;
  // 15 digits, or 1.1k would be 1101: a product of doubles is not exact.
  return Math.ceil(Number((Number(`${number}${exponent}`) * (SUFFIX[suffix] ?? 1)).toPrecision(15)));
}
