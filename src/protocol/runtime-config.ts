/**
 * `runtimeConfig`: what the runtime adds for the capabilities that the conflist declares. containerd writes Go's field
 * names (`HostPort`), since its structs carry no JSON tags; CRI-O writes the convention's (`hostPort`). Go's parsers
 * do not notice, so keys are compared without case; and Go writes an absent list as null. What is not named here is
 * dropped: `portMappings` are portmap's.
 */
import { z } from 'zod';

/** The object with its keys in lower case and without nulls, one level deep. */
const folded = (value: unknown): unknown =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
        Object.entries(value)
          .filter(([, inner]) => inner !== null)
          .map(([key, inner]) => [key.toLowerCase(), inner]),
      );

const texts = z.array(z.string()).default([]);

/** Bits a second and bits; 0 or absent is "no limit" (the bandwidth plugin's convention). */
const bandwidth = z.preprocess(
  folded,
  z
    .object({
      ingressrate: z.number().nonnegative().default(0),
      ingressburst: z.number().nonnegative().default(0),
      egressrate: z.number().nonnegative().default(0),
      egressburst: z.number().nonnegative().default(0),
    })
    .transform(({ ingressrate, ingressburst, egressrate, egressburst }) => ({
      ingressRate: ingressrate,
      ingressBurst: ingressburst,
      egressRate: egressrate,
      egressBurst: egressburst,
    })),
);

const dns = z.preprocess(folded, z.object({ servers: texts, searches: texts, options: texts }));

/** Annotations are user-controlled and a snapshot of the sandbox's creation; their keys keep their case. */
const POD_ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

export const ANNOTATION = {
  ingress: 'kubernetes.io/ingress-bandwidth',
  egress: 'kubernetes.io/egress-bandwidth',
} as const;

/** Those alone: a pod may have 256 KiB of others, which a waiting ADD would keep. */
const podAnnotations = z.object({
  [ANNOTATION.ingress]: z.string().optional(),
  [ANNOTATION.egress]: z.string().optional(),
});

export const runtimeConfig = z.preprocess(
  folded,
  z
    .object({
      bandwidth: bandwidth.optional(),
      dns: dns.optional(),
      ips: texts,
      ipranges: z.unknown().optional(),
      mac: z.string().optional(),
      infinibandguid: z.unknown().optional(),
      deviceid: z.unknown().optional(),
      [POD_ANNOTATIONS]: podAnnotations.default({}),
    })
    .transform(({ bandwidth, dns, mac, ...rest }) => ({
      ...(bandwidth && { bandwidth }),
      ...(dns && { dns }),
      ...(mac !== undefined && { mac }),
      ips: rest.ips,
      /** Only whether they are there matters: none is supported (unsupported.ts). */
      ...(rest.ipranges !== undefined && { ipRanges: rest.ipranges }),
      ...(rest.infinibandguid !== undefined && { infinibandGuid: rest.infinibandguid }),
      ...(rest.deviceid !== undefined && { deviceId: rest.deviceid }),
      podAnnotations: rest[POD_ANNOTATIONS],
    })),
);

export type RuntimeConfig = z.infer<typeof runtimeConfig>;
