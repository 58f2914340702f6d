/**
 * Chance as a function of (seed, purpose, n): each purpose is a stream of its own with its own count, so a draw
 * more or less for one purpose leaves every other purpose's draws as they were.
 */

/** FNV-1a over UTF-16 units, then murmur3's finalizer; 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix(hash);
}

/** Murmur3's 32-bit finalizer: every input bit reaches every output bit. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export class Streams {
  readonly #seed: number;
  readonly #streams = new Map<string, { readonly key: number; count: number }>();

  constructor(seed: number) {
    this.#seed = mix(seed ^ 0x9e3779b9);
  }

  /** 32 random bits of the purpose's stream, as an unsigned integer. */
  bits(purpose: string): number {
    let stream = this.#streams.get(purpose);
    if (stream === undefined) {
      stream = { key: mix(hashText(purpose) ^ this.#seed), count: 0 };
      this.#streams.set(purpose, stream);
    }
    stream.count++;
    return mix(stream.key ^ mix(stream.count));
  }

  /** Uniform in [0, 1). */
  uniform(purpose: string): number {
    return this.bits(purpose) / 2 ** 32;
  }

  /** An integer in [0, below). */
  pick(purpose: string, below: number): number {
    return Math.floor(this.uniform(purpose) * below);
  }

  /** Log-normal with the given mean; exactly the mean when `spread` (sigma) is 0. */
  around(purpose: string, mean: number, spread: number): number {
    if (spread === 0 || mean === 0) return mean;
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(purpose)));
    const normal = radius * Math.cos(2 * Math.PI * this.uniform(purpose));
    return mean * Math.exp(spread * normal - (spread * spread) / 2);
  }
}
